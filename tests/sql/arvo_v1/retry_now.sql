-- arvo_v1.retry_now(filter…, limit, dry_run): contract, stories, refusals.
BEGIN;
SELECT plan(23);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.retry_now(bigint[],text,text,text,text,text,timestamp with time zone,jsonpath,text,integer,boolean)',
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
    $$ SELECT event_id, queue, place, done, successor FROM arvo_v1.retry_now(p_queue => 'a', p_dry_run => true) $$,
    $$ VALUES ('due', 'a', 'deferred', 'due', NULL::bigint) $$, 'a dry run tells what would be done'
);
SELECT is((SELECT deferred_count FROM arvo_v1.queue_stats('a')), 1::bigint, 'and does nothing');
SELECT results_eq(
    $$ SELECT event_id, queue, place, done, successor FROM arvo_v1.retry_now(p_queue => 'a') $$,
    $$ VALUES ('due', 'a', 'deferred', 'due', NULL::bigint) $$, 'what was to start later'
);
COMMIT AND CHAIN;
CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.claim('{a}', 9);
SELECT is((SELECT array_agg(event ->> 'id' ORDER BY delivery) FROM held), '{a1,a2,a3,a4,a5,due}', 'starts now');
SELECT is_empty($$ SELECT FROM arvo_v1.retry_now(p_queue => 'a') $$, 'what does not wait for a time is not touched');
SELECT count(*) FROM arvo_v1.settle((
    SELECT jsonb_agg(pg_temp.result(lease, delivery, CASE WHEN event ->> 'id' < 'a3' THEN 'failed' ELSE 'snoozed' END, '{"after": 600}'))
    FROM held
)) \gset
COMMIT AND CHAIN;
SELECT is((SELECT array_agg(event_id) FROM arvo_v1.retry_now(p_event_type => 'org.*')), '{due}', 'by a filter');
SELECT is((SELECT array_agg(event_id) FROM arvo_v1.retry_now(p_queue => 'a', p_limit => 2)), '{a5,a1}', 'up to a limit, in order of their numbers');
SELECT is((SELECT array_agg(event_id) FROM arvo_v1.retry_now(p_subject => 's3')), '{a3}', 'by subject');
COMMIT AND CHAIN;
SELECT is(
    (SELECT array_agg((event ->> 'id') || '/' || attempt ORDER BY event ->> 'id') FROM arvo_v1.claim('{a}', 9)), '{a1/2,a3/1,a5/1,due/1}',
    'retries and snoozes, as the attempt that they are'
);
SELECT results_eq(
    $$ SELECT verb, queue, touched FROM arvo.operation ORDER BY number $$,
    $$ VALUES ('retry_now', 'a', 1::bigint), ('retry_now', 'a', 0), ('retry_now', NULL, 1), ('retry_now', 'a', 2), ('retry_now', NULL, 1) $$,
    'it is written down'
);
COMMIT AND CHAIN;

-- what nobody has registered is noticed then
DO $$ BEGIN
    PERFORM arvo_v1.register_queue('arvo.unroutable');
    PERFORM arvo_v1.dispatch(pg_temp.event('lost', 'nowhere'), interval '1 hour');
END; $$;
COMMIT AND CHAIN;
SELECT is((SELECT count(*) FROM arvo_v1.retry_now(p_event_id => 'lost')), 1::bigint, 'an event without a handler');
COMMIT AND CHAIN;
SELECT is((SELECT array_agg(event ->> 'id') FROM arvo_v1.claim('{arvo.unroutable}', 9)), '{lost}', 'is noticed when it is due');

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised('SELECT arvo_v1.retry_now()'),
    'RV006 | argument is not valid | delivery | Nothing says which deliveries are meant.', 'everything, by mistake'
);
SELECT is(pg_temp.raised($$ SELECT arvo_v1.retry_now(p_queue => 'nobody') $$), 'RV003 | queue is not known | queue | queue: "nobody"', 'a queue that nobody knows');
COMMIT AND CHAIN;
UPDATE arvo.origin SET system_identifier = 1;
SELECT is(
    left(pg_temp.raised($$ SELECT arvo_v1.retry_now(p_queue => 'a') $$), 51), 'RV902 | transaction numbers are of another cluster ', 'another cluster''s numbers'
);
ROLLBACK AND CHAIN;
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.retry_now(p_queue => 'a') $$),
    'RV005 | transaction isolation level must be read committed | retry_now was called under repeatable read.', 'a stale view of the ledger'
);

SELECT * FROM finish();
ROLLBACK;
