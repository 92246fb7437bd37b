-- arvo_v1.reprioritize(priority, filter…, limit, dry_run): contract, stories, refusals.
BEGIN;
SELECT plan(28);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.reprioritize(integer,bigint[],text,text,text,text,text,timestamp with time zone,jsonpath,text,integer,boolean)',
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

SELECT is(
    (SELECT array_agg(event_id || ' ' || place || ' ' || done) FROM arvo_v1.reprioritize(5, p_queue => 'a', p_dry_run => true)),
    '{"a1 queued moved","a2 queued moved","a3 queued moved","a4 queued moved","due deferred moved"}', 'a dry run tells what would be done; those that have it are passed over'
);
SELECT is_empty('SELECT FROM arvo.tombstone UNION ALL SELECT FROM arvo.operation', 'and does nothing');
SELECT is((SELECT array_agg(event_id || ' ' || done) FROM arvo_v1.reprioritize(9, p_subject => 's3')), '{"a3 moved"}', 'one that waits');
SELECT results_eq(
    $$ SELECT event_id, done, successor = delivery FROM arvo_v1.reprioritize(9, p_event_id => 'due') $$, $$ VALUES ('due', 'moved', true) $$, 'one that is due later'
);
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T01:00:00Z';
SELECT count(*) FROM arvo_v1.maintain() \gset
COMMIT AND CHAIN;
CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.claim('{a}', 3);
SELECT is((SELECT array_agg(event ->> 'id') FROM held), '{a3,due,a5}', 'higher ones first');
SELECT is((SELECT array_agg(event_id || ' ' || done) FROM arvo_v1.reprioritize(1, p_event_id => 'a5')), '{"a5 left"}', 'what somebody holds is left');
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'failed')) FROM held WHERE event ->> 'id' = 'a5')) \gset
SELECT is((SELECT array_agg(event_id || ' ' || done) FROM arvo_v1.reprioritize(-1, p_event_id => 'a5')), '{"a5 moved"}', 'a retry');
COMMIT AND CHAIN;
SELECT is((SELECT array_agg((event ->> 'id') || '/' || attempt) FROM arvo_v1.claim('{a}', 9)), '{a1/1,a2/1,a4/1,a5/2}', 'remains the attempt that it is');
SELECT results_eq(
    $$ SELECT queue, details ->> 'priority', touched FROM arvo.operation ORDER BY number $$,
    $$ VALUES (NULL::text, '9', 1::bigint), (NULL, '9', 1), (NULL, '1', 0), (NULL, '-1', 1) $$, 'it is written down'
);
COMMIT AND CHAIN;

-- a key that waits for a delivery
UPDATE arvo.queue SET policy = 'ordered' WHERE name = 'b';
INSERT INTO arvo.turn (queue, key, number, active, waiting, upto, holder, ready, tally, at)
SELECT queue.queue, log.subject_key, nextval('arvo.turn_number'), 0, 0, 1, log.delivery, false, '{}', now()
FROM arvo.queue INNER JOIN arvo.lane USING (queue) INNER JOIN arvo.log USING (lane) WHERE queue.name = 'b';
SELECT is(
    (SELECT array_agg(event_id || ' ' || done) FROM arvo_v1.reprioritize(7, p_queue => 'b', p_dry_run => true)), '{"b1 left"}', 'what an ordered key waits for'
);
SELECT is((SELECT array_agg(event_id || ' ' || done) FROM arvo_v1.reprioritize(7, p_queue => 'b')), '{"b1 left"}', 'stays where it is');

-- places go along: the tombstones that are left behind have none
DO $$ BEGIN
    PERFORM arvo_v1.register_queue('short', p_policy => 'short');
    PERFORM arvo_v1.register_queue('one', p_policy => 'exclusive');
    PERFORM arvo_v1.dispatch(pg_temp.event('x1', name)) FROM unnest('{short,one}'::text[]) AS name;
END; $$;
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.reprioritize(-5, p_event_id => 'held') \gset
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.reprioritize(0, p_queue => 'short') \gset
COMMIT AND CHAIN;
SELECT is(
    (SELECT array_agg(queue ORDER BY queue) FROM arvo_v1.claim('{short,one}', 10)), '{one,short}',
    'there and back again: a claim that meets both is not troubled'
);
COMMIT AND CHAIN;
SELECT is((arvo_v1.dispatch(pg_temp.event('x2', 'one'))).outcome, 'throttled', 'an exclusive place is kept until its event is finished');
SELECT is((arvo_v1.dispatch(pg_temp.event('x2', 'short'))).outcome, 'queued', 'a short one until it is claimed');
COMMIT AND CHAIN;

-- stories: an event keeps the place of its key

SELECT arvo_v1.register_queue('excl', p_policy => 'exclusive') \gset
SELECT arvo_v1.dispatch(pg_temp.event('held', 'excl')) \gset
COMMIT AND CHAIN;
SELECT is((SELECT done FROM arvo_v1.reprioritize(9, p_event_id => 'held')), 'moved', 'one that has a place');
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.claim('{excl}', 1) \gset
SELECT count(*) FROM arvo_v1.claim('{excl}', 9) \gset
COMMIT AND CHAIN;
SELECT is((arvo_v1.dispatch(pg_temp.event('next', 'excl'))).outcome, 'throttled', 'has it also when its old delivery has been met');
COMMIT AND CHAIN;

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.reprioritize(5) $$),
    'RV006 | argument is not valid | delivery | Nothing says which deliveries are meant.', 'everything, by mistake'
);
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.reprioritize(NULL, p_queue => 'a') $$), 'RV006 | argument is not valid | priority | priority is NULL.', 'no priority'
);
SELECT is(pg_temp.raised($$ SELECT arvo_v1.reprioritize(5, p_queue => 'nobody') $$), 'RV003 | queue is not known | queue | queue: "nobody"', 'a queue that nobody knows');
COMMIT AND CHAIN;
UPDATE arvo.origin SET system_identifier = 1;
SELECT is(
    left(pg_temp.raised($$ SELECT arvo_v1.reprioritize(5, p_queue => 'a') $$), 51), 'RV902 | transaction numbers are of another cluster ', 'another cluster''s numbers'
);
ROLLBACK AND CHAIN;
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.reprioritize(5, p_queue => 'a') $$),
    'RV005 | transaction isolation level must be read committed | reprioritize was called under repeatable read.', 'a stale view of the ledger'
);

SELECT * FROM finish();
ROLLBACK;
