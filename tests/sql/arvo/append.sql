-- arvo.append(events, options, ignore_domain, emitted, queues, asking): contract, stories, refusals.
BEGIN;
SELECT plan(23);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.append(jsonb[],jsonb,boolean,boolean,text[],boolean)',
    'SETOF arvo_v1.dispatched', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$ BEGIN PERFORM arvo_v1.register_queue('com.test.sink', p_priority => 3); END; $$;
CREATE TEMPORARY TABLE answer AS
SELECT * FROM arvo.append(ARRAY[
    pg_temp.event('1', 'com.test.sink'),
    pg_temp.event('2', 'com.test.nobody'),
    pg_temp.event('3', 'com.test.sink', '{"domain": "human"}'),
    pg_temp.event('4', NULL),
    pg_temp.event('5', 'com.test.sink')
]);
SELECT results_eq(
    'SELECT ordinal, event_id, queue, outcome FROM answer',
    $$ VALUES
       (1, '1', 'com.test.sink', 'queued'),
       (2, '2', 'com.test.nobody', 'unroutable'),
       (3, '3', 'arvo.domain.human', 'domained'),
       (4, '4', 'com.test.event', 'unroutable'),
       (5, '5', 'com.test.sink', 'queued') $$,
    'to the queue of "to", of its domain, or of its type, in the order given'
);
SELECT ok(
    bool_and(later.delivery > earlier.delivery), 'the numbers of deliveries grow in that order'
)
FROM answer AS earlier INNER JOIN answer AS later ON later.ordinal = earlier.ordinal + 1;
SELECT results_eq(
    $$ SELECT log.delivery, queue.name, lane.priority, log.slot, log.xid = pg_current_xact_id(), log.attempt, log.at,
              log.subject_key = hashtextextended('order-1', 0), log.event_key = hashtextextended(log.event ->> 'id', 0),
              log.origin_delivery, log.origin_lane, log.origin_xid, log.cause
       FROM arvo.log INNER JOIN arvo.lane USING (lane) INNER JOIN arvo.queue USING (queue) ORDER BY log.delivery $$,
    $$ SELECT delivery, queue, CASE queue WHEN 'com.test.sink' THEN 3 ELSE 0 END, 0::smallint, true, 1,
              timestamptz '2030-01-01 00:00:00Z', true, true,
              NULL::bigint, NULL::integer, NULL::xid8, NULL::jsonb FROM answer ORDER BY ordinal $$,
    'the log has a row for each, under the queue''s priority'
);
SELECT is(
    (SELECT event FROM arvo.log WHERE event ->> 'id' = '1' AND lane > 0), pg_temp.event('1', 'com.test.sink'),
    'with the event as it was given'
);
SELECT is_empty('SELECT FROM arvo.deferred', 'nothing is deferred');
CREATE TEMPORARY TABLE timeless AS
SELECT * FROM arvo.append(ARRAY[pg_temp.event('t', 'com.test.sink') - 'time']);
SELECT is(
    (SELECT event FROM arvo.log WHERE event ->> 'id' = 't' AND lane > 0),
    pg_temp.event('t', 'com.test.sink', '{"time": "2030-01-01T00:00:00.000+00:00"}'),
    'one without a time gets that of its acceptance'
);

SELECT results_eq(
    $$ SELECT queue, outcome FROM arvo.append(ARRAY[pg_temp.event('6', 'com.test.sink', '{"domain": "human"}')],
                                              p_ignore_domain => true) $$,
    $$ VALUES ('com.test.sink', 'queued') $$, 'who answers in place of a domain sends past it'
);
SELECT results_eq(
    $$ SELECT queue, outcome FROM arvo.append(ARRAY[pg_temp.event('7', 'com.test.sink')], '{"priority": 9}') $$,
    $$ VALUES ('com.test.sink', 'queued') $$, 'a priority may be given'
);
SELECT is(
    (SELECT lane.priority FROM arvo.log INNER JOIN arvo.lane USING (lane) WHERE event ->> 'id' = '7'), 9,
    'and makes the lane'
);

CREATE TEMPORARY TABLE later AS
SELECT * FROM arvo.append(ARRAY[
    pg_temp.event('8', 'com.test.sink'), pg_temp.event('9', 'com.test.nobody')
], '{"start_after": 10, "priority": 4}');
SELECT results_eq(
    'SELECT ordinal, event_id, queue, outcome FROM later',
    $$ VALUES (1, '8', 'com.test.sink', 'deferred'), (2, '9', 'com.test.nobody', 'unroutable') $$,
    'an event may start later; that nobody is there is more worth knowing'
);
SELECT results_eq(
    $$ SELECT deferred.delivery, due, lane.priority, attempt, at, event, cause
       FROM arvo.deferred INNER JOIN arvo.lane USING (lane) ORDER BY delivery $$,
    $$ SELECT delivery, timestamptz '2030-01-01 00:00:10Z', 4, 1, timestamptz '2030-01-01 00:00:00Z',
              pg_temp.event(event_id, queue), NULL::jsonb FROM later ORDER BY ordinal $$,
    'then it stands there, whole, with the time it is due'
);
SELECT is_empty(
    'SELECT FROM arvo.log INNER JOIN later ON later.delivery = log.delivery', 'and not in the log'
);
SELECT results_eq(
    $$ SELECT outcome FROM arvo.append(ARRAY[pg_temp.event('10', 'com.test.sink')], '{"start_after": 0}')
       UNION ALL SELECT outcome FROM arvo.append(ARRAY[pg_temp.event('11', 'com.test.sink')], '{"start_after": "-1 second"}') $$,
    $$ VALUES ('queued'), ('queued') $$, 'a start that is not in the future is now'
);
SELECT results_eq(
    $$ SELECT queue, outcome FROM arvo.append(
           ARRAY[pg_temp.event('12', 'com.test.sink', jsonb_build_object('subject', repeat('s', 20000)))]) $$,
    $$ VALUES ('com.test.sink', 'queued') $$, 'a subject may be longer than 10,000 characters'
);
SELECT is_empty($$ SELECT * FROM arvo.append('{}') $$, 'nothing to append is nothing appended');

-- stories: what is emitted happens once
SELECT results_eq(
    $$ SELECT outcome FROM arvo.append(ARRAY[pg_temp.event('1', 'com.test.sink'), pg_temp.event('13', 'com.test.sink')], NULL, false, true) $$,
    $$ VALUES ('queued'), ('queued') $$, 'and is no duplicate of what was dispatched'
);

SELECT * FROM finish();
ROLLBACK;
