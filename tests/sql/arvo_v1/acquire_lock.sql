-- arvo_v1.acquire_lock(subject, ttl, durable): contract, stories, refusals.
BEGIN;
SELECT plan(31);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.acquire_lock(text,interval,boolean)',
    'SETOF arvo_v1.lock', 'plpgsql', 'volatile', true,
    'arvo_worker'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
CREATE TEMPORARY TABLE first_lock AS SELECT * FROM arvo_v1.acquire_lock('order-1', '10 seconds');
SELECT results_eq(
    'SELECT subject, expires_at FROM first_lock',
    $$ VALUES ('order-1', timestamptz '2030-01-01 00:00:10Z') $$,
    'a free lock is taken until its time is over'
);
SELECT is_empty(
    $$ SELECT * FROM arvo_v1.acquire_lock('order-1', '10 seconds') $$, 'a held one is not'
);
SELECT results_eq(
    $$ SELECT subject, expires_at FROM arvo_v1.acquire_lock('order-2') $$,
    $$ VALUES ('order-2', timestamptz '2030-01-01 00:02:00Z') $$,
    'another subject has another lock; two minutes are the default'
);

SET arvo.frozen_clock = '2030-01-01T00:00:09.999999Z';
SELECT is_empty(
    $$ SELECT * FROM arvo_v1.acquire_lock('order-1', '10 seconds') $$,
    'one microsecond before its time is over it is held'
);
SELECT results_eq(
    'SELECT token, locked_at FROM arvo.state_lock WHERE subject = ''order-1''',
    $$ SELECT token, timestamptz '2030-01-01 00:00:00Z' FROM first_lock $$,
    'and nothing about it has changed'
);
SET arvo.frozen_clock = '2030-01-01T00:00:10Z';
CREATE TEMPORARY TABLE second_lock AS SELECT * FROM arvo_v1.acquire_lock('order-1', '1 millisecond');
SELECT results_eq(
    'SELECT subject, expires_at FROM second_lock',
    $$ VALUES ('order-1', timestamptz '2030-01-01 00:00:10.001Z') $$,
    'exactly then it may be taken over'
);
SELECT ok(
    (SELECT token FROM second_lock) > (SELECT token FROM first_lock), 'the fencing token grows'
);
SELECT results_eq(
    $$ SELECT token, locked_at, expires_at FROM arvo.state_lock WHERE subject = 'order-1' $$,
    $$ SELECT token, timestamptz '2030-01-01 00:00:10Z', expires_at FROM second_lock $$,
    'one row holds the lock'
);
SELECT is(
    (SELECT count(*) FROM arvo_v1.acquire_lock(repeat('s', 20000), '30 days')), 1::bigint,
    'a subject may be longer than 10,000 characters'
);

SELECT ok(
    (SELECT bool_and(token >> 12 BETWEEN 1 AND currval('arvo.lock_token')) FROM arvo.state_lock),
    'its number is in the high bits'
);
SELECT isnt(
    (SELECT count(DISTINCT token & 4095) FROM (SELECT (arvo_v1.acquire_lock('r' || n)).token FROM generate_series(1, 40) AS n) AS taken),
    1::bigint, 'the low ones are random'
);

-- stories: durable or not

SET synchronous_commit = 'on';
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.acquire_lock('order-3', '1 second') \gset
SELECT is(current_setting('synchronous_commit'), 'on', 'a lock is durable');
SELECT count(*) FROM arvo_v1.acquire_lock('order-3', '10 seconds', false) \gset
SELECT is(current_setting('synchronous_commit'), 'on', 'and a transaction that has written stays so');
COMMIT AND CHAIN;
SELECT count(*) AS locks FROM arvo_v1.acquire_lock('order-4', '10 seconds', false) \gset
SELECT is(current_setting('synchronous_commit') || ' ' || :locks, 'off 1', 'one of its own need not be');
COMMIT AND CHAIN;
SELECT is(current_setting('synchronous_commit'), 'on', 'for that transaction');
SELECT count(*) FROM arvo_v1.acquire_lock('order-5', '10 seconds', NULL) \gset
SELECT is(current_setting('synchronous_commit'), 'on', 'only if it says so');
DELETE FROM arvo.state_lock;
COMMIT AND CHAIN;

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.acquire_lock(NULL, '1 second') $$),
    'RV006 | argument is not valid | subject | ttl: 00:00:01', 'no subject'
);
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.acquire_lock('', '1 second') $$),
    'RV006 | argument is not valid | subject | ttl: 00:00:01', 'an empty subject'
);
SELECT is(
    pg_temp.raised(format($$ SELECT * FROM arvo_v1.acquire_lock('a', %L::interval) $$, given.ttl)),
    'RV006 | argument is not valid | ttl | ttl: ' || coalesce(given.ttl::interval::text, ''),
    'a ttl of ' || coalesce(given.ttl, 'nothing')
)
FROM unnest(ARRAY[NULL, '0', '-1 second', '0.000999 seconds', '30 days 1 microsecond']) AS given (ttl);
SELECT is_empty($$ SELECT FROM arvo.state_lock WHERE subject IN ('', 'a') $$, 'nothing is locked by that');

SELECT * FROM finish();
ROLLBACK;
