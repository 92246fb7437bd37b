-- arvo_v1.queue_stats(queue): contract, stories.
BEGIN;
SELECT plan(33);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.queue_stats(text)',
    'SETOF arvo_v1.queue_stats', 'sql', 'volatile', true,
    'arvo_monitor, arvo_operator, arvo_worker',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_bitmapscan=off',
        'enable_hashjoin=off',
        'enable_mergejoin=off',
        'jit=off'
    ]
);

CREATE FUNCTION pg_temp.stats(p_queue text) RETURNS text
LANGUAGE sql AS $$
    SELECT format('deferred %s, queued %s, active %s, dead %s, oldest %s', deferred_count, queued_count, active_count, dead_count,
                  to_char(oldest_queued_at AT TIME ZONE 'UTC', 'HH24:MI:SS'))
    FROM arvo_v1.queue_stats(p_queue)
$$;

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT is_empty('SELECT * FROM arvo_v1.queue_stats()', 'no queues: no rows');
DO $$ BEGIN PERFORM arvo_v1.register_queue('a', false, 3, 5, '10 seconds', true, '300 seconds', '60 seconds', 'morgue', 500); END; $$;
SELECT results_eq(
    'SELECT name, registered, retry_limit, retry_delay, retry_backoff, retry_delay_max, expire_in, dead_letter, warning_queue_size, deferred_count,
            queued_count, active_count, dead_count, oldest_queued_at, created_on, updated_on FROM arvo_v1.queue_stats()',
    $$ VALUES ('a', true, 5, interval '10 s', true, interval '300 s', interval '60 s', 'morgue', 500, 0::bigint, 0::bigint, 0::bigint, 0::bigint,
               NULL::timestamptz, timestamptz '2030-01-01 00:00:00Z', timestamptz '2030-01-01 00:00:00Z'),
              ('morgue', false, 2, '0', false, NULL, '15 minutes', NULL, 10000, 0, 0, 0, 0, NULL, '2030-01-01 00:00:00Z', '2030-01-01 00:00:00Z') $$,
    'every queue with its options, and noughts'
);
SELECT is_empty($$ SELECT * FROM arvo_v1.queue_stats('nobody') $$, 'an unknown queue has no row');

SELECT arvo_v1.dispatch(pg_temp.event('1', 'a')) \gset
SELECT is(pg_temp.stats('a'), 'deferred 0, queued 1, active 0, dead 0, oldest 00:00:00', 'the own transaction counts its own');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:01Z';
DO $$
BEGIN
    PERFORM arvo_v1.dispatch(pg_temp.event(number::text, 'a')) FROM generate_series(2, 5) AS number;
    PERFORM arvo_v1.dispatch(pg_temp.event('urgent', 'a'), p_priority => 99);
    PERFORM arvo_v1.dispatch(pg_temp.event('6', 'a'), '10 seconds');
    PERFORM arvo_v1.dispatch(pg_temp.event('7', 'a'), '20 seconds', -1);
END;
$$;
COMMIT AND CHAIN;
SELECT is(pg_temp.stats('a'), 'deferred 2, queued 6, active 0, dead 0, oldest 00:00:00', 'over all priorities');
CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.claim('{a}', 3, p_lease => '60 seconds');
SELECT is(pg_temp.stats('a'), 'deferred 2, queued 3, active 3, dead 0, oldest 00:00:01', 'what is leased is active');
COMMIT AND CHAIN;
SELECT is(pg_temp.stats('a'), 'deferred 2, queued 3, active 3, dead 0, oldest 00:00:01', 'also for others');
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery,
    CASE event ->> 'id' WHEN '1' THEN 'failed' WHEN '2' THEN 'rejected' ELSE 'completed' END)) FROM held)) \gset
COMMIT AND CHAIN;
SELECT is(pg_temp.stats('a'), 'deferred 3, queued 3, active 0, dead 1, oldest 00:00:01', 'one failed, one is dead, one is done');
SELECT is(pg_temp.stats('morgue'), 'deferred 0, queued 1, active 0, dead 0, oldest 00:00:01', 'the dead-letter queue has one');
COMMIT AND CHAIN;

CREATE TEMPORARY TABLE more AS SELECT * FROM arvo_v1.claim('{a}', 2);
COMMIT AND CHAIN;
SELECT held FROM arvo_v1.extend((SELECT array_agg(DISTINCT lease) FROM more), '60 seconds') \gset
SELECT is(pg_temp.stats('a'), 'deferred 3, queued 1, active 2, dead 1, oldest 00:00:01', 'a lease that was carried forward counts once');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:22Z';
SELECT arvo.promote() \gset
SELECT is(
    pg_temp.stats('a'), 'deferred 0, queued 4, active 2, dead 1, oldest 00:00:01',
    'what was promoted is queued and not deferred, before its row is swept away'
);
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.maintain() \gset
SELECT is(pg_temp.stats('a'), 'deferred 0, queued 4, active 2, dead 1, oldest 00:00:01', 'and after');
COMMIT AND CHAIN;

SELECT count(*) FROM arvo_v1.redrive('a') \gset
SELECT is(pg_temp.stats('a'), 'deferred 0, queued 5, active 2, dead 0, oldest 00:00:01', 'redriven is queued again');
SELECT is(
    pg_temp.stats('morgue'), 'deferred 0, queued 0, active 0, dead 0, oldest ',
    'what was withdrawn from a dead-letter queue is not waiting there, though nobody may ever claim from it'
);
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:02:00Z';
SELECT count(*) FROM arvo_v1.maintain() \gset
COMMIT AND CHAIN;
SELECT is(pg_temp.stats('a'), 'deferred 2, queued 5, active 0, dead 0, oldest 00:00:01', 'expired leases are not active; their events wait for the retry');

