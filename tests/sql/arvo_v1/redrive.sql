-- arvo_v1.redrive(queue, dead, limit, dry_run, …): contract, stories, refusals.
BEGIN;
SELECT plan(88);
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
    $$ SELECT * FROM arvo_v1.redrive('b', p_dry_run => true) $$,
    $$ SELECT dead, event_id, NULL::bigint, 'b', 'redriven', NULL::text, NULL::text, NULL::timestamptz FROM arvo.dead WHERE queue = 'b' ORDER BY dead $$,
    'a dry run tells what would be done'
);
SELECT is((SELECT count(*) FROM arvo.operation), 0::bigint, 'it is not written down');
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
SELECT is_empty($$ SELECT * FROM arvo_v1.redrive(p_subject => 'order-1', p_text => '"a1"') $$, 'also what he has put off');
SELECT results_eq(
    $$ SELECT event_id, delivery, queue, outcome, code, detail FROM arvo_v1.redrive(p_dead => ARRAY[pg_temp.dead('a1')]) $$,
    $$ VALUES ('a1', NULL::bigint, 'a', 'refused', 'RV103', 'a consumer of morgue, or another operator, has it') $$,
    'whoever asks for it by number is told'
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

-- stories: filters, edits, rates, other queues, limits

SET arvo.frozen_clock = '2030-01-02T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('c');
    PERFORM arvo_v1.register_queue('d');
    PERFORM arvo_v1.dispatch(pg_temp.event('c' || n, 'c', jsonb_build_object('subject', 's' || n, 'data', jsonb_build_object('n', n, 'old', true))))
    FROM generate_series(1, 9) AS n;
END;
$$;
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.settle((
    SELECT jsonb_agg(pg_temp.result(lease, delivery, CASE WHEN event ->> 'id' < 'c9' THEN 'rejected' ELSE 'completed' END) ORDER BY event ->> 'id')
    FROM arvo_v1.claim('{c}', 99))) \gset
COMMIT AND CHAIN;
CREATE FUNCTION pg_temp.told(p_more text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    v_told text;
BEGIN
    EXECUTE format(
        'SELECT string_agg(concat_ws('' '', event_id, nullif(outcome, ''redriven''), code), '', '' ORDER BY ordinality)
         FROM arvo_v1.redrive(%s) WITH ORDINALITY', p_more
    ) INTO v_told;
    RETURN v_told;
END;
$$;
SELECT is(
    pg_temp.told($$ 'c', p_dry_run => true, p_path => '$.data.n > 2', p_text => 'C4', p_event_type => 'com.test.event', p_reason => 'rejected',
                    p_since => '2030-01-02T00:00:00Z', p_before => '2030-01-02T00:00:01Z' $$),
    'c4', 'all filters must fit'
);
SELECT is(pg_temp.told($$ p_before => '2030-01-02T00:00:00Z', p_event_type => 'com.test.event', p_dry_run => true, p_limit => 9 $$), 'b3, b1', 'by age');
SELECT is(pg_temp.told($$ p_subject => 's5', p_dry_run => true $$), 'c5', 'by subject');
SELECT is(pg_temp.told($$ p_reason => 'lease_expired', p_dry_run => true $$), NULL, 'by reason');

-- Options and keys go with it.
UPDATE arvo.dead SET key = 77, options = '{"retry_limit": 9}' WHERE event_id = 'c1' AND resolution IS NULL;
UPDATE arvo.dead SET redrives = 2 WHERE event_id = 'c2' AND resolution IS NULL;
COMMIT AND CHAIN;
SELECT is(pg_temp.told($$ 'c', p_limit => 2, p_edit => '{"data": {"old": null, "new": {"a": 1}}, "time": "2030-01-01T00:00:00Z"}' $$), 'c1, c2', 'edited by a merge patch');
SELECT results_eq(
    $$ SELECT log.event, log.key, log.options, log.cause FROM arvo.log INNER JOIN arvo.dead ON dead.dead = (log.cause ->> 'dead')::bigint
       WHERE dead.event_id IN ('c1', 'c2') ORDER BY log.delivery $$,
    $$ SELECT event || jsonb_build_object('time', '2030-01-01T00:00:00Z', 'data', jsonb_build_object('n', right(event_id, 1)::integer, 'new', '{"a": 1}'::jsonb)),
              CASE event_id WHEN 'c1' THEN 77::bigint END, CASE event_id WHEN 'c1' THEN '{"retry_limit": 9}'::jsonb END,
              jsonb_build_object('outcome', 'redriven', 'dead', dead, 'delivery', delivery, 'error', NULL, 'redrives', redrives + 1, 'edited', true)
       FROM arvo.dead WHERE event_id IN ('c1', 'c2') ORDER BY dead $$,
    'the edited event is delivered, with key and options of the original, and the cause says so'
);
SELECT results_eq(
    $$ SELECT event #> '{data,old}', edited #> '{data,old}', edited #> '{data,new,a}' FROM arvo.dead WHERE event_id IN ('c1', 'c2') ORDER BY dead $$,
    $$ VALUES ('true'::jsonb, NULL::jsonb, '1'::jsonb), ('true', NULL, '1') $$, 'the original stays beside it'
);
SELECT is(pg_temp.told($$ 'c', p_limit => 1, p_edit => '{"to": "elsewhere"}', p_data => '{"all": "new"}' $$), 'c3', 'other data altogether');
SELECT is((SELECT edited FROM arvo.dead WHERE event_id = 'c3'), pg_temp.event('c3', 'elsewhere', '{"subject": "s3", "data": {"all": "new"}}'), 'in place of the old');
SELECT is(
    (SELECT queue.name FROM arvo.log INNER JOIN arvo.lane USING (lane) INNER JOIN arvo.queue ON queue.queue = lane.queue WHERE log.event #>> '{data,all}' = 'new'),
    'c', 'where it goes is not a matter of its payload'
);
SELECT is(pg_temp.told($$ 'c', p_limit => 1, p_edit => '{"data": {"n": 4}}' $$), 'c4', 'an edit that changes nothing');
SELECT is((SELECT edited FROM arvo.dead WHERE event_id = 'c4'), NULL, 'is none');
SELECT results_eq(
    $$ SELECT event_id, outcome, code, detail FROM arvo_v1.redrive('c', p_limit => 1, p_edit => '{"type": "no"}') $$,
    $$ VALUES ('c5', 'refused', 'RV001', 'type: must be three or more dotted segments of lower-case letters and digits') $$,
    'an edited event must be valid; the first refusals are told, up to the limit'
);
SELECT is((SELECT count(*) FROM arvo.dead WHERE queue = 'c' AND resolution IS NULL), 4::bigint, 'and nothing happens to what is refused');
COMMIT AND CHAIN;

-- A rate spreads them.
SELECT results_eq(
    $$ SELECT event_id, outcome, due_at FROM arvo_v1.redrive('c', p_limit => 3, p_rate => 0.5, p_dry_run => true) $$,
    $$ VALUES ('c5', 'redriven', NULL::timestamptz), ('c6', 'redriven', '2030-01-02 00:00:02Z'), ('c7', 'redriven', '2030-01-02 00:00:04Z') $$,
    'the first at once, the others in a measured step'
);
SELECT is(pg_temp.told($$ 'c', p_limit => 3, p_rate => 0.5 $$), 'c5, c6, c7', 'so it is done');
SELECT results_eq(
    $$ SELECT deferred.event ->> 'id', deferred.due, deferred.attempt, deferred.cause ->> 'outcome', (deferred.cause ->> 'redrives')::integer, queue.name
       FROM arvo.deferred INNER JOIN arvo.lane USING (lane) INNER JOIN arvo.queue ON queue.queue = lane.queue WHERE deferred.event IS NOT NULL ORDER BY deferred.due $$,
    $$ VALUES ('c6', timestamptz '2030-01-02 00:00:02Z', 1, 'redriven', 1, 'c'), ('c7', '2030-01-02 00:00:04Z', 1, 'redriven', 1, 'c') $$,
    'they wait as deferred deliveries'
);
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-02T00:00:02Z';
SELECT count(*) FROM arvo_v1.maintain() \gset
COMMIT AND CHAIN;
CREATE TEMPORARY TABLE driven AS SELECT * FROM arvo_v1.claim('{c}', 9);
SELECT is((SELECT array_agg(event ->> 'id' ORDER BY delivery) FROM driven), '{c1,c2,c3,c4,c5,c6}', 'until they are due');
COMMIT AND CHAIN;

-- Another queue; and no more often than the queue it failed in allows.
UPDATE arvo.queue SET max_redrives = 3, key_from = 'data.n' WHERE name = 'c';
UPDATE arvo.queue SET max_redrives = 0, key_from = 'data.n' WHERE name = 'd';
UPDATE arvo.dead SET redrives = 3 WHERE event_id = 'c8';
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT event_id, queue, outcome, code, detail FROM arvo_v1.redrive('c', p_to => 'd', p_force => NULL) $$,
    $$ VALUES ('c8', 'd', 'refused', 'RV102', 'redriven 3 times, max_redrives is 3') $$, 'often enough'
);
SELECT results_eq(
    $$ SELECT event_id, queue, outcome FROM arvo_v1.redrive('c', p_to => 'd', p_edit => '{"data": {"n": "eight"}}', p_force => true) $$,
    $$ VALUES ('c8', 'd', 'redriven') $$, 'unless an operator insists; into another queue'
);
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT event ->> 'id', event ->> 'to', attempt, (SELECT key FROM arvo.log WHERE log.delivery = claimed.delivery) FROM arvo_v1.claim('{d}', 9) AS claimed $$,
    $$ VALUES ('c8', 'c', 1, arvo.key_of('eight')) $$, 'which delivers it under a key of its own; the event keeps its address'
);
COMMIT AND CHAIN;

-- A key that was read out of the event is read again when the event is edited; one that was given stays.
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'rejected') ORDER BY delivery) FROM driven)) \gset
SET arvo.frozen_clock = '2030-01-02T00:00:04Z';
SELECT count(*) FROM arvo_v1.maintain() \gset
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.settle((
    SELECT jsonb_agg(pg_temp.result(lease, delivery, 'rejected')) FROM arvo_v1.claim('{c}', 99))) \gset
