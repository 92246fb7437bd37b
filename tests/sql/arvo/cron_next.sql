-- arvo.cron_next(cron, time_zone, after, gap, overlap): contract, stories, refusals.
--
-- tests/python/engine/test_clock_changes.py compares it with a second telling; here stand the cases that
-- one can check with a calendar.
BEGIN;
SELECT plan(46);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.cron_next(arvo.cron,text,timestamptz,text,text)',
    'timestamp with time zone', 'plpgsql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.fires(
    p_cron text, p_zone text, p_after timestamptz, p_count integer, p_gap text DEFAULT 'shift', p_overlap text DEFAULT 'first'
) RETURNS timestamptz[]
LANGUAGE plpgsql AS $$
DECLARE
    v_fires timestamptz[] := '{}';
    v_at timestamptz := p_after;
BEGIN
    FOR v_number IN 1 .. p_count LOOP
        v_at := arvo.cron_next(arvo.cron_parse(p_cron), p_zone, v_at, p_gap, p_overlap);
        v_fires := v_fires || v_at;
    END LOOP;
    RETURN v_fires;
END;
$$;

SELECT is(
    pg_temp.fires('0 9 * * *', 'Europe/Berlin', '2030-01-15 12:00Z', 2),
    '{2030-01-16 08:00Z,2030-01-17 08:00Z}', 'by the clocks of the zone'
);
SELECT is(
    pg_temp.fires('0 9 * * *', 'Europe/Berlin', '2030-07-15 12:00Z', 1), '{2030-07-16 07:00Z}', 'in summer an hour earlier'
);
SELECT is(
    pg_temp.fires('0 9 * * *', 'UTC', '2030-01-15 09:00Z', 1), '{2030-01-16 09:00Z}', 'after a fire comes the next one'
);
SELECT is(
    pg_temp.fires('0 9 * * *', 'UTC', '2030-01-15 08:59:59.999999Z', 1), '{2030-01-15 09:00Z}', 'just before it, itself'
);
SELECT is(
    pg_temp.fires('0 9 * * *', 'UTC', '2030-01-15 09:00:00.000001Z', 1), '{2030-01-16 09:00Z}', 'just behind it, the next'
);
SELECT is(
    pg_temp.fires('0 0 1 * *', 'Asia/Kathmandu', '2030-01-15 00:00Z', 1), '{2030-01-31 18:15Z}', 'also with odd offsets'
);

-- stories: clocks put forward, Berlin, 2025-03-30, 2:00 becomes 3:00 (01:00Z)

SELECT is(
    pg_temp.fires('30 2 * * *', 'Europe/Berlin', '2025-03-29 00:00Z', 3, 'shift'),
    '{2025-03-29 01:30Z,2025-03-30 01:00Z,2025-03-31 00:30Z}', 'shift: at once behind the gap'
);
SELECT is(
    pg_temp.fires('30 2 * * *', 'Europe/Berlin', '2025-03-29 00:00Z', 2, 'skip'),
    '{2025-03-29 01:30Z,2025-03-31 00:30Z}', 'skip: not on that day'
);
SELECT is(
    pg_temp.fires('*/20 2 * * *', 'Europe/Berlin', '2025-03-29 12:00Z', 2, 'shift'),
    '{2025-03-30 01:00Z,2025-03-31 00:00Z}', 'several that are left out are one'
);
SELECT is(
    pg_temp.fires('0 2,3 * * *', 'Europe/Berlin', '2025-03-29 12:00Z', 2, 'shift'),
    '{2025-03-30 01:00Z,2025-03-31 00:00Z}', 'and one with what stands there anyway'
);
SELECT is(
    pg_temp.fires('30 * * * *', 'Europe/Berlin', '2025-03-30 00:00Z', 3, 'skip'),
    '{2025-03-30 00:30Z,2025-03-30 01:30Z,2025-03-30 02:30Z}', 'every hour goes on by real time'
);
SELECT is(
    pg_temp.fires('* * * * * *', 'Europe/Berlin', '2025-03-30 00:59:58Z', 3, 'skip'),
    '{2025-03-30 00:59:59Z,2025-03-30 01:00:00Z,2025-03-30 01:00:01Z}', 'every second too'
);
SELECT is(
    pg_temp.fires('30 2 * * *', 'Europe/Berlin', '2025-03-30 00:59:59.5Z', 1, 'shift'), '{2025-03-30 01:00Z}', 'just before the change'
);
SELECT is(
    pg_temp.fires('30 2 * * *', 'Europe/Berlin', '2025-03-30 01:00Z', 1, 'shift'), '{2025-03-31 00:30Z}', 'on it'
);

-- stories: clocks put back, Berlin, 2025-10-26, 3:00 becomes 2:00 (01:00Z)

