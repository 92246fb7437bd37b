-- arvo_v1.publish(event, options): contract, refusals, stories.
BEGIN;
SELECT plan(38);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.publish(jsonb, jsonb)',
    'SETOF arvo_v1.dispatched', 'plpgsql', 'volatile', true,
    'arvo_client, arvo_operator, arvo_worker',
    ARRAY['search_path=pg_catalog, pg_temp', 'enable_seqscan=off', 'enable_bitmapscan=off', 'enable_hashjoin=off',
          'enable_mergejoin=off', 'jit=off', 'plan_cache_mode=force_generic_plan']
);

-- refusals --------------------------------------------------------------------------------------

SELECT matches(pg_temp.raised($$ SELECT arvo_v1.publish('{}') $$), '^RV001 \| event is not valid \| id \|', 'what is no event is refused');
SELECT matches(
    pg_temp.raised($$ SELECT arvo_v1.publish(pg_temp.event('1', 'x'), '{"nope": 1}') $$), '^RV002 \| option is not valid \| nope',
    'so is an option that there is not'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01 00:00:00+00';
SELECT results_eq(
    $$ SELECT * FROM arvo_v1.publish(pg_temp.event('1', 'x')) $$,
    $$ VALUES (1, '1', NULL::bigint, 'arvo.publish', 'unheard') $$, 'nobody subscribes: that is said, and nothing is stored'
);
SELECT is((SELECT count(*) FROM arvo.log), 0::bigint, 'nothing in the log');

SELECT arvo_v1.register_queue('audit');
SELECT arvo_v1.register_queue('mail', p_singleton_for => '1 hour');
SELECT arvo_v1.register_queue('later', p_start_after => '10 seconds');
SELECT arvo_v1.subscribe('audit', '**');
SELECT arvo_v1.subscribe('audit', 'com.test.*');
SELECT arvo_v1.subscribe('mail', 'com.test.event');
SELECT arvo_v1.subscribe('later', 'com.*.event');
SELECT arvo_v1.subscribe('nobody', 'com.**');
SELECT arvo_v1.subscribe('other', 'com.other.*');
COMMIT AND CHAIN;

SELECT results_eq(
    $$ SELECT ordinal, event_id, queue, outcome FROM arvo_v1.publish(pg_temp.event('1', 'x', '{"domain": "human"}')) $$,
    $$ VALUES (1, '1', 'audit', 'queued'), (1, '1', 'later', 'deferred'), (1, '1', 'mail', 'queued'), (1, '1', 'nobody', 'unroutable') $$,
    'each queue gets one copy, whatever "to" and "domain" say, and however many patterns match'
);
SELECT is(
    (SELECT count(*) FILTER (WHERE event IS NOT NULL AND lane > 0) FROM arvo.log), 1::bigint, 'the body is written once, for those that go in at once'
);
SELECT is((SELECT count(*) FROM arvo.deferred WHERE event IS NULL), 1::bigint, 'and what goes in later refers to it');
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT queue, event ->> 'id', attempt FROM arvo_v1.claim('{audit,mail,nobody}', 10) ORDER BY queue $$,
    $$ VALUES ('audit', '1', 1), ('mail', '1', 1), ('nobody', '1', 1) $$, 'every copy is handed out whole'
);
SET arvo.frozen_clock = '2030-01-01 00:00:10+00';
SELECT is_empty($$ SELECT FROM arvo_v1.claim('{later}') $$, 'what is due now is promoted');
COMMIT AND CHAIN;
SELECT is((SELECT event -> 'data' FROM arvo_v1.claim('{later}')), '{"amount": 7}', 'and handed out whole, too');
COMMIT AND CHAIN;

SELECT results_eq(
    $$ SELECT queue, outcome FROM arvo_v1.publish(pg_temp.event('1', 'x')) $$,
    $$ VALUES ('audit', 'duplicate'), ('later', 'duplicate'), ('mail', 'duplicate'), ('nobody', 'duplicate') $$,
    'the same again is a duplicate, queue by queue'
);
SELECT results_eq(
    $$ SELECT queue, outcome FROM arvo_v1.publish(pg_temp.event('2', 'x')) $$,
    $$ VALUES ('audit', 'queued'), ('later', 'deferred'), ('mail', 'throttled'), ('nobody', 'unroutable') $$,
    'each queue has a policy of its own'
);
COMMIT AND CHAIN;

