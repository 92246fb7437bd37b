-- arvo.fire_schedule(schedule, row, now): contract, stories.
BEGIN;
SELECT plan(44);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.fire_schedule(arvo.schedule,tid,timestamptz)',
    'integer', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories: how many fires are due, and what becomes of them

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SET timezone = 'UTC';
-- as arvo.fire_schedules pins them
SET enable_hashjoin = off;
SET enable_mergejoin = off;
-- Makes a schedule that fires at each full hour from 2030-01-01 01:00Z on.
CREATE FUNCTION pg_temp.hourly(p_name text, p_missed text, p_limit integer DEFAULT 100) RETURNS void
LANGUAGE sql AS $$
    SELECT arvo_v1.schedule(
        p_name, '@hourly', '{"type": "com.test.tick", "source": "/clock", "data": {}}', p_missed => p_missed, p_missed_limit => p_limit
    )
$$;
CREATE FUNCTION pg_temp.fire(p_name text, p_now timestamptz) RETURNS integer
LANGUAGE sql AS $$ SELECT arvo.fire_schedule(known, known.ctid, p_now) FROM arvo.schedule AS known WHERE known.name = p_name $$;
-- What it has dispatched: day and hour, and in brackets since when fires were left out before it.
CREATE FUNCTION pg_temp.fired(p_name text) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(
        substring(event ->> 'firetime' FROM 9 FOR 8) || coalesce('(' || substring(event ->> 'missedfrom' FROM 9 FOR 8) || ')', ''),
        ' ' ORDER BY delivery)
    FROM arvo.log WHERE event ->> 'schedulename' = p_name
$$;
CREATE FUNCTION pg_temp.state(p_name text) RETURNS text
LANGUAGE sql AS $$
    SELECT concat_ws(', ',
        'next ' || to_char(next_at, 'DD"T"HH24:MI'), 'last ' || to_char(last_at, 'DD"T"HH24:MI'), 'fires ' || fires,
        'missed ' || to_char(missed_from, 'DD"T"HH24:MI') || ' to ' || to_char(missed_to, 'DD"T"HH24:MI'), error ->> 'message')
    FROM arvo.schedule WHERE name = p_name
$$;

SELECT pg_temp.hourly(policy, policy) FROM unnest('{skip,one,all}'::text[]) AS policy \g /dev/null
SELECT is(pg_temp.fire(policy, '2030-01-01 01:00:59Z'), 1, policy || ': a fire that is in time')
FROM unnest('{skip,one,all}'::text[]) AS policy;
SELECT is(pg_temp.fired(policy), '01T01:00', policy || ': is dispatched')
FROM unnest('{skip,one,all}'::text[]) AS policy;
SELECT is(pg_temp.state(policy), 'next 01T02:00, last 01T01:00, fires 1', policy || ': and the next is the next hour''s')
FROM unnest('{skip,one,all}'::text[]) AS policy;

-- five hours of silence, then twenty minutes past
SELECT is(pg_temp.fire('skip', '2030-01-01 06:20Z'), 0, 'skip: none of those that are missed');
SELECT is(pg_temp.state('skip'), 'next 01T07:00, last 01T01:00, fires 1, missed 01T02:00 to 01T07:00', 'skip: and says so');
SELECT is(pg_temp.fire('skip', '2030-01-01 07:00Z'), 1, 'skip: the next one');
SELECT is(pg_temp.fired('skip'), '01T01:00 01T07:00(01T02:00)', 'skip: tells since when');
SELECT is(pg_temp.fire('skip', '2030-01-01 08:00Z'), 1, 'skip: the one after that');
SELECT is(pg_temp.fired('skip'), '01T01:00 01T07:00(01T02:00) 01T08:00', 'skip: does not');

SELECT is(pg_temp.fire('one', '2030-01-01 06:20Z'), 1, 'one: one stands for all that are missed');
SELECT is(pg_temp.fired('one'), '01T01:00 01T06:00(01T02:00)', 'one: the last of them, which tells since when');
SELECT is(pg_temp.state('one'), 'next 01T07:00, last 01T06:00, fires 2, missed 01T02:00 to 01T06:00', 'one: what was left out');

