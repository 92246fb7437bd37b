-- arvo_v1.trace(subject, event_id): contract, stories, refusals.
BEGIN;
SELECT plan(35);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.trace(text,text)',
    'SETOF arvo_v1.step', 'plpgsql', 'stable', true,
    'arvo_monitor, arvo_operator, arvo_worker',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_bitmapscan=off',
        'jit=off',
        'plan_cache_mode=force_generic_plan'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('flow', p_retry_delay => '10 seconds');
    PERFORM arvo_v1.register_queue('step', p_retry_limit => 0);
    PERFORM arvo_v1.dispatch(pg_temp.event('start', 'flow', '{"subject": "root"}'));
    PERFORM arvo_v1.dispatch(pg_temp.event('other', 'flow', '{"subject": "other"}'), '1 day');
END;
$$;
SELECT results_eq(
    $$ SELECT subject, event_id, parent_id, event_type, source, queue, attempt, outcome, accepted_at, claimed_at, settled_at, run_time, worker, error
       FROM arvo_v1.trace('root') $$,
    $$ VALUES ('root', 'start', NULL::text, 'com.test.event', 'com.test.source', 'flow', 1, 'queued', timestamptz '2030-01-01 00:00:00Z',
               NULL::timestamptz, NULL::timestamptz, NULL::interval, NULL::text, NULL::jsonb) $$,
    'accepted and not yet claimed'
);
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:01Z';
CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.claim('{flow}', 1, 'w1');
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT event_id, outcome, claimed_at, worker FROM arvo_v1.trace('root') $$,
    $$ VALUES ('start', 'active', timestamptz '2030-01-01 00:00:01Z', 'w1') $$, 'in a worker''s hands'
);
SET arvo.frozen_clock = '2030-01-01T00:00:02Z';
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'failed', '{"error": {"name": "E"}, "run_time": 1500000}')) FROM held)) \gset
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT event_id, attempt, outcome, accepted_at, claimed_at, settled_at, run_time, worker, error FROM arvo_v1.trace('root') $$,
    $$ VALUES ('start', 1, 'retried', timestamptz '2030-01-01 00:00:00Z', timestamptz '2030-01-01 00:00:01Z', timestamptz '2030-01-01 00:00:02Z',
               interval '1.5 seconds', 'w1', '{"name": "E"}'::jsonb),
              ('start', 2, 'deferred', '2030-01-01 00:00:02Z', NULL, NULL, NULL, NULL, NULL) $$,
    'it failed, with its error, and waits for the second attempt'
);
SET arvo.frozen_clock = '2030-01-01T00:00:12Z';
SELECT arvo.promote() \gset
SELECT is(
    (SELECT string_agg(attempt || ' ' || outcome, ', ' ORDER BY delivery) FROM arvo_v1.trace('root')), '1 retried, 2 queued',
    'promoted it is queued, and there once'
);
COMMIT AND CHAIN;
TRUNCATE held;
INSERT INTO held SELECT * FROM arvo_v1.claim('{flow}', 1, 'w2');
COMMIT AND CHAIN;
-- The second attempt starts a child workflow, asks a person, calls nobody, and does a step itself.
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'completed', jsonb_build_object(
    'events', jsonb_build_array(
        pg_temp.event('child', 'step', '{"subject": "child", "parentid": "start"}'),
        pg_temp.event('ask', 'flow', '{"subject": "root", "domain": "human", "parentid": "start"}'),
        pg_temp.event('lost', 'nobody', '{"subject": "root", "parentid": "start"}'),
        pg_temp.event('own', 'step', '{"subject": "root", "parentid": "start"}')
    ),
    'state', '{"subject": "root", "expected_version": 0, "data": {}}'::jsonb
))) FROM held)) \gset
SELECT arvo_v1.write_state('child', '{}', 0, 'root') \gset
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT subject, event_id, parent_id, queue, attempt, outcome, worker FROM arvo_v1.trace('root') $$,
    $$ VALUES ('root', 'start', NULL, 'flow', 1, 'retried', 'w1'), ('root', 'start', NULL, 'flow', 2, 'completed', 'w2'),
              ('child', 'child', 'start', 'step', 1, 'queued', NULL), ('root', 'ask', 'start', 'arvo.domain.human', 1, 'domained', NULL),
              ('root', 'lost', 'start', 'nobody', 1, 'unroutable', NULL), ('root', 'own', 'start', 'step', 1, 'queued', NULL) $$,
    'the whole tree, in order of acceptance: what each queue has of it, and what nobody was there for'
);
SELECT results_eq(
    $$ SELECT delivery FROM arvo_v1.trace('child') $$, $$ SELECT delivery FROM arvo_v1.trace('root') $$, 'the same from the child'
);
SELECT results_eq(
    $$ SELECT delivery FROM arvo_v1.trace(p_event_id => 'own') $$, $$ SELECT delivery FROM arvo_v1.trace('root') $$, 'and from any of its events'
);
SELECT results_eq(
    $$ SELECT subject, event_id, outcome FROM arvo_v1.trace(p_event_id => 'other') $$, $$ VALUES ('other', 'other', 'deferred') $$,
    'also from one that is deferred; other workflows have no part in it'
);
SELECT is_empty($$ SELECT * FROM arvo_v1.trace('stranger') $$, 'an unknown subject has no story');
SELECT is_empty($$ SELECT * FROM arvo_v1.trace(p_event_id => 'stranger') $$, 'nor has an unknown event');

