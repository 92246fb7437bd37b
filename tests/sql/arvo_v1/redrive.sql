-- arvo_v1.redrive(queue, dead, limit, dry_run): contract, stories, refusals.
BEGIN;
SELECT plan(33);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.redrive(text,bigint[],integer,boolean,text,timestamptz,timestamptz,text,text,jsonpath,text,double precision,jsonb,jsonb,text,boolean)',
    'SETOF arvo_v1.redriven', 'plpgsql', 'volatile', true,
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
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('a', p_priority => 3, p_dead_letter => 'morgue');
    PERFORM arvo_v1.register_queue('b');
    PERFORM arvo_v1.dispatch(pg_temp.event('a' || number, 'a')) FROM generate_series(1, 6) AS number;
    PERFORM arvo_v1.dispatch(pg_temp.event('b' || number, 'b')) FROM generate_series(1, 3) AS number;
END;
$$;
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.settle((
    SELECT jsonb_agg(pg_temp.result(lease, delivery, 'rejected', '{"error": {"name": "No"}}') ORDER BY event ->> 'id')
    FROM arvo_v1.claim('{a,b}', 99))) \gset
COMMIT AND CHAIN;
CREATE FUNCTION pg_temp.dead(p_id text) RETURNS bigint
LANGUAGE sql AS $$ SELECT dead FROM arvo.dead WHERE event_id = p_id AND resolution IS NULL $$;
SET arvo.frozen_clock = '2030-01-01T00:00:05Z';

SELECT results_eq(
    $$ SELECT dead, event_id, delivery, queue FROM arvo_v1.redrive('b', p_dry_run => true) $$,
    $$ SELECT dead, event_id, NULL::bigint, 'b' FROM arvo.dead WHERE queue = 'b' ORDER BY dead $$, 'a dry run tells what would be done'
);
SELECT is((SELECT count(*) FROM arvo.log WHERE cause ->> 'outcome' = 'redriven'), 0::bigint, 'and does nothing');
SELECT is((SELECT count(*) FROM arvo.dead WHERE resolution IS NOT NULL), 0::bigint, 'at all');
CREATE TEMPORARY TABLE redriven AS SELECT * FROM arvo_v1.redrive('b', p_limit => 2);
SELECT results_eq('SELECT event_id, queue FROM redriven', $$ VALUES ('b1', 'b'), ('b2', 'b') $$, 'the oldest first, up to the limit');
SELECT results_eq(
    $$ SELECT log.delivery, log.attempt, log.at, log.event, log.cause
       FROM arvo.log WHERE log.cause ->> 'outcome' = 'redriven' ORDER BY log.delivery $$,
    $$ SELECT redriven.delivery, 1, timestamptz '2030-01-01 00:00:05Z', dead.event,
              jsonb_build_object('outcome', 'redriven', 'dead', dead.dead, 'delivery', dead.delivery, 'error', dead.error, 'redrives', 1)
       FROM redriven INNER JOIN arvo.dead USING (dead) ORDER BY redriven.delivery $$,
    'the event starts again: attempt 1, whole, with its story'
);
SELECT results_eq(
    $$ SELECT event_id, resolution, resolved_at, resolved_by = session_user FROM arvo.dead WHERE queue = 'b' ORDER BY dead $$,
    $$ VALUES ('b1', 'redriven', timestamptz '2030-01-01 00:00:05Z', true), ('b2', 'redriven', '2030-01-01 00:00:05Z', true),
              ('b3', NULL, NULL, NULL) $$, 'the dead letter is closed, by whom and when'
);
SELECT is_empty(
    'SELECT * FROM arvo_v1.redrive(p_dead => (SELECT array_agg(dead) FROM redriven))', 'once: what was redriven is not any more'
);
COMMIT AND CHAIN;

-- A dead letter that dies again remembers.
CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.claim('{b}', 9);
SELECT is((SELECT array_agg(event ->> 'id' ORDER BY delivery) FROM held), '{b1,b2}', 'they are delivered again');
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'rejected')) FROM held WHERE event ->> 'id' = 'b1')) \gset
SELECT is((SELECT redrives FROM arvo.dead WHERE dead = pg_temp.dead('b1')), 1, 'that it was redriven once');
COMMIT AND CHAIN;