-- handlers publish by emitting
SELECT arvo_v1.register_queue('maker');
SELECT arvo_v1.dispatch(pg_temp.event('3', 'maker'));
COMMIT AND CHAIN;
CREATE TEMPORARY TABLE made AS SELECT * FROM arvo_v1.claim('{maker}');
SELECT results_eq(
    $$ SELECT outcome FROM made, LATERAL arvo_v1.settle(jsonb_build_array(pg_temp.result(lease, delivery, 'completed', jsonb_build_object('events', jsonb_build_array(
        pg_temp.event('4', 'arvo.publish', '{"type": "com.other.news"}'), pg_temp.event('5', 'audit'), pg_temp.event('6', 'arvo.publish', '{"type": "org.none.ever"}'),
        pg_temp.event('7', 'arvo.publish')
    ))))) $$,
    $$ VALUES ('completed') $$, 'a handler publishes by emitting to arvo.publish'
);
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT DISTINCT queue, event ->> 'id' FROM arvo_v1.claim('{audit,mail,nobody,other}', 100) WHERE event ->> 'id' IN ('4', '5', '6', '7') ORDER BY 2, 1 $$,
    $$ VALUES ('audit', '4'), ('nobody', '4'), ('other', '4'), ('audit', '5'), ('audit', '6'), ('audit', '7'), ('nobody', '7') $$,
    'copies and plain events side by side'
);
SELECT results_eq(
    $$ SELECT queue, outcome, event_id, event ->> 'id' FROM arvo.omission ORDER BY number $$, $$ VALUES ('mail', 'throttled', '7', '7') $$,
    'what a policy did not take is written down: nobody was there to be told'
);
SELECT arvo_v1.unsubscribe('audit');
SELECT arvo_v1.dispatch(pg_temp.event('8', 'maker'));
COMMIT AND CHAIN;
CREATE TEMPORARY TABLE more AS SELECT * FROM arvo_v1.claim('{maker}');
SELECT is(
    (SELECT outcome FROM more, LATERAL arvo_v1.settle(jsonb_build_array(pg_temp.result(lease, delivery, 'completed', jsonb_build_object('events', jsonb_build_array(
        pg_temp.event('9', 'arvo.publish', '{"type": "org.none.ever"}')
    )))))), 'completed', 'emitting what nobody hears completes'
);
SELECT results_eq(
    $$ SELECT queue, outcome, event ->> 'id' FROM arvo.omission WHERE outcome = 'unheard' $$, $$ VALUES ('arvo.publish', 'unheard', '9') $$, 'and is written down'
);
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.register_queue('arvo.publish') $$), 'RV002 | option is not valid | queue | option queue of queue "arvo.publish"',
    'nobody may register arvo.publish itself'
);

-- a retry of a copy, and its history
SELECT arvo_v1.subscribe('audit', '**');
SELECT count(*) FROM arvo_v1.publish(pg_temp.event('10', 'x', '{"subject": "told"}'));
COMMIT AND CHAIN;
CREATE TEMPORARY TABLE failing AS SELECT * FROM arvo_v1.claim('{audit}', 10) WHERE event ->> 'id' = '10';
SELECT is(
    (SELECT outcome FROM failing, LATERAL arvo_v1.settle(jsonb_build_array(pg_temp.result(lease, delivery, 'failed')))), 'retried', 'a copy is retried by itself'
);
COMMIT AND CHAIN;
SELECT is((SELECT event ->> 'subject' FROM arvo_v1.claim('{audit}', 10)), 'told', 'and is still whole');
SELECT is(
    (SELECT count(*) FROM arvo_v1.trace('told') WHERE event_id = '10'), 4::bigint, 'the story has every copy, and the retry (mail had its share of the hour)'
);

-- copies and places
SELECT arvo_v1.register_queue(name, p_policy => 'exclusive') FROM unnest('{one,two}'::text[]) AS name;
SELECT arvo_v1.subscribe(name, 'com.place.*') FROM unnest('{one,two}'::text[]) AS name;
SELECT count(*) FROM arvo_v1.publish(pg_temp.event('11', 'x', '{"type": "com.place.taken"}')) \gset
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.settle((
    SELECT jsonb_agg(pg_temp.result(lease, delivery, 'completed')) FROM arvo_v1.claim('{one,two}', 10)
)) \gset
SELECT is_empty('SELECT FROM arvo.singleton WHERE delivery IS NOT NULL', 'each copy gives back the place that it has taken');
SELECT results_eq(
    $$ SELECT queue, outcome FROM arvo_v1.publish(pg_temp.event('12', 'x', '{"type": "com.place.taken"}')) WHERE queue IN ('one', 'two') $$,
    $$ VALUES ('one', 'queued'), ('two', 'queued') $$, 'so that the next event finds it free'
);

