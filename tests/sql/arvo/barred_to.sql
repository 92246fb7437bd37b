-- arvo.barred_to: contract, stories.
BEGIN;
SELECT plan(11);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.barred_to(jsonb)',
    'text', 'sql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

-- Helpers are called as other roles than their owner's, which may do everything.
GRANT USAGE ON SCHEMA arvo TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA arvo TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA arvo TO PUBLIC;
CREATE ROLE arvo_test_barred_a NOLOGIN IN ROLE arvo_client, arvo_worker, arvo_operator;
CREATE ROLE arvo_test_barred_b NOLOGIN IN ROLE arvo_client, arvo_worker, arvo_operator;
INSERT INTO arvo.queue_guard (queue, may, roles, changed_at, changed_by)
VALUES ('com.*', 'dispatch', '{arvo_test_barred_a}', arvo.clock(), 'test'), ('com.b', 'dispatch', '{arvo_test_barred_b}', arvo.clock(), 'test'),
       ('com.c', 'consume', '{}', arvo.clock(), 'test'), ('com.r', 'read', '{arvo_test_barred_b}', arvo.clock(), 'test');

SELECT is(
    pg_temp.as_role('arvo_test_barred_b', format('SELECT arvo.barred_to(%L)', jsonb_build_array(pg_temp.event('1', 'com.d'), pg_temp.event('2', 'com.a')))),
    'com.a', 'the first by name'
);
SELECT is(pg_temp.as_role('arvo_test_barred_a', format('SELECT arvo.barred_to(%L)', jsonb_build_array(pg_temp.event('1', 'com.d')))), NULL, 'none');
SELECT is(pg_temp.as_role('arvo_test_barred_b', 'SELECT arvo.barred_to(''[]'')'), NULL, 'no events go nowhere');

SELECT arvo_v1.subscribe('com.a', '**');
SELECT is(
    pg_temp.as_role('arvo_test_barred_b', format('SELECT arvo.barred_to(%L)', jsonb_build_array(pg_temp.event('1', 'arvo.publish')))), NULL,
    'a queue that subscribes bars nobody who publishes'
);

SELECT * FROM finish();
ROLLBACK;
