-- arvo.require_right: contract, stories.
BEGIN;
SELECT plan(11);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.require_right(text[],text)',
    'void', 'plpgsql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

-- Helpers are called as other roles than their owner's, which may do everything.
GRANT USAGE ON SCHEMA arvo TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA arvo TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA arvo TO PUBLIC;
CREATE ROLE arvo_test_right_a NOLOGIN IN ROLE arvo_client, arvo_worker, arvo_operator;
CREATE ROLE arvo_test_right_b NOLOGIN IN ROLE arvo_client, arvo_worker, arvo_operator;
INSERT INTO arvo.queue_guard (queue, may, roles, changed_at, changed_by)
VALUES ('com.*', 'dispatch', '{arvo_test_right_a}', arvo.clock(), 'test'), ('com.b', 'dispatch', '{arvo_test_right_b}', arvo.clock(), 'test'),
       ('com.c', 'consume', '{}', arvo.clock(), 'test'), ('com.r', 'read', '{arvo_test_right_b}', arvo.clock(), 'test');

SELECT is(
    pg_temp.as_role('arvo_test_right_b', $$ SELECT arvo.require_right('{org.a,com.b,com.a,com.d}', 'dispatch') $$),
    'RV007 | queue is closed to this role | queue: "com.a", right: dispatch, role: "arvo_test_right_b"', 'the first of them that may not'
);
SELECT is(pg_temp.as_role('arvo_test_right_a', $$ SELECT arvo.require_right('{com.a,com.b}', 'dispatch') $$), '', 'nothing, of those that may');
SELECT is(pg_temp.as_role('arvo_test_right_b', $$ SELECT arvo.require_right(ARRAY[NULL], 'dispatch') $$), '', 'no name is no queue');
SELECT is(pg_temp.as_role('arvo_test_right_b', $$ SELECT arvo.require_right('{com.a}', 'operate') $$), '', 'another right is another matter');

SELECT * FROM finish();
ROLLBACK;
