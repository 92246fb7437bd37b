-- arvo.note_keys(queues, keys, deliveries): contract, stories. The turn of a generation: mark_duplicates.sql.
BEGIN;
SELECT plan(22);
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

-- Many at once are inserted without a look, and looked up when one of them is known.
CREATE FUNCTION pg_temp.many(p_queue integer, p_from integer) RETURNS bigint[]
LANGUAGE sql AS $$
    SELECT arvo.note_keys(
        array_agg(p_queue), array_agg(convert_to('many' || n, 'UTF8') ORDER BY n), array_agg(p_from * 1000 + n::bigint ORDER BY n)
    )
    FROM generate_series(p_from, p_from + 119) AS n
$$;
SELECT is(pg_temp.many(:b, 1), NULL, 'a hundred and more that are new');
SELECT is(
    (SELECT count(*) FROM arvo.event_key WHERE delivery BETWEEN 1001 AND 1120 AND slot = 1), 120::bigint, 'are noted'
);
SELECT is(
    pg_temp.many(:b, 101), array_cat(ARRAY(SELECT generate_series(1101, 1120)::bigint), array_fill(NULL::bigint, ARRAY[100])),
    'those of many that were known'
);
SELECT is(
    (SELECT array_agg(DISTINCT number.times) FROM (SELECT count(*) AS times FROM arvo.event_key WHERE delivery > 1000 GROUP BY key) AS number),
    '{1}', 'each is noted once'
);
SELECT is(
    arvo.note_keys(array_fill(:b, ARRAY[120]), array_fill('one'::bytea, ARRAY[120]), ARRAY(SELECT generate_series(2001, 2120)::bigint)),
    array_cat('{NULL}'::bigint[], array_fill(2001::bigint, ARRAY[119])), 'many times the same'
);
SELECT is(
    (SELECT count(*) FROM arvo.event_key WHERE key = 'one'::bytea), 1::bigint, 'is noted once'
);

SELECT * FROM finish();
ROLLBACK;
