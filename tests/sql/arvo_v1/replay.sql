-- arvo_v1.replay(event_id, source, delivery, queue): contract, stories, refusals.
BEGIN;
SELECT plan(42);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.replay(text,text,bigint,text)',
    'arvo_v1.dispatched', 'plpgsql', 'volatile', true,
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

-- The row of the log that a replay wrote.
CREATE FUNCTION pg_temp.replayed(p_event_id text, p_delivery bigint DEFAULT NULL, p_queue text DEFAULT NULL) RETURNS arvo.log
LANGUAGE plpgsql AS $$
DECLARE
    v_delivery bigint := (arvo_v1.replay(p_event_id, p_delivery => p_delivery, p_queue => p_queue)).delivery;
    v_entry arvo.log;
BEGIN
    SELECT * INTO STRICT v_entry FROM arvo.log WHERE delivery = v_delivery;
    RETURN v_entry;
END;
$$;

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('q', p_dead_letter => 'morgue');
    PERFORM arvo_v1.register_queue('r');
    PERFORM arvo_v1.dispatch(pg_temp.event('e1', 'q', '{"parentid": "p1", "traceparent": "t"}'));
END;
$$;
COMMIT AND CHAIN;
CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.claim('{q}', 9);
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery)) FROM held)) \gset
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-02T00:00:00Z';
SELECT delivery AS first FROM held \gset
SELECT event_id AS new_id, delivery AS new FROM arvo_v1.replay('e1') \gset
SELECT results_eq(
    format('SELECT attempt, at, event, cause, key, options FROM arvo.log WHERE delivery = %s', :new),
    format($$ VALUES (1, timestamptz '2030-01-02 00:00:00Z', pg_temp.event(%L, 'q', '{"parentid": "p1", "traceparent": "t"}'),
                      '{"outcome": "replayed", "delivery": %s, "event_id": "e1"}'::jsonb, NULL::bigint, NULL::jsonb) $$, :'new_id', :first),
    'the event once more, under a new id, with where it comes from'
);
SELECT ok(:'new_id' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$', 'a random one');
SELECT results_eq(
    'SELECT verb, queue, details, touched, by = session_user FROM arvo.operation',
    format($$ VALUES ('replay', 'q', '{"event_id": "e1", "source": "com.test.source", "delivery": %s, "as": %s}'::jsonb, 1::bigint, true) $$, :first, to_json(:'new_id'::text)),
    'it is written down'
);
COMMIT AND CHAIN;
TRUNCATE held;
INSERT INTO held SELECT * FROM arvo_v1.claim('{q}', 9);
SELECT results_eq(
    $$ SELECT event ->> 'id', attempt, cause ->> 'event_id' FROM held $$, format($$ VALUES (%L, 1, 'e1') $$, :'new_id'), 'it is delivered, and its handler can see that it is a replay'
);
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'failed')) FROM held)) \gset
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT attempt, cause ->> 'outcome', cause ->> 'event_id' FROM arvo_v1.claim('{q}', 9) $$, $$ VALUES (2, 'failed', 'e1') $$, 'a retry still says so'
);
COMMIT AND CHAIN;
SELECT isnt((SELECT event_id FROM arvo_v1.replay('e1')), :'new_id', 'again, under another id');
SELECT is((pg_temp.replayed(:'new_id')).cause ->> 'event_id', :'new_id', 'a replay can be replayed');
SELECT results_eq($$ SELECT ordinal, queue, outcome FROM arvo_v1.replay('e1', p_queue => 'r') $$, $$ VALUES (1, 'r', 'queued') $$, 'into another queue');
SELECT is(
    (SELECT string_agg(DISTINCT outcome, ', ') FROM arvo_v1.trace(p_event_id => 'e1') WHERE event_id = 'e1'), 'completed', 'the old event stays what it was'
);
COMMIT AND CHAIN;

-- wherever it is stored: deferred, retried later, dead, in a dead-letter queue
SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('later', 'r'), '1 day') \gset
SELECT is((SELECT queue FROM arvo_v1.replay('later')), 'r', 'deferred: now as well');
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('s', p_retry_limit => 1, p_retry_delay => '1 minute', p_dead_letter => 'morgue');
    PERFORM arvo_v1.dispatch(pg_temp.event('s1', 's'));
END;
$$;
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'failed')) FROM arvo_v1.claim('{s}', 9))) \gset
COMMIT AND CHAIN;
SELECT is((SELECT queue FROM arvo_v1.replay('s1')), 's', 'waiting for its retry');
SELECT is(
    (SELECT (cause ->> 'delivery')::bigint FROM arvo.log WHERE cause ->> 'event_id' = 's1'), (SELECT delivery FROM arvo.deferred WHERE attempt = 2), 'its newest delivery is named'
);
SET arvo.frozen_clock = '2030-01-02T00:01:00Z';
SELECT count(*) FROM arvo_v1.maintain() \gset
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.settle((
    SELECT jsonb_agg(pg_temp.result(lease, delivery, 'failed') ORDER BY delivery) FROM arvo_v1.claim('{s}', 9) WHERE event ->> 'id' = 's1')) \gset
