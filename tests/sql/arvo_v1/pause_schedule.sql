-- arvo_v1.pause_schedule(name, key): contract, stories, refusals.
BEGIN;
SELECT plan(17);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.pause_schedule(text,text)',
    'SETOF arvo_v1.schedule', 'plpgsql', 'volatile', true,
    'arvo_operator'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT arvo_v1.schedule(name, '@hourly', '{"type": "com.test.tick", "source": "/clock", "data": {}}', key)
FROM (VALUES ('a', 'x'), ('a', 'y'), ('b', '')) AS given (name, key) \g /dev/null
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:30:00Z';
SELECT results_eq(
    $$ SELECT name, key, change, paused_at, paused_by = session_user, next_at FROM arvo_v1.pause_schedule('a', 'y') $$,
    $$ VALUES ('a', 'y', 'paused', timestamptz '2030-01-01 00:30Z', true, NULL::timestamptz) $$, 'one, by name and key'
);
SELECT results_eq(
    $$ SELECT verb, details, touched FROM arvo.operation ORDER BY number DESC LIMIT 1 $$,
    $$ VALUES ('pause_schedule', '{"name": "a", "key": "y"}'::jsonb, 1::bigint) $$, 'which is written down'
);
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T01:00:00Z';
SELECT is(arvo.fire_schedules(), 2, 'the others fire');
SELECT is((SELECT fires FROM arvo_v1.schedules('a') WHERE key = 'y'), 0::bigint, 'it does not');
SELECT results_eq(
    $$ SELECT key, change, paused_at FROM arvo_v1.pause_schedule('a') $$,
    $$ VALUES ('x', 'paused', timestamptz '2030-01-01 01:00Z'), ('y', 'unchanged', '2030-01-01 00:30Z') $$,
    'all of a name; one that was paused stays so, since then'
);
SELECT is_empty($$ SELECT * FROM arvo_v1.pause_schedule('b', 'x') $$, 'none of that key');
SELECT is_empty($$ SELECT * FROM arvo_v1.pause_schedule('c') $$, 'none of that name');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T02:00:00Z';
SELECT is(arvo.fire_schedules(), 1, 'only the one that is left');
SELECT is(arvo.next_fire(), '2030-01-01 03:00Z', 'and nobody wakes for the others');
COMMIT AND CHAIN;

-- refusals --------------------------------------------------------------------------------------

SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.pause_schedule('a') $$),
    'RV005 | transaction isolation level must be read committed | pause_schedule was called under repeatable read.', 'a stale view'
);

SELECT * FROM finish();
ROLLBACK;
