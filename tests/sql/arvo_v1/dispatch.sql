-- arvo_v1.dispatch(event, start_after, priority, ignore_domain, options): contract, stories, refusals.
BEGIN;
SELECT plan(49);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.dispatch(jsonb,interval,integer,boolean,jsonb)',
    'arvo_v1.dispatched', 'plpgsql', 'volatile', true,
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
SELECT * FROM arvo_v1.dispatch(pg_temp.event('1', 'com.test.sink')) \gset sent_
SELECT is(
    ROW(:'sent_ordinal', :'sent_event_id', :'sent_queue', :'sent_outcome')::text, '(1,1,com.test.sink,queued)', 'an event is accepted'
);
SELECT results_eq(
    'SELECT delivery, attempt, event FROM arvo.log',
    format($$ VALUES (%s::bigint, 1, pg_temp.event('1', 'com.test.sink')) $$, :sent_delivery), 'and in the log'
);
SELECT results_eq(
    $$ SELECT queue, outcome FROM arvo_v1.dispatch(pg_temp.event('2', 'com.test.sink'), '1 second')
       UNION ALL SELECT queue, outcome FROM arvo_v1.dispatch(pg_temp.event('3', 'com.test.nobody'))
       UNION ALL SELECT queue, outcome FROM arvo_v1.dispatch(pg_temp.event('4', 'com.test.sink', '{"domain": "human"}'))
       UNION ALL SELECT queue, outcome FROM arvo_v1.dispatch(pg_temp.event('5', 'com.test.sink', '{"domain": "human"}'),
                                                             p_ignore_domain => true)
       UNION ALL SELECT queue, outcome FROM arvo_v1.dispatch(pg_temp.event('6', 'com.test.sink'), p_priority => 7) $$,
    $$ VALUES ('com.test.sink', 'deferred'), ('com.test.nobody', 'unroutable'), ('arvo.domain.human', 'domained'),
              ('com.test.sink', 'queued'), ('com.test.sink', 'queued') $$,
    'every way that it can go'
);
COMMIT AND CHAIN;
SELECT arvo_v1.dispatch(pg_temp.event('undone', 'com.test.sink')) \gset
ROLLBACK AND CHAIN;
SELECT is_empty(
    $$ SELECT FROM arvo.log WHERE event ->> 'id' = 'undone' $$, 'it is the caller''s transaction: a rollback leaves no trace'
);
SELECT is(
    (SELECT array_agg(event ->> 'id' ORDER BY delivery) FROM arvo_v1.claim('{com.test.sink}', 10)), '{1,5,6}',
    'what was committed is delivered'
);
-- What nobody was there for waits, and is delivered when somebody comes.
SELECT is(
    (SELECT count(*) FROM arvo_v1.claim('{com.test.nobody}', 10)), 1::bigint, 'an unroutable event lies in the queue of its name'
);
SET LOCAL ROLE arvo_client;
SELECT outcome FROM arvo_v1.dispatch('{"id": "7", "source": "a", "subject": "b", "type": "com.test.event", "data": {}, "to": "com.test.sink"}') \gset
RESET ROLE;
SELECT is(:'outcome'::text, 'queued', 'a client may dispatch, though it may not touch the tables');

-- stories: the same event again, options of one dispatch

SET arvo.frozen_clock = '2030-01-02T00:00:00Z';
DO $$ BEGIN
    PERFORM arvo_v1.register_queue('com.test.once', p_deduplicate_for => '1 hour'),
            arvo_v1.register_queue('com.test.short', p_policy => 'short', p_key_from => 'data.customer'),
            arvo_v1.register_queue('com.test.later', p_start_after => '5 minutes'),
            arvo_v1.register_queue('com.test.line', p_policy => 'ordered', p_priority => 3);
END; $$;
CREATE FUNCTION pg_temp.send(p_id text, p_to text, p_options jsonb DEFAULT NULL, p_more jsonb DEFAULT '{}') RETURNS text
LANGUAGE sql AS $$
    SELECT sent.outcome || coalesce(' of ' || (
        SELECT min(entry.event ->> 'id') FROM (SELECT delivery, event FROM arvo.log UNION ALL SELECT delivery, event FROM arvo.deferred) AS entry
        WHERE entry.delivery = sent.delivery AND entry.event ->> 'id' <> p_id), '')
    FROM arvo_v1.dispatch(pg_temp.event(p_id, p_to, p_more), p_options => p_options) AS sent
