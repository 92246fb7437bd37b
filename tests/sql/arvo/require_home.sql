-- arvo.require_home(): contract, stories, refusals.
BEGIN;
SELECT plan(22);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.require_home()',
    'void', 'plpgsql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(pg_temp.raised('SELECT arvo.require_home()'), 'nothing', 'at home it lets everybody pass');
DO $$ BEGIN PERFORM arvo_v1.register_queue('q'); END; $$;

-- refusals --------------------------------------------------------------------------------------

-- The hint of the error that it raises.
CREATE FUNCTION pg_temp.hint() RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    v_hint text;
BEGIN
    PERFORM arvo.require_home();
    RETURN 'nothing';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS v_hint = PG_EXCEPTION_HINT;
    RETURN v_hint;
END;
$$;
-- What a dump looks like that was restored here, and what pg_upgrade leaves.
SELECT system_identifier AS here FROM pg_control_system() \gset
UPDATE arvo.origin SET relation = 1;
SELECT ok(
    pg_temp.raised('SELECT arvo.require_home()') ~ format(
        '^RV902 \| .* \| They are of cluster %1$s, up to [0-9]+; this restored dump is %1$s, at [0-9]+\.$',
        :'here'
    ),
    'a dump that came back to its own cluster'
);
UPDATE arvo.origin SET system_identifier = 1;
SELECT ok(
    pg_temp.raised('SELECT arvo.require_home()') ~ format(
        '^RV902 \| transaction numbers are of another cluster \| They are of cluster 1, up to [0-9]+; this is %s, at [0-9]+\.$',
        :'here'
    ),
    'elsewhere it refuses'
);
SELECT is(split_part(pg_temp.hint(), ':', 1) || split_part(pg_temp.hint(), ':', 2),
    'This looks like a restored dump call rebase() as operator, once; it takes over'
    ' what waits here, so the original must no longer run. After pg_upgrade it would be accept_cluster().',
    'and says what to call'
);
UPDATE arvo.origin SET relation = 'arvo.origin'::regclass::oid;
UPDATE arvo.lease SET snapshot = '1:1:';
UPDATE arvo.generation SET horizon = '0';
SELECT ok(pg_temp.hint() ~ 'pg_upgrade, which keeps the numbers: call accept_cluster', 'which fits');
SELECT is(left(pg_temp.raised(refused.call), 5), 'RV902', refused.call)
FROM (
    VALUES
    ($$ SELECT arvo_v1.dispatch(pg_temp.event('1', 'q')) $$),
    ($$ SELECT arvo_v1.dispatch_many(jsonb_build_array(pg_temp.event('1', 'q'))) $$),
    ($$ SELECT arvo_v1.claim('{q}') $$),
    ($$ SELECT arvo_v1.work('[]', '{q}') $$),
    ($$ SELECT arvo_v1.maintain() $$),
    ($$ SELECT arvo_v1.settle('[]') $$),
    ($$ SELECT arvo_v1.redrive('q') $$),
    ($$ SELECT arvo_v1.discard('q') $$),
    ($$ SELECT arvo_v1.replay('1') $$)
) AS refused (call);
UPDATE arvo.origin SET system_identifier = :here;
SELECT is(pg_temp.raised('SELECT arvo.require_home()'), 'nothing', 'and at home again it lets pass');

SELECT * FROM finish();
ROLLBACK;
