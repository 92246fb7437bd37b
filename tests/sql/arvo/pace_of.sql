-- arvo.pace_of(queue): contract, stories.
BEGIN;
SELECT plan(14);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.pace_of(integer)',
    'arvo.pace', 'sql', 'volatile', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_hashjoin=off',
        'enable_mergejoin=off',
        'jit=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT arvo_v1.register_queue('q', p_retry_limit => 0) \gset
CREATE FUNCTION pg_temp.pace() RETURNS text
LANGUAGE sql AS $$
    SELECT format('%s completed, %s failed, waits %s/%s, runs %s/%s', round(completed_per_minute::numeric, 2)::float, round(failed_per_minute::numeric, 2)::float,
                  extract(epoch FROM wait_mean)::float, extract(epoch FROM wait_p95)::float,
                  extract(epoch FROM run_mean)::float, extract(epoch FROM run_p95)::float)
    FROM arvo.pace_of(1)
$$;
SELECT is(pg_temp.pace(), '0 completed, 0 failed, waits /, runs /', 'nothing was claimed: no times');
SELECT count(*) FROM arvo_v1.dispatch_many((SELECT jsonb_agg(pg_temp.event(n::text, 'q')) FROM generate_series(1, 10) AS n)) \gset
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:02Z';
CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.claim('{q}', 5);
COMMIT AND CHAIN;
SELECT is(pg_temp.pace(), '0 completed, 0 failed, waits 2/2, runs /', 'claimed after two seconds, all five');
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, CASE WHEN delivery = 5 THEN 'failed' ELSE 'completed' END,
    jsonb_build_object('run_time', delivery * 1000000))) FROM held)) \gset
COMMIT AND CHAIN;
SELECT is(pg_temp.pace(), '0.8 completed, 0.2 failed, waits 2/2, runs 3/5', 'four completed and one died in five minutes; runs of one to five seconds');
SET arvo.frozen_clock = '2030-01-01T00:00:22Z';
SELECT count(*) FROM arvo_v1.claim('{q}', 1) \gset
COMMIT AND CHAIN;
SELECT is(pg_temp.pace(), '0.8 completed, 0.2 failed, waits 5.333333/22, runs 3/5', 'another waited for longer');
SET arvo.frozen_clock = '2030-01-01T00:05:02Z';
SELECT is(pg_temp.pace(), '0 completed, 0 failed, waits 22/22, runs /', 'after five minutes claims are forgotten');
DO $$
BEGIN
    FOR v_number IN 1..210 LOOP
        INSERT INTO arvo.lease (slot, lane, number, token, leased_at, expires_at, deliveries, previous_snapshot, snapshot, last_xid, last_delivery,
                                exhausted, open_from, sweep_at)
        SELECT slot, lane, number + 1, (nextval('arvo.lease_number') << 12), timestamptz '2030-01-01T00:04:02Z' + v_number * interval '0.1 seconds', expires_at,
               ARRAY[1000 + v_number], previous_snapshot, snapshot, last_xid, last_delivery, exhausted, open_from, sweep_at
        FROM arvo.lease ORDER BY number DESC LIMIT 1;
    END LOOP;
END;
$$;
INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
SELECT 0, token, arvo.clock(), deliveries, '{completed}', '{1000}' FROM arvo.lease WHERE deliveries[1] > 1000;
SELECT is(pg_temp.pace(), '203.74 completed, 0 failed, waits /, runs 0.001/0.001', 'of very many claims the newest 200, and the time that they cover');
SELECT is(to_jsonb(arvo.pace_of(99)) ->> 'completed_per_minute', '0', 'an unknown queue has no pace');

SELECT * FROM finish();
ROLLBACK;
