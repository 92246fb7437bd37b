-- arvo.may_read: contract, stories.
BEGIN;
SELECT plan(15);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.may_read(text)',
    'boolean', 'sql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

-- Helpers are called as other roles than their owner's, which may do everything.
GRANT USAGE ON SCHEMA arvo TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA arvo TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA arvo TO PUBLIC;
CREATE ROLE arvo_test_read_owner NOLOGIN;
CREATE ROLE arvo_test_read_worker NOLOGIN IN ROLE arvo_worker;
CREATE ROLE arvo_test_read_operator NOLOGIN IN ROLE arvo_operator;
INSERT INTO arvo.queue_guard (queue, may, roles, changed_at, changed_by)
VALUES ('com.c', 'consume', '{arvo_test_read_owner}', arvo.clock(), 'test'), ('com.c', 'operate', '{arvo_test_read_owner}', arvo.clock(), 'test'),
       ('com.r', 'read', '{arvo_test_read_owner}', arvo.clock(), 'test');
SELECT is(
    pg_temp.as_role('arvo_test_read_' || given.role, format('SELECT arvo.may_read(%L)', given.queue)), given.answer,
    concat_ws(' ', given.role, given.queue)
)
FROM (
    VALUES
    ('owner', 'com.a', 'false'), ('owner', 'com.r', 'true'), ('owner', '*', 'false'), ('worker', 'com.a', 'true'), ('worker', '*', 'true'),
    ('worker', 'com.c', 'false'), ('operator', 'com.a', 'true'), ('operator', 'com.c', 'false')
) AS given (role, queue, answer);

SELECT * FROM finish();
ROLLBACK;
