-- arvo_v1.dispatch(event, start_after, priority, ignore_domain, options): contract, stories, refusals.
BEGIN;
SELECT plan(19);
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
SELECT is_empty($$ SELECT FROM arvo.log WHERE event ->> 'id' = '8' $$, 'nothing of them is stored');
SELECT is_empty($$ SELECT FROM arvo.queue WHERE name = 'a b' $$, 'not even a queue');

SELECT * FROM finish();
ROLLBACK;
