-- arvo.relay(finding, lane): contract, stories.
BEGIN;
SELECT plan(15);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.relay(arvo.finding,integer)',
    'bigint', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_bitmapscan=off'
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

CREATE FUNCTION pg_temp.seen(p_id text) RETURNS arvo.finding[]
LANGUAGE sql AS $$
    SELECT array_agg(seen ORDER BY seen.delivery)
    FROM arvo.find_deliveries(
        NULL, NULL, p_id, NULL, NULL, NULL, NULL, NULL, NULL, '{queued,parked,deferred,leased,dead}', 9
    ) AS seen
$$;

SELECT lane AS to_b FROM arvo.lane INNER JOIN arvo.queue USING (queue) WHERE name = 'b' \gset
SELECT arvo.lane_for('a', 7) AS higher \gset
SELECT arvo.relay((pg_temp.seen('a1'))[1], :to_b) AS new \gset
SELECT results_eq(
    format('SELECT lane, attempt, event, arvo.event_of(log), cause FROM arvo.log WHERE delivery = %s', :new),
    format($$ SELECT %s, 1, NULL::jsonb, event, jsonb_build_object('outcome', 'moved', 'delivery', delivery, 'queue', 'a')
              FROM arvo.log WHERE event ->> 'id' = 'a1' $$, :to_b),
    'a new delivery in the other lane; the event is not written again'
);
SELECT results_eq(
    'SELECT log.event ->> $$id$$, tombstone.reason FROM arvo.tombstone INNER JOIN arvo.log USING (lane, delivery)', $$ VALUES ('a1', 'moved') $$,
    'the old one is withdrawn as moved'
);
UPDATE arvo.deferred SET attempt = 2, cause = '{"outcome": "failed"}', key = 11;
CREATE TEMPORARY TABLE was AS SELECT * FROM arvo.deferred;
SELECT is(arvo.relay((pg_temp.seen('due'))[1], :higher), (SELECT delivery FROM was), 'one that is due later keeps its number');
SELECT results_eq(
    'SELECT delivery, due, lane, attempt, cause, key FROM arvo.deferred',
    format('SELECT delivery, due, %s, 2, cause, 11::bigint FROM was', :higher), 'and within its queue everything else'
);
SELECT arvo.relay((pg_temp.seen('due'))[1], :to_b) \gset
SELECT results_eq(
    'SELECT delivery, due, lane, attempt, cause, key FROM arvo.deferred',
    format($$ SELECT delivery, due, %s, 1, '{"outcome": "failed", "moved_from": "a"}'::jsonb, NULL::bigint FROM was $$, :to_b),
    'in another it begins again, under the key that it has there'
);
UPDATE arvo.queue SET key_from = 'data.amount' WHERE name = 'a';
SELECT arvo.relay((pg_temp.seen('due'))[1], :higher) \gset
SELECT is((SELECT key FROM arvo.deferred), arvo.key_of('7'), 'which stands where that queue says');
UPDATE arvo.queue SET key_from = NULL WHERE name = 'a';
COMMIT AND CHAIN;

-- a retry, which refers to the first delivery
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'failed', '{"error": {"name": "No"}}')) FROM arvo_v1.claim('{a}', 1))) \gset
SELECT arvo.relay((pg_temp.seen('a5'))[1], :higher) AS new \gset
SELECT results_eq(
    format('SELECT attempt, arvo.event_of(log), cause - $$delivery$$ FROM arvo.log WHERE delivery = %s', :new),
    $$ SELECT 2, pg_temp.event('a5', 'a', '{"data": {"amount": 99}}'), '{"outcome": "moved", "queue": "a"}'::jsonb $$,
    'within its queue it is the attempt that it was; the error is that of the one before'
);

COMMIT AND CHAIN;

-- a dead letter goes with its delivery
DO $$ BEGIN PERFORM arvo_v1.register_queue('b', p_dead_letter => 'morgue'); END; $$;
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'failed')) FROM arvo_v1.claim('{b}', 1))) \gset
SELECT event_id AS dead FROM arvo.dead \gset
SELECT lane AS to_a FROM arvo.lane INNER JOIN arvo.queue USING (queue) WHERE name = 'a' AND lane.priority = 0 \gset
SELECT arvo.relay(seen, :to_a) AS new FROM unnest(pg_temp.seen(:'dead')) AS seen WHERE seen.queue = 'morgue' \gset
SELECT results_eq(
    'SELECT dead_letter, dead_letter_lane, dead_letter_delivery, dead_letter_xid, resolution FROM arvo.dead',
    format($$ SELECT 'a', %s, %s::bigint, pg_current_xact_id(), NULL::text $$, :to_a, :new), 'a dead letter goes with its delivery'
);

SELECT * FROM finish();
ROLLBACK;
