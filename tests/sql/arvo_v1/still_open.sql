-- arvo_v1.still_open(transactions, within): contract, stories. With others: tests/sql/isolation/specs/doze_vs_dispatch.spec.
BEGIN;
SELECT plan(15);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.still_open(bigint[],interval)',
    'SETOF bigint', 'plpgsql', 'volatile', true,
    'arvo_worker'
);

-- stories ---------------------------------------------------------------------------------------

-- To a snapshot what has not begun is as open as what has not ended, and its own transaction may be
-- either: these are of the past, and far ahead.
CREATE TABLE pg_temp.noted AS SELECT pg_current_xact_id()::text::bigint AS xid;
COMMIT AND CHAIN;
CREATE FUNCTION pg_temp.pair() RETURNS bigint[]
LANGUAGE sql AS $$ SELECT ARRAY[xid, xid + 1000000000] FROM pg_temp.noted $$;
CREATE FUNCTION pg_temp.ahead() RETURNS bigint[]
LANGUAGE sql AS $$ SELECT ARRAY[xid + 1000000000] FROM pg_temp.noted $$;
SELECT results_eq(
    'SELECT arvo_v1.still_open(pg_temp.pair())', 'SELECT unnest(pg_temp.ahead())',
    'those that have not ended'
);
SELECT results_eq(
    $$ SELECT arvo_v1.still_open(pg_temp.pair(), '1 hour') $$, 'SELECT unnest(pg_temp.ahead())',
    'at once, when one has ended'
);
SELECT results_eq(
    $$ SELECT arvo_v1.still_open(pg_temp.ahead(), '50 milliseconds') $$,
    'SELECT unnest(pg_temp.ahead())', 'else after the time that was asked for'
);
SELECT results_eq(
    'SELECT arvo_v1.still_open(pg_temp.ahead(), NULL)', 'SELECT unnest(pg_temp.ahead())',
    'without one at once'
);
SELECT results_eq(
    $$ SELECT arvo_v1.still_open(pg_temp.ahead(), '-1 second') $$, 'SELECT unnest(pg_temp.ahead())',
    'nor does one that has gone by make them end'
);
SELECT is_empty(
    'SELECT arvo_v1.still_open(ARRAY[(SELECT xid FROM pg_temp.noted)])', 'none, when all have'
);
SELECT is_empty($$ SELECT arvo_v1.still_open('{}', '1 hour') $$, 'of none, none');
SELECT is_empty($$ SELECT arvo_v1.still_open(NULL) $$, 'nor without an array');

SELECT * FROM finish();
ROLLBACK;