-- One step dies, of the other the lease lapses.
TRUNCATE held;
INSERT INTO held SELECT * FROM arvo_v1.claim('{step}', 2, 'w3');
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'failed', '{"error": {"name": "F"}}')) FROM held
                                     WHERE event ->> 'id' = 'own')) \gset
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:01:00Z';
SELECT count(*) FROM arvo_v1.maintain() \gset
SELECT results_eq(
    $$ SELECT event_id, outcome, settled_at, error ->> 'name' FROM arvo_v1.trace('root') WHERE queue = 'step' $$,
    $$ VALUES ('child', 'expired', timestamptz '2030-01-01 00:01:00Z', 'LeaseExpired'), ('own', 'dead', '2030-01-01 00:00:12Z', 'F') $$,
    'a death with its error, a lease that lapsed'
);
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.redrive('step') \gset
SELECT is(
    (SELECT string_agg(event_id || ' ' || outcome, ', ' ORDER BY delivery) FROM arvo_v1.trace('root') WHERE queue = 'step'),
    'child expired, own dead, own queued, child queued', 'both are redriven, in the order of their deaths'
);
SELECT is(
    (SELECT error ->> 'name' FROM arvo_v1.trace('root') WHERE event_id = 'own' AND outcome = 'dead'), 'F', 'which takes no error away'
);
COMMIT AND CHAIN;
TRUNCATE held;
INSERT INTO held SELECT * FROM arvo_v1.claim('{step}', 2, 'w4');
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.extend((SELECT array_agg(DISTINCT lease) FROM held)) \gset
SELECT is(
    (SELECT count(*) FROM arvo_v1.trace('root') WHERE outcome = 'active' AND worker = 'w4' AND claimed_at = '2030-01-01 00:01:00Z'), 2::bigint,
    'a lease that was carried forward is told once, from its claim'
);
COMMIT AND CHAIN;

