-- arvo_v1.dispatch_many(events, start_after, priority, ignore_domain, options): contract, stories, refusals.
BEGIN;
SELECT plan(21);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.dispatch_many(jsonb,interval,integer,boolean,jsonb)',
    'SETOF arvo_v1.dispatched', 'plpgsql', 'volatile', true,
    'arvo_client, arvo_operator, arvo_worker',
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
DO $$ BEGIN PERFORM arvo_v1.register_queue('com.test.sink'); END; $$;
SELECT results_eq(
    $$ SELECT ordinal, event_id, queue, outcome FROM arvo_v1.dispatch_many(jsonb_build_array(
           pg_temp.event('1', 'com.test.sink'), pg_temp.event('2', 'com.test.nobody'),
           pg_temp.event('3', 'com.test.sink', '{"domain": "human"}'), pg_temp.event('4', 'com.test.sink'))) $$,
    $$ VALUES (1, '1', 'com.test.sink', 'queued'), (2, '2', 'com.test.nobody', 'unroutable'),
              (3, '3', 'arvo.domain.human', 'domained'), (4, '4', 'com.test.sink', 'queued') $$,
    'each event goes its way, in order'
);
SELECT results_eq(
    $$ SELECT queue, outcome FROM arvo_v1.dispatch_many(jsonb_build_array(
           pg_temp.event('5', 'com.test.sink', '{"domain": "human"}')), '1 second', 7, true) $$,
    $$ VALUES ('com.test.sink', 'deferred') $$, 'start, priority and domain are those of all'
);
SELECT is_empty($$ SELECT * FROM arvo_v1.dispatch_many('[]') $$, 'no events: no rows');
SELECT is(
    (SELECT count(*) FROM arvo_v1.dispatch_many((
        SELECT jsonb_agg(pg_temp.event('many-' || number, 'com.test.sink')) FROM generate_series(1, 2000) AS number
    ))), 2000::bigint, 'two thousand at once'
);
COMMIT AND CHAIN;
SELECT is(
    (SELECT array_agg(event ->> 'id' ORDER BY delivery) FROM arvo_v1.claim('{com.test.sink}', 3)), '{1,4,many-1}',
    'they are delivered in that order'
);

-- stories: in one call, and what is emitted

DO $$ BEGIN PERFORM arvo_v1.register_queue('com.test.short', p_policy => 'short', p_key_from => 'subject'); END; $$;
SELECT results_eq(
    $$ SELECT event_id, outcome, delivery - first_value(delivery) OVER (ORDER BY ordinal) FROM arvo_v1.dispatch_many(jsonb_build_array(
           pg_temp.event('a', 'com.test.short'), pg_temp.event('b', 'com.test.short'), pg_temp.event('a', 'com.test.short'),
           pg_temp.event('b', 'com.test.short'), pg_temp.event('c', 'com.test.short', '{"subject": "order-2"}'))) $$,
    $$ VALUES ('a', 'queued', 0::bigint), ('b', 'throttled', 0), ('a', 'duplicate', 0), ('b', 'throttled', 0), ('c', 'queued', 4) $$,
    'duplicates and throttled ones of one call name the first'
);
SELECT is(
    (SELECT array_agg(event ->> 'id' ORDER BY delivery) FROM arvo.log INNER JOIN arvo.lane USING (lane) INNER JOIN arvo.queue USING (queue)
     WHERE name = 'com.test.short'), '{a,c}', 'only the others go in'
);
SELECT is_empty('SELECT FROM arvo.omission', 'who dispatches is told, so nothing is written down');
SELECT results_eq(
    $$ SELECT event_id, outcome FROM arvo.append(ARRAY[pg_temp.event('a', 'com.test.short'), pg_temp.event('a', 'com.test.sink'),
           pg_temp.event('1', 'com.test.sink')], p_emitted => true) $$,
    $$ VALUES ('a', 'throttled'), ('a', 'queued'), ('1', 'queued') $$, 'what is emitted is never a duplicate, but may be throttled'
);
SELECT results_eq(
    'SELECT at, queue, outcome, first_delivery, event_id, event FROM arvo.omission',
    $$ SELECT timestamptz '2030-01-01Z', 'com.test.short', 'throttled', min(delivery), 'a', pg_temp.event('a', 'com.test.short')
       FROM arvo.log WHERE event ->> 'id' = 'a' AND lane = arvo.lane_for('com.test.short') $$, 'then that is written down'
);

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.dispatch_many(jsonb_build_array(
        pg_temp.event('8', 'com.test.sink'), pg_temp.event('9', 'com.test.sink', '{"id": ""}'), 7)) $$),
    'RV001 | event is not valid | id | event 2 of 3: id: must be a text that is not empty', 'the first faulty event is named'
);
SELECT is_empty($$ SELECT FROM arvo.log WHERE event ->> 'id' = '8' $$, 'and none of the call is stored');
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.dispatch_many('{}') $$),
    'RV006 | argument is not valid | events | events is of type object.', 'an object'
);
SELECT is(
    pg_temp.raised('SELECT * FROM arvo_v1.dispatch_many(NULL)'),
    'RV006 | argument is not valid | events | events is of type null.', 'nothing'
);

SELECT * FROM finish();
ROLLBACK;
