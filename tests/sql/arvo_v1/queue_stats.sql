-- arvo_v1.queue_stats(queue): contract, stories.
BEGIN;
SELECT plan(22);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.queue_stats(text)',
    'SETOF arvo_v1.queue_stats', 'sql', 'volatile', true,
    'arvo_monitor, arvo_operator, arvo_worker',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
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

SELECT * FROM finish();
ROLLBACK;