COMMIT AND CHAIN;
SELECT is((SELECT queue FROM arvo_v1.replay('s1')), 's', 'dead: into the queue it failed in, not the one that received it');
SELECT is((SELECT count(*) FROM arvo.dead WHERE resolution IS NULL), 1::bigint, 'the dead letter stays');
SELECT is(
    (SELECT queue FROM arvo_v1.replay('s1', p_delivery => (SELECT dead_letter_delivery FROM arvo.dead WHERE event_id = 's1'))), 'morgue', 'unless its delivery there is named'
);
COMMIT AND CHAIN;

-- the body that was stored last; or that of a delivery
SELECT count(*) FROM arvo_v1.redrive('s', p_edit => '{"data": {"amount": 8}}') \gset
COMMIT AND CHAIN;
SELECT is((pg_temp.replayed('s1')).event #> '{data,amount}', '8', 'edited, if it was redriven so');
SELECT is(
    (pg_temp.replayed('s1', (SELECT delivery FROM arvo.dead WHERE event_id = 's1'))).event #> '{data,amount}',
    '7', 'as a delivery carried it'
);
TRUNCATE arvo.log, arvo.deferred;
SELECT is((SELECT queue FROM arvo_v1.replay('s1')), 's', 'a dead letter outlives the log');
COMMIT AND CHAIN;

-- keys and options
UPDATE arvo.queue SET key_from = 'data.amount' WHERE name IN ('q', 'r');
SELECT delivery AS keyed FROM arvo_v1.dispatch(pg_temp.event('k1', 'q')) \gset
UPDATE arvo.log SET key = 77, options = '{"retry_limit": 9}' WHERE delivery = :keyed;
SELECT results_eq(
    $$ SELECT key, options FROM pg_temp.replayed('k1') $$, $$ VALUES (77::bigint, '{"retry_limit": 9}'::jsonb) $$,
    'a key that was given is kept, and so are options'
);
SELECT is(
    (pg_temp.replayed('k1', p_queue => 'r')).key, arvo.key_of('7'), 'another queue reads its own'
);
COMMIT AND CHAIN;

-- queues that nobody has registered
DO $$ BEGIN PERFORM arvo_v1.register_queue('arvo.unroutable'); END; $$;
SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('u1', 'nobody')) \gset
SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('d1', 'q', '{"domain": "desk"}')) \gset
COMMIT AND CHAIN;
SELECT results_eq($$ SELECT queue, outcome FROM arvo_v1.replay('u1') $$, $$ VALUES ('nobody', 'unroutable') $$, 'nobody is there');
SELECT is(
    (SELECT count(*) FROM arvo_v1.claim('{arvo.unroutable}', 9)), 1::bigint, 'a notice of the first'
);
COMMIT AND CHAIN;
SELECT is((SELECT array_agg(cause ->> 'queue') FROM arvo_v1.claim('{arvo.unroutable}', 9)), '{nobody}', 'and one of the replay');
SELECT results_eq($$ SELECT queue, outcome FROM arvo_v1.replay('d1') $$, $$ VALUES ('arvo.domain.desk', 'domained') $$, 'an event with a domain goes to its queue');
COMMIT AND CHAIN;

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.replay('no"one') $$), 'RV004 | event is not stored | event_id | id "no\"one"', 'an event that was never dispatched'
);
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.replay('k1', 'elsewhere', 7) $$),
    'RV004 | event is not stored | event_id | id "k1", source "elsewhere", delivery 7', 'of another source, by another delivery'
);
SELECT is(pg_temp.raised($$ SELECT arvo_v1.replay(NULL) $$), 'RV004 | event is not stored | event_id | id ', 'nothing');
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.replay('k1', p_queue => 'nowhere') $$), 'RV003 | queue is not known | queue | queue "nowhere"', 'into a queue that nobody knows'
);
SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('k1', 'q', '{"source": "com.other"}')) \gset
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.replay('k1') $$),
    'RV006 | argument is not valid | source | 2 sources used that id: ["com.other","com.test.source"]', 'one of two'
);
SELECT is((SELECT queue FROM arvo_v1.replay('k1', 'com.other')), 'q', 'until it is said which');
SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('k1', 'r', '{"source": "com.other"}')) \gset
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.replay('k1', 'com.other') $$),
    'RV006 | argument is not valid | queue | The event went to 2 queues: ["q","r"]', 'to one of two queues'
);
SELECT is((SELECT queue FROM arvo_v1.replay('k1', 'com.other', p_queue => 'r')), 'r', 'until it is said which');
SELECT arvo_v1.register_queue('only', p_policy => 'exclusive');
SELECT delivery AS first FROM arvo_v1.dispatch(pg_temp.event('only-1', 'only')) \gset
SELECT is((SELECT outcome FROM arvo_v1.replay('only-1')), 'throttled', 'where there is one place per key, nothing comes in beside what has it');
SELECT is((SELECT delivery FROM arvo_v1.replay('only-1')), :first::bigint, 'and that is named');
UPDATE arvo.log SET event = event || '{"Bad": 1}' WHERE event ->> 'id' = 'u1';
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.replay('u1') $$),
    'RV001 | event is not valid | "Bad" | "Bad": names of extensions are lower-case letters and digits', 'an event that would not be accepted now'
);

SELECT * FROM finish();
ROLLBACK;
