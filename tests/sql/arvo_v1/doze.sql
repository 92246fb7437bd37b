-- arvo_v1.doze(queues): contract, stories, refusals. With others: tests/sql/isolation/specs/doze_vs_dispatch.spec.
BEGIN;
SELECT plan(14);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.doze(text[])',
    'SETOF bigint', 'plpgsql', 'volatile', true,
    'arvo_worker',
    ARRAY['search_path=pg_catalog, pg_temp', 'lock_timeout=1s']
);

-- stories ---------------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.held() RETURNS integer[]
LANGUAGE sql AS $$
SELECT coalesce(array_agg(objid::integer ORDER BY objid::integer), '{}') FROM pg_locks
WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND mode = 'ShareLock'
AND classid = hashtext('arvo_wake')::oid;
$$;

SELECT is_empty($$ SELECT arvo_v1.doze('{q,com.*}') $$, 'nobody writes');
SELECT is(pg_temp.held(), arvo.sleep_keys('{q,com.*}'), 'it is registered');
COMMIT AND CHAIN;
SELECT is(
    (
        SELECT count(*)::integer FROM pg_locks
        WHERE pid = pg_backend_pid() AND locktype = 'advisory'
        AND classid = hashtext('arvo_wake')::oid
    ),
    3, 'the session is, not the transaction'
);
SELECT is_empty($$ SELECT arvo_v1.doze('{}') $$, 'no queues: nobody will wake it');
SELECT is_empty($$ SELECT arvo_v1.doze(NULL) $$, 'nor without an array');
SELECT pg_advisory_unlock_all();

-- refusals --------------------------------------------------------------------------------------

COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT throws_ok(
    $$ SELECT arvo_v1.doze('{q}') $$, 'RV005', 'transaction isolation level must be read committed',
    'a snapshot from before would hide who is open'
);
SELECT is(
    (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'),
    0::bigint, 'and nothing is registered'
);

SELECT * FROM finish();
ROLLBACK;
