-- arvo_v1.resume_schedule(name, key): contract, stories, refusals.
BEGIN;
SELECT plan(19);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.resume_schedule(text,text)',
    'SETOF arvo_v1.schedule', 'plpgsql', 'volatile', true,
    'arvo_operator'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT arvo_v1.schedule(name, '@hourly', '{"type": "com.test.tick", "source": "/clock", "data": {}}', key, p_missed => 'all')
FROM (VALUES ('a', 'x'), ('a', 'y'), ('b', '')) AS given (name, key) \g /dev/null
SELECT count(*) FROM arvo_v1.pause_schedule('a') \g /dev/null
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T05:30:00Z';
SELECT results_eq(
    $$ SELECT key, change, paused_at, paused_by, next_at FROM arvo_v1.resume_schedule('a', 'x') $$,
    $$ VALUES ('x', 'resumed', NULL::timestamptz, NULL, timestamptz '2030-01-01 06:00Z') $$, 'one, from now on'
);
SELECT results_eq(
    $$ SELECT verb, details, touched FROM arvo.operation ORDER BY number DESC LIMIT 1 $$,
    $$ VALUES ('resume_schedule', '{"name": "a", "key": "x"}'::jsonb, 1::bigint) $$, 'which is written down'
);
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T06:00:00Z';
SELECT is(arvo.fire_schedules(), 7, 'it fires once; the one that was not paused makes up for all six hours');
SELECT is((SELECT fires FROM arvo_v1.schedules('a') WHERE key = 'x'), 1::bigint, 'those of its pause are not missed');
SELECT results_eq(
    $$ SELECT key, change FROM arvo_v1.resume_schedule('a') $$, $$ VALUES ('x', 'unchanged'), ('y', 'resumed') $$,
    'all of a name; one that runs stays as it is'
);
SELECT is_empty($$ SELECT * FROM arvo_v1.resume_schedule('c') $$, 'none of that name');
COMMIT AND CHAIN;

-- One that an error has stopped.
UPDATE arvo.schedule SET time_zone = 'Europe/Atlantis' WHERE name = 'b';
SET arvo.frozen_clock = '2030-01-01T07:00:00Z';
SELECT is(arvo.fire_schedules(), 2, 'without its zone it cannot fire');
COMMIT AND CHAIN;
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.resume_schedule('b') $$),
    'RV006 | argument is not valid | time_zone | time_zone: "Europe/Atlantis"', 'nor be resumed'
);
UPDATE arvo.schedule SET time_zone = 'UTC' WHERE name = 'b';
SELECT results_eq(
    $$ SELECT change, next_at, error, failures FROM arvo_v1.resume_schedule('b') $$,
    $$ VALUES ('resumed', timestamptz '2030-01-01 08:00Z', NULL::jsonb, 1::bigint) $$, 'until it has one again'
);
COMMIT AND CHAIN;

-- When the server's clock has been put back, no fire comes twice.
SELECT count(*) FROM arvo_v1.pause_schedule('a', 'x') \g /dev/null
SET arvo.frozen_clock = '2030-01-01T03:30:00Z';
SELECT is(
    (SELECT next_at FROM arvo_v1.resume_schedule('a', 'x')), timestamptz '2030-01-01 08:00Z', 'the first that has not been dispatched'
);
COMMIT AND CHAIN;

-- refusals --------------------------------------------------------------------------------------

SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.resume_schedule('a') $$),
    'RV005 | transaction isolation level must be read committed | resume_schedule was called under repeatable read.', 'a stale view'
);
SELECT is(current_setting('transaction_isolation'), 'repeatable read', 'such as this');

SELECT * FROM finish();
ROLLBACK;
