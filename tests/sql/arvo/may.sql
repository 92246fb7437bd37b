-- arvo.may: contract, stories.
BEGIN;
SELECT plan(18);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.may(text,text)',
    'boolean', 'plpgsql', 'stable', false,
    'nobody',
    ARRAY['search_path=pg_catalog, pg_temp', 'enable_seqscan=off']
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

-- What many others are granted is not read.
INSERT INTO arvo.queue_guard (queue, may, roles, changed_at, changed_by)
SELECT 'q' || number, 'consume', '{arvo_test_may_a}', arvo.clock(), 'test' FROM generate_series(1, 2000) AS number;
CREATE FUNCTION pg_temp.guards_read() RETURNS bigint
LANGUAGE sql AS $$
    SELECT sum(pg_stat_get_xact_tuples_returned(oid))::bigint
    FROM pg_class WHERE relname LIKE 'queue\_guard%'
$$;
SELECT pg_temp.guards_read() AS before \gset
SELECT is(pg_temp.as_role('arvo_test_may_b', $$ SELECT arvo.may('q7', 'consume') $$), 'false', 'one of two thousand is closed');
SELECT cmp_ok(pg_temp.guards_read() - :before, '<=', 4::bigint, 'and it is found by index');

SELECT * FROM finish();
ROLLBACK;