SELECT is(
    pg_temp.fires('30 2 * * *', 'Europe/Berlin', '2025-10-25 12:00Z', 2, 'shift', 'first'),
    '{2025-10-26 00:30Z,2025-10-27 01:30Z}', 'first: before the clocks are put back'
);
SELECT is(
    pg_temp.fires('30 2 * * *', 'Europe/Berlin', '2025-10-25 12:00Z', 2, 'shift', 'second'),
    '{2025-10-26 01:30Z,2025-10-27 01:30Z}', 'second: after it'
);
SELECT is(
    pg_temp.fires('30 2 * * *', 'Europe/Berlin', '2025-10-25 12:00Z', 3, 'shift', 'both'),
    '{2025-10-26 00:30Z,2025-10-26 01:30Z,2025-10-27 01:30Z}', 'both'
);
SELECT is(
    pg_temp.fires('30 * * * *', 'Europe/Berlin', '2025-10-25 23:45Z', 3, 'skip', 'both'),
    '{2025-10-26 00:30Z,2025-10-26 01:30Z,2025-10-26 02:30Z}', 'every hour goes on by real time'
);
SELECT is(
    pg_temp.fires('*/30 2 * * *', 'Europe/Berlin', '2025-10-26 00:10Z', 2, 'shift', 'first'),
    '{2025-10-26 00:30Z,2025-10-27 01:00Z}', 'first, asked within the first time'
);
SELECT is(
    pg_temp.fires('*/30 2,3 * * *', 'Europe/Berlin', '2025-10-26 01:10Z', 2, 'shift', 'first'),
    '{2025-10-26 02:00Z,2025-10-26 02:30Z}', 'first, asked within the second time: that hour is over'
);
SELECT is(
    pg_temp.fires('*/30 2 * * *', 'Europe/Berlin', '2025-10-26 00:40Z', 2, 'shift', 'second'),
    '{2025-10-26 01:00Z,2025-10-26 01:30Z}', 'second, asked within the first time: all of it is still to come'
);
SELECT is(
    pg_temp.fires('30 2 26 10 *', 'Europe/Berlin', '2025-10-26 00:40Z', 2, 'shift', 'both'),
    '{2025-10-26 01:30Z,2026-10-26 01:30Z}', 'both, once a year, between the two'
);

-- stories: other clocks

SELECT is(
    pg_temp.fires('0 0 * * *', 'America/Santiago', '2025-09-06 12:00Z', 2),
    '{2025-09-07 04:00Z,2025-09-08 03:00Z}', 'a day that begins at one'
);
SELECT is(
    pg_temp.fires('0 0 * * *', 'America/Santiago', '2025-04-05 12:00Z', 1), '{2025-04-06 04:00Z}', 'a day with 25 hours'
);
SELECT is(
    pg_temp.fires('45 1 * * *', 'Australia/Lord_Howe', '2025-04-05 00:00Z', 3, 'shift', 'both'),
    '{2025-04-05 14:45Z,2025-04-05 15:15Z,2025-04-06 15:15Z}', 'half an hour comes twice'
);
SELECT is(
    pg_temp.fires('15 2 * * *', 'Australia/Lord_Howe', '2025-10-04 00:00Z', 1), '{2025-10-04 15:30Z}', 'and is left out'
);
SELECT is(
    pg_temp.fires('0 12 * * *', 'Pacific/Apia', '2011-12-29 22:00Z', 3),
    '{2011-12-30 10:00Z,2011-12-30 22:00Z,2011-12-31 22:00Z}', 'a day that never was'
);
SELECT is(
    pg_temp.fires('0 12 30 12 *', 'Pacific/Apia', '2011-06-01 00:00Z', 1, 'skip'), '{2012-12-29 22:00Z}', 'skipped'
);

-- stories: rare and never

SELECT is(pg_temp.fires('0 0 29 2 *', 'UTC', '2097-01-01 00:00Z', 1), '{2104-02-29 00:00Z}', 'no leap year in 2100');
SELECT is(
    -- both must fit: */28 is 1 and 29
    pg_temp.fires('0 0 */28 2 sun', 'UTC', '2037-02-01 00:00Z', 3),
    '{2043-02-01 00:00Z,2054-02-01 00:00Z,2060-02-01 00:00Z}', 'a Sunday that is the first, or the 29th, of February'
);
SELECT is(pg_temp.fires('0 0 31 4 *', 'UTC', '2030-01-01 00:00Z', 1), ARRAY[NULL::timestamptz], 'never');
SELECT ok(
    bool_and(arvo.cron_next(arvo.cron_parse(cron), zone, at, 'shift', overlap) > at), 'always later: ' || zone || ' ' || overlap
)
FROM (VALUES ('Europe/Berlin', timestamptz '2025-10-26 01:00Z'), ('America/Santiago', '2025-04-06 03:00Z')) AS place (zone, change)
CROSS JOIN (VALUES ('first'), ('second'), ('both')) AS policy (overlap)
CROSS JOIN (VALUES ('* * * * *'), ('*/7 0-3,23 * * *')) AS given (cron)
CROSS JOIN LATERAL generate_series(change - interval '3 hours', change + interval '3 hours', interval '97 seconds') AS at
GROUP BY zone, overlap;

-- refusals --------------------------------------------------------------------------------------

SELECT throws_ok($$ SELECT pg_temp.fires('* * * * *', 'No/Where', '2025-03-30 00:00Z', 1) $$, '22023');
SELECT is(
    arvo.cron_next(arvo.cron_parse('0 0 1 1 *'), 'UTC', NULL, 'shift', 'first'), NULL, 'after nothing comes nothing'
);

SELECT * FROM finish();
ROLLBACK;
