-- arvo.note_keys(queues, keys, deliveries): contract, stories. The turn of a generation: mark_duplicates.sql.
BEGIN;
SELECT plan(16);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.note_keys(integer[],bytea[],bigint[])',
    'bigint[]', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$ BEGIN PERFORM arvo_v1.register_queue('a', p_deduplicate_for => '1 hour'), arvo_v1.register_queue('b'); END; $$;
SELECT queue AS a FROM arvo.queue WHERE name = 'a' \gset
SELECT queue AS b FROM arvo.queue WHERE name = 'b' \gset

SELECT is(arvo.note_keys(ARRAY[:a, :b, :a], '{k1,k1,k2}', '{1,2,3}'), NULL, 'all are new');
SELECT is(arvo.note_keys(ARRAY[:a, :a, :b], '{k2,k3,k1}', '{4,5,6}'), '{3,NULL,2}', 'those that were known, with their first');
SELECT is(arvo.note_keys(ARRAY[:a, :a, :a], '{k4,k4,k4}', '{7,8,9}'), '{NULL,7,7}', 'the same in one call');
SELECT is(
    (SELECT string_agg(delivery::text, ' ' ORDER BY delivery) FROM arvo.event_key), '1 2 3 5 7', 'each is noted once'
);
SET LOCAL arvo.frozen_clock = '2030-01-01T01:00:00Z';
SELECT is(arvo.note_keys(ARRAY[:a, :b], '{k1,k1}', '{10,11}'), '{NULL,2}', 'each queue has a window of its own');
SELECT is(
    (SELECT delivery FROM arvo.event_key WHERE queue = :a AND key = 'k1'), 10::bigint, 'and begins anew at its end'
);

SELECT setval('arvo.event_key_number', 1) \gset
INSERT INTO arvo.event_key_generation (number, horizon, opened_at) VALUES (1, '0', arvo.clock());
SELECT is(arvo.note_keys(ARRAY[:b, :b], '{k1,k5}', '{12,13}'), '{2,NULL}', 'the partition before is looked at');
SELECT is(
    (SELECT string_agg(delivery::text, ' ' ORDER BY delivery) FROM arvo.event_key WHERE slot = 1), '13', 'and not written'
);
SELECT is(arvo.note_keys('{}', '{}', '{}'), NULL, 'nothing is nothing');

SELECT * FROM finish();
ROLLBACK;
