-- arvo.lock_lanes(lanes): contract, stories.
BEGIN;
SELECT plan(10);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.lock_lanes(integer[])',
    'void', 'sql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT arvo.lock_lanes('{7,3,NULL,7}') \gset
SELECT results_eq(
    $$ SELECT objid::integer FROM pg_locks
       WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND classid = hashtext('arvo')::oid ORDER BY objid $$,
    '{3,7}'::integer[], 'each lane is locked, once'
);
SELECT is_empty(
    $$ SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND NOT granted $$, 'and held'
);
SELECT arvo.lock_lanes(NULL) \gset
SELECT is(
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()), 2::bigint, 'no lanes: no locks'
);

SELECT * FROM finish();
ROLLBACK;
