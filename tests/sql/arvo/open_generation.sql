-- arvo.open_generation(): contract, stories.
BEGIN;
SELECT plan(31);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.open_generation()',
    'integer', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('a', p_delete_after => '3 hours', p_deduplicate_for => '1 hour');
END;
$$;

UPDATE arvo.generation SET opened_at = arvo.clock();
CREATE FUNCTION pg_temp.seen() RETURNS text
LANGUAGE sql AS $$ SELECT string_agg(number || '/' || slot, ' ' ORDER BY number) FROM arvo.generation $$;
SET arvo.frozen_clock = '2030-01-01T01:00:00Z';

SELECT is(arvo.open_generation(), 0, 'nothing was written to the newest: it stays');
DO $$
BEGIN
    PERFORM arvo_v1.dispatch(pg_temp.event('1', 'a'));
END;
$$;
SET arvo.frozen_clock = '2030-01-01T00:59:59.999999Z';

SELECT is(arvo.open_generation(), 0, 'one microsecond before a third of delete_after');
SET arvo.frozen_clock = '2030-01-01T01:00:00Z';

SELECT is(arvo.open_generation(), 1, 'exactly then');
SELECT is(pg_temp.seen(), '1/0 2/1', 'the next slot is in use');
SELECT is((SELECT opened_at FROM arvo.generation WHERE number = 2), '2030-01-01 01:00:00Z', 'from now on');
SELECT is(arvo.slot(), 1::smallint, 'for everybody');
SET arvo.frozen_clock = '2030-01-01T09:00:00Z';

SELECT is(arvo.open_generation(), 0, 'the newest has not been used');
-- transactions of other tests' databases count, too: as if they had ended, and this one
DO $$
BEGIN
    UPDATE arvo.generation SET horizon = '0';
    PERFORM arvo_v1.dispatch(pg_temp.event('2', 'a'));
    PERFORM arvo.open_generation();
    UPDATE arvo.generation SET horizon = '0';
    PERFORM arvo_v1.dispatch(pg_temp.event('2b', 'a'));
END;
$$;
SET arvo.frozen_clock = '2030-01-01T10:00:00Z';
DO $$
BEGIN
    PERFORM arvo.open_generation();
    UPDATE arvo.generation SET horizon = '0';
    PERFORM arvo_v1.dispatch(pg_temp.event('3', 'a'));
END;
$$;
SET arvo.frozen_clock = '2030-01-01T19:00:00Z';

SELECT is(arvo.open_generation(), 0, 'the fifth wants a slot that was not emptied');
UPDATE arvo.generation SET emptied_at = arvo.clock() WHERE number = 1;
SELECT is(arvo.open_generation(), 1, 'it waits for that');
SELECT is(pg_temp.seen(), '1/0 2/1 3/2 4/3 5/0', 'and takes it again');
UPDATE arvo.generation SET horizon = '0';
UPDATE arvo.generation SET emptied_at = arvo.clock() WHERE number < 5;
UPDATE arvo.queue SET delete_after = '1 second', deduplicate_for = '5 minutes';
DO $$
BEGIN
    PERFORM arvo_v1.dispatch(pg_temp.event('4', 'a'));
END;
$$;
SET arvo.frozen_clock = '2030-01-01T19:04:59.999999Z';

SELECT is(arvo.open_generation(), 0, 'five minutes at least');
SET arvo.frozen_clock = '2030-01-01T19:05:00Z';

SELECT is(arvo.open_generation(), 1, 'and exactly then');

-- stories: the window of deduplication

UPDATE arvo.generation SET emptied_at = arvo.clock(), horizon = '0';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('b', p_delete_after => '1 hour', p_deduplicate_for => '1 day');
    PERFORM arvo_v1.dispatch(pg_temp.event('5', 'a'));
END;
$$;
SET arvo.frozen_clock = '2030-01-02T19:04:59.999999Z';
SELECT is(arvo.open_generation(), 0, 'one microsecond before the longest window is over');
SET arvo.frozen_clock = '2030-01-02T19:05:00Z';
SELECT is(arvo.open_generation(), 1, 'and exactly then');
SELECT pg_current_xact_id() AS own \gset
SELECT ok((SELECT horizon > :'own'::xid8 FROM arvo.generation WHERE number = 7), 'the horizon is above the caller''s own transaction');
SELECT is((SELECT last_value::text || log_cnt FROM arvo.generation_number_seq), '70', 'its sequence says so, and will after a crash');
COMMIT AND CHAIN;
SELECT ok((SELECT horizon < pg_current_xact_id() FROM arvo.generation WHERE number = 7), 'and below the next one');

-- those of other tests' databases count, too
UPDATE arvo.generation SET emptied_at = arvo.clock(), horizon = '18446744073709551615' WHERE number = 7;
DO $$
BEGIN
    PERFORM arvo_v1.dispatch(pg_temp.event('6', 'a'));
END;
$$;
SET arvo.frozen_clock = '2030-01-05T00:00:00Z';
COMMIT AND CHAIN;
SELECT is(arvo.open_generation(), 0, 'not while a transaction from before the last turn is running');
UPDATE arvo.generation SET horizon = '0';
COMMIT AND CHAIN;
SELECT is(arvo.open_generation(), 1, 'then it turns');
ROLLBACK AND CHAIN;
SELECT is((SELECT max(number) || ' ' || (SELECT last_value FROM arvo.generation_number_seq) FROM arvo.generation), '7 8', 'it is undone, but for the sequence');
UPDATE arvo.generation SET opened_at = arvo.clock() WHERE number = 7;
SELECT is(arvo.open_generation(), 0, 'the next call');
SELECT is((SELECT last_value FROM arvo.generation_number_seq), 7::bigint, 'sets that back');
UPDATE arvo.generation SET opened_at = '2030-01-01Z' WHERE number = 7;
SELECT setval('arvo.generation_number_seq', 8) \gset
SELECT is(arvo.open_generation(), 1, 'or turns');
SELECT is((SELECT max(number) || ' ' || (SELECT last_value FROM arvo.generation_number_seq) FROM arvo.generation), '8 8', 'to the same number');

SELECT * FROM finish();
ROLLBACK;