SELECT is(pg_temp.fire('all', '2030-01-01 06:20Z'), 5, 'all: each of those that are missed');
SELECT is(pg_temp.fired('all'), '01T01:00 01T02:00 01T03:00 01T04:00 01T05:00 01T06:00', 'all: in order');
SELECT is(pg_temp.state('all'), 'next 01T07:00, last 01T06:00, fires 6', 'all: nothing was left out');

-- silence until a fire is due in time as well
SELECT is(pg_temp.fire('one', '2030-01-01 10:00:30Z'), 1, 'one: a fire that is in time is the one');
SELECT is(pg_temp.fired('one'), '01T01:00 01T06:00(01T02:00) 01T10:00(01T07:00)', 'one: and tells since when');
SELECT is(pg_temp.fire('all', '2030-01-01 10:00:30Z'), 4, 'all: both kinds');

-- silence within silence
SELECT is(pg_temp.fire('skip', '2030-01-01 12:30Z'), 0, 'skip: missed');
SELECT is(pg_temp.fire('skip', '2030-01-01 15:30Z'), 0, 'skip: missed again');
SELECT is(pg_temp.state('skip'), 'next 01T16:00, last 01T08:00, fires 3, missed 01T09:00 to 01T16:00', 'skip: is one gap');

-- a missed fire alone
SELECT pg_temp.hourly('single', 'one') \g /dev/null
SELECT is(pg_temp.fire('single', '2030-01-01 01:30Z'), 1, 'one: the only one that was missed');
SELECT is(pg_temp.fired('single'), '01T01:00', 'one: nothing was left out');

-- the limit
SELECT pg_temp.hourly('limit', 'all', 3) \g /dev/null
SELECT is(pg_temp.fire('limit', '2030-01-02 00:00:00Z'), 4, 'all: up to the limit, and what is in time');
SELECT is(
    pg_temp.fired('limit'), '01T01:00 01T02:00 01T03:00 02T00:00(01T04:00)', 'all: the oldest, and the next tells what was left out'
);
SELECT is(
    pg_temp.state('limit'), 'next 02T01:00, last 02T00:00, fires 4, missed 01T04:00 to 02T00:00', 'all: so does the schedule'
);

-- very long silence costs no more
SELECT arvo_v1.schedule('second', '* * * * * *', '{"type": "com.test.tick", "source": "/clock", "data": {}}',
                        p_grace => '10 seconds') \g /dev/null
SELECT is(pg_temp.fire('second', '2030-07-01 00:00:00.5Z'), 10, 'half a year of seconds: those that are in time');

-- stories: a fire that is published

SELECT arvo_v1.subscribe(name, 'com.test.tick') FROM unnest('{one,two,three}'::text[]) AS name \g /dev/null
SELECT pg_temp.hourly('published', 'one') \g /dev/null
UPDATE arvo.schedule SET event = event || '{"to": "arvo.publish"}' WHERE name = 'published';
SELECT is(pg_temp.fire('published', '2030-01-01 01:00Z'), 1, 'is one fire, whoever hears it');
SELECT is(pg_temp.state('published'), 'next 01T02:00, last 01T01:00, fires 1', 'and the schedule knows when it was');

-- stories: the edge of the grace

SELECT arvo_v1.schedule('edge', '0 0 * * * *', '{"type": "com.test.tick", "source": "/clock", "data": {}}',
                        p_grace => '10 seconds', p_missed => 'skip') \g /dev/null
SELECT is(pg_temp.fire('edge', '2030-01-01 01:00:10Z'), 1, 'exactly as old as its grace is not missed');

-- stories: what cannot be fired

SELECT pg_temp.hourly('poisoned', 'one') \g /dev/null
UPDATE arvo.schedule SET event = '{"type": "com.test.tick"}' WHERE name = 'poisoned';
SELECT is(pg_temp.fire('poisoned', '2030-01-01 01:00Z'), 0, 'an event that is not valid any more');

SELECT * FROM finish();
ROLLBACK;