COMMIT AND CHAIN;
UPDATE arvo.dead SET key = arvo.key_of('7') WHERE dead = pg_temp.dead('c7');
SELECT pg_temp.dead('c7') AS seven \gset
COMMIT AND CHAIN;
SELECT is(pg_temp.told(format('p_dead => ARRAY[%s], p_edit => ''{"data": {"n": "seven"}}''', :seven)), 'c7', 'once more');
SELECT is((SELECT key FROM arvo.log WHERE (cause ->> 'dead')::bigint = :seven), arvo.key_of('seven'), 'its key is that of the edited event');
COMMIT AND CHAIN;

-- Who did what.
SELECT results_eq(
    $$ SELECT verb, details, touched, at, by = session_user FROM arvo.operation WHERE queue = 'c' ORDER BY number $$,
    $$ VALUES ('redrive', '{"limit": 2, "edit": "{\"data\": {\"new\": {\"a\": 1}, \"old\": null}, \"time\": \"2030-01-01T00:00:00Z\"}"}'::jsonb, 2::bigint, timestamptz '2030-01-02 00:00:00Z', true),
              ('redrive', '{"limit": 1, "edit": "{\"to\": \"elsewhere\"}", "data": "{\"all\": \"new\"}"}', 1, '2030-01-02 00:00:00Z', true),
              ('redrive', '{"limit": 1, "edit": "{\"data\": {\"n\": 4}}"}', 1, '2030-01-02 00:00:00Z', true),
              ('redrive', '{"limit": 1, "edit": "{\"type\": \"no\"}", "refused": 4}', 0, '2030-01-02 00:00:00Z', true),
              ('redrive', '{"limit": 3, "rate": 0.5}', 3, '2030-01-02 00:00:00Z', true),
              ('redrive', '{"limit": 100, "to": "d", "refused": 1}', 0, '2030-01-02 00:00:02Z', true),
              ('redrive', '{"limit": 100, "to": "d", "edit": "{\"data\": {\"n\": \"eight\"}}", "force": true}', 1, '2030-01-02 00:00:02Z', true) $$,
    'every real run is written down'
);
SELECT results_eq(
    $$ SELECT details - 'dead', touched FROM arvo.operation WHERE queue IS NULL AND details ? 'refused' $$,
    $$ VALUES ('{"limit": 100, "refused": 1}'::jsonb, 0::bigint) $$, 'also one that found nothing to do'
);