$$;
SELECT is(pg_temp.send('x1', 'com.test.once'), 'queued', 'an event');
SELECT is(
    (SELECT (delivery = (SELECT delivery FROM arvo.log WHERE event ->> 'id' = 'x1'))::text || ' ' || outcome
     FROM arvo_v1.dispatch(pg_temp.event('x1', 'com.test.once', '{"data": {}}'))),
    'true duplicate', 'again: a duplicate, with the number of the first delivery'
);
SELECT is(pg_temp.send('x1', 'com.test.once', NULL, '{"source": "com.test.other"}'), 'queued', 'the same id from another source is another event');
SELECT is(pg_temp.send('x1', 'com.test.sink'), 'queued', 'as is one to another queue');
SET arvo.frozen_clock = '2030-01-02T00:59:59.999999Z';
SELECT is(pg_temp.send('x1', 'com.test.once'), 'duplicate', 'up to the end of the window');
SET arvo.frozen_clock = '2030-01-02T01:00:00Z';
SELECT is(pg_temp.send('x1', 'com.test.once'), 'queued', 'then it is new');
SELECT is(pg_temp.send('s1', 'com.test.short', NULL, '{"data": {"customer": "a"}}'), 'queued', 'short: the first of a key');
SELECT is(pg_temp.send('s2', 'com.test.short', NULL, '{"data": {"customer": "a"}}'), 'throttled of s1', 'the second finds the first in the way');
SELECT is(pg_temp.send('s2', 'com.test.short', NULL, '{"data": {"customer": "a"}}'), 'throttled of s1', 'again: not a duplicate, for it never went in');
SELECT is(pg_temp.send('s3', 'com.test.short', '{"singleton_key": "b"}', '{"data": {"customer": "a"}}'), 'queued', 'a key that is named comes before that of the event');
SELECT is(pg_temp.send('s2', 'com.test.short', NULL, '{"data": {"customer": "c"}}'), 'queued', 'what was throttled may come in later');
SELECT is(pg_temp.send('l1', 'com.test.later'), 'deferred', 'a queue may put all off');
SELECT is(pg_temp.send('l2', 'com.test.later', '{"start_after": 0}'), 'queued', 'unless a dispatch says otherwise');
SELECT is(pg_temp.send(given.id, 'com.test.sink', jsonb_build_object('start_after', given.start)), given.outcome, 'start_after ' || given.start::text)
FROM (
    VALUES
    ('t1', '90'::jsonb, 'deferred'), ('t2', '"10"', 'deferred'), ('t3', '"2030-01-02T12:00:00+10:00"', 'deferred'), ('t4', '"1 hour"', 'deferred'),
    ('t5', '"2030-01-02T00:59:59Z"', 'queued'), ('t6', '-5', 'queued'), ('t7', '0', 'queued')
) AS given (id, start, outcome);
SELECT results_eq(
    $$ SELECT event ->> 'id', due - timestamptz '2030-01-02 01:00:00Z' FROM arvo.deferred WHERE event ->> 'id' ~ '^[tl]' ORDER BY 1 $$,
    $$ VALUES ('l1', interval '5 min'), ('t1', '90 s'), ('t2', '10 s'), ('t3', '1 h'), ('t4', '1 h') $$, 'each is due in its time'
);
SELECT is(pg_temp.send('k1', 'com.test.sink', '{"retry_limit": 7, "expire_in": "1 minute"}'), 'queued', 'options of retries and of running');
SELECT is(
    (SELECT options FROM arvo.log WHERE event ->> 'id' = 'k1' AND lane > 0), '{"retry_limit": 7, "expire_in": "00:01:00"}', 'are kept with the delivery'
);
SELECT is(pg_temp.send('o1', 'com.test.line', '{"priority": 3}'), 'queued', 'the priority of an ordered queue may be named');
SELECT is(pg_temp.send('r1', 'com.test.sink', '{"must_be_registered": true}'), 'queued', 'a queue that must be registered, and is');

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.dispatch(pg_temp.event('8', 'com.test.sink', '{"data": 1}')) $$),
    'RV001 | event is not valid | data | data: must be a JSON object', 'an event that breaks a rule'
);
SELECT is(
    pg_temp.raised('SELECT arvo_v1.dispatch(NULL)'), 'RV001 | event is not valid | event | event: must be a JSON object', 'no event'
);
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.dispatch(pg_temp.event('8', 'a b')) $$),
    'RV001 | event is not valid | to | to: must be at most 512 characters of a URI, without quotes', 'a "to" that names no queue'
);
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.dispatch(pg_temp.event('8', 'arvo.publish')) $$),
    'RV001 | event is not valid | to | to: arvo.publish has an answer for each queue that subscribes', 'what has many answers'
);
SELECT is(
    pg_temp.raised($$ SELECT pg_temp.send('8', 'com.test.nobody2', '{"must_be_registered": true}') $$),
    'RV201 | Handler not registered | to | queue: "com.test.nobody2"', 'a queue that must be registered, and is not'
);
SELECT is(
    pg_temp.raised($$ SELECT pg_temp.send('8', 'com.test.line', '{"priority": 4}') $$),
    'RV002 | option is not valid | priority | queue: "com.test.line"', 'another priority in an ordered queue'
);
SELECT is(
    pg_temp.raised($$ SELECT pg_temp.send('8', 'com.test.sink', '{"colour": "red"}') $$),
    'RV002 | option is not valid | colour | "colour": "red"', 'an option that there is not'
);
SELECT is_empty($$ SELECT FROM arvo.queue WHERE name = 'com.test.nobody2' $$, 'no queue is made for what must be registered');

SELECT is_empty($$ SELECT FROM arvo.log WHERE event ->> 'id' = '8' $$, 'nothing of them is stored');
SELECT is_empty($$ SELECT FROM arvo.queue WHERE name = 'a b' $$, 'not even a queue');

SELECT * FROM finish();
ROLLBACK;