-- Where it stands in the tree, how long it waited, why it is there.
SELECT results_eq(
    $$ SELECT subject, parent_subject, depth FROM arvo_v1.trace('child') WHERE event_id IN ('start', 'child') AND outcome IN ('completed', 'expired') $$,
    $$ VALUES ('root', NULL::text, 0), ('child', 'root', 1) $$, 'parents before children'
);
SELECT results_eq(
    $$ SELECT attempt, wait_time, cause ->> 'outcome', cause ->> 'delivery' IS NOT NULL FROM arvo_v1.trace('root') WHERE event_id = 'start' $$,
    $$ VALUES (1, interval '1 second', NULL, false), (2, interval '0', 'failed', true) $$, 'the wait from accepted, or promoted, to claimed; and why there was a second'
);
SELECT results_eq(
    $$ SELECT event_id, cause ->> 'outcome', cause ->> 'dead' FROM arvo_v1.trace('root') WHERE queue = 'step' AND outcome = 'active' $$,
    $$ VALUES ('own', 'redriven', '1'), ('child', 'redriven', '2') $$, 'which dead letter was redriven'
);
SELECT results_eq(
    $$ SELECT outcome, due_at, wait_time, parent_subject, depth FROM arvo_v1.trace('other') $$,
    $$ VALUES ('deferred', timestamptz '2030-01-02 00:00:00Z', NULL::interval, NULL::text, 0) $$, 'until when it is put off; a workflow without a place in a tree'
);
INSERT INTO arvo.omission (at, queue, outcome, first_delivery, event_id, subject_key, event_key, event)
SELECT '2030-01-01T00:00:59Z', 'step', 'throttled', 77, 'kept-out', hashtextextended('child', 0), hashtextextended('kept-out', 0),
       pg_temp.event('kept-out', 'step', '{"subject": "child", "parentid": "child"}');
SELECT results_eq(
    $$ SELECT event_id, parent_id, queue, delivery, attempt, outcome, accepted_at, cause, depth FROM arvo_v1.trace('root') WHERE outcome = 'throttled' $$,
    $$ VALUES ('kept-out', 'child', 'step', NULL::bigint, 0, 'throttled', timestamptz '2030-01-01 00:00:59Z',
               '{"outcome": "throttled", "first_delivery": 77}'::jsonb, 1) $$,
    'what a policy did not let in, and what was in its way'
);

-- Every way to wait, and to be withdrawn.
CREATE FUNCTION pg_temp.waits() RETURNS text
LANGUAGE sql AS $$ SELECT outcome FROM arvo_v1.trace('waits') $$;
SELECT arvo_v1.dispatch(pg_temp.event('waits', 'flow', '{"subject": "waits"}')) \gset
COMMIT AND CHAIN;
UPDATE arvo.queue SET drained_to = '1:1:' WHERE name = 'flow';
SELECT is(pg_temp.waits(), 'draining', 'its queue is drained, it came too late');
UPDATE arvo.queue SET paused_at = arvo.clock() WHERE name = 'flow';
SELECT is(pg_temp.waits(), 'paused', 'its queue is paused');
UPDATE arvo.queue SET paused_at = NULL, drained_to = NULL WHERE name = 'flow';
INSERT INTO arvo.parked (queue, key, place, delivery, lane, xid, at)
SELECT lane.queue, 7, 1, log.delivery, log.lane, log.xid, log.at FROM arvo.log INNER JOIN arvo.lane ON lane.lane = log.lane WHERE log.event ->> 'id' = 'waits';
SELECT is(pg_temp.waits(), 'waiting', 'it waits for its key');
INSERT INTO arvo.tombstone (lane, delivery, at, reason) SELECT lane, delivery, arvo.clock(), 'moved' FROM arvo.parked;
SELECT is(pg_temp.waits(), 'moved', 'it was moved elsewhere');
DELETE FROM arvo.parked;
UPDATE arvo.tombstone SET reason = 'cancelled';
SELECT is(pg_temp.waits(), 'cancelled', 'it was cancelled');
SELECT arvo_v1.dispatch(pg_temp.event('long', 'flow', jsonb_build_object('subject', repeat('s', 20000)))) \gset
SELECT is((SELECT count(*) FROM arvo_v1.trace(repeat('s', 20000))), 1::bigint, 'a subject may be longer than 10,000 characters');
SELECT is_empty($$ SELECT * FROM arvo_v1.trace(repeat('s', 20000) || 'x') $$, 'of which every character counts');

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised('SELECT * FROM arvo_v1.trace()'),
    'RV006 | argument is not valid | subject | 0 of subject and event_id are given.', 'neither'
);
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.trace('root', 'start') $$),
    'RV006 | argument is not valid | subject | 2 of subject and event_id are given.', 'both'
);

SELECT * FROM finish();
ROLLBACK;
