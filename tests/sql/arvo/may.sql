-- arvo.may: contract, stories.
BEGIN;
SELECT plan(16);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.may(text,text)',
    'boolean', 'plpgsql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

-- Helpers are called as other roles than their owner's, which may do everything.
GRANT USAGE ON SCHEMA arvo TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA arvo TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA arvo TO PUBLIC;
CREATE ROLE arvo_test_may_a NOLOGIN IN ROLE arvo_client, arvo_worker, arvo_operator;
CREATE ROLE arvo_test_may_b NOLOGIN IN ROLE arvo_client, arvo_worker, arvo_operator;
INSERT INTO arvo.queue_guard (queue, may, roles, changed_at, changed_by)
VALUES ('com.*', 'dispatch', '{arvo_test_may_a}', arvo.clock(), 'test'), ('com.b', 'dispatch', '{arvo_test_may_b}', arvo.clock(), 'test'),
       ('com.c', 'consume', '{}', arvo.clock(), 'test'), ('com.r', 'read', '{arvo_test_may_b}', arvo.clock(), 'test');

SELECT is(
    pg_temp.as_role('arvo_test_may_' || given.role, format('SELECT arvo.may(%L, %L)', given.queue, given.may)), given.answer,
    concat_ws(' ', given.role, given.may, given.queue)
)
FROM (
    VALUES
    ('a', 'com.a', 'dispatch', 'true'), ('b', 'com.a', 'dispatch', 'false'), ('a', 'com.b', 'dispatch', 'true'),
    ('b', 'com.b', 'dispatch', 'true'), ('b', 'org.a', 'dispatch', 'true'), ('b', 'com.a', 'consume', 'true'),
    ('a', 'com.c', 'consume', 'false'), ('a', 'com.c', 'operate', 'true')
) AS given (role, queue, may, answer);
SELECT ok(arvo.may('com.c', 'consume'), 'a superuser may, also when nobody is left who may');

SELECT * FROM finish();
ROLLBACK;
