-- arvo_v1.rouse(queues): contract, stories.
BEGIN;
SELECT plan(13);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.rouse(text[])',
    'boolean', 'plpgsql', 'volatile', true,
    'arvo_worker',
    ARRAY['search_path=pg_catalog, pg_temp', 'client_min_messages=error']
);

-- stories ---------------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.held() RETURNS bigint
LANGUAGE sql AS $$
SELECT count(*) FROM pg_locks
WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND classid = hashtext('arvo_wake')::oid;
$$;

SELECT is(arvo_v1.rouse('{q}'), false, 'there was no registration');
SELECT is(arvo_v1.rouse(NULL), false, 'nor one of nothing');
DO $$ BEGIN PERFORM arvo_v1.doze('{q}'), arvo_v1.doze('{q}'), arvo_v1.doze('{a,b}'); END; $$;
SELECT is(
    (arvo_v1.rouse('{q}'), pg_temp.held()), (true, 4::bigint), 'registered twice: one is left'
);
SELECT is(
    (arvo_v1.rouse('{q}'), pg_temp.held()), (true, 3::bigint), 'then only that of the others'
);
SELECT is(
    (arvo_v1.rouse('{b,a}'), pg_temp.held()), (true, 0::bigint), 'then none, nor the common key'
);
SELECT is(arvo_v1.rouse('{q}'), false, 'and that was all');

SELECT * FROM finish();
ROLLBACK;
