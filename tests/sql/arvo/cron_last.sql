-- arvo.cron_last(cron, time_zone, after, until, gap, overlap): contract, stories.
BEGIN;
SELECT plan(18);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.cron_last(arvo.cron,text,timestamptz,timestamptz,text,text)',
    'timestamp with time zone', 'plpgsql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(arvo.cron_last(arvo.cron_parse(cron), zone, begins, ends, 'shift', 'first'), expected, cron || ' ' || begins || ' ' || ends)
FROM (
    VALUES
    ('0 9 * * *', 'UTC', timestamptz '2030-01-01 00:00Z', timestamptz '2030-01-10 08:59:59Z', timestamptz '2030-01-09 09:00Z'),
    ('0 9 * * *', 'UTC', '2030-01-01 00:00Z', '2030-01-10 09:00Z', '2030-01-10 09:00Z'),
    ('0 9 * * *', 'UTC', '2030-01-01 00:00Z', '2030-01-10 08:59:59.999999Z', '2030-01-09 09:00Z'),
    ('0 9 * * *', 'UTC', '2030-01-01 09:00Z', '2030-01-01 09:00Z', NULL),
    ('0 9 * * *', 'UTC', '2030-01-01 09:00Z', '2030-01-02 08:59Z', NULL),
    ('0 9 * * *', 'UTC', '2030-01-01 09:00Z', '2030-01-02 09:00Z', '2030-01-02 09:00Z'),
    ('* * * * * *', 'UTC', '2030-01-01 00:00Z', '2031-01-01 00:00:00.5Z', '2031-01-01 00:00Z'),
    ('* * 1 1 *', 'UTC', '2029-12-01 00:00Z', '2030-12-01 00:00Z', '2030-01-01 23:59Z'),
    ('0 0 30 2 *', 'UTC', '2029-12-01 00:00Z', '2030-12-01 00:00Z', NULL),
    ('30 2 * * *', 'Europe/Berlin', '2025-03-01 00:00Z', '2025-03-30 20:00Z', '2025-03-30 01:00Z'),
    ('30 2 * * *', 'Europe/Berlin', '2025-10-01 00:00Z', '2025-10-26 20:00Z', '2025-10-26 00:30Z')
) AS given (cron, zone, begins, ends, expected);

SELECT * FROM finish();
ROLLBACK;
