-- arvo_v1.grant_queue: contract, stories.
BEGIN;
SELECT plan(21);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.grant_queue(text,text,text[])',
    'SETOF arvo_v1.queue_grant', 'plpgsql', 'volatile', true,
    'arvo_operator',
    ARRAY['search_path=pg_catalog, pg_temp', 'lock_timeout=2s']
);

-- stories ---------------------------------------------------------------------------------------

CREATE ROLE arvo_test_grant_a NOLOGIN IN ROLE arvo_client, arvo_worker, arvo_operator;
CREATE ROLE arvo_test_grant_b NOLOGIN IN ROLE arvo_client, arvo_worker, arvo_operator;
DO $$ BEGIN PERFORM arvo_v1.register_queue('com.a'); END; $$;
CREATE FUNCTION pg_temp.put(p_id text, p_to text) RETURNS text
LANGUAGE sql AS $$ SELECT format('SELECT (arvo_v1.dispatch(%L)).outcome', pg_temp.event(p_id, p_to)) $$;
SELECT is(pg_temp.as_role('arvo_test_grant_b', pg_temp.put('1', 'com.a')), 'queued', 'open to everybody');
SELECT results_eq(
    $$ SELECT queue, may, roles FROM arvo_v1.grant_queue('com.a', 'arvo_test_grant_a', '{dispatch,consume,dispatch}') $$,
    $$ VALUES ('com.a', 'consume', '{arvo_test_grant_a}'::text[]), ('com.a', 'dispatch', '{arvo_test_grant_a}') $$, 'answers what is in force'
);
SELECT is(pg_temp.as_role('arvo_test_grant_a', pg_temp.put('2', 'com.a')), 'queued', 'open to those who were named');
SELECT is(
    pg_temp.as_role('arvo_test_grant_b', pg_temp.put('3', 'com.a')),
    'RV007 | queue is closed to this role | queue: "com.a", right: dispatch, role: "arvo_test_grant_b"', 'closed to the others'
);
SELECT is(
    pg_temp.as_role('arvo_test_grant_b', $$ SELECT count(*) FROM arvo_v1.claim('{com.a}') $$),
    'RV007 | queue is closed to this role | queue: "com.a", right: consume, role: "arvo_test_grant_b"', 'nor can they claim'
);
SELECT is(pg_temp.as_role('arvo_test_grant_b', pg_temp.put('4', 'com.ab')), 'unroutable', 'other queues are as they were');
SELECT results_eq(
    $$ SELECT roles FROM arvo_v1.grant_queue('com.a', 'arvo_test_grant_b', '{dispatch}') WHERE may = 'dispatch' $$,
    $$ VALUES ('{arvo_test_grant_a,arvo_test_grant_b}'::text[]) $$, 'another one'
);
SELECT is(pg_temp.as_role('arvo_test_grant_b', pg_temp.put('5', 'com.a')), 'queued', 'may as well');
SELECT results_eq($$ SELECT may FROM arvo_v1.grant_queue('com.a', 'public', '{dispatch}') $$, '{consume}'::text[], 'public opens it again');
SELECT results_eq(
    'SELECT verb, queue, details, touched FROM arvo_v1.operations() ORDER BY number',
    $$ VALUES ('grant_queue', 'com.a', '{"role": "arvo_test_grant_a", "may": ["dispatch", "consume", "dispatch"]}'::jsonb, 2::bigint),
              ('grant_queue', 'com.a', '{"role": "arvo_test_grant_b", "may": ["dispatch"]}', 1),
              ('grant_queue', 'com.a', '{"role": "public", "may": ["dispatch"]}', 1) $$, 'it is written down'
);
SELECT is(
    pg_temp.as_role('arvo_test_grant_a', $$ SELECT count(*) FROM arvo_v1.grant_queue('com.*', 'arvo_test_grant_a', '{operate}') $$), '2',
    'an operator closes what is open'
);
SELECT is(
    pg_temp.as_role('arvo_test_grant_b', $$ SELECT count(*) FROM arvo_v1.grant_queue('com.a', 'arvo_test_grant_b', '{operate}') $$),
    'RV007 | queue is closed to this role | queue: "com.*", right: operate, role: "arvo_test_grant_b"', 'and another cannot let himself in'
);
SELECT is(
    (SELECT format('%s %s', by = session_user, role) FROM arvo_v1.operations(p_limit => 1)), 't arvo_test_grant_a', 'who did it as whom'
);
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.grant_queue('a b', 'public', '{read}') $$),
    'RV006 | argument is not valid | queue | queue: "a b", role: "public", may: ["read"]', 'what is not valid'
);

SELECT * FROM finish();
ROLLBACK;
