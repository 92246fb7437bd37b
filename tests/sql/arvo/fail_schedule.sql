-- arvo.fail_schedule(schedule, row, next_at, code, message, detail): contract, stories.
BEGIN;
SELECT plan(11);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.fail_schedule(arvo.schedule,tid,timestamptz,text,text,text)',
    'void', 'sql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SET timezone = 'UTC';
SELECT arvo_v1.schedule(name, '0 9 * * *', '{"type": "com.test.tick", "source": "/clock", "data": {}}')
FROM (VALUES ('a'), ('b')) AS given (name) \g /dev/null
SET arvo.frozen_clock = '2030-01-01T09:00:01Z';
SELECT arvo.fail_schedule(known, known.ctid, '2030-01-02 09:00Z', 'RV001', 'event is not valid', 'data: is missing')
FROM arvo.schedule AS known WHERE known.name = 'a' \g /dev/null
SELECT results_eq(
    'SELECT name, next_at, error, error_at, failures, fires FROM arvo.schedule ORDER BY name',
    $$ VALUES
       ('a', timestamptz '2030-01-02 09:00Z',
        '{"code": "RV001", "message": "event is not valid", "detail": "data: is missing", "fire_at": "2030-01-01T09:00:00+00:00"}'::jsonb,
        timestamptz '2030-01-01 09:00:01Z', 1::bigint, 0::bigint),
       ('b', '2030-01-01 09:00Z', NULL, NULL, 0, 0) $$,
    'why, for which fire, and when it is tried again; others are left alone'
);
SELECT arvo.fail_schedule(known, known.ctid, NULL, 'RV006', 'time zone is not known any more', NULL)
FROM arvo.schedule AS known WHERE known.name = 'a' \g /dev/null
SELECT is((SELECT failures FROM arvo.schedule WHERE name = 'a'), 2::bigint, 'failures are counted');
SELECT is((SELECT next_at FROM arvo.schedule WHERE name = 'a'), NULL, 'one may be stopped for good');
SELECT is((SELECT error ->> 'code' FROM arvo.schedule WHERE name = 'a'), 'RV006', 'the last error counts');

SELECT * FROM finish();
ROLLBACK;
