-- arvo.fire_floor(now): contract, stories.
BEGIN;
SELECT plan(15);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.fire_floor(timestamptz)',
    'timestamp with time zone', 'sql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(arvo.fire_floor('2030-01-01Z'), '-infinity', 'nobody has looked yet');
INSERT INTO arvo.fire_pass (done_to, swept_at)
VALUES ('2030-01-01 00:00:07Z', '2030-01-01 00:00:05Z'), ('2030-01-01 00:00:08Z', '2030-01-01 00:00:05Z');
SELECT is(arvo.fire_floor('2030-01-01 00:00:09Z'), '2030-01-01 00:00:08Z', 'where the last pass ended');
SELECT is(arvo.fire_floor('2030-01-01 00:00:14.999999Z'), '2030-01-01 00:00:08Z', 'for ten seconds');
SELECT is(arvo.fire_floor('2030-01-01 00:00:15Z'), '-infinity', 'then all is looked at');
SELECT is(arvo.fire_floor('2030-01-01 00:00:07.5Z'), '-infinity', 'also when the clock has been put back');
SELECT is(arvo.fire_floor('2030-01-01 00:00:04Z'), '-infinity', 'by more than that too');

-- What is committed late, by hand here, is found by the next look at everything.
SET arvo.frozen_clock = '2030-01-01T00:00:14Z';
SELECT arvo_v1.schedule('tick', '* * * * * *', '{"type": "com.test.tick", "source": "/clock", "data": {}}') \g /dev/null
UPDATE arvo.schedule SET next_at = '2030-01-01 00:00:06Z';
SELECT is(arvo.fire_schedules(), 0, 'it lies behind the last pass');
SET arvo.frozen_clock = '2030-01-01T00:00:15Z';
SELECT is(arvo.fire_schedules(), 10, 'ten seconds later it fires');

SELECT * FROM finish();
ROLLBACK;