-- redriven and dead again: who did it last
SELECT results_eq(
    $$ SELECT event_id, redrives, redriven_at, redriven_by = session_user, resolution FROM arvo_v1.dead_letters(p_subject => 's2') $$,
    $$ VALUES ('c2', 3, timestamptz '2030-01-02 00:00:00Z', true, NULL::text) $$, 'a letter tells who redrove its event last'
);
SELECT results_eq(
    $$ SELECT redrives, redriven_at, redriven_by, resolution, resolved_at, resolved_by = session_user, edited #> '{data,new}'
       FROM arvo_v1.dead_letters(p_subject => 's2', p_resolved => true, p_limit => 1) $$,
    $$ VALUES (2, NULL::timestamptz, NULL::text, 'redriven', timestamptz '2030-01-02 00:00:00Z', true, '{"a": 1}'::jsonb) $$,
    'the one before how it was redriven'
);
COMMIT AND CHAIN;

-- stories: ordered queues

SET arvo.frozen_clock = '2030-01-03T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('line', p_policy => 'ordered', p_retry_limit => 0);
    PERFORM arvo_v1.register_queue('vault', p_policy => 'ordered');
    PERFORM arvo_v1.register_queue('source', p_dead_letter => 'vault');
    PERFORM arvo_v1.dispatch(pg_temp.event('l' || n, 'line', '{"subject": "k"}')) FROM generate_series(1, 3) AS n;
    PERFORM arvo_v1.dispatch(pg_temp.event('v' || n, 'source', '{"subject": "k"}')) FROM generate_series(1, 3) AS n;
