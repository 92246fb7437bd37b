-- arvo_v1.cancel(filter…, include_running, limit, dry_run, reason): contract, stories, refusals.
BEGIN;
SELECT plan(39);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.cancel(bigint[],text,text,text,text,text,timestamp with time zone,jsonpath,text,boolean,integer,boolean,text)',
    'SETOF arvo_v1.intervention', 'plpgsql', 'volatile', true,
    'arvo_operator',
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

SELECT results_eq(
    $$ SELECT event_id, queue, place, done, successor FROM arvo_v1.cancel(p_queue => 'a', p_dry_run => true) $$,
    $$ VALUES ('a1', 'a', 'queued', 'cancelled', NULL::bigint), ('a2', 'a', 'queued', 'cancelled', NULL), ('a3', 'a', 'queued', 'cancelled', NULL),
              ('a4', 'a', 'queued', 'cancelled', NULL), ('a5', 'a', 'queued', 'cancelled', NULL), ('due', 'a', 'deferred', 'cancelled', NULL) $$,
    'a dry run tells what would be done'
);
SELECT is_empty('SELECT FROM arvo.tombstone UNION ALL SELECT FROM arvo.operation', 'and does nothing');
SELECT is(
    (SELECT array_agg(event_id || ' ' || place || ' ' || done) FROM arvo_v1.cancel(p_path => '$.data.amount > 50', p_reason => 'a mistake')),
    '{"a5 queued cancelled"}', 'one that waits'
);
SELECT is(
    (SELECT array_agg(event_id || ' ' || place || ' ' || done) FROM arvo_v1.cancel((SELECT array_agg(delivery) FROM arvo.deferred))),
    '{"due deferred cancelled"}', 'one that is due later'
);
SELECT is_empty($$ SELECT FROM arvo_v1.cancel(p_event_id => 'a5') $$, 'once');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T02:00:00Z';
CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.claim('{a}', 2);
COMMIT AND CHAIN;
DELETE FROM held;
INSERT INTO held SELECT * FROM arvo_v1.claim('{a}', 2);
SELECT is((SELECT array_agg(event ->> 'id' ORDER BY delivery) FROM held), '{a3,a4}', 'they are not handed out, the others are');
COMMIT AND CHAIN;
SELECT is_empty($$ SELECT FROM arvo_v1.claim('{a}', 9) $$, 'not later, either');
SELECT is_empty('SELECT FROM arvo.tombstone', 'nothing is left of them');
SELECT results_eq(
    $$ SELECT touched, details FROM arvo.operation ORDER BY number LIMIT 1 $$,
    $$ VALUES (1::bigint, '{"path": "($.\"data\".\"amount\" > 50)", "limit": 1000, "reason": "a mistake", "include_running": false}'::jsonb) $$, 'it is written down, with the reason'
);

-- what somebody holds
SELECT is(
    (SELECT array_agg(event_id || ' ' || place || ' ' || done) FROM arvo_v1.cancel(p_event_id => 'a3', p_dry_run => true)), '{"a3 leased left"}', 'what somebody holds'
);
SELECT is(
    (SELECT array_agg(event_id || ' ' || place || ' ' || done) FROM arvo_v1.cancel(p_event_id => 'a3')), '{"a3 leased left"}', 'is left alone, and said so'
);
SELECT is_empty($$ SELECT FROM arvo_v1.cancel(p_queue => 'a') $$, 'a filter passes it over');
SELECT is(
    (SELECT array_agg(event_id || ' ' || place || ' ' || done) FROM arvo_v1.cancel(p_event_id => 'a3', p_include_running => true)),
    '{"a3 leased cancelled"}', 'unless the running are meant'
);
SELECT is(
    (SELECT array_agg(concat_ws(' ', held.event ->> 'id', verdict.outcome, verdict.code) ORDER BY verdict.ordinal)
     FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery) ORDER BY delivery) FROM held)) AS verdict INNER JOIN held USING (delivery)),
    '{"a3 refused RV301","a4 completed"}', 'then its result is refused; that of others of the lease is not'
);
SELECT is(
    (SELECT array_agg(held ORDER BY lease) FROM arvo_v1.extend((SELECT array_agg(DISTINCT lease) FROM held))), '{false}', 'and a heartbeat hears it'
);
SELECT is_empty($$ SELECT FROM arvo_v1.cancel(p_event_id => 'a4', p_include_running => true) $$, 'what is settled is over');
COMMIT AND CHAIN;

-- dead letters
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'failed')) FROM arvo_v1.claim('{b}', 9))) \gset
SELECT is(
    (SELECT array_agg(event_id || ' ' || queue || ' ' || place || ' ' || done) FROM arvo_v1.cancel(p_event_id => 'b1')), '{"b1 b dead cancelled"}', 'a dead letter'
);
SELECT is((SELECT resolution || ' ' || (resolved_by = session_user) FROM arvo.dead), 'discarded true', 'is discarded');
SELECT is_empty($$ SELECT FROM arvo_v1.cancel(p_event_id => 'b1') $$, 'once');
DO $$ BEGIN
    PERFORM arvo_v1.register_queue('b', p_dead_letter => 'morgue');
    PERFORM arvo_v1.dispatch(pg_temp.event('b2', 'b'));
    PERFORM arvo_v1.dispatch(pg_temp.event('b3', 'b'));
