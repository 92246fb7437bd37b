-- arvo.hold(findings): contract, stories.
BEGIN;
SELECT plan(14);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.hold(arvo.finding[])',
    'arvo.finding[]', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off'
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

CREATE FUNCTION pg_temp.locked() RETURNS integer[]
LANGUAGE sql AS $$
    SELECT ARRAY(
        SELECT objid::integer FROM pg_locks
        WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND classid = hashtext('arvo')::oid ORDER BY objid
    )
$$;

CREATE TEMPORARY TABLE was AS SELECT id, (pg_temp.seen(id))[1] AS seen FROM unnest('{a5,b1,due}'::text[]) AS id;
COMMIT AND CHAIN;
SELECT is(
    (SELECT array_agg(kept.place) FROM arvo.hold(ARRAY(SELECT seen FROM was WHERE id = 'b1')) AS held CROSS JOIN LATERAL unnest(held) AS kept),
    '{queued}', 'what was found is there'
);
SELECT is(pg_temp.locked(), ARRAY(SELECT DISTINCT (seen).lane FROM was WHERE id = 'b1'), 'and its lane is held');
COMMIT AND CHAIN;
SELECT arvo.hold(ARRAY(SELECT seen FROM was)) \gset
SELECT is(pg_temp.locked(), ARRAY(SELECT 0 UNION SELECT DISTINCT (seen).lane FROM was ORDER BY 1), 'all lanes; the promotion when something is deferred');
COMMIT AND CHAIN;
DO $$ BEGIN PERFORM arvo_v1.claim('{b}', 1); END; $$;
COMMIT AND CHAIN;
SELECT is(
    (SELECT string_agg(kept.event_id || ' ' || kept.place, ', ' ORDER BY kept.event_id)
     FROM arvo.hold(ARRAY(SELECT seen FROM was)) AS held CROSS JOIN LATERAL unnest(held) AS kept),
    'a5 queued, b1 leased, due deferred', 'what has been claimed meanwhile is leased'
);
COMMIT AND CHAIN;
INSERT INTO arvo.tombstone (lane, delivery, at) SELECT (seen).lane, (seen).delivery, now() FROM was WHERE id = 'a5';
SELECT is((SELECT count(*) FROM unnest(arvo.hold(ARRAY(SELECT seen FROM was WHERE id = 'a5')))), 0::bigint, 'what is over is left out');
SELECT is(arvo.hold(NULL), '{}', 'nothing found: nothing held');
ROLLBACK AND CHAIN;
UPDATE arvo.queue SET max_active = 3 WHERE name = 'a';
SELECT arvo.hold(ARRAY(SELECT seen FROM was WHERE id = 'a5')) \gset
SELECT is(
    pg_temp.locked(),
    ARRAY(SELECT lane.lane FROM arvo.lane INNER JOIN arvo.queue USING (queue) WHERE queue.name = 'a' ORDER BY 1),
    'keys are guarded by the lane of the queue''s own priority'
);
COMMIT AND CHAIN;

SELECT * FROM finish();
ROLLBACK;
