-- arvo_v1.revoke_queue: contract, stories.
BEGIN;
SELECT plan(16);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.revoke_queue(text,text,text[])',
    'SETOF arvo_v1.queue_grant', 'plpgsql', 'volatile', true,
    'arvo_operator',
    ARRAY['search_path=pg_catalog, pg_temp', 'lock_timeout=2s']
);

-- stories ---------------------------------------------------------------------------------------

CREATE ROLE arvo_test_revoke_a NOLOGIN IN ROLE arvo_client, arvo_worker, arvo_operator;
DO $$ BEGIN PERFORM arvo_v1.register_queue('com.a'); PERFORM arvo_v1.grant_queue('com.a', 'arvo_test_revoke_a', '{dispatch,read}'); END; $$;
CREATE FUNCTION pg_temp.put(p_id text, p_to text) RETURNS text
LANGUAGE sql AS $$ SELECT format('SELECT (arvo_v1.dispatch(%L)).outcome', pg_temp.event(p_id, p_to)) $$;
SELECT is(pg_temp.as_role('arvo_test_revoke_a', pg_temp.put('1', 'com.a')), 'queued', 'it was granted');
SELECT results_eq(
    $$ SELECT may, roles FROM arvo_v1.revoke_queue('com.a', 'arvo_test_revoke_a', '{dispatch,read}') $$,
    $$ VALUES ('dispatch', '{}'::text[]) $$, 'what was closed stays so, with nobody left'
);
SELECT is(
    pg_temp.as_role('arvo_test_revoke_a', pg_temp.put('2', 'com.a')),
    'RV007 | queue is closed to this role | queue: "com.a", right: dispatch, role: "arvo_test_revoke_a"', 'it is taken back'
);
SELECT results_eq($$ SELECT may FROM arvo_v1.revoke_queue('com.b', 'public', '{dispatch,consume,read}') $$, '{consume,dispatch}'::text[], 'public: it is closed');
SELECT is(
    pg_temp.as_role('arvo_test_revoke_a', pg_temp.put('3', 'com.b')),
    'RV007 | queue is closed to this role | queue: "com.b", right: dispatch, role: "arvo_test_revoke_a"', 'to a queue that is still to come'
);
SELECT is_empty($$ SELECT FROM arvo.queue WHERE name = 'com.b' $$, 'which is not made by that');
UPDATE arvo.queue_guard SET roles = '{"gone"}' WHERE queue = 'com.a';
SELECT results_eq($$ SELECT roles FROM arvo_v1.revoke_queue('com.a', 'gone', '{dispatch}') $$, $$ VALUES ('{}'::text[]) $$, 'also from a role that is no more');
SELECT results_eq(
    'SELECT verb, queue, touched FROM arvo_v1.operations() ORDER BY number',
    $$ VALUES ('grant_queue', 'com.a', 2::bigint), ('revoke_queue', 'com.a', 2), ('revoke_queue', 'com.b', 2), ('revoke_queue', 'com.a', 1) $$, 'it is written down'
);
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.revoke_queue('com.b', 'never', '{dispatch}') $$),
    'RV006 | argument is not valid | role | queue: "com.b", role: "never", may: ["dispatch"]', 'a role that never was'
);

SELECT * FROM finish();
ROLLBACK;
