-- arvo_v1.schedule(name, cron, event, options…): contract, stories, refusals.
BEGIN;
SELECT plan(57);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.schedule(text,text,jsonb,text,text,text,integer,interval,text,text,jsonb)',
    'arvo_v1.schedule', 'plpgsql', 'volatile', true,
    'arvo_operator'
);

-- stories: made, changed, left as it is

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SET timezone = 'UTC';
CREATE FUNCTION pg_temp.template(p_more jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE sql AS $$
    SELECT '{"type": "com.test.report", "source": "com.test.clock", "to": "com.test.sink", "data": {"a": 1}}' || p_more
$$;
SELECT results_eq(
    $$ SELECT name, key, change, cron, time_zone, event, options, missed, missed_limit, grace, gap, overlap, paused_at, next_at, last_at,
              fires, missed_from, error, failures, created_at, created_by = session_user, changed_at, changed_by = session_user
       FROM arvo_v1.schedule('report', '0 9 * * *', pg_temp.template()) $$,
    $$ VALUES ('report', '', 'created', '0 9 * * *', 'UTC', pg_temp.template(), NULL::jsonb, 'one', 100, interval '1 minute', 'shift', 'first',
               NULL::timestamptz, timestamptz '2030-01-01 09:00Z', NULL::timestamptz, 0::bigint, NULL::timestamptz, NULL::jsonb, 0::bigint,
               timestamptz '2030-01-01 00:00Z', true, timestamptz '2030-01-01 00:00Z', true) $$,
    'made, with its defaults'
);
SELECT results_eq(
    $$ SELECT verb, queue, details, touched FROM arvo.operation ORDER BY number DESC LIMIT 1 $$,
    $$ VALUES ('schedule', 'com.test.sink',
               '{"name": "report", "key": "", "change": "created", "cron": "0 9 * * *", "time_zone": "UTC"}'::jsonb, 1::bigint) $$,
    'which is written down'
);
SELECT ok(EXISTS (SELECT FROM arvo.queue WHERE name = 'com.test.sink'), 'its queue is there before it fires');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:10:00Z';
SELECT count(*) AS operations FROM arvo.operation \gset
SELECT results_eq(
    $$ SELECT change, next_at, changed_at FROM arvo_v1.schedule('report', '0 9 * * *', pg_temp.template()) $$,
    $$ VALUES ('unchanged', timestamptz '2030-01-01 09:00Z', timestamptz '2030-01-01 00:00Z') $$, 'again: unchanged'
);
SELECT is((SELECT count(*) FROM arvo.operation), :operations::bigint, 'and not written down');
SELECT results_eq(
    $$ SELECT change, next_at, created_at, changed_at
       FROM arvo_v1.schedule('report', '0 10 * * *', pg_temp.template('{"data": {"a": 2}}'), p_time_zone => 'Europe/Berlin', p_grace => '5 minutes') $$,
    $$ VALUES ('cron, event, grace, time_zone', timestamptz '2030-01-01 09:00Z', timestamptz '2030-01-01 00:00Z', timestamptz '2030-01-01 00:10Z') $$,
    'otherwise: what changed'
);
SELECT results_eq(
    $$ SELECT change, missed, missed_limit, grace, gap, overlap
       FROM arvo_v1.schedule('report', '@hourly', pg_temp.template(), p_missed => 'all', p_missed_limit => 7, p_gap => 'shift', p_overlap => 'second') $$,
    $$ VALUES ('cron, event, grace, missed, missed_limit, overlap, time_zone', 'all', 7, interval '1 minute', 'shift', 'second') $$,
    'what is not given takes its default again'
);
SELECT results_eq(
    $$ SELECT gap, overlap FROM arvo_v1.schedule('report', '@hourly', pg_temp.template()) $$, $$ VALUES ('skip', 'both') $$,
    'and the default of gap and overlap is that of the cron text'
);
SELECT is((arvo_v1.schedule('report', '@daily', pg_temp.template(), 'eu')).change, 'created', 'another key is another schedule');
COMMIT AND CHAIN;

-- stories: made again while it runs

SELECT count(*) FROM arvo_v1.unschedule('report') \g /dev/null
SELECT arvo_v1.schedule('report', '@hourly', pg_temp.template(), p_missed => 'all') \g /dev/null
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T03:30:00Z';
SELECT is(
    (arvo_v1.schedule('report', '@hourly', pg_temp.template('{"data": {}}'), p_missed => 'all')).next_at,
    '2030-01-01 01:00Z', 'a program that starts again forgets nothing that was missed'
);
SELECT is(arvo.fire_schedules(), 3, 'all three fire');
SELECT is(
    (SELECT array_agg(DISTINCT event ->> 'data') FROM arvo.log WHERE event ->> 'schedulename' = 'report'), '{"{}"}', 'with the new event'
);
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T05:30:00Z';
SELECT is(
    (arvo_v1.schedule('report', '30 * * * *', pg_temp.template(), p_missed => 'all')).next_at,
    '2030-01-01 06:30Z', 'with another cron text it begins anew, from now on'
);
SET arvo.frozen_clock = '2030-01-01T06:30:00Z';
SELECT is(arvo.fire_schedules(), 1, 'and fires by that');
SET arvo.frozen_clock = '2030-01-01T02:00:00Z';
SELECT is(
    (arvo_v1.schedule('report', '*/30 * * * *', pg_temp.template())).next_at, '2030-01-01 07:00Z',
    'when the server''s clock has been put back, no fire comes twice'
);
SELECT count(*) FROM arvo_v1.pause_schedule('report') \g /dev/null
SELECT results_eq(
    $$ SELECT change, next_at, paused_at IS NULL FROM arvo_v1.schedule('report', '@hourly', pg_temp.template()) $$,
    $$ VALUES ('cron', NULL::timestamptz, false) $$, 'one that is paused stays so'
);
COMMIT AND CHAIN;
SELECT arvo_v1.schedule('stopped', '@hourly', pg_temp.template()) \g /dev/null
UPDATE arvo.schedule SET next_at = NULL, error = '{"code": "RV006"}' WHERE name = 'stopped';
SELECT results_eq(
    $$ SELECT change, next_at, error FROM arvo_v1.schedule('stopped', '@hourly', pg_temp.template()) $$,
    $$ VALUES ('next_at', timestamptz '2030-01-01 03:00Z', NULL::jsonb) $$, 'one that an error has stopped goes on'
);
SELECT results_eq(
    $$ SELECT change, options FROM arvo_v1.schedule('stopped', '@hourly', pg_temp.template(), p_options => '{"priority": 7}') $$,
    $$ VALUES ('options', '{"priority": 7}'::jsonb) $$, 'options of the dispatch'
);
SAVEPOINT before;
SET arvo.frozen_clock = '2030-01-01T03:00:00Z';
SELECT ok(arvo.fire_schedules() > 0, 'go with each fire');
SELECT is(
    (SELECT lane.priority FROM arvo.log INNER JOIN arvo.lane USING (lane) WHERE log.event ->> 'schedulename' = 'stopped'), 7, 'as given'
);
ROLLBACK TO SAVEPOINT before;
SELECT results_eq(
    $$ SELECT event -> 'id' IS NULL, next_at FROM arvo_v1.schedule('leap', '0 0 29 2 *', pg_temp.template()) $$,
    $$ VALUES (true, timestamptz '2032-02-29 00:00Z') $$, 'rare is not never'
);
SELECT is(
    (arvo_v1.schedule('domained', '@daily', pg_temp.template('{"domain": "north"}'))).change, 'created', 'an event with a domain'
);
SELECT ok(EXISTS (SELECT FROM arvo.queue WHERE name = 'arvo.domain.north'), 'which has a queue as well');
SELECT is(
    (SELECT count(*) FROM arvo_v1.schedule('a.B~c_1-', '@daily', pg_temp.template(), 'user@example.com/7')), 1::bigint,
    'names and keys of many kinds'
);
COMMIT AND CHAIN;

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised(format('SELECT arvo_v1.schedule(%s)', given)), 'RV006 | argument is not valid | ' || fault, given
)
FROM (
    VALUES
    ($$ 'a b', '@daily', pg_temp.template() $$, 'name | name: "a b"'),
    ($$ 'a/b', '@daily', pg_temp.template() $$, 'name | name: "a/b"'),
    ($$ NULL, '@daily', pg_temp.template() $$, 'name | name: null'),
    ($$ 'a', '@daily', pg_temp.template(), 'a b' $$, 'key | key: "a b"'),
    ($$ 'a', '@daily', pg_temp.template(), NULL $$, 'key | key: null'),
    ($$ 'a', '@daily', pg_temp.template(), p_missed => 'some' $$, 'missed | missed: "some"'),
    ($$ 'a', '@daily', pg_temp.template(), p_missed_limit => 1001 $$, 'missed_limit | missed_limit: "1001"'),
    ($$ 'a', '@daily', pg_temp.template(), p_grace => '0' $$, 'grace | grace: "00:00:00"'),
    ($$ 'a', '@daily', pg_temp.template(), p_time_zone => 'Berlin' $$, 'time_zone | time_zone: "Berlin"'),
    ($$ 'a', '@daily', pg_temp.template(), p_gap => 'x' $$, 'gap | gap: "x"'),
    ($$ 'a', '@daily', pg_temp.template(), p_overlap => 'x' $$, 'overlap | overlap: "x"'),
    ($$ 'a', '* * *', pg_temp.template() $$, 'cron | cron: "* * *"'),
    ($$ 'a', '0 0 31 2,4,6,9,11 *', pg_temp.template() $$, 'cron | cron: "0 0 31 2,4,6,9,11 *" never fires')
) AS wrong (given, fault);
SELECT is(
    pg_temp.raised(format($$ SELECT arvo_v1.schedule('a', '@daily', %L) $$, given)), 'RV001 | event is not valid | ' || fault, fault
)
FROM (
    VALUES
    ('[]'::jsonb, 'event | event: must be a JSON object'),
    (pg_temp.template('{"id": "1"}'), 'id | id: is given by each fire'),
    (pg_temp.template('{"time": "2030-01-01T00:00:00Z", "firetime": "x"}'), 'firetime | firetime: is given by each fire'),
    (pg_temp.template() - 'data', 'data | data: is missing'),
    (pg_temp.template() - 'source', 'source | source: is missing'),
    (pg_temp.template('{"type": "tick"}'), 'type | type: must be three or more dotted segments of lower-case letters and digits'),
    (pg_temp.template('{"subject": 7}'), 'subject | subject: must be a text that is not empty'),
    (pg_temp.template('{"subject": ""}'), 'subject | subject: must be a text that is not empty'),
    (pg_temp.template('{"to": "a b"}'), 'to | to: must be at most 512 characters of a URI, without quotes')
) AS wrong (given, fault);
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.schedule('a', '@daily', NULL) $$),
    'RV001 | event is not valid | event | event: must be a JSON object', 'no event'
);
SELECT alike(
    pg_temp.raised($$ SELECT arvo_v1.schedule('a', '@daily', pg_temp.template(), p_options => '{"prio": 1}') $$),
    'RV002 | option is not valid | prio | %', 'options of the dispatch'
);
SELECT is_empty($$ SELECT * FROM arvo_v1.schedules('a') $$, 'nothing of it was stored');
COMMIT AND CHAIN;
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.schedule('a', '@daily', pg_temp.template()) $$),
    'RV005 | transaction isolation level must be read committed | schedule was called under repeatable read.', 'a stale view'
);

SELECT * FROM finish();
ROLLBACK;
