-- arvo.require_time_zone(time_zone): contract, stories, refusals.
BEGIN;
SELECT plan(16);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.require_time_zone(text)',
    'void', 'plpgsql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT lives_ok(format('SELECT arvo.require_time_zone(%L)', zone), zone)
FROM (VALUES ('UTC'), ('Europe/Berlin'), ('Australia/Lord_Howe')) AS given (zone);

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised($$ SELECT arvo.require_time_zone('Berlin1') $$),
    'RV006 | argument is not valid | time_zone | time_zone: "Berlin1"', 'what PostgreSQL would take for an offset'
);
SELECT is(
    pg_temp.raised('SELECT arvo.require_time_zone(NULL)'), 'RV006 | argument is not valid | time_zone | time_zone: null', 'none at all'
);
CREATE FUNCTION pg_temp.hint(p_zone text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    v_hint text;
BEGIN
    PERFORM arvo.require_time_zone(p_zone);
    RETURN 'nothing';
EXCEPTION WHEN SQLSTATE 'RV006' THEN
    GET STACKED DIAGNOSTICS v_hint = PG_EXCEPTION_HINT;
    RETURN substring(v_hint FROM 'such as (.*)\.$');
END;
$$;
SELECT is(pg_temp.hint('europe/berlin'), 'Europe/Berlin', 'names have one spelling');
SELECT is(pg_temp.hint('New York'), 'America/New_York', 'the city is enough for a guess');
SELECT is(pg_temp.hint('Nowhere'), 'Europe/Berlin', 'not any city');
SELECT is(pg_temp.hint('+02:00'), 'Europe/Berlin', 'an offset is no zone');

SELECT * FROM finish();
ROLLBACK;