END; $$;
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'failed')) FROM arvo_v1.claim('{b}', 9))) \gset
COMMIT AND CHAIN;
SELECT is(
    (SELECT array_agg(event_id || ' ' || queue || ' ' || place || ' ' || done) FROM arvo_v1.cancel((SELECT array_agg(delivery) FROM arvo.dead WHERE event_id = 'b2'))),
    '{"b2 morgue queued cancelled"}', 'one that lies in a dead-letter queue is cancelled there'
);
SELECT is((SELECT resolution FROM arvo.dead WHERE event_id = 'b2'), 'discarded', 'and discarded');
COMMIT AND CHAIN;
DO $$ BEGIN PERFORM arvo_v1.claim('{morgue}', 9); END; $$;
COMMIT AND CHAIN;
SELECT is(
    (SELECT array_agg(event_id || ' ' || place || ' ' || done) FROM arvo_v1.cancel(p_event_id => 'b3', p_include_running => true)),
    '{"b3 leased cancelled"}', 'also out of the hands of its consumer'
);
SELECT is((SELECT resolution FROM arvo.dead WHERE event_id = 'b3'), 'discarded', 'and discarded');
COMMIT AND CHAIN;

-- a tree of workflows
DO $$ BEGIN
    PERFORM arvo_v1.register_queue('t');
    PERFORM arvo_v1.dispatch(pg_temp.event(id, 't', jsonb_build_object('subject', of)), after)
    FROM (VALUES ('t1', 'root', NULL::interval), ('t2', 'child', NULL), ('t3', 'grandchild', interval '1 hour'), ('t4', 'stranger', NULL))
        AS given (id, of, after);
END; $$;
INSERT INTO arvo.lineage (subject_digest, subject, parent_digest, created_at)
SELECT arvo.subject_digest(of), of, arvo.subject_digest(parent), now()
FROM (VALUES ('root', NULL), ('child', 'root'), ('grandchild', 'child')) AS given (of, parent);
COMMIT AND CHAIN;
SELECT is(
    (SELECT array_agg(event_id || ' ' || place || ' ' || done) FROM arvo_v1.cancel(p_tree => 'child')),
    '{"t1 queued cancelled","t2 queued cancelled","t3 deferred cancelled"}', 'a whole tree, from any subject in it'
);
COMMIT AND CHAIN;
SELECT is((SELECT array_agg(event ->> 'id') FROM arvo_v1.claim('{t}', 9)), '{t4}', 'and nothing else');
COMMIT AND CHAIN;

-- an ordered key
DO $$ BEGIN
    PERFORM arvo_v1.register_queue('o');
    PERFORM arvo_v1.dispatch(pg_temp.event('o1', 'o'));
END; $$;
UPDATE arvo.queue SET policy = 'ordered' WHERE name = 'o';
INSERT INTO arvo.turn (queue, key, number, active, waiting, upto, holder, ready, tally, at)
SELECT queue.queue, log.subject_key, nextval('arvo.turn_number'), 0, 0, 1, log.delivery, false, '{}', now()
FROM arvo.queue INNER JOIN arvo.lane USING (queue) INNER JOIN arvo.log USING (lane) WHERE queue.name = 'o';
COMMIT AND CHAIN;
SELECT is((SELECT done FROM arvo_v1.cancel(p_event_id => 'o1')), 'cancelled', 'a delivery that its key waits for');
SELECT is((SELECT holder FROM arvo.turn ORDER BY number DESC LIMIT 1), NULL, 'is waited for no more');

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised('SELECT arvo_v1.cancel()'),
    'RV006 | argument is not valid | delivery | Nothing says which deliveries are meant.', 'everything, by mistake'
);
SELECT is(pg_temp.raised($$ SELECT arvo_v1.cancel(p_queue => 'a', p_limit => 0) $$), 'RV006 | argument is not valid | limit | limit: 0', 'a limit of nothing');
SELECT is(pg_temp.raised($$ SELECT arvo_v1.cancel(p_queue => 'nobody') $$), 'RV003 | queue is not known | queue | queue: "nobody"', 'a queue that nobody knows');
COMMIT AND CHAIN;
UPDATE arvo.origin SET system_identifier = 1;
SELECT is(
    left(pg_temp.raised($$ SELECT arvo_v1.cancel(p_queue => 'a') $$), 51), 'RV902 | transaction numbers are of another cluster ', 'another cluster''s numbers'
);
ROLLBACK AND CHAIN;
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.cancel(p_queue => 'a') $$),
    'RV005 | transaction isolation level must be read committed | cancel was called under repeatable read.', 'a stale view of the ledger'
);

SELECT * FROM finish();
ROLLBACK;
