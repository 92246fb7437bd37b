-- arvo.turn_event_keys(): contract, stories.
BEGIN;
SELECT plan(21);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.turn_event_keys()',
    'integer', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';

CREATE FUNCTION pg_temp.seen() RETURNS text
LANGUAGE sql AS $$
    SELECT current.last_value || ': ' || (SELECT string_agg(number::text, ' ' ORDER BY number) FROM arvo.event_key_generation)
    FROM arvo.event_key_number AS current
$$;
UPDATE arvo.event_key_generation SET opened_at = arvo.clock();
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('a', p_deduplicate_for => '1 minute');
    PERFORM arvo_v1.dispatch(pg_temp.event('1', 'a'));
END;
$$;
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:59:59.999999Z';

SELECT is(arvo.turn_event_keys(), 0, 'an hour at least');
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('a', p_deduplicate_for => '2 days');
END;
$$;
SET arvo.frozen_clock = '2030-01-02T23:59:59.999999Z';

SELECT is(arvo.turn_event_keys(), 0, 'one microsecond before the window is over');
SET arvo.frozen_clock = '2030-01-03T00:00:00Z';

SELECT is(arvo.turn_event_keys(), 1, 'exactly then');
SELECT is(pg_temp.seen(), '1: 0 1', 'the next partition is in use');
UPDATE arvo.event_key_generation SET horizon = '18446744073709551615' WHERE number = 1;
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-05T00:00:00Z';

SELECT is(arvo.turn_event_keys(), 0, 'not while nothing was dispatched since');
DO $$
BEGIN
    PERFORM arvo_v1.dispatch(pg_temp.event('2', 'a'));
END;
$$;
COMMIT AND CHAIN;

SELECT is(arvo.turn_event_keys(), 0, 'not while a transaction from before the last turn is running');
-- those of other tests' databases count, too: as if they had ended
UPDATE arvo.event_key_generation SET horizon = '0';
SELECT is(arvo.turn_event_keys(), 1, 'then it turns');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-07T00:00:00Z';
UPDATE arvo.event_key_generation SET horizon = '0';
DO $$
BEGIN
    PERFORM arvo_v1.dispatch(pg_temp.event('3', 'a'));
END;
$$;
COMMIT AND CHAIN;

SELECT is(arvo.turn_event_keys(), 1, 'the partition that comes next is emptied first');
SELECT is(pg_temp.seen(), '2: 0 1 2', 'nothing is turned yet');
SELECT results_eq('SELECT DISTINCT slot FROM arvo.event_key ORDER BY slot', $$ VALUES (1::smallint), (2::smallint) $$, 'the oldest keys are gone');
COMMIT AND CHAIN;

SELECT is(arvo.turn_event_keys(), 1, 'by the next call it is turned');
SELECT is(pg_temp.seen(), '3: 0 1 2 3', 'the first partition is in use again');
COMMIT AND CHAIN;

-- a turn whose transaction was undone: the sequence has moved on, the row is missing
DELETE FROM arvo.event_key_generation WHERE number = 3;
SELECT is(arvo.turn_event_keys(), 1, 'an undone turn is made good');
SELECT is(pg_temp.seen(), '3: 0 1 2 3', 'with its number');

SELECT * FROM finish();
ROLLBACK;
