-- arvo.sweep(head, most, all): contract, stories.
BEGIN;
SELECT plan(24);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.sweep(arvo.lease,integer,boolean)',
    'bigint', 'plpgsql', 'volatile', false,
    'nobody'
);

CREATE FUNCTION pg_temp.head() RETURNS arvo.lease
LANGUAGE sql AS $$
    SELECT lease FROM arvo.lease WHERE lease.lane = arvo.lane_for('com.test.sink') ORDER BY lease.number DESC LIMIT 1
$$;
CREATE FUNCTION pg_temp.closed() RETURNS TABLE (at timestamptz, deliveries bigint[], outcomes text[], run_times integer[])
LANGUAGE sql AS $$
    SELECT closure.at, closure.deliveries, closure.outcomes, closure.run_times FROM arvo.closure ORDER BY closure.token, closure.at
$$;

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('com.test.sink', p_retry_limit => 1, p_retry_delay => '0');
    PERFORM arvo_v1.dispatch(pg_temp.event(number::text, 'com.test.sink')) FROM generate_series(1, 6) AS number;
END;
$$;
COMMIT AND CHAIN;
-- Three leases: of 1 and 2, until 30 s; of 3 and 4, until 40 s; of 5 and 6, until 50 s.
CREATE TEMPORARY TABLE first_held AS SELECT * FROM arvo_v1.claim('{com.test.sink}', 2, 'w1');
SET arvo.frozen_clock = '2030-01-01T00:00:10Z';
CREATE TEMPORARY TABLE second_held AS SELECT * FROM arvo_v1.claim('{com.test.sink}', 2, 'w2');
SET arvo.frozen_clock = '2030-01-01T00:00:20Z';
CREATE TEMPORARY TABLE third_held AS SELECT * FROM arvo_v1.claim('{com.test.sink}', 2, 'w3');
COMMIT AND CHAIN;

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:29.999999Z';
SELECT is(arvo.sweep(pg_temp.head(), 4096), 1::bigint, 'one microsecond before the first lease lapses nothing is behind');
SELECT is_empty('SELECT * FROM pg_temp.closed()', 'and nothing is taken back');

SET arvo.frozen_clock = '2030-01-01T00:00:30Z';
SELECT is(arvo.sweep(pg_temp.head(), 4096), 2::bigint, 'exactly then the first one is behind');
SELECT results_eq(
    'SELECT * FROM pg_temp.closed()',
    $$ SELECT timestamptz '2030-01-01 00:00:30Z', array_agg(delivery ORDER BY delivery), '{expired}'::text[], '{NULL,NULL}'::integer[]
       FROM first_held $$,
    'what it held is closed as expired'
);
SELECT results_eq(
    $$ SELECT log.origin_delivery, log.attempt, log.cause FROM arvo.log WHERE log.attempt = 2 ORDER BY log.delivery $$,
    $$ SELECT delivery, 2, jsonb_build_object('delivery', delivery, 'outcome', 'expired', 'expiries', 1, 'error', jsonb_build_object(
           'name', 'LeaseExpired', 'message', 'the worker did not report back before its lease expired', 'stack', NULL))
       FROM first_held ORDER BY delivery $$,
    'and goes back as the next attempt'
);
SELECT is(arvo.sweep(pg_temp.head(), 4096), 2::bigint, 'swept again from the old bound');
SELECT is((SELECT count(*) FROM pg_temp.closed()), 1::bigint, 'nothing is taken back twice');
COMMIT AND CHAIN;

-- Of the second lease one delivery is settled, the other is carried forward by a heartbeat; of the third, one is settled.
SELECT outcome FROM arvo_v1.settle((SELECT jsonb_build_array(pg_temp.result(lease, min(delivery))) FROM second_held GROUP BY lease)) \gset
SELECT outcome FROM arvo_v1.settle((SELECT jsonb_build_array(pg_temp.result(lease, min(delivery))) FROM third_held GROUP BY lease)) \gset
SELECT held FROM arvo_v1.extend((SELECT array_agg(DISTINCT lease) FROM second_held), '60 seconds') \gset
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:50Z';
SELECT is(arvo.sweep(pg_temp.head(), 4096), 4::bigint, 'both lapsed rows of the ledger are behind');
SELECT results_eq(
    $$ SELECT deliveries FROM arvo.closure WHERE outcomes = '{expired}' ORDER BY token $$,
    $$ SELECT array_agg(delivery ORDER BY delivery) FROM first_held
       UNION ALL SELECT ARRAY[max(delivery)] FROM third_held $$,
    'of them only what nobody settled and no newer row of the lease answers for is taken back'
);
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:01:29.999999Z';
SELECT is(arvo.sweep(pg_temp.head(), 4096), 4::bigint, 'the carried row lives until its own time');
SET arvo.frozen_clock = '2030-01-01T00:01:30Z';
SELECT is(arvo.sweep(pg_temp.head(), 4096), 5::bigint, 'and lapses exactly then');
SELECT results_eq(
    $$ SELECT deliveries FROM arvo.closure WHERE at = '2030-01-01 00:01:30Z' $$,
    $$ SELECT ARRAY[max(delivery)] FROM second_held $$, 'with what is left of it'
);
COMMIT AND CHAIN;

-- stories: the bound, and a poison event

SELECT is(
    (SELECT count(*) FROM arvo_v1.claim('{com.test.sink}', 1) UNION ALL SELECT count(*) FROM arvo_v1.claim('{com.test.sink}', 1)
     OFFSET 1), 1::bigint, 'two leases more, of one each: the second attempt of 1 and of 2'
);
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T01:00:00Z';
SELECT results_eq(
    $$ SELECT arvo.sweep(pg_temp.head(), 1) - (pg_temp.head()).open_from $$, 'VALUES (1::bigint)',
    'no more of the ledger is read than it may'
);
SELECT results_eq(
    'SELECT event_id, attempts, reason, error ->> ''name'' FROM arvo.dead ORDER BY event_id',
    $$ VALUES ('1', 2, 'lease_expired', 'LeaseExpired') $$,
    'an event whose last attempt never reports back is dead'
);
SELECT ok(arvo.sweep(pg_temp.head(), 4096) > (pg_temp.head()).open_from + 1, 'the next sweep goes on');
SELECT results_eq(
    'SELECT event_id, attempts, reason FROM arvo.dead ORDER BY event_id',
    $$ VALUES ('1', 2, 'lease_expired'), ('2', 2, 'lease_expired') $$, 'with the second'
);

SELECT * FROM finish();
ROLLBACK;
