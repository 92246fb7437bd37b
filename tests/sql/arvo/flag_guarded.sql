-- arvo.flag_guarded: contract, stories.
BEGIN;
SELECT plan(9);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.flag_guarded(text)',
    'void', 'sql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

-- Helpers are called as other roles than their owner's, which may do everything.
GRANT USAGE ON SCHEMA arvo TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA arvo TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA arvo TO PUBLIC;
DO $$ BEGIN PERFORM arvo_v1.register_queue(name) FROM unnest('{com.a,com.b,org.a}'::text[]) AS name; END; $$;

CREATE ROLE arvo_test_flag_a NOLOGIN IN ROLE arvo_client, arvo_worker, arvo_operator;
CREATE ROLE arvo_test_flag_b NOLOGIN IN ROLE arvo_client, arvo_worker, arvo_operator;
INSERT INTO arvo.queue_guard (queue, may, roles, changed_at, changed_by)
VALUES ('com.*', 'dispatch', '{arvo_test_flag_a}', arvo.clock(), 'test'), ('com.b', 'dispatch', '{arvo_test_flag_b}', arvo.clock(), 'test'),
       ('com.c', 'consume', '{}', arvo.clock(), 'test'), ('com.r', 'read', '{arvo_test_flag_b}', arvo.clock(), 'test');

DO $$ BEGIN PERFORM arvo.flag_guarded('com.*'); PERFORM arvo_v1.register_queue('com.new'); END; $$;
SELECT results_eq(
    'SELECT name, guarded FROM arvo.queue WHERE name ~ ''^(com|org)'' ORDER BY name',
    $$ VALUES ('com.a', true), ('com.b', true), ('com.new', true), ('org.a', false) $$, 'those that are covered, also one that comes later'
);
DELETE FROM arvo.queue_guard WHERE queue = 'com.*';
DO $$ BEGIN PERFORM arvo.flag_guarded('com.*'); END; $$;
SELECT results_eq(
    'SELECT name FROM arvo.queue WHERE guarded', '{com.b}'::text[], 'and no longer'
);

SELECT * FROM finish();
ROLLBACK;
