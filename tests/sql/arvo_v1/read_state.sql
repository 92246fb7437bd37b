-- arvo_v1.read_state(subject): contract, stories.
BEGIN;
SELECT plan(15);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.read_state(text)',
    'SETOF arvo_v1.state', 'sql', 'stable', true,
    'arvo_monitor, arvo_operator, arvo_worker'
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT is_empty($$ SELECT * FROM arvo_v1.read_state('order-1') $$, 'a subject without a state has no row');
SELECT is_empty('SELECT * FROM arvo_v1.read_state(NULL)', 'nor has nothing');
SELECT arvo_v1.write_state('order-1', '{"executionStatus": "normal"}', 0, NULL, 'com.test.app', 'com.test.flow') \gset
SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:05Z';
SELECT arvo_v1.write_state('order-1', '{"executionStatus": "failure"}', 1) \gset
SELECT arvo_v1.write_state('step-1', '{"n": 1}', 0, 'order-1') \gset
SELECT arvo_v1.write_state('orphan-1', '{"n": 1}', 0, 'order-9') \gset
SELECT results_eq(
    $$ SELECT * FROM arvo_v1.read_state('order-1') $$,
    $$ VALUES ('order-1', 2::bigint, '{"executionStatus": "failure"}'::jsonb, 'failure', NULL::text, 'com.test.app',
               'com.test.flow', timestamptz '2030-01-01 00:00:00Z', timestamptz '2030-01-01 00:00:05Z') $$,
    'everything that is known of a root'
);
SELECT results_eq(
    $$ SELECT subject, version, execution_status, parent_subject FROM arvo_v1.read_state('step-1') $$,
    $$ VALUES ('step-1', 1::bigint, 'unknown', 'order-1') $$, 'and of its child'
);
SELECT results_eq(
    $$ SELECT parent_subject FROM arvo_v1.read_state('orphan-1') $$,
    $$ VALUES ('order-9') $$, 'a parent is named also when it has no state itself'
);
SELECT is_empty($$ SELECT * FROM arvo_v1.read_state('order-9') $$, 'which does not make one');
SELECT arvo_v1.write_state(repeat('s', 20000) || 'a', '{}') \gset
SELECT is_empty(
    $$ SELECT * FROM arvo_v1.read_state(repeat('s', 20000) || 'b') $$,
    'of a long subject every character counts'
);
SELECT is(
    (SELECT length(subject) FROM arvo_v1.read_state(repeat('s', 20000) || 'a')), 20001, 'and it is kept whole'
);

SELECT * FROM finish();
ROLLBACK;
