-- arvo.put_state(subject, data, expected_version, initiator, source): contract, stories.
BEGIN;
SELECT plan(15);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.put_state(text,jsonb,bigint,text,text)',
    'bigint', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT is(
    arvo.put_state('child', '{"executionStatus": "normal"}', 0, 'com.test.app', 'com.test.flow'),
    1::bigint, 'a first write makes version 1'
);
SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:05Z';
SELECT is(
    arvo.put_state('child', '{"executionStatus": "failure"}', 1, 'x', 'y'), 2::bigint,
    'a later write makes the next version'
);
SELECT results_eq(
    $$ SELECT version, data, execution_status, initiator, source, created_at, changed_at
       FROM arvo.state WHERE subject = 'child' $$,
    $$ VALUES (2::bigint, '{"executionStatus": "failure"}'::jsonb, 'failure', 'com.test.app', 'com.test.flow',
               timestamptz '2030-01-01 00:00:00Z', timestamptz '2030-01-01 00:00:05Z') $$,
    'initiator and source are those of the first write'
);
DO $$ BEGIN PERFORM arvo.put_state('lonely', '{}', 0, NULL, NULL); END; $$;
SELECT is(
    (SELECT execution_status FROM arvo.state WHERE subject = 'lonely'), 'unknown', 'no status is "unknown"'
);

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    ARRAY[
        arvo.put_state('child', '{}', 1, NULL, NULL), arvo.put_state('child', '{}', 3, NULL, NULL),
        arvo.put_state('child', '{}', 0, NULL, NULL), arvo.put_state('stranger', '{}', 1, NULL, NULL)
    ],
    '{NULL,NULL,NULL,NULL}'::bigint[],
    'neither a version that is over, nor one that is not yet, nor a first write where there is a state, nor a next one where there is none'
);
SELECT results_eq(
    $$ SELECT subject, version FROM arvo.state ORDER BY subject $$,
    $$ VALUES ('child', 2::bigint), ('lonely', 1) $$, 'changes anything'
);
SELECT is_empty('SELECT FROM arvo.lineage', 'the tree is not its business');
SELECT is(
    arvo.put_state(repeat('s', 20000), '{}', 0, NULL, NULL), 1::bigint, 'a subject may be of any length'
);

SELECT * FROM finish();
ROLLBACK;
