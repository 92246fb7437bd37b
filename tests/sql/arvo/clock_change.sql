-- arvo.clock_change(time_zone, from, until): contract, stories, refusals.
BEGIN;
SELECT plan(14);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.clock_change(text,timestamptz,timestamptz)',
    'timestamp with time zone', 'plpgsql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(arvo.clock_change(zone, around - interval '17 hours 11.5 seconds', around + ahead), around, zone || ' ' || around)
FROM (
    VALUES
    ('Europe/Berlin', timestamptz '2025-03-30 01:00Z', interval '5 hours'),
    ('Europe/Berlin', '2025-10-26 01:00Z', '1 second'),
    ('Australia/Lord_Howe', '2025-04-05 15:00Z', '0'),
    ('America/Santiago', '2025-09-07 04:00Z', '7 hours 0.25 seconds'),
    ('Pacific/Apia', '2011-12-30 10:00Z', '3 hours')
) AS given (zone, around, ahead);
SELECT is(
    arvo.clock_change('Europe/Berlin', '2025-03-30 00:59:59Z', '2025-03-30 01:00Z'), '2025-03-30 01:00Z',
    'from one second to the next'
);

-- refusals --------------------------------------------------------------------------------------

SELECT throws_ok($$ SELECT arvo.clock_change('No/Where', '2025-03-30 00:00Z', '2025-03-31 00:00Z') $$, '22023');

SELECT * FROM finish();
ROLLBACK;
