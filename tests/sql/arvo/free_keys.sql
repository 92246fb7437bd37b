-- arvo.free_keys(slot, queues, ids, keys): contract, stories. Two at once: isolation/specs/expired_vs_expired.spec.
BEGIN;
SELECT plan(15);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.free_keys(integer,integer[],text[],bigint[])',
    'integer', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY['search_path=pg_catalog, pg_temp', 'enable_seqscan=off', 'enable_hashjoin=off', 'enable_mergejoin=off']
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T01:00:00Z';
DO $$ BEGIN PERFORM arvo_v1.register_queue('hour', p_deduplicate_for => '1 hour'), arvo_v1.register_queue('day', p_deduplicate_for => '1 day'); END; $$;
SELECT queue AS hour FROM arvo.queue WHERE name = 'hour' \gset
SELECT queue AS day FROM arvo.queue WHERE name = 'day' \gset
INSERT INTO arvo.log (slot, lane, delivery, attempt, at, subject_key, event_key, event, dedup_key)
SELECT slot, 1, 10 * slot + key, 1, at, 0, hashtextextended('e' || key, 0), '{"whole": 1}', key
FROM generate_series(0, 3) AS slot,
    (VALUES (1, timestamptz '2030-01-01 00:00:00Z'), (2, '2030-01-01 00:00:00.000001Z'), (3, '2030-01-01 00:00:00Z')) AS given (key, at);
CREATE FUNCTION pg_temp.left() RETURNS text
LANGUAGE sql AS $$ SELECT string_agg(delivery::text, ' ' ORDER BY delivery) FROM arvo.log WHERE dedup_key IS NOT NULL $$;

SELECT is(arvo.free_keys(0, ARRAY[:hour, :hour, :day], '{e1,e2,e3}', '{1,2,3}'), 1, 'whose window is over, to the microsecond');
SELECT is(pg_temp.left(), '2 3 11 12 13 21 22 23 31 32 33', 'is taken away, in that slot');
SELECT is(arvo.free_keys(1, ARRAY[:hour, :hour], '{e1,e3}', '{1,3}'), 2, 'several');
SELECT is(arvo.free_keys(2, ARRAY[:hour], '{e3}', '{3}'), 1, 'in the third');
SELECT is(arvo.free_keys(3, ARRAY[:hour, :hour, :hour], '{e3,e3,e1}', '{3,3,3}'), 1, 'and the fourth slot: twice the same, and the key of another id');
SELECT is(pg_temp.left(), '2 3 12 21 22 31 32', 'the others stay');
SELECT is(arvo.free_keys(0, ARRAY[:hour], '{e1}', '{1}'), 0, 'once');
SELECT is((SELECT count(*) FROM arvo.log WHERE event = '{"whole": 1}'), 12::bigint, 'no row goes');

SELECT * FROM finish();
ROLLBACK;
