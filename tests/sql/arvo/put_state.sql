-- arvo.put_state(subject, data, expected_version, parent, initiator, source): contract, stories.
BEGIN;
SELECT plan(25);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.put_state(text,jsonb,bigint,text,text,text)',
    'bigint', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT is(
    arvo.put_state('child', '{"executionStatus": "normal"}', 0, 'root', 'com.test.app', 'com.test.flow'),
    1::bigint, 'a first write makes version 1'
);
SELECT results_eq(
    $$ SELECT known.subject, parent.subject, known.created_at
       FROM arvo.lineage AS known
       LEFT JOIN arvo.lineage AS parent ON parent.subject_digest = known.parent_digest
       ORDER BY known.subject $$,
    $$ VALUES ('child', 'root', timestamptz '2030-01-01 00:00:00Z'), ('root', NULL, '2030-01-01 00:00:00Z') $$,
    'the parent gets its place in the tree with its first child'
);
SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:05Z';
SELECT is(
    arvo.put_state('root', '{}', 0, 'great', NULL, NULL), 1::bigint, 'so a parent may be written after its child'
);
SELECT results_eq(
    $$ SELECT known.subject, parent.subject, known.created_at
       FROM arvo.lineage AS known
       LEFT JOIN arvo.lineage AS parent ON parent.subject_digest = known.parent_digest
       ORDER BY known.subject $$,
    $$ VALUES
       ('child', 'root', timestamptz '2030-01-01 00:00:00Z'),
       ('great', NULL, '2030-01-01 00:00:05Z'),
       ('root', 'great', '2030-01-01 00:00:00Z') $$,
    'and is linked to its own parent then'
);
SELECT is(
    arvo.put_state('child', '{"executionStatus": "failure"}', 1, 'stranger', 'x', 'y'), 2::bigint,
    'a later write makes the next version'
);
SELECT results_eq(
    $$ SELECT version, data, execution_status, initiator, source, created_at, changed_at
       FROM arvo.state WHERE subject = 'child' $$,
    $$ VALUES (2::bigint, '{"executionStatus": "failure"}'::jsonb, 'failure', 'com.test.app', 'com.test.flow',
               timestamptz '2030-01-01 00:00:00Z', timestamptz '2030-01-01 00:00:05Z') $$,
    'parent, initiator and source are those of the first write'
);
SELECT is((SELECT count(*) FROM arvo.lineage), 3::bigint, 'a later write moves nobody in the tree');
SELECT is(arvo.put_state('lonely', '{}', 0, 'lonely', NULL, NULL), 1::bigint, 'who is its own parent');
SELECT is(
    (SELECT parent_digest FROM arvo.lineage WHERE subject = 'lonely'), NULL, 'has none'
);
SELECT is(arvo.put_state('empty', '{}', 0, '', NULL, NULL), 1::bigint, 'an empty parent');
SELECT is(
    (SELECT parent_digest FROM arvo.lineage WHERE subject = 'empty'), NULL, 'is no parent'
);
SELECT is(
    (SELECT execution_status FROM arvo.state WHERE subject = 'lonely'), 'unknown', 'no status is "unknown"'
);

-- refusals --------------------------------------------------------------------------------------

SELECT is(arvo.put_state('child', '{}', 1, NULL, NULL, NULL), NULL, 'a version that is over writes nothing');
SELECT is(arvo.put_state('child', '{}', 3, NULL, NULL, NULL), NULL, 'nor does one that is not yet');
SELECT is(
    arvo.put_state('child', '{}', 0, 'changeling', NULL, NULL), NULL, 'nor a first write where there is a state'
);
SELECT is(arvo.put_state('stranger', '{}', 1, NULL, NULL, NULL), NULL, 'nor a next one where there is none');
SELECT results_eq(
    $$ SELECT subject, version FROM arvo.state ORDER BY subject $$,
    $$ VALUES ('child', 2::bigint), ('empty', 1), ('lonely', 1), ('root', 1) $$, 'all is as it was'
);
SELECT is_empty(
    $$ SELECT FROM arvo.lineage WHERE subject IN ('changeling', 'stranger') $$,
    'and nobody has a place by a write that was refused'
);

SELECT * FROM finish();
ROLLBACK;
