-- arvo.take_place(queue, kind, key, delivery): contract, stories.
BEGIN;
SELECT plan(16);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.take_place(integer,text,bigint,bigint)',
    'bigint', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY['search_path=pg_catalog, pg_temp', 'enable_seqscan=off']
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
CREATE FUNCTION pg_temp.places() RETURNS SETOF text
LANGUAGE sql AS $$
    SELECT concat_ws(' ', queue, kind, key, number, delivery) FROM arvo.singleton ORDER BY queue, kind, key, number
$$;
SELECT is(arvo.take_place(1, 'queued', 5, 100), NULL, 'a place that nobody has ever had');
SELECT is(arvo.take_place(1, 'queued', 5, 101), 100::bigint, 'is taken now, and by whom');
SELECT is(arvo.take_place(1, 'queued', 5, 100), 100::bigint, 'also for that one itself');
SELECT is(arvo.take_place(1, 'queued', 6, 102), NULL, 'another key');
SELECT is(arvo.take_place(1, 'any', 5, 103), NULL, 'another kind');
SELECT is(arvo.take_place(2, 'queued', 5, 104), NULL, 'another queue');
DO $$ BEGIN PERFORM arvo.free_places(1, 'queued', '{5}', '{100}'); END; $$;
SELECT is(arvo.take_place(1, 'queued', 5, 105), NULL, 'a place that was given back');
SELECT results_eq(
    'SELECT pg_temp.places()',
    $$ VALUES ('1 any 5 1 103'), ('1 queued 5 3 105'), ('1 queued 6 1 102'), ('2 queued 5 1 104') $$,
    'each place is one row, however often it changes hands'
);
SELECT is((SELECT array_agg(DISTINCT at) FROM arvo.singleton), '{2030-01-01Z}'::timestamptz[], 'with the time');

SELECT * FROM finish();
ROLLBACK;
