-- arvo.cron_field(field, text, low, high, names): contract, stories, refusals.
BEGIN;
SELECT plan(43);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.cron_field(text,text,integer,integer,text[])',
    'bit varying', 'plpgsql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

-- The values that a field means, as a list.
CREATE FUNCTION pg_temp.hours(p_text text) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(n::text, ' ' ORDER BY n)
    FROM arvo.cron_field('hour', p_text, 0, 23, NULL) AS bits CROSS JOIN generate_series(0, 23) AS n
    WHERE get_bit(bits, n) = 1
$$;
CREATE FUNCTION pg_temp.days(p_text text) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(n::text, ' ' ORDER BY n)
    FROM arvo.cron_field('day of month', p_text, 1, 31, NULL) AS bits CROSS JOIN generate_series(1, 31) AS n
    WHERE get_bit(bits, n - 1) = 1
$$;
CREATE FUNCTION pg_temp.months(p_text text) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(n::text, ' ' ORDER BY n)
    FROM arvo.cron_field('month', p_text, 1, 12, '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}') AS bits
    CROSS JOIN generate_series(1, 12) AS n
    WHERE get_bit(bits, n - 1) = 1
$$;
CREATE FUNCTION pg_temp.weekdays(p_text text) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(n::text, ' ' ORDER BY n)
    FROM arvo.cron_field('day of week', p_text, 0, 6, '{sun,mon,tue,wed,thu,fri,sat}') AS bits
    CROSS JOIN generate_series(0, 6) AS n
    WHERE get_bit(bits, n) = 1
$$;

SELECT is(length(arvo.cron_field('hour', '*', 0, 23, NULL)), 24, 'one bit for each value');
SELECT is(pg_temp.days('*'), (SELECT string_agg(n::text, ' ' ORDER BY n) FROM generate_series(1, 31) AS n), '* is any');
SELECT is(pg_temp.hours('0'), '0', 'the least value');
SELECT is(pg_temp.hours('23'), '23', 'the greatest');
SELECT is(pg_temp.hours('07'), '7', 'a leading nought');
SELECT is(pg_temp.hours('3,1,2,2'), '1 2 3', 'a list, in any order');
SELECT is(pg_temp.hours('9-12'), '9 10 11 12', 'a range, with both ends');
SELECT is(pg_temp.hours('9-9'), '9', 'also of one');
SELECT is(pg_temp.hours('*/6'), '0 6 12 18', 'a step through all');
SELECT is(pg_temp.days('*/10'), '1 11 21 31', 'begins at the least value');
SELECT is(pg_temp.hours('8-18/5'), '8 13 18', 'a step through a range');
SELECT is(pg_temp.hours('20/2'), '20 22', 'a value with a step runs to the end');
SELECT is(pg_temp.hours('*/23'), '0 23', 'the longest step');
SELECT is(pg_temp.hours('0-2,*/12,23'), '0 1 2 12 23', 'all of it in one list');
SELECT is(pg_temp.months('Jan-Mar,DEC'), '1 2 3 12', 'names, in any case');
SELECT is(pg_temp.weekdays('mon-fri'), '1 2 3 4 5', 'working days');
SELECT is(pg_temp.weekdays('7'), '0', '7 is Sunday');
SELECT is(pg_temp.weekdays('5-7'), '0 5 6', 'also at the end of a range');
SELECT is(pg_temp.weekdays('fri-sun'), '0 5 6', 'and by name');
SELECT is(pg_temp.weekdays('sun-tue'), '0 1 2', 'or at its beginning');
SELECT is(pg_temp.weekdays('sun-sun'), '0', 'or at both');
SELECT is(pg_temp.weekdays('*/2'), '0 2 4 6', 'a step through the week');
SELECT is(pg_temp.weekdays('7/2'), '0', '7 with a step');

-- refusals --------------------------------------------------------------------------------------

-- Detail and hint of what is refused.
CREATE FUNCTION pg_temp.refused(p_field text, p_text text, p_low integer, p_high integer, p_names text[] DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    v_detail text;
    v_hint text;
BEGIN
    PERFORM arvo.cron_field(p_field, p_text, p_low, p_high, p_names);
    RETURN 'nothing';
EXCEPTION WHEN SQLSTATE 'RV006' THEN
    GET STACKED DIAGNOSTICS v_detail = PG_EXCEPTION_DETAIL, v_hint = PG_EXCEPTION_HINT;
    RETURN v_detail || ' | ' || v_hint;
END;
$$;
SELECT is(
    pg_temp.raised($$ SELECT arvo.cron_field('minute', '1,60', 0, 59, NULL) $$),
    'RV006 | argument is not valid | cron | minute: "60"', 'the field, and what of it is wrong'
);
SELECT is(pg_temp.refused('minute', '60', 0, 59), 'minute: "60" | Values here are 0 to 59.', 'too much');
SELECT is(pg_temp.refused('day of month', '0', 1, 31), 'day of month: "0" | Values here are 1 to 31.', 'too little');
SELECT is(pg_temp.refused('day of week', '8', 0, 6), 'day of week: "8" | Values here are 0 to 7.', 'the week has seven days, and one of them twice');
SELECT is(
    pg_temp.refused('hour', '22-2', 0, 23), 'hour: "22-2" | A range goes upwards: write 22-23,0-2.', 'over midnight'
);
SELECT is(pg_temp.refused('hour', '*/0', 0, 23), 'hour: "*/0" | A step here is 1 to 23.', 'no step');
SELECT is(
    pg_temp.refused('minute', '*/90', 0, 59), 'minute: "*/90" | A step here is 1 to 59.',
    'a step over the end, which would mean once an hour'
);
SELECT is(pg_temp.refused('hour', '1,,2', 0, 23), 'hour: "" | A comma stands between two values.', 'nothing between commas');
SELECT is(pg_temp.refused('day of month', '?', 1, 31), 'day of month: "?" | For any value write *.', 'the question mark of others');
SELECT is(
    pg_temp.refused('day of month', 'L', 1, 31),
    'day of month: "l" | L, W and # are not supported: choose among the days in the handler.', 'the last day'
);
SELECT is(
    pg_temp.refused('month', 'foo', 1, 12, '{jan,feb}'), 'month: "foo" | Names here are jan, feb.', 'a name that is none'
);
SELECT is(pg_temp.refused('hour', 'mon', 0, 23), 'hour: "mon" | Here stand numbers, 0 to 23.', 'a name where there are none');
SELECT is(
    pg_temp.refused('hour', repeat('x', 200), 0, 23),
    'hour: "' || repeat('x', 79) || ' | Names have three letters, such as jan or mon.', 'a long one is cut'
);

SELECT * FROM finish();
ROLLBACK;
