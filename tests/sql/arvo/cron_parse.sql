-- arvo.cron_parse(cron): contract, stories, refusals.
BEGIN;
SELECT plan(34);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.cron_parse(text)',
    'arvo.cron', 'plpgsql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(
    arvo.cron_parse('0 0 0 1 1 0'),
    (B'1' || repeat('0', 59)::varbit, B'1' || repeat('0', 59)::varbit, B'1' || repeat('0', 23)::varbit,
     B'1' || repeat('0', 30)::varbit, B'1' || repeat('0', 11)::varbit, B'1' || repeat('0', 6)::varbit, true)::arvo.cron,
    'six fields: second, minute, hour, day of month, month, day of week'
);
SELECT is(arvo.cron_parse('1 2 3 4 5'), arvo.cron_parse('0 1 2 3 4 5'), 'five: at second 0');
SELECT is(arvo.cron_parse(E'  1\t2  3 4\n5 '), arvo.cron_parse('1 2 3 4 5'), 'blanks of any kind and number');
SELECT is(arvo.cron_parse('0 0 * JAN mon'), arvo.cron_parse('0 0 * 1 1'), 'names in any case');
SELECT is(arvo.cron_parse(name), arvo.cron_parse(text), name)
FROM (
    VALUES
    ('@yearly', '0 0 1 1 *'), ('@annually', '0 0 1 1 *'), ('@monthly', '0 0 1 * *'), ('@weekly', '0 0 * * sun'),
    ('@daily', '0 0 * * *'), ('@midnight', '0 0 * * *'), ('@hourly', '0 * * * *'), ('@Daily', '0 0 * * *')
) AS named (name, text);
SELECT is((arvo.cron_parse('0 0 13 * 5')).either_day, true, 'both days restricted: either is enough');
SELECT is((arvo.cron_parse('0 0 13 * *')).either_day, false, 'any day of the week: the day of the month decides');
SELECT is((arvo.cron_parse('0 0 * * 5')).either_day, false, 'any day of the month: the day of the week decides');
SELECT is((arvo.cron_parse('0 0 */2 * 5')).either_day, false, 'a field that begins with * is not restricted: both must fit');
SELECT is((arvo.cron_parse('0 0 1-31/2 * 5')).either_day, true, 'written otherwise it is');

-- refusals --------------------------------------------------------------------------------------

SELECT is(pg_temp.raised(format('SELECT arvo.cron_parse(%L)', given)), 'RV006 | argument is not valid | cron | ' || detail, given)
FROM (
    VALUES
    ('', 'cron: ""'), ('* * * *', 'cron: "* * * *"'), ('* * * * * * *', 'cron: "* * * * * * *"'),
    ('@reboot', 'cron: "@reboot"'), ('every day', 'cron: "every day"'),
    ('61 0 0 1 1 *', 'second: "61"'), ('60 0 * * *', 'minute: "60"'), ('0 24 * * *', 'hour: "24"'),
    ('0 0 32 * *', 'day of month: "32"'), ('0 0 * 13 *', 'month: "13"')
) AS wrong (given, detail);

SELECT * FROM finish();
ROLLBACK;