END;
$$;
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'failed')) FROM arvo_v1.claim('{line}', 1))) \gset
COMMIT AND CHAIN;
SELECT is((SELECT event_id FROM arvo_v1.redrive('line')), 'l1', 'the head of a line died and is redriven');
COMMIT AND CHAIN;
CREATE TEMPORARY TABLE line AS SELECT * FROM arvo_v1.claim('{line}', 9);
SELECT is((SELECT array_agg(event ->> 'id' ORDER BY delivery) FROM line), '{l2,l3}', 'those behind it go on');
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery) ORDER BY delivery) FROM line)) \gset
COMMIT AND CHAIN;
SELECT is((SELECT array_agg(event ->> 'id') FROM arvo_v1.claim('{line}', 9)), '{l1}', 'it comes after them: at the end of its line');
COMMIT AND CHAIN;

SELECT count(*) FROM arvo_v1.settle((
    SELECT jsonb_agg(pg_temp.result(lease, delivery, 'rejected') ORDER BY delivery) FROM arvo_v1.claim('{source}', 9))) \gset
COMMIT AND CHAIN;
CREATE TEMPORARY TABLE vault AS SELECT * FROM arvo_v1.claim('{vault}', 1);
COMMIT AND CHAIN;
SELECT is_empty($$ SELECT * FROM arvo_v1.claim('{vault}', 1) $$, 'a consumer has the first of a line in a dead-letter queue; the second is parked behind it');
COMMIT AND CHAIN;
SELECT is(
    (SELECT count(*) FROM arvo.parked INNER JOIN arvo.dead ON dead.dead_letter_delivery = parked.delivery WHERE dead.event_id = 'v2'), 1::bigint,
    'in a room of its own'
);
SELECT results_eq(
    $$ SELECT event_id, outcome, code FROM arvo_v1.redrive(p_dead => ARRAY[pg_temp.dead('v1'), pg_temp.dead('v2')]) $$,
    $$ VALUES ('v1', 'refused', 'RV103'), ('v2', 'redriven', NULL) $$, 'what is parked can be redriven'
);
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery)) FROM vault)) \gset
COMMIT AND CHAIN;
SELECT is((SELECT array_agg(event ->> 'id' ORDER BY ordinality) FROM arvo_v1.claim('{vault}', 9) WITH ORDINALITY), '{v3}', 'the line goes on without it');
SELECT is_empty('SELECT FROM arvo.tombstone', 'and its tombstone has done its work');
COMMIT AND CHAIN;

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised('SELECT * FROM arvo_v1.redrive()'),
    'RV006 | argument is not valid | queue | No filter is given.', 'all of them at once, by mistake'
);
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.redrive('a', p_limit => 0) $$), 'RV006 | argument is not valid | limit | limit: 0', 'no limit'
);
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.redrive('a', p_reason => 'bored') $$), 'RV006 | argument is not valid | reason | reason: "bored"', 'no reason'
);
SELECT is(
    pg_temp.raised(format($$ SELECT * FROM arvo_v1.redrive('a', p_rate => '%s') $$, rate)), 'RV006 | argument is not valid | rate | rate: ' || rate, 'a rate of ' || rate
)
FROM unnest('{0,-1,NaN,Infinity,0.0005}'::text[]) AS rate;
SELECT is(
    pg_temp.raised(format($$ SELECT * FROM arvo_v1.redrive('a', p_edit => '%s') $$, edit)), 'RV006 | argument is not valid | edit | edit: ' || edit, 'an edit of ' || edit
)
FROM unnest(ARRAY['[]', '{"id": "x"}', '{"source": "x"}', '{"subject": "x"}']) AS edit;
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.redrive('a', p_data => '7') $$), 'RV006 | argument is not valid | data | data: 7', 'data that are none'
);
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.redrive('a', p_to => 'now"here') $$), 'RV003 | queue is not known | to | queue "now\"here"', 'into a queue that nobody knows'
);
COMMIT AND CHAIN;

