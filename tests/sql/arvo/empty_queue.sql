-- arvo.empty_queue(queue, limit): contract, stories.
BEGIN;
SELECT plan(22);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.empty_queue(arvo.queue,bigint)',
    'SETOF arvo_v1.purged', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_bitmapscan=off',
        'enable_hashjoin=off',
        'enable_mergejoin=off',
        'jit=off',
        'plan_cache_mode=force_generic_plan'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$ BEGIN
    PERFORM arvo_v1.register_queue('a');
    PERFORM arvo_v1.register_queue('b', p_retry_limit => 0);
    PERFORM arvo_v1.dispatch(pg_temp.event('a' || n, 'a', jsonb_build_object('subject', 's' || n))) FROM generate_series(1, 4) AS n;
    PERFORM arvo_v1.dispatch(pg_temp.event('a5', 'a', '{"data": {"amount": 99}}'), p_priority => 5);
    PERFORM arvo_v1.dispatch(pg_temp.event('due', 'a', '{"type": "org.test.event"}'), interval '1 hour');
    PERFORM arvo_v1.dispatch(pg_temp.event('b1', 'b'));
END; $$;
COMMIT AND CHAIN;

CREATE FUNCTION pg_temp.empty(p_queue text, p_limit bigint) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(format('%s %s/%s', place, removed, coalesce(kept::text, '?')), ', ') FROM arvo.empty_queue(arvo.known_queue(p_queue), p_limit)
$$;
SELECT is((SELECT count(*) FROM arvo_v1.claim('{a}', 1)), 1::bigint, 'one is leased');
COMMIT AND CHAIN;
SELECT is(pg_temp.empty('a', 2), 'queued 2/?, parked 0/?, deferred 0/?, leased 0/1', 'up to a limit; more may be left');
COMMIT AND CHAIN;
SELECT is(pg_temp.empty('a', NULL), 'queued 2/0, parked 0/0, deferred 1/0, leased 0/1', 'all; what is leased is left alone');
COMMIT AND CHAIN;
SELECT is(pg_temp.empty('a', 9), 'queued 0/0, parked 0/0, deferred 0/0, leased 0/1', 'once');
COMMIT AND CHAIN;
SELECT is_empty($$ SELECT FROM arvo_v1.claim('{a}', 9) $$, 'nothing of it is handed out');
SELECT is(
    (SELECT array_agg(log.event ->> 'id' ORDER BY log.event ->> 'id') FROM arvo.closure CROSS JOIN LATERAL unnest(deliveries) AS gone
     INNER JOIN arvo.log ON log.delivery = gone WHERE outcomes = '{cancelled}'),
    '{a1,a2,a3,a4,due}', 'the journal knows of each'
);
SELECT is((SELECT queued_count FROM arvo_v1.queue_stats('b')), 1::bigint, 'other queues are not touched');
COMMIT AND CHAIN;

-- lines of keys
UPDATE arvo.queue SET policy = 'ordered' WHERE name = 'b';
DO $$ BEGIN PERFORM arvo_v1.dispatch(pg_temp.event('b' || n, 'b')) FROM generate_series(2, 6) AS n; END; $$;
COMMIT AND CHAIN;
SELECT queue AS b FROM arvo.queue WHERE name = 'b' \gset
INSERT INTO arvo.parked (queue, key, place, delivery, lane, xid, at)
SELECT :b, 5, 10 + row_number() OVER (ORDER BY log.delivery), log.delivery, log.lane, log.xid, log.at
FROM arvo.log INNER JOIN arvo.lane USING (lane) WHERE lane.queue = :b;
UPDATE arvo.lease SET snapshot = pg_current_snapshot(), exhausted = true FROM arvo.lane WHERE lane.lane = lease.lane AND lane.queue = :b;
INSERT INTO arvo.turn (queue, key, number, active, waiting, upto, holder, ready, tally, at)
VALUES (:b, 5, nextval('arvo.turn_number'), 1, 6, 10, NULL, true, '{3,4}', now());
SELECT is(pg_temp.empty('b', 4), 'queued 0/?, parked 4/?, deferred 0/?, leased 0/0', 'lines are emptied from the front');
SELECT results_eq(
    'SELECT active, waiting, upto, holder, ready, tally FROM arvo.turn',
    $$ VALUES (1, 2, 14::bigint, NULL::bigint, true, '{3,4}'::bigint[]) $$, 'and the key knows who is left'
);
SELECT is((SELECT array_agg(place) FROM arvo.parked), '{15,16}', 'the last of them');
INSERT INTO arvo.tombstone (lane, delivery, at) SELECT lane, delivery, now() FROM arvo.parked WHERE place = 16;
SELECT is(pg_temp.empty('b', NULL), 'queued 0/0, parked 1/0, deferred 0/0, leased 0/0', 'what was withdrawn in line does not count');
SELECT is((SELECT waiting FROM arvo.turn), 0, 'but leaves it');
SELECT is(
    (SELECT count(*) FROM arvo.closure CROSS JOIN LATERAL unnest(deliveries) AS gone INNER JOIN arvo.log ON log.delivery = gone
     INNER JOIN arvo.lane USING (lane) WHERE lane.queue = :b), 6::bigint, 'each is in the journal'
);
COMMIT AND CHAIN;

-- a queue that is being drained
DO $$ BEGIN PERFORM arvo_v1.drain_queue('a'); PERFORM arvo_v1.dispatch(pg_temp.event('z' || n, 'a')) FROM generate_series(1, 3) AS n; END; $$;
COMMIT AND CHAIN;
SELECT is(pg_temp.empty('a', NULL), 'queued 3/0, parked 0/0, deferred 0/0, leased 0/1', 'what came after the line goes, too');
COMMIT AND CHAIN;
SELECT ok(
    pg_snapshot_xmax(queue.drained_to) >= pg_snapshot_xmax((arvo.head_of(lane.lane)).snapshot), 'the line is drawn again behind it'
) FROM arvo.queue INNER JOIN arvo.lane USING (queue) WHERE queue.name = 'a' AND lane.priority = 0;

SELECT * FROM finish();
ROLLBACK;
