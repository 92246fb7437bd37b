-- arvo.retire(queue, head, batch, parked): contract, stories.
BEGIN;
SELECT plan(14);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.retire(arvo.queue,arvo.lease,arvo.log[],boolean)',
    'integer', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('a', p_dead_letter => 'morgue');
    PERFORM arvo_v1.dispatch(pg_temp.event(number::text, 'a')) FROM generate_series(1, 3) AS number;
END;
$$;
COMMIT AND CHAIN;

INSERT INTO arvo.tombstone (lane, delivery, at) SELECT lane, delivery, arvo.clock() FROM arvo.log WHERE event ->> 'id' = '2';
SELECT arvo.retire(target, arvo.head_of(lane.lane), ARRAY(SELECT log FROM arvo.log ORDER BY log.delivery), false) AS dead
FROM arvo.queue AS target INNER JOIN arvo.lane USING (queue) WHERE target.name = 'a' \gset
SELECT is(:dead, 2, 'of three of which one was withdrawn');
SELECT results_eq(
    'SELECT event_id, reason, attempts, error, dead_letter FROM arvo.dead ORDER BY dead',
    $$ SELECT id, 'retention', 0, '{"name": "RetentionExpired", "message": "not run within 14 days of being ready", "stack": null}'::jsonb, 'morgue' FROM unnest('{1,3}'::text[]) AS id $$,
    'dead letters of deliveries that never ran'
);
SELECT results_eq('SELECT outcomes FROM arvo.closure ORDER BY outcomes', $$ VALUES ('{cancelled}'::text[]), ('{dead}') $$, 'the journal says so');
SELECT is_empty('SELECT FROM arvo.tombstone', 'the tombstone is gone');
SELECT results_eq('SELECT cardinality(deliveries), worker, expires_at - leased_at FROM arvo.lease WHERE token <> 0', $$ VALUES (3, 'arvo.maintain', interval '0') $$, 'leased to nobody');
SELECT is((SELECT count(*) FROM arvo.log INNER JOIN arvo.lane USING (lane) INNER JOIN arvo.queue USING (queue) WHERE name = 'morgue'), 2::bigint, 'the dead-letter queue has them');
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('x', p_policy => 'exclusive');
    PERFORM arvo_v1.register_queue('s', p_policy => 'short');
    PERFORM arvo_v1.dispatch(pg_temp.event('4', 'x'));
    PERFORM arvo_v1.dispatch(pg_temp.event('5', 's'));
    PERFORM arvo.retire(target, arvo.head_of(log.lane), ARRAY[log], false) FROM arvo.log INNER JOIN arvo.lane USING (lane) INNER JOIN arvo.queue AS target USING (queue) WHERE name IN ('x', 's');
END;
$$;

SELECT results_eq('SELECT kind, delivery FROM arvo.singleton ORDER BY kind', $$ VALUES ('any', NULL::bigint), ('queued', NULL) $$, 'their places are free');

SELECT * FROM finish();
ROLLBACK;
