-- arvo_v1.cleanup_state(subject): contract, stories.
BEGIN;
SELECT plan(22);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.cleanup_state(text)',
    'boolean', 'plpgsql', 'volatile', true,
    'arvo_operator, arvo_worker',
    ARRAY['search_path=pg_catalog, pg_temp', 'lock_timeout=1s']
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.write_state('root', '{}');
    PERFORM arvo_v1.write_state('child', '{}', 0, 'root');
    PERFORM arvo_v1.write_state('grandchild', '{}', 0, 'child');
    PERFORM arvo_v1.acquire_lock('root');
    PERFORM arvo_v1.acquire_lock('child');
END;
$$;
SELECT ok(arvo_v1.cleanup_state('root'), 'a state is forgotten');
SELECT results_eq(
    'SELECT subject FROM arvo.state ORDER BY subject', $$ VALUES ('child'), ('grandchild') $$, 'only that one'
);
SELECT results_eq('SELECT subject FROM arvo.state_lock', $$ VALUES ('child') $$, 'its lock goes with it');
SELECT is(arvo_v1.root_subject('grandchild'), 'root', 'the descendants keep their root');
SELECT results_eq(
    $$ SELECT * FROM arvo_v1.subjects_by_root('root') $$, $$ VALUES ('child'), ('grandchild') $$,
    'and are found by it'
);
SELECT is(arvo_v1.cleanup_state('root'), false, 'a second time there is nothing to forget');
SELECT is(
    arvo_v1.write_state('root', '{"n": 1}'), 1::bigint, 'a subject that was forgotten may begin again'
);
SELECT ok(arvo_v1.cleanup_state('grandchild'), 'a leaf is forgotten');
SELECT is(arvo_v1.root_subject('grandchild'), NULL, 'with its place in the tree');
SELECT results_eq(
    $$ SELECT subject FROM arvo_v1.lineage('root') $$, $$ VALUES ('root'), ('child') $$, 'the others keep theirs'
);
SELECT is((SELECT count(*) FROM arvo_v1.acquire_lock('lonely')), 1::bigint, 'a subject with a lock and no state');
SELECT is(arvo_v1.cleanup_state('lonely'), false, 'had no state');
SELECT is_empty($$ SELECT FROM arvo.state_lock WHERE subject = 'lonely' $$, 'but it is unlocked');
SELECT is(arvo_v1.cleanup_state(NULL), false, 'nothing is nothing');
SELECT is((SELECT count(*) FROM arvo.lineage), 2::bigint, 'and takes nothing away');

SELECT * FROM finish();
ROLLBACK;
