-- arvo.require_dispatch: contract, stories.
BEGIN;
SELECT plan(12);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.require_dispatch(jsonb[],boolean,boolean)',
    'void', 'plpgsql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

-- Helpers are called as other roles than their owner's, which may do everything.
GRANT USAGE ON SCHEMA arvo TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA arvo TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA arvo TO PUBLIC;
CREATE ROLE arvo_test_disp_a NOLOGIN IN ROLE arvo_client, arvo_worker, arvo_operator;
CREATE ROLE arvo_test_disp_b NOLOGIN IN ROLE arvo_client, arvo_worker, arvo_operator;
INSERT INTO arvo.queue_guard (queue, may, roles, changed_at, changed_by)
VALUES ('com.*', 'dispatch', '{arvo_test_disp_a}', arvo.clock(), 'test'), ('com.b', 'dispatch', '{arvo_test_disp_b}', arvo.clock(), 'test'),
       ('com.c', 'consume', '{}', arvo.clock(), 'test'), ('com.r', 'read', '{arvo_test_disp_b}', arvo.clock(), 'test');

SELECT is(
    pg_temp.as_role('arvo_test_disp_b', format('SELECT arvo.require_dispatch(ARRAY[%L]::jsonb[])', pg_temp.event('1', 'com.a'))),
    'RV007 | queue is closed to this role | queue: "com.a", right: dispatch, role: "arvo_test_disp_b"', 'where it would go is closed'
);
SELECT is(pg_temp.as_role('arvo_test_disp_b', format('SELECT arvo.require_dispatch(ARRAY[%L]::jsonb[])', pg_temp.event('1', 'org.a'))), '', 'or not');
SELECT arvo_v1.subscribe('com.a', '**');
SELECT is(
    pg_temp.as_role('arvo_test_disp_b', format('SELECT arvo.require_dispatch(ARRAY[%L]::jsonb[])', pg_temp.event('1', 'arvo.publish'))), '',
    'a queue that subscribes refuses nobody who publishes'
);
SELECT is(
    pg_temp.as_role('arvo_test_disp_b', format('SELECT arvo.require_dispatch(ARRAY[%L]::jsonb[], false, true)', pg_temp.event('1', 'arvo.publish'))),
    'RV007 | queue is closed to this role | queue: "com.a", right: dispatch, role: "arvo_test_disp_b"', 'but whoever asks for all of them'
);
DELETE FROM arvo.queue_guard;
SELECT is(pg_temp.as_role('arvo_test_disp_b', format('SELECT arvo.require_dispatch(ARRAY[%L]::jsonb[])', pg_temp.event('1', 'com.a'))), '', 'nothing is closed');

SELECT * FROM finish();
ROLLBACK;