-- a queue that has one place per key
SELECT arvo_v1.register_queue('only', p_policy => 'exclusive');
SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('only-1', 'only')) \gset
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.claim('{only}', 1) AS claimed, LATERAL arvo_v1.settle(jsonb_build_array(pg_temp.result(claimed.lease, claimed.delivery, 'rejected'))) \gset
COMMIT AND CHAIN;
SELECT delivery AS second FROM arvo_v1.dispatch(pg_temp.event('only-2', 'only')) \gset
COMMIT AND CHAIN;
SELECT results_eq(
    format($$ SELECT outcome, code, detail FROM arvo_v1.redrive('only', p_dry_run => %s) $$, dry),
    format($$ VALUES ('refused', 'RV104', 'delivery %s has the place of its key') $$, :second), 'another event has the place of its key' || dry
)
FROM unnest(ARRAY['true', 'false']) AS dry;
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.claim('{only}', 1) AS claimed, LATERAL arvo_v1.settle(jsonb_build_array(pg_temp.result(claimed.lease, claimed.delivery))) \gset
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT outcome, delivery IS NULL FROM arvo_v1.redrive('only', p_dry_run => true) $$, $$ VALUES ('redriven', true) $$, 'once that is done, it may come back'
);
SELECT results_eq($$ SELECT outcome FROM arvo_v1.redrive('only') $$, $$ VALUES ('redriven') $$, 'and does');
SELECT is((SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('only-3', 'only'))), 'throttled', 'and has the place itself');
COMMIT AND CHAIN;
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.redrive('a') $$),
    'RV005 | transaction isolation level must be read committed | redrive was called under repeatable read.', 'a stale view of the ledger'
);

SELECT * FROM finish();
ROLLBACK;
