-- arvo.next_fire(): contract, stories.
BEGIN;
SELECT plan(11);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.next_fire()',
    'timestamp with time zone', 'sql', 'volatile', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT is(arvo.next_fire(), NULL, 'there is no schedule');
SELECT arvo_v1.schedule(name, cron, '{"type": "com.test.tick", "source": "/clock", "data": {}}')
FROM (VALUES ('late', '0 9 * * *'), ('early', '30 8 * * *')) AS given (name, cron) \g /dev/null
SELECT is(arvo.next_fire(), '2030-01-01 08:30Z', 'the earliest');
SELECT count(*) FROM arvo_v1.pause_schedule('early') \g /dev/null
SELECT is(arvo.next_fire(), '2030-01-01 09:00Z', 'that is not paused');
SET arvo.frozen_clock = '2030-01-01T12:00:00Z';
SELECT is(arvo.next_fire(), '2030-01-01 09:00Z', 'also when it is over');

SELECT * FROM finish();
ROLLBACK;