-- what a queue is like, and how fast it is worked on
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:10:00Z';
SELECT results_eq(
    $$ SELECT policy, retention, delete_after, waiting_count, total_count, exact, singletons_active, paused_at, draining, oldest_queued_age
       FROM arvo_v1.queue_stats('a') $$,
    $$ VALUES ('standard', interval '14 days', interval '7 days', 0::bigint, 12::bigint, true, NULL::bigint, NULL::timestamptz, false,
               interval '00:09:59') $$,
    'its policy, what is kept, and the age of the oldest'
);
UPDATE arvo.queue SET paused_at = arvo.clock(), drained_to = '1:1:' WHERE name = 'a';
SELECT results_eq(
    $$ SELECT paused_at, draining FROM arvo_v1.queue_stats('a') $$, $$ VALUES (timestamptz '2030-01-01 00:10:00Z', true) $$, 'paused, draining'
);
UPDATE arvo.queue SET paused_at = NULL, drained_to = NULL;
SELECT arvo_v1.register_queue('fast') \gset
SELECT count(*) FROM arvo_v1.dispatch_many((SELECT jsonb_agg(pg_temp.event('f' || n, 'fast')) FROM generate_series(1, 5) AS n)) \gset
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:10:10Z';
TRUNCATE held;
INSERT INTO held SELECT * FROM arvo_v1.claim('{fast}', 2);
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'completed', '{"run_time": 3000000}')) FROM held)) \gset
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT completed_per_minute, failed_per_minute, wait_mean, wait_p95, run_mean, run_p95 FROM arvo_v1.queue_stats('fast') $$,
    $$ VALUES (0.4::double precision, 0::double precision, interval '10 seconds', interval '10 seconds', interval '3 seconds', interval '3 seconds') $$,
    'two in five minutes, after ten seconds, three seconds each'
);
SELECT results_eq(
    $$ SELECT completed_per_minute, wait_mean, run_mean FROM arvo_v1.queue_stats('morgue') $$,
    $$ VALUES (0::double precision, NULL::interval, NULL::interval) $$, 'of the other nothing is known'
);

-- what waits for its key, is withdrawn, or runs as a singleton: rooms as the claims of gated queues leave them
SELECT count(*) FROM arvo_v1.claim('{fast}', 2) \gset
INSERT INTO arvo.parked (queue, key, place, delivery, lane, xid, at)
SELECT lane.queue, 7, 1, log.delivery, log.lane, log.xid, log.at
FROM arvo.log INNER JOIN arvo.lane ON lane.lane = log.lane WHERE log.event ->> 'id' = 'f4';
UPDATE arvo.lease SET deliveries = deliveries[1:1], keys = '{7}' FROM arvo.parked WHERE parked.delivery = ANY (lease.deliveries);
COMMIT AND CHAIN;
SELECT is(
    (SELECT format('%s queued, %s waiting, %s active, %s in all', queued_count, waiting_count, active_count, total_count) FROM arvo_v1.queue_stats('fast')),
    '1 queued, 1 waiting, 1 active, 5 in all', 'one is parked behind another'
);
INSERT INTO arvo.tombstone (lane, delivery, at) SELECT lane, delivery, arvo.clock() FROM arvo.parked;
SELECT is((SELECT waiting_count FROM arvo_v1.queue_stats('fast')), 0::bigint, 'withdrawn it waits no more');
UPDATE arvo.queue SET policy = 'singleton' WHERE name = 'fast';
SELECT is((SELECT singletons_active FROM arvo_v1.queue_stats('fast')), 1::bigint, 'one key runs');
INSERT INTO arvo.dead (delivery, queue, event_id, subject_key, event_key, event, attempts, reason, died_at)
SELECT n, 'fast', 'x', 1, 1, '{}', 1, 'failed', arvo.clock() FROM generate_series(1, 10000) AS n;
SELECT results_eq(
    $$ SELECT dead_count, exact FROM arvo_v1.queue_stats('fast') $$, $$ VALUES (10000::bigint, true) $$, 'ten thousand dead letters are counted'
);
INSERT INTO arvo.dead (delivery, queue, event_id, subject_key, event_key, event, attempts, reason, died_at)
SELECT n, 'fast', 'x', 1, 1, '{}', 1, 'failed', arvo.clock() FROM generate_series(1, 50) AS n;
SELECT results_eq(
    $$ SELECT dead_count, exact FROM arvo_v1.queue_stats('fast') $$, $$ VALUES (10001::bigint, false) $$, 'of more it is said that there are more'
);
INSERT INTO arvo.tombstone (lane, delivery, at) SELECT lane.lane, n, arvo.clock() FROM arvo.lane CROSS JOIN generate_series(100001, 110001) AS n WHERE lane.queue = 1 AND lane.priority = 0;
SELECT is((SELECT exact FROM arvo_v1.queue_stats('a')), false, 'nor are very many withdrawn ones');
DELETE FROM arvo.tombstone WHERE delivery > 100000;

-- nothing is written
COMMIT AND CHAIN;
SET TRANSACTION READ ONLY;
SELECT is((SELECT queued_count FROM arvo_v1.queue_stats('fast')), 1::bigint, 'a read-only transaction will do');

SELECT * FROM finish();
ROLLBACK;
