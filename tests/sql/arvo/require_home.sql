-- arvo.require_home(): contract, stories, refusals.
BEGIN;
SELECT plan(18);
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

-- What a dump looks like that was restored here.
UPDATE arvo.origin SET system_identifier = 1;
SELECT system_identifier AS here FROM pg_control_system() \gset
SELECT is(
    pg_temp.raised('SELECT arvo.require_home()'),
    format('RV902 | transaction numbers are of another cluster | They are of cluster 1; this is %s.', :'here'),
    'elsewhere it refuses'
);
SELECT is(left(pg_temp.raised(refused.call), 5), 'RV902', refused.call)
FROM (
    VALUES
    ($$ SELECT arvo_v1.dispatch(pg_temp.event('1', 'q')) $$),
    ($$ SELECT arvo_v1.dispatch_many(jsonb_build_array(pg_temp.event('1', 'q'))) $$),
    ($$ SELECT arvo_v1.claim('{q}') $$),
    ($$ SELECT arvo_v1.work('[]', '{q}') $$),
    ($$ SELECT arvo_v1.maintain() $$),
    ($$ SELECT arvo_v1.redrive('q') $$),
    ($$ SELECT arvo_v1.discard('q') $$),
    ($$ SELECT arvo_v1.replay('1') $$)
) AS refused (call);
UPDATE arvo.origin SET system_identifier = :here;
SELECT is(pg_temp.raised('SELECT arvo.require_home()'), 'nothing', 'and at home again it lets pass');

SELECT * FROM finish();
ROLLBACK;
