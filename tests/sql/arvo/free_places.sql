-- arvo.free_places(queue, kind, keys, deliveries): contract, stories.
BEGIN;
SELECT plan(13);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.free_places(integer,text,bigint[],bigint[])',
    'void', 'sql', 'volatile', false,
    'nobody',
    ARRAY['search_path=pg_catalog, pg_temp', 'enable_seqscan=off']
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
CREATE FUNCTION pg_temp.places() RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', kind, key, number, coalesce(delivery::text, 'free')), ', ' ORDER BY kind, key, number) FROM arvo.singleton
$$;
DO $$ BEGIN
    PERFORM arvo.take_place(1, 'queued', 5, 100), arvo.take_place(1, 'queued', 6, 101), arvo.take_place(1, 'retry', 5, 100);
    PERFORM arvo.free_places(1, 'queued', '{5,6,7}', '{99,100,100}');
END; $$;
SELECT is(pg_temp.places(), 'queued 5 1 100, queued 6 1 101, retry 5 1 100', 'nobody frees the place of another');
DO $$ BEGIN PERFORM arvo.free_places(2, 'queued', '{5}', '{100}'); END; $$;
SELECT is(pg_temp.places(), 'queued 5 1 100, queued 6 1 101, retry 5 1 100', 'nor of another queue');
DO $$ BEGIN PERFORM arvo.free_places(1, 'queued', '{6,5,5}', '{101,98,100}'); END; $$;
SELECT is(pg_temp.places(), 'queued 5 2 free, queued 6 2 free, retry 5 1 100', 'its own, of this kind, several at once, one row each');
DO $$ BEGIN PERFORM arvo.free_places(1, 'queued', '{5}', '{100}'); END; $$;
SELECT is(pg_temp.places(), 'queued 5 2 free, queued 6 2 free, retry 5 1 100', 'a free place cannot be freed');
DO $$ BEGIN PERFORM arvo.free_places(1, 'queued', NULL, NULL); END; $$;
SELECT is(pg_temp.places(), 'queued 5 2 free, queued 6 2 free, retry 5 1 100', 'nothing is nothing');
SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:05Z';
DO $$ BEGIN PERFORM arvo.free_places(1, 'retry', '{5}', '{100}'); END; $$;
SELECT results_eq(
    $$ SELECT at FROM arvo.singleton WHERE kind = 'retry' $$, $$ VALUES (timestamptz '2030-01-01 00:00:05Z') $$, 'since when it is free'
);

SELECT * FROM finish();
ROLLBACK;
