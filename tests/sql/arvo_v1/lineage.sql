-- arvo_v1.lineage(subject): contract, stories.
BEGIN;
SELECT plan(14);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.lineage(text)',
    'SETOF arvo_v1.kin', 'sql', 'stable', true,
    'arvo_monitor, arvo_operator, arvo_worker',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:02Z';
SELECT arvo_v1.write_state('b-leaf', '{"executionStatus": "success"}', 0, 'child') \gset
SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:03Z';
SELECT arvo_v1.write_state('a-leaf', '{"executionStatus": "normal"}', 0, 'child') \gset
SELECT arvo_v1.write_state('c-leaf', '{"executionStatus": "normal"}', 0, 'child') \gset
SELECT arvo_v1.write_state('child', '{"executionStatus": "normal"}', 0, 'root') \gset
SELECT arvo_v1.write_state('other', '{}') \gset
SELECT results_eq(
    $$ SELECT * FROM arvo_v1.lineage('a-leaf') $$,
    $$ VALUES
       ('root', NULL::text, 0, NULL::text, timestamptz '2030-01-01 00:00:03Z'),
       ('child', 'root', 1, 'normal', '2030-01-01 00:00:02Z'),
       ('b-leaf', 'child', 2, 'success', '2030-01-01 00:00:02Z'),
       ('a-leaf', 'child', 2, 'normal', '2030-01-01 00:00:03Z'),
       ('c-leaf', 'child', 2, 'normal', '2030-01-01 00:00:03Z') $$,
    'the whole tree from any of its leaves, by depth, age, name; children were stored first'
);
SELECT results_eq(
    $$ SELECT subject FROM arvo_v1.lineage('root') $$, $$ SELECT subject FROM arvo_v1.lineage('b-leaf') $$,
    'the same from everywhere'
);
SELECT results_eq(
    $$ SELECT subject, depth FROM arvo_v1.lineage('other') $$, $$ VALUES ('other', 0) $$, 'a tree of one'
);
SELECT is_empty($$ SELECT * FROM arvo_v1.lineage('stranger') $$, 'an unknown subject has no tree');
SELECT is_empty('SELECT * FROM arvo_v1.lineage(NULL)', 'nor has nothing');

-- Only a hand in the tables makes a loop; it must not make an endless walk.
UPDATE arvo.lineage SET parent_digest = arvo.subject_digest('child') WHERE subject = 'root';
SELECT is(
    (SELECT count(*) FROM arvo_v1.lineage('a-leaf')), 5::bigint, 'a loop ends the walk, each subject once'
);

DO $$
BEGIN
    PERFORM arvo_v1.write_state('deep-' || number, '{}', 0, 'deep-' || number - 1)
    FROM generate_series(1, 500) AS number;
END;
$$;
SELECT is((SELECT max(depth) FROM arvo_v1.lineage('deep-250')), 500, 'a chain of 500 is walked to its end');

SELECT * FROM finish();
ROLLBACK;
