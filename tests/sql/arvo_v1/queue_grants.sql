-- arvo_v1.queue_grants: contract, stories.
BEGIN;
SELECT plan(12);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.queue_grants(text)',
    'SETOF arvo_v1.queue_grant', 'sql', 'stable', true,
    'arvo_monitor, arvo_operator'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT is_empty('SELECT FROM arvo_v1.queue_grants()', 'nothing is closed');
DO $$ BEGIN PERFORM arvo_v1.grant_queue('com.*', 'arvo_client', '{dispatch}'); PERFORM arvo_v1.grant_queue('com.a', 'arvo_worker', '{consume,operate}'); END; $$;
SELECT results_eq(
    'SELECT queue, may, roles, changed_at, changed_by = session_user FROM arvo_v1.queue_grants()',
    $$ VALUES ('com.*', 'dispatch', '{arvo_client}'::text[], timestamptz '2030-01-01Z', true),
              ('com.a', 'consume', '{arvo_worker}', '2030-01-01Z', true), ('com.a', 'operate', '{arvo_worker}', '2030-01-01Z', true) $$, 'who may do what'
);
SELECT results_eq($$ SELECT queue FROM arvo_v1.queue_grants('com.b') $$, '{com.*}'::text[], 'with one queue');
SELECT results_eq($$ SELECT DISTINCT queue FROM arvo_v1.queue_grants('com*') ORDER BY 1 $$, '{com.*,com.a}'::text[], 'with all that begin so');
SELECT is_empty($$ SELECT queue FROM arvo_v1.queue_grants('org.b') $$, 'with another');

SELECT * FROM finish();
ROLLBACK;
