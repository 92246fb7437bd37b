-- arvo.has_sleeper(key): contract, stories. With sleepers: tests/sql/isolation/specs/doze_vs_dispatch.spec.
BEGIN;
SELECT plan(11);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.has_sleeper(integer)',
    'boolean', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.held() RETURNS bigint
LANGUAGE sql AS $$
SELECT count(*) FROM pg_locks
WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND classid = hashtext('arvo_wake')::oid;
$$;

SELECT is(arvo.has_sleeper(4711), false, 'nobody sleeps');
SELECT is(pg_temp.held(), 0::bigint, 'the question leaves no lock');
SELECT is(
    (SELECT doze FROM arvo_v1.doze('{q}')), NULL, 'this session registers'
);
SELECT is(
    (arvo.has_sleeper(hashtext('q')), pg_temp.held()), (false, 2::bigint),
    'to itself it does not sleep, and asking takes nothing from its registration'
);

SELECT pg_advisory_unlock_all();
SELECT * FROM finish();
ROLLBACK;