-- queues that are closed to the publisher
CREATE ROLE arvo_test_pub_inside NOLOGIN IN ROLE arvo_client, arvo_worker;
CREATE ROLE arvo_test_pub_outside NOLOGIN IN ROLE arvo_client, arvo_worker;
SELECT count(*) FROM arvo_v1.grant_queue('inbox', 'arvo_test_pub_inside', '{dispatch}') \gset
SELECT arvo_v1.register_queue(name) FROM unnest('{inbox,open,maker2}'::text[]) AS name;
SELECT arvo_v1.unsubscribe('audit');
SELECT arvo_v1.subscribe('open', 'net.door.*');
SELECT is(
    pg_temp.as_role('arvo_test_pub_outside', $$ SELECT arvo_v1.subscribe('inbox', 'net.door.**') $$), 'true', 'whoever may consume a queue may have it subscribe'
);
COMMIT AND CHAIN;
CREATE FUNCTION pg_temp.published(p_role text, p_id text) RETURNS text
LANGUAGE sql AS $$
    SELECT pg_temp.as_role(p_role, format(
        'SELECT string_agg(concat_ws('' '', ordinal, queue, outcome, delivery IS NOT NULL), '', '' ORDER BY queue) FROM arvo_v1.publish(%L)',
        pg_temp.event(p_id, 'x', '{"type": "net.door.bell", "subject": "door"}')
    ))
$$;
SELECT is(
    pg_temp.published('arvo_test_pub_outside', '13'), '1 inbox closed f, 1 open queued t',
    'a queue that is closed to the publisher refuses only itself, and says so'
);
SELECT is(
    pg_temp.published('arvo_test_pub_inside', '14'), '1 inbox queued t, 1 open queued t', 'it is open to others'
);
COMMIT AND CHAIN;
SELECT is(
    pg_temp.as_role('arvo_test_pub_outside', format(
        'SELECT string_agg(concat_ws('' '', ordinal, queue, outcome), '', '' ORDER BY ordinal, queue) FROM arvo_v1.dispatch_many(%L)',
        jsonb_build_array(
            pg_temp.event('15', 'open'), pg_temp.event('16', 'arvo.publish', '{"type": "net.door.bell"}'),
            pg_temp.event('17', 'arvo.publish', '{"type": "net.door.bell"}')
        )
    )),
    '1 open queued, 2 inbox closed, 2 open queued, 3 inbox closed, 3 open queued', 'many at once are told one by one'
);
SELECT arvo_v1.unsubscribe('open');
SELECT is(pg_temp.published('arvo_test_pub_outside', '18'), '1 inbox closed f', 'nothing is stored where nothing is open');
SELECT count(*) FROM arvo_v1.dispatch(pg_temp.event('19', 'maker2')) \gset
COMMIT AND CHAIN;
SELECT is(
    pg_temp.as_role('arvo_test_pub_outside', $$
        SELECT settled.outcome FROM arvo_v1.claim('{maker2}') AS held, LATERAL arvo_v1.settle(jsonb_build_array(jsonb_build_object(
            'lease', held.lease, 'delivery', held.delivery, 'outcome', 'completed', 'events', jsonb_build_array(
                jsonb_set(held.event, '{id}', '"20"') || '{"to": "arvo.publish", "type": "net.door.bell"}'
            )
        ))) AS settled
    $$), 'completed', 'a handler''s result is not refused for what others subscribe to'
);
SELECT results_eq(
    $$ SELECT queue, outcome, event ->> 'id' FROM arvo.omission WHERE outcome = 'closed' $$, $$ VALUES ('inbox', 'closed', '20') $$,
    'what it published and was left out is written down'
);
COMMIT AND CHAIN;
SELECT is(
    (SELECT string_agg(event ->> 'id', ',') FROM arvo_v1.claim('{inbox}', 10)), '14', 'the closed queue has what came from those who may, and no more'
);

SELECT * FROM finish();
ROLLBACK;
