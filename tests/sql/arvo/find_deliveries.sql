-- arvo.find_deliveries(filter…, places, limit): contract, stories, refusals.
BEGIN;
SELECT plan(50);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.find_deliveries(bigint[],text,text,text,text,text,timestamp with time zone,jsonpath,text,text[],integer,integer[])',
    'SETOF arvo.finding', 'plpgsql', 'stable', false,
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

CREATE FUNCTION pg_temp.found(
    p_delivery bigint[] DEFAULT NULL, p_queue text DEFAULT NULL, p_event_id text DEFAULT NULL,
    p_event_type text DEFAULT NULL, p_subject text DEFAULT NULL, p_tree text DEFAULT NULL,
    p_before timestamptz DEFAULT NULL, p_path jsonpath DEFAULT NULL, p_text text DEFAULT NULL,
    p_places text[] DEFAULT '{queued,parked,deferred,leased,dead}', p_limit integer DEFAULT 100,
    p_but integer[] DEFAULT '{}'
) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(seen.event_id || ' ' || seen.place, ', ' ORDER BY seen.event_id)
    FROM arvo.find_deliveries(
        p_delivery, p_queue, p_event_id, p_event_type, p_subject, p_tree, p_before, p_path, p_text,
        p_places, p_limit, p_but
    ) AS seen
$$;
CREATE FUNCTION pg_temp.number(p_id text) RETURNS bigint
LANGUAGE sql AS $$
    SELECT max(delivery) FROM (
        SELECT delivery, event FROM arvo.log UNION ALL SELECT delivery, event FROM arvo.deferred
    ) AS known WHERE event ->> 'id' = p_id
$$;

SELECT is(pg_temp.found(p_queue => 'a'), 'a1 queued, a2 queued, a3 queued, a4 queued, a5 queued, due deferred', 'by queue: over all priorities');
SELECT is(pg_temp.found(p_queue => 'a', p_places => '{deferred}'), 'due deferred', 'at the places asked for');
SELECT is(pg_temp.found(p_queue => 'a', p_limit => 2), 'a1 queued, a2 queued', 'in order, up to the limit');
SELECT is(
    pg_temp.found(p_queue => 'a', p_but => ARRAY(SELECT lane FROM arvo.lane WHERE priority = 0)), 'a5 queued', 'but for some lanes'
);
SELECT is(pg_temp.found(ARRAY[pg_temp.number('a2'), pg_temp.number('due'), 0]), 'a2 queued, due deferred', 'by number');
SELECT is(pg_temp.found(ARRAY[pg_temp.number('a2'), pg_temp.number('b1')], 'b'), 'b1 queued', 'by number and queue: both must fit');
SELECT is(pg_temp.found(p_event_id => 'a3'), 'a3 queued', 'by event');
SELECT is(pg_temp.found(p_event_id => 'due'), 'due deferred', 'also one that is due later');
SELECT is(pg_temp.found(p_event_id => 'a3', p_subject => 's2'), NULL, 'an event and another subject: nothing');
SELECT is(pg_temp.found(p_subject => 's2'), 'a2 queued', 'by subject');
SELECT is(pg_temp.found(p_subject => 'order-1'), 'a5 queued, b1 queued, due deferred', 'wherever it is');
SELECT is(pg_temp.found(p_event_type => 'org.*'), 'due deferred', 'by type');
SELECT is(pg_temp.found(p_path => '$.data.amount > 50'), 'a5 queued', 'by path');
SELECT is(pg_temp.found(p_text => '"s4"'), 'a4 queued', 'by text');
SELECT is(pg_temp.found(p_queue => 'b', p_before => '2030-01-01T00:00:00Z'), NULL, 'by time: before');
SELECT is(pg_temp.found(p_queue => 'b', p_before => '2030-01-01T00:00:01Z'), 'b1 queued', 'not at');
SELECT is(pg_temp.found('{}'), NULL, 'no numbers: nothing');

INSERT INTO arvo.lineage (subject_digest, subject, parent_digest, created_at)
VALUES (arvo.subject_digest('s1'), 's1', NULL, now()), (arvo.subject_digest('s2'), 's2', arvo.subject_digest('s1'), now()),
       (arvo.subject_digest('s3'), 's3', arvo.subject_digest('s2'), now());
SELECT is(pg_temp.found(p_tree => 's2'), 'a1 queued, a2 queued, a3 queued', 'by tree: the whole of it, from wherever in it');
SELECT is(pg_temp.found(p_tree => 's2', p_subject => 's3'), 'a3 queued', 'and one subject of it');
SELECT is(pg_temp.found(p_tree => 's2', p_subject => 's4'), NULL, 'which one that is not in it is not');
SELECT is(pg_temp.found(p_tree => 's4'), 'a4 queued', 'a subject that is in no tree is one of its own');

CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.claim('{a}', 3);
SELECT is(pg_temp.found(p_queue => 'a'), 'a1 leased, a2 leased, a3 queued, a4 queued, a5 leased, due deferred', 'what is claimed is leased');
SELECT is(pg_temp.found(p_event_id => 'a1'), 'a1 leased', 'by event, too');
SELECT is(pg_temp.found(ARRAY[pg_temp.number('a1')]), 'a1 leased', 'and by number');
SELECT is(
    (SELECT token FROM arvo.find_deliveries(NULL, NULL, 'a1', NULL, NULL, NULL, NULL, NULL, NULL, '{leased}', 1)),
    (SELECT lease FROM held WHERE event ->> 'id' = 'a1'), 'its lease is told'
);
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'failed', '{"after": 60}')) FROM held WHERE event ->> 'id' <> 'a1')) \gset
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery)) FROM held WHERE event ->> 'id' = 'a1')) \gset
SELECT is(pg_temp.found(p_event_id => 'a1'), NULL, 'what is settled is not found');
SELECT is(pg_temp.found(p_event_id => 'a2'), 'a2 deferred', 'of what is to be retried, the next attempt');
SELECT is(pg_temp.found(p_path => '$.data.amount > 50'), 'a5 deferred', 'whose event stands elsewhere');
INSERT INTO arvo.tombstone (lane, delivery, at) SELECT lane, delivery, now() FROM arvo.log WHERE event ->> 'id' = 'a3';
SELECT is(pg_temp.found(p_event_id => 'a3'), NULL, 'what is withdrawn is not found');
SELECT is(pg_temp.found(p_queue => 'a', p_places => '{queued}'), 'a4 queued', 'in no way');
INSERT INTO arvo.parked (queue, key, place, delivery, lane, xid, at)
SELECT lane.queue, 5, 1, log.delivery, log.lane, log.xid, log.at FROM arvo.log INNER JOIN arvo.lane USING (lane) WHERE log.event ->> 'id' = 'a1';
SELECT is(pg_temp.found(p_queue => 'a', p_places => '{parked}'), 'a1 parked', 'what stands in line');
SELECT is(pg_temp.found(p_event_id => 'a1'), 'a1 parked', 'by event');
COMMIT AND CHAIN;

-- dead letters
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'failed')) FROM arvo_v1.claim('{b}', 9))) \gset
SELECT is(pg_temp.found(p_event_id => 'b1'), 'b1 dead', 'a dead letter, by event');
SELECT is(pg_temp.found(ARRAY[pg_temp.number('b1')]), 'b1 dead', 'and by number');
SELECT is(pg_temp.found(p_tree => 'order-1', p_queue => 'b'), 'b1 dead', 'and by tree');
SELECT is(pg_temp.found(p_queue => 'b'), NULL, 'but not by queue');
DO $$ BEGIN
    PERFORM arvo_v1.register_queue('b', p_dead_letter => 'morgue');
    PERFORM arvo_v1.dispatch(pg_temp.event('b2', 'b'));
END; $$;
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'failed')) FROM arvo_v1.claim('{b}', 9))) \gset
SELECT is(pg_temp.found(ARRAY[pg_temp.number('b2')]), 'b2 queued', 'one with a dead-letter queue is the delivery there');
SELECT is(pg_temp.found(p_queue => 'morgue'), 'b2 queued', 'and found in that queue');

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised('SELECT pg_temp.found()'),
    'RV006 | argument is not valid | delivery | Nothing says which deliveries are meant.', 'everything there is, by mistake'
);
SELECT is(pg_temp.raised($$ SELECT pg_temp.found(p_queue => 'a', p_limit => 0) $$), 'RV006 | argument is not valid | limit | limit: 0', 'a limit of nothing');
SELECT is(pg_temp.raised($$ SELECT pg_temp.found(p_queue => 'a', p_limit => 10001) $$), 'RV006 | argument is not valid | limit | limit: 10001', 'one that is too high');
SELECT is(pg_temp.raised($$ SELECT pg_temp.found(p_queue => 'a', p_limit => NULL) $$), 'RV006 | argument is not valid | limit | limit: ', 'none');
SELECT is(pg_temp.raised($$ SELECT pg_temp.found(p_queue => 'nobody') $$), 'RV003 | queue is not known | queue | queue: "nobody"', 'a queue that nobody knows');

SELECT * FROM finish();
ROLLBACK;
