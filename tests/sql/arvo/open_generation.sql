-- arvo.open_generation(): contract, stories.
BEGIN;
SELECT plan(19);
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
    PERFORM arvo_v1.register_queue('a', p_delete_after => '3 hours');
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
DO $$
BEGIN
    PERFORM arvo_v1.dispatch(pg_temp.event('2', 'a'));
    PERFORM arvo.open_generation();
    PERFORM arvo_v1.dispatch(pg_temp.event('2b', 'a'));
END;
$$;
SET arvo.frozen_clock = '2030-01-01T10:00:00Z';
DO $$
BEGIN
    PERFORM arvo.open_generation();
    PERFORM arvo_v1.dispatch(pg_temp.event('3', 'a'));
END;
$$;
SET arvo.frozen_clock = '2030-01-01T19:00:00Z';

SELECT is(arvo.open_generation(), 0, 'the fifth wants a slot that was not emptied');
UPDATE arvo.generation SET emptied_at = arvo.clock() WHERE number = 1;
SELECT is(arvo.open_generation(), 1, 'it waits for that');
SELECT is(pg_temp.seen(), '1/0 2/1 3/2 4/3 5/0', 'and takes it again');
UPDATE arvo.generation SET emptied_at = arvo.clock() WHERE number < 5;
UPDATE arvo.queue SET delete_after = '1 second';
DO $$
BEGIN
    PERFORM arvo_v1.dispatch(pg_temp.event('4', 'a'));
END;
$$;
SET arvo.frozen_clock = '2030-01-01T19:04:59.999999Z';

SELECT is(arvo.open_generation(), 0, 'five minutes at least');
SET arvo.frozen_clock = '2030-01-01T19:05:00Z';

SELECT is(arvo.open_generation(), 1, 'and exactly then');

SELECT * FROM finish();
ROLLBACK;