-- stories: with a dead-letter queue

SELECT results_eq(
    $$ SELECT event_id, queue FROM arvo_v1.redrive('a', ARRAY[pg_temp.dead('a2'), pg_temp.dead('b3')]) $$,
    $$ VALUES ('a2', 'a') $$, 'by queue and number: both must fit'
);
SELECT results_eq(
    $$ SELECT tombstone.lane, tombstone.delivery FROM arvo.tombstone $$,
    $$ SELECT dead_letter_lane, dead_letter_delivery FROM arvo.dead WHERE event_id = 'a2' $$,
    'its delivery in the dead-letter queue is withdrawn'
);
SELECT is((SELECT queued_count FROM arvo_v1.queue_stats('morgue')), 5::bigint, 'and counts there no more');
COMMIT AND CHAIN;
CREATE TEMPORARY TABLE morgue AS SELECT * FROM arvo_v1.claim('{morgue}', 2);
SELECT is(
    (SELECT array_agg(event ->> 'id' ORDER BY delivery) FROM morgue), '{a1}', 'a claim of the dead-letter queue passes it over'
);
SELECT results_eq(
    $$ SELECT deliveries, outcomes FROM arvo.closure WHERE token = (SELECT lease FROM morgue) $$,
    $$ SELECT ARRAY[dead_letter_delivery], '{cancelled}'::text[] FROM arvo.dead WHERE event_id = 'a2' $$, 'and closes it as cancelled'
);
SELECT is_empty('SELECT FROM arvo.tombstone', 'the tombstone has done its work');
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT event_id FROM arvo_v1.redrive('morgue', p_limit => 2) $$, $$ VALUES ('a3'), ('a4') $$,
    'by the dead-letter queue; what its consumer has in hands is left alone'
);
SELECT results_eq(
    $$ SELECT event ->> 'id', attempt FROM arvo_v1.claim('{a}', 9) $$, $$ VALUES ('a2', 1) $$, 'what was redriven before is claimed, by the queue''s priority'
);
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'snoozed', '{"after": 60}')) FROM morgue)) \gset
COMMIT AND CHAIN;
SELECT is_empty(
    $$ SELECT * FROM arvo_v1.redrive(p_dead => ARRAY[pg_temp.dead('a1')]) $$, 'also what he has put off'
);
SET arvo.frozen_clock = '2030-01-01T00:01:05Z';
SELECT count(*) FROM arvo_v1.maintain() \gset
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT event_id FROM arvo_v1.redrive(p_dead => ARRAY[pg_temp.dead('a1')]) $$, $$ VALUES ('a1') $$, 'until it lies there again'
);
COMMIT AND CHAIN;
SELECT is(
    (SELECT array_agg(event ->> 'id' ORDER BY delivery) FROM arvo_v1.claim('{morgue}', 1)), '{a5}',
    'a claim that meets only withdrawn deliveries goes on to the next that is not'
);
COMMIT AND CHAIN;
SELECT is(
    (SELECT array_agg(event ->> 'id' ORDER BY delivery) FROM arvo_v1.claim('{morgue}', 9)), '{a6}', 'and none comes twice'
);
COMMIT AND CHAIN;
SELECT is_empty($$ SELECT * FROM arvo_v1.claim('{morgue}', 9) $$, 'the one that had been put off is met last');
SELECT is_empty('SELECT FROM arvo.tombstone', 'no tombstone is left');
SELECT is_empty($$ SELECT * FROM arvo_v1.redrive('nobody') $$, 'of a queue that does not exist there are none');
COMMIT AND CHAIN;

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised('SELECT * FROM arvo_v1.redrive()'),
    'RV006 | argument is not valid | queue | Neither queue nor dead is given.', 'all of them at once, by mistake'
);
COMMIT AND CHAIN;
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.redrive('a') $$),
    'RV005 | transaction isolation level must be read committed | redrive was called under repeatable read.', 'a stale view of the ledger'
);

SELECT * FROM finish();
ROLLBACK;
