-- arvo.pass_numbers(number): contract, stories.
BEGIN;
SELECT plan(10);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.pass_numbers(bigint)',
    'bigint', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(arvo.pass_numbers(3), 0::bigint, 'of a number long past nothing is to be done');
SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 100 AS far \gset
DO $$ BEGIN PERFORM arvo.pass_numbers(pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 100); END; $$;
SELECT cmp_ok(
    pg_snapshot_xmax(pg_current_snapshot())::text::bigint, '>', :far::bigint,
    'numbers are used up until the cluster is past it'
);
SELECT is((SELECT count(*) FROM arvo.tombstone), 0::bigint, 'and nothing stays of it');

SELECT * FROM finish();
ROLLBACK;
