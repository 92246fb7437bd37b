-- arvo.window_snapshot(): contract, stories.
BEGIN;
SELECT plan(16);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.window_snapshot()',
    'pg_snapshot', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

COMMIT AND CHAIN;
SELECT arvo.window_snapshot() AS window, pg_current_xact_id_if_assigned() IS NULL AS unassigned \gset
SELECT ok(:'unassigned', 'asking for it costs no transaction number');
SELECT ok(
    pg_snapshot_xmax(:'window') <= pg_snapshot_xmax(pg_current_snapshot()), 'it is a snapshot of this moment'
);

-- With a number: what this transaction appends, before and after, is not yet seen.
SELECT pg_current_xact_id() AS own \gset
SELECT ok(
    NOT pg_visible_in_snapshot(:'own', arvo.window_snapshot()),
    'the own transaction is not visible in it while its number is the newest'
);

-- A later number that is over already, of a rolled back savepoint, puts the own one below xmax:
-- PostgreSQL's own snapshot leaves it out of the list and so calls it visible.
SAVEPOINT later;
CREATE TEMPORARY TABLE later ();
ROLLBACK TO SAVEPOINT later;
SELECT ok(
    pg_visible_in_snapshot(:'own', pg_current_snapshot()), 'PostgreSQL calls it seen from then on'
);
SELECT arvo.window_snapshot() AS window \gset
SELECT ok(NOT pg_visible_in_snapshot(:'own', :'window'), 'this function does not');
SELECT is(
    (SELECT count(*) FROM pg_snapshot_xip(:'window') AS xid WHERE xid = :'own'), 1::bigint,
    'it is listed once among the open ones'
);
SELECT ok(pg_snapshot_xmin(:'window') <= :'own'::xid8, 'and the lower bound is not above it');
SELECT ok(pg_snapshot_xmax(:'window') > :'own'::xid8, 'nor the upper one below');
SELECT is(:'window'::pg_snapshot::text, :'window', 'it can be stored and read again');

SELECT * FROM finish();
ROLLBACK;
