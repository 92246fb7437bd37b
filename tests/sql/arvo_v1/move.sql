-- arvo_v1.move(to, filter…, limit, dry_run): contract, stories, refusals.
BEGIN;
SELECT plan(26);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.move(text,bigint[],text,text,text,text,text,timestamp with time zone,jsonpath,text,integer,boolean)',
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
    (SELECT array_agg(event_id || ' ' || place || ' ' || done) FROM arvo_v1.move('b', p_queue => 'a', p_dry_run => true)),
    '{"a1 queued moved","a2 queued moved","a3 queued moved","a4 queued moved","a5 queued moved","due deferred moved"}', 'a dry run tells what would be done'
);
SELECT is_empty('SELECT FROM arvo.tombstone UNION ALL SELECT FROM arvo.operation', 'and does nothing');
DO $$ BEGIN PERFORM arvo_v1.claim('{a}', 1); END; $$;
COMMIT AND CHAIN;
CREATE TEMPORARY TABLE moved AS SELECT * FROM arvo_v1.move('b', p_queue => 'a', p_limit => 2);
SELECT results_eq('SELECT event_id, queue, place, done FROM moved', $$ VALUES ('a1', 'a', 'queued', 'moved'), ('a2', 'a', 'queued', 'moved') $$, 'what waits, up to a limit');
SELECT results_eq(
    'SELECT log.attempt, log.cause FROM arvo.log INNER JOIN moved ON moved.successor = log.delivery ORDER BY log.delivery',
    $$ SELECT 1, jsonb_build_object('outcome', 'moved', 'delivery', delivery, 'queue', 'a') FROM moved ORDER BY delivery $$, 'it begins again, and says where it comes from'
);
SELECT is((SELECT array_agg(event_id || ' ' || done) FROM arvo_v1.move('b', p_event_id => 'a5')), '{"a5 left"}', 'what somebody holds is left');
SELECT results_eq(
    $$ SELECT event_id, done, successor = delivery FROM arvo_v1.move('b', p_event_id => 'due') $$, $$ VALUES ('due', 'moved', true) $$, 'what is due later keeps its number'
);
SELECT is_empty($$ SELECT FROM arvo_v1.move('b', p_event_id => 'due') $$, 'what is there is not moved again');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:10Z';
SELECT is((SELECT array_agg(event ->> 'id' ORDER BY delivery) FROM arvo_v1.claim('{b}', 9)), '{b1,a1,a2}', 'they are handed out there');
COMMIT AND CHAIN;
SELECT is((SELECT array_agg(event ->> 'id' ORDER BY delivery) FROM arvo_v1.claim('{a}', 9)), '{a3,a4}', 'and here no more');
SELECT is((SELECT array_agg(outcome ORDER BY delivery) FROM arvo_v1.trace('s1')), '{moved,active}', 'the story tells');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T01:00:00Z';
SELECT count(*) FROM arvo_v1.maintain() \gset
COMMIT AND CHAIN;
SELECT is((SELECT array_agg(event ->> 'id') FILTER (WHERE event ->> 'id' = 'due') FROM arvo_v1.claim('{b}', 9)), '{due}', 'at its time, what was due later');
SELECT results_eq(
    $$ SELECT queue, details ->> 'to', touched FROM arvo.operation ORDER BY number $$,
    $$ VALUES ('a', 'b', 2::bigint), (NULL, 'b', 0), (NULL, 'b', 1), (NULL, 'b', 0) $$, 'it is written down'
);

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.move('b') $$),
    'RV006 | argument is not valid | delivery | Nothing says which deliveries are meant.', 'everything, by mistake'
);
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.move('nobody', p_queue => 'a') $$), 'RV003 | queue is not known | to | queue: "nobody"', 'to a queue that nobody knows'
);
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.move('a', p_queue => 'a') $$), 'RV006 | argument is not valid | to | to: a, a queue of policy standard', 'to where it is'
);
UPDATE arvo.queue SET policy = 'short' WHERE name = 'b';
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.move('b', p_queue => 'a') $$), 'RV006 | argument is not valid | to | to: b, a queue of policy short', 'to places that are given out'
);
SELECT is(pg_temp.raised($$ SELECT arvo_v1.move('a', p_queue => 'nobody') $$), 'RV003 | queue is not known | queue | queue: "nobody"', 'a queue that nobody knows');
COMMIT AND CHAIN;
UPDATE arvo.origin SET system_identifier = 1;
SELECT is(
    left(pg_temp.raised($$ SELECT arvo_v1.move('b', p_queue => 'a') $$), 51), 'RV902 | transaction numbers are of another cluster ', 'another cluster''s numbers'
);
ROLLBACK AND CHAIN;
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.move('b', p_queue => 'a') $$),
    'RV005 | transaction isolation level must be read committed | move was called under repeatable read.', 'a stale view of the ledger'
);

SELECT * FROM finish();
ROLLBACK;
