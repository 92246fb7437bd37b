-- arvo.when_of(value): contract, a table of cases, refusals.
BEGIN;
SELECT plan(36);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.when_of(jsonb)',
    'interval', 'plpgsql', 'stable', false,
    'nobody',
    ARRAY['search_path=pg_catalog, pg_temp']
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
SET LOCAL timezone = 'Australia/Sydney';
SELECT is(arvo.when_of(given.value), given.after, coalesce(given.value::text, 'NULL'))
FROM (
    VALUES
    (NULL::jsonb, NULL::interval),
    ('null', NULL),
    ('0', '0'),
    ('10', '10 s'),
    ('0.25', '0.25 s'),
    ('-3', '-3 s'),
    ('"10"', '10 s'),
    ('"1.5"', '1.5 s'),
    ('"1 hour"', '1 h'),
    ('"PT90S"', '90 s'),
    ('"-1 day"', '-1 day'),
    ('"2030-01-01T00:00:10Z"', '10 s'),
    ('"2030-01-01T10:00:10+10:00"', '10 s'),
    ('"2029-12-31 23:59:59.5+00"', '-0.5 s'),
    ('"2030-01-01T00:00-0100"', '1 h'),
    ('"2030-01-02T00:00:00Z"', '24:00:00'),
    ('"1 month"', '1 month')
) AS given (value, after);

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    left(pg_temp.raised(format('SELECT arvo.when_of(%L)', given.value)), 5), given.state, given.value
)
FROM (
    VALUES
    ('true', 'RV006'),
    ('[]', 'RV006'),
    ('{"seconds": 1}', 'RV006'),
    ('"2030-01-01T00:00:00"', 'RV006'),
    ('"2030-01-01"', 'RV006'),
    ('"1e3"', 'RV006'),
    ('"2030-13-01T00:00:00Z"', '22008'),
    ('"2030-01-01T25:00:00Z"', '22008'),
    ('"soon"', '22007'),
    ('""', '22007'),
    ('"10 parsecs"', '22007'),
    ('"999999999999 years"', '22015')
) AS given (value, state);

SELECT * FROM finish();
ROLLBACK;
