-- arvo_v1.cleanup_state(subject): contract, stories.
BEGIN;
SELECT plan(24);
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

-- the audit: of operators; not of workers, nor of what those do who are both and it is over
CREATE ROLE arvo_test_operator IN ROLE arvo_operator;
CREATE ROLE arvo_test_worker IN ROLE arvo_worker;
CREATE ROLE arvo_test_both IN ROLE arvo_operator, arvo_worker;
DELETE FROM arvo.operation;
SELECT is(
    (
        SELECT string_agg(pg_temp.as_role(who.role, format('SELECT arvo_v1.cleanup_state(%L)', made.subject)), ',')
        FROM unnest('{arvo_test_operator,arvo_test_worker,arvo_test_both}'::text[]) AS who (role)
        CROSS JOIN unnest('{done,going-on}'::text[]) AS way (status)
        CROSS JOIN LATERAL (
            SELECT who.role || '/' || way.status AS subject,
                   arvo_v1.write_state(who.role || '/' || way.status, jsonb_build_object('status', way.status)) AS version
        ) AS made
    ),
    'true,true,true,true,true,true', 'each of them forgets a workflow that is over, and one that goes on'
);
SELECT set_eq(
    $$ SELECT role || ': ' || (details ->> 'subject') FROM arvo.operation WHERE verb = 'cleanup_state' $$,
    ARRAY['arvo_test_operator: arvo_test_operator/done', 'arvo_test_operator: arvo_test_operator/going-on', 'arvo_test_both: arvo_test_both/going-on'],
    'written down is what an operator did, and what no worker does by itself'
);

SELECT * FROM finish();
ROLLBACK;
