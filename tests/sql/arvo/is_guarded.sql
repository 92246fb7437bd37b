-- arvo.is_guarded: contract, stories.
BEGIN;
SELECT plan(12);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.is_guarded(text)',
    'boolean', 'sql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

-- Helpers are called as other roles than their owner's, which may do everything.
GRANT USAGE ON SCHEMA arvo TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA arvo TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA arvo TO PUBLIC;
CREATE ROLE arvo_test_isg_a NOLOGIN IN ROLE arvo_client, arvo_worker, arvo_operator;
CREATE ROLE arvo_test_isg_b NOLOGIN IN ROLE arvo_client, arvo_worker, arvo_operator;
INSERT INTO arvo.queue_guard (queue, may, roles, changed_at, changed_by)
VALUES ('com.*', 'dispatch', '{arvo_test_isg_a}', arvo.clock(), 'test'), ('com.b', 'dispatch', '{arvo_test_isg_b}', arvo.clock(), 'test'),
       ('com.c', 'consume', '{}', arvo.clock(), 'test'), ('com.r', 'read', '{arvo_test_isg_b}', arvo.clock(), 'test');

SELECT is(arvo.is_guarded(given.queue), given.answer, given.queue)
FROM (VALUES ('com.a', true), ('com.c', true), ('com.r', true), ('org.r', false)) AS given (queue, answer);
DELETE FROM arvo.queue_guard WHERE may <> 'read';
SELECT is(arvo.is_guarded('com.r'), false, 'who may read is not asked on the way of an event');

SELECT * FROM finish();
ROLLBACK;
