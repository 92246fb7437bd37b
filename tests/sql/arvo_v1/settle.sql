-- arvo_v1.settle(results): contract, the table of verdicts as stories, refusals.
BEGIN;
SELECT plan(57);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.settle(jsonb)',
    'SETOF arvo_v1.settled', 'plpgsql', 'volatile', true,
    'arvo_worker',
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

-- Deliveries of a queue, leased one lease each, under the names of their events.
CREATE TEMPORARY TABLE held (id text PRIMARY KEY, lease bigint, delivery bigint, attempt integer);
CREATE FUNCTION pg_temp.take(p_queue text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_taken bigint := 0;
BEGIN
    LOOP
        INSERT INTO held SELECT event ->> 'id', lease, delivery, attempt FROM arvo_v1.claim(ARRAY[p_queue], 1, 'w1')
        ON CONFLICT (id) DO UPDATE SET lease = excluded.lease, delivery = excluded.delivery, attempt = excluded.attempt;
        EXIT WHEN NOT FOUND;
        v_taken := v_taken + 1;
    END LOOP;
    RETURN v_taken;
END;
$$;
CREATE FUNCTION pg_temp.done(p_id text, p_outcome text DEFAULT 'completed', p_more jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE sql AS $$ SELECT pg_temp.result(lease, delivery, p_outcome, p_more) FROM held WHERE id = p_id $$;
CREATE FUNCTION pg_temp.state(p_subject text, p_version bigint, p_data jsonb DEFAULT '{"n": 1}') RETURNS jsonb
LANGUAGE sql AS $$ SELECT jsonb_build_object('subject', p_subject, 'expected_version', p_version, 'data', p_data) $$;
-- The verdicts of a settlement, without the numbers.
CREATE FUNCTION pg_temp.settle(VARIADIC p_items jsonb[])
RETURNS TABLE (ordinal integer, accepted boolean, outcome text, code text, state_version bigint)
LANGUAGE sql AS $$
    SELECT verdict.ordinal, verdict.accepted, verdict.outcome, verdict.code, verdict.state_version
    FROM arvo_v1.settle(to_jsonb(p_items)) AS verdict
$$;
CREATE FUNCTION pg_temp.journal(p_id text) RETURNS TABLE (at timestamptz, outcome text, run_time integer)
LANGUAGE sql AS $$
    SELECT closure.at, closure.outcomes[least(gone.ordinal, cardinality(closure.outcomes))], closure.run_times[gone.ordinal]
    FROM held
    INNER JOIN arvo.closure ON closure.token = held.lease
    CROSS JOIN LATERAL unnest(closure.deliveries) WITH ORDINALITY AS gone (delivery, ordinal)
    WHERE held.id = p_id AND gone.delivery = held.delivery
$$;

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('work', p_retry_limit => 1, p_retry_delay => '10 seconds', p_dead_letter => 'morgue');
    PERFORM arvo_v1.register_queue('sink');
    PERFORM arvo_v1.register_queue('morgue', p_retry_limit => 0);
    PERFORM arvo_v1.dispatch(pg_temp.event(id, 'work')) FROM unnest(ARRAY[
        'plain', 'emits', 'bad event', 'writes', 'conflict', 'both', 'failed', 'released', 'snoozed', 'rejected', 'twice',
        'b1', 'b2', 'b3', 'b4', 'b5', 'b6', 'b7', 's1', 's2', 's3'
    ]) AS id;
END;
$$;
COMMIT AND CHAIN;
SELECT is(pg_temp.take('work'), 21::bigint, 'the deliveries are claimed');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:05Z';

-- stories: completed

SELECT results_eq(
    $$ SELECT ordinal, lease, delivery, accepted, outcome, code, detail, state_version
       FROM arvo_v1.settle(jsonb_build_array(pg_temp.done('plain', 'completed', '{"run_time": 1500}'))) $$,
    $$ SELECT 1, lease, delivery, true, 'completed', NULL::text, NULL::text, NULL::bigint FROM held WHERE id = 'plain' $$,
    'completed'
);
SELECT results_eq(
    $$ SELECT * FROM pg_temp.journal('plain') $$, $$ VALUES (timestamptz '2030-01-01 00:00:05Z', 'completed', 1500) $$, 'it is in the journal'
);

SELECT results_eq(
    $$ SELECT * FROM pg_temp.settle(pg_temp.done('emits', 'completed', jsonb_build_object('events', jsonb_build_array(
           pg_temp.event('e1', 'sink'), pg_temp.event('e2', 'nobody'), pg_temp.event('e3', 'sink', '{"domain": "human"}'),
           pg_temp.event('e4', 'sink'))))) $$,
    $$ VALUES (1, true, 'completed', NULL::text, NULL::bigint) $$, 'completed, with emitted events'
);
SELECT results_eq(
    $$ SELECT log.event ->> 'id', queue.name, log.attempt, log.at, log.xid
       FROM arvo.log INNER JOIN arvo.lane USING (lane) INNER JOIN arvo.queue USING (queue)
       WHERE log.event ->> 'id' LIKE 'e_' ORDER BY log.delivery $$,
    $$ SELECT id, queue, 1, timestamptz '2030-01-01 00:00:05Z', pg_current_xact_id()
       FROM (VALUES ('e1', 'sink'), ('e2', 'nobody'), ('e3', 'arvo.domain.human'), ('e4', 'sink')) AS given (id, queue) $$,
    'they are routed: to a queue, to one that nobody registered, to a domain; in order, in this transaction'
);

-- stories: RV001

SELECT results_eq(
    $$ SELECT outcome, code, detail, accepted FROM arvo_v1.settle(jsonb_build_array(pg_temp.done('bad event', 'completed', jsonb_build_object(
           'events', jsonb_build_array(pg_temp.event('f1', 'sink'), pg_temp.event('f2', 'sink', '{"data": 1}')),
           'state', pg_temp.state('order-f', 0))))) $$,
    $$ VALUES ('refused', 'RV001', 'emitted event: data: must be a JSON object', false) $$, 'an emitted event that breaks a rule: RV001'
);
SELECT is_empty($$ SELECT FROM arvo.log WHERE event ->> 'id' LIKE 'f_' $$, 'none of its events is stored');
SELECT is_empty($$ SELECT * FROM arvo_v1.read_state('order-f') $$, 'nor its state');
SELECT is_empty($$ SELECT * FROM pg_temp.journal('bad event') $$, 'and the delivery is still open');
SELECT results_eq(
    $$ SELECT * FROM pg_temp.settle(pg_temp.done('bad event', 'rejected')) $$,
    $$ VALUES (1, true, 'dead', NULL::text, NULL::bigint) $$, 'so that the worker can report what it makes of that'
);

-- stories: states

SELECT results_eq(
    $$ SELECT * FROM pg_temp.settle(pg_temp.done('writes', 'completed', jsonb_build_object('events', jsonb_build_array(pg_temp.event('g1', 'sink')),
           'state', pg_temp.state('order-1', 0) || '{"parent_subject": "root", "initiator": "i", "source": "s"}'))) $$,
    $$ VALUES (1, true, 'completed', NULL::text, 1::bigint) $$, 'completed, with a state and an event'
);
SELECT results_eq(
    $$ SELECT version, data, parent_subject, initiator, source FROM arvo_v1.read_state('order-1') $$,
    $$ VALUES (1::bigint, '{"n": 1}'::jsonb, 'root', 'i', 's') $$, 'the state is written'
);
SELECT is((SELECT count(*) FROM arvo.log WHERE event ->> 'id' = 'g1'), 1::bigint, 'with its event');

SELECT results_eq(
    $$ SELECT accepted, outcome, code, detail, state_version FROM arvo_v1.settle(jsonb_build_array(pg_temp.done('conflict', 'completed', jsonb_build_object(
           'events', jsonb_build_array(pg_temp.event('h1', 'sink')), 'state', pg_temp.state('order-1', 0, '{"n": 9}'))))) $$,
    $$ VALUES (false, 'conflict', 'RV101', 'version mismatch: subject "order-1" is not at version 0', NULL::bigint) $$,
    'the state has moved on: RV101'
);
SELECT is((SELECT data FROM arvo_v1.read_state('order-1')), '{"n": 1}'::jsonb, 'the state is not written');
SELECT is_empty($$ SELECT FROM arvo.log WHERE event ->> 'id' = 'h1' $$, 'nor is its event stored');
SELECT results_eq(
    $$ SELECT attempt, cause - 'delivery' FROM arvo.log WHERE event IS NULL AND event_key = hashtextextended('conflict', 0) $$,
    $$ VALUES (1, '{"outcome": "conflict", "conflicts": 1, "error": {"name": "VersionConflict", "stack": null,
              "message": "version mismatch: subject \"order-1\" is not at version 0"}}'::jsonb) $$,
    'the delivery goes back at once, uncharged'
);
SELECT results_eq(
    $$ SELECT accepted, outcome, code FROM arvo_v1.settle(jsonb_build_array(pg_temp.done('conflict'))) $$,
    $$ VALUES (false, 'already', 'RV101') $$, 'asked again: already, and still not accepted: nothing of it took effect'
);

SELECT results_eq(
    $$ SELECT * FROM pg_temp.settle(
           pg_temp.done('s2', 'completed', jsonb_build_object('state', pg_temp.state('order-2', 0))),
           pg_temp.done('s1', 'completed', jsonb_build_object('state', pg_temp.state('order-1', 1, '{"n": 2}'))),
           pg_temp.done('s3', 'completed', jsonb_build_object('state', pg_temp.state('order-2', 0, '{"n": 3}')))) $$,
    $$ VALUES (1, true, 'completed', NULL::text, 1::bigint), (2, true, 'completed', NULL, 2), (3, false, 'conflict', 'RV101', NULL) $$,
    'of two writes of one subject in one call the first wins'
);
COMMIT AND CHAIN;

-- stories: not completed

SELECT results_eq(
    $$ SELECT * FROM pg_temp.settle(
           pg_temp.done('failed', 'failed', '{"error": {"name": "E", "message": "m", "stack": "s"}, "run_time": 7}'),
           pg_temp.done('released', 'released'), pg_temp.done('snoozed', 'snoozed', '{"after": 90.5}'),
           pg_temp.done('rejected', 'rejected', '{"error": {"name": "No"}}')) $$,
    $$ VALUES (1, true, 'retried', NULL::text, NULL::bigint), (2, true, 'released', NULL, NULL), (3, true, 'snoozed', NULL, NULL),
              (4, true, 'dead', NULL, NULL) $$, 'failed, released, snoozed, rejected'
);
SELECT results_eq(
    $$ SELECT held.id, deferred.attempt, deferred.due, deferred.cause -> 'error'
       FROM arvo.deferred INNER JOIN held ON held.delivery = (deferred.cause ->> 'delivery')::bigint ORDER BY held.id $$,
    $$ VALUES ('failed', 2, timestamptz '2030-01-01 00:00:15Z', '{"name": "E", "message": "m", "stack": "s"}'::jsonb),
              ('snoozed', 1, '2030-01-01 00:01:35.5Z', 'null') $$,
    'a failed one waits for its next attempt, a snoozed one for its time'
);
SELECT results_eq(
    $$ SELECT log.attempt, log.cause ->> 'outcome' FROM arvo.log INNER JOIN held ON held.delivery = (log.cause ->> 'delivery')::bigint
       WHERE held.id = 'released' $$, $$ VALUES (1, 'released') $$, 'a released one goes back at once, uncharged'
);
SELECT results_eq(
    $$ SELECT dead.attempts, dead.reason, dead.error, dead.dead_letter, log.cause ->> 'queue', (log.cause ->> 'dead')::bigint = dead.dead
       FROM arvo.dead INNER JOIN arvo.log ON log.lane = dead.dead_letter_lane AND log.delivery = dead.dead_letter_delivery
       WHERE dead.event_id = 'rejected' $$,
    $$ VALUES (1, 'rejected', '{"name": "No"}'::jsonb, 'morgue', 'work', true) $$,
    'a rejected one is dead, and delivered to the dead-letter queue'
);
SELECT results_eq(
    $$ SELECT * FROM pg_temp.journal('failed') $$, $$ VALUES (timestamptz '2030-01-01 00:00:05Z', 'retried', 7) $$, 'the journal says so'
);

-- stories: settled twice, and one bad item among good ones

SELECT results_eq(
    $$ SELECT * FROM pg_temp.settle(pg_temp.done('twice', 'completed', jsonb_build_object('events', jsonb_build_array(pg_temp.event('t1', 'sink'))))) $$,
    $$ VALUES (1, true, 'completed', NULL::text, NULL::bigint) $$, 'settled once'
);
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT * FROM pg_temp.settle(pg_temp.done('twice', 'completed', jsonb_build_object('events', jsonb_build_array(pg_temp.event('t1', 'sink'))))) $$,
    $$ VALUES (1, true, 'already', NULL::text, NULL::bigint) $$, 'settled twice: already'
);
SELECT is((SELECT count(*) FROM arvo.log WHERE event ->> 'id' = 't1'), 1::bigint, 'its event is emitted once');
SELECT is((SELECT count(*) FROM pg_temp.journal('twice')), 1::bigint, 'and it is in the journal once');

SELECT results_eq(
    $$ SELECT ordinal, accepted, outcome, code, detail FROM arvo_v1.settle(jsonb_build_array(
           pg_temp.done('b1'),
           '7'::jsonb,
           pg_temp.done('b1', 'failed'),
           pg_temp.done('b2', 'completed', '{"events": [{}]}'),
           pg_temp.done('b3', 'completed', jsonb_build_object('state', pg_temp.state('order-2', 0))),
           pg_temp.done('b4') || '{"delivery": 0}',
           pg_temp.done('b5') || '{"lease": 7}',
           pg_temp.done('twice', 'failed'),
           pg_temp.done('b6', 'snoozed'),
           pg_temp.done('b7', 'failed'),
           (SELECT pg_temp.result(a.lease, b.delivery) FROM held AS a, held AS b WHERE a.id = 'b4' AND b.id = 'b5'))) $$,
    $$ VALUES
       (1, true, 'completed', NULL::text, NULL::text),
       (2, false, 'refused', 'RV006', 'lease: must be a number'),
       (3, false, 'refused', 'RV006', 'delivery: is named twice in one call'),
       (4, false, 'refused', 'RV001', 'emitted event: id: is missing'),
       (5, false, 'conflict', 'RV101', 'version mismatch: subject "order-2" is not at version 0'),
       (6, false, 'refused', 'RV301', format('delivery 0 is not held under lease %s', (SELECT lease FROM held WHERE id = 'b4'))),
       (7, false, 'refused', 'RV301', format('delivery %s is not held under lease 7', (SELECT delivery FROM held WHERE id = 'b5'))),
       (8, true, 'already', NULL, NULL),
       (9, false, 'refused', 'RV006', 'after: is missing'),
       (10, true, 'retried', NULL, NULL),
       (11, false, 'refused', 'RV301', (SELECT format('delivery %s is not held under lease %s', b.delivery, a.lease)
                                        FROM held AS a, held AS b WHERE a.id = 'b4' AND b.id = 'b5')) $$,
    'each item has its own verdict'
);
SELECT results_eq(
    $$ SELECT held.id, journal.outcome FROM held, pg_temp.journal(held.id) AS journal WHERE held.id LIKE 'b_' ORDER BY held.id $$,
    $$ VALUES ('b1', 'completed'), ('b3', 'conflict'), ('b7', 'retried') $$, 'what was refused is open still, what was not is closed'
);
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT * FROM pg_temp.settle(pg_temp.done('b2'), pg_temp.done('b4'), pg_temp.done('b5'), pg_temp.done('b6')) $$,
    $$ SELECT ordinal, true, 'completed', NULL::text, NULL::bigint FROM generate_series(1, 4) AS ordinal $$, 'and can be settled'
);
SELECT is_empty($$ SELECT * FROM arvo_v1.settle('[]') $$, 'nothing to settle: no verdicts');
COMMIT AND CHAIN;

-- stories: several deliveries of one lease, and texts for numbers

SELECT count(*) FROM arvo_v1.dispatch_many(jsonb_build_array(
    pg_temp.event('m1', 'sink'), pg_temp.event('m2', 'sink'), pg_temp.event('m3', 'sink'))) \gset
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery)) FROM arvo_v1.claim('{sink}', 4))) \gset
SELECT is(
    (SELECT outcomes FROM arvo.closure ORDER BY token DESC LIMIT 1), '{completed}', 'one word speaks for all where all have gone well'
);
INSERT INTO held SELECT event ->> 'id', lease, delivery, attempt FROM arvo_v1.claim('{sink}', 100) WHERE event ->> 'id' LIKE 'm%';
SELECT results_eq(
    $$ SELECT outcome FROM arvo_v1.settle((SELECT jsonb_agg(jsonb_build_object('lease', lease::text, 'delivery', delivery::text,
           'outcome', CASE id WHEN 'm2' THEN 'failed' ELSE 'completed' END) ORDER BY id) FROM held WHERE id LIKE 'm%')) $$,
    $$ VALUES ('completed'), ('retried'), ('completed') $$, 'numbers may come as texts'
);
SELECT is(
    (SELECT outcomes FROM arvo.closure ORDER BY token DESC LIMIT 1), '{completed,retried,completed}', 'otherwise each has its own'
);
COMMIT AND CHAIN;

-- stories: the dead-letter queue

SELECT cmp_ok(pg_temp.take('morgue'), '>', 0::bigint, 'a consumer takes the dead');
SELECT is((SELECT resolution FROM arvo.dead WHERE event_id = 'rejected'), NULL, 'they are open still');
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT * FROM pg_temp.settle(pg_temp.done('rejected'), pg_temp.done('bad event', 'snoozed', '{"after": 1}')) $$,
    $$ VALUES (1, true, 'completed', NULL::text, NULL::bigint), (2, true, 'snoozed', NULL, NULL) $$, 'one is worked off, one put off'
);
SELECT results_eq(
    'SELECT event_id, resolution, resolved_at, resolved_by = session_user FROM arvo.dead ORDER BY event_id',
    $$ VALUES ('bad event', NULL::text, NULL::timestamptz, NULL::boolean),
              ('rejected', 'consumed', timestamptz '2030-01-01 00:00:05Z', true) $$,
    'the one is consumed, the other is not'
);
COMMIT AND CHAIN;

-- stories: the edge of a lease

SELECT arvo_v1.dispatch(pg_temp.event('late', 'sink')) \gset
SELECT arvo_v1.dispatch(pg_temp.event('lost', 'sink')) \gset
COMMIT AND CHAIN;
SELECT pg_temp.take('sink') \gset
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T01:00:00Z';
SELECT results_eq(
    $$ SELECT * FROM pg_temp.settle(pg_temp.done('late')) $$, $$ VALUES (1, true, 'completed', NULL::text, NULL::bigint) $$,
    'a lease that has lapsed and that nobody took back is its holder''s still'
);
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.claim('{sink}', 100) \gset
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT * FROM pg_temp.settle(pg_temp.done('lost', 'completed', jsonb_build_object(
           'events', jsonb_build_array(pg_temp.event('l1', 'sink')), 'state', pg_temp.state('order-l', 0)))) $$,
    $$ VALUES (1, false, 'refused', 'RV301', NULL::bigint) $$, 'one that was taken back is not: RV301'
);
SELECT is_empty($$ SELECT FROM arvo.log WHERE event ->> 'id' = 'l1' $$, 'then no event is emitted');
SELECT is_empty($$ SELECT * FROM arvo_v1.read_state('order-l') $$, 'and no state is written');

-- stories: a delivery that is held, under the lease of another

SELECT arvo_v1.register_queue('crossed') \gset
SELECT arvo_v1.dispatch(pg_temp.event('x' || n, 'crossed')) FROM generate_series(1, 2) AS n \g /dev/null
COMMIT AND CHAIN;
SELECT pg_temp.take('crossed') \gset
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT outcome, code FROM arvo_v1.settle((
           SELECT jsonb_build_array(pg_temp.result(one.lease, other.delivery))
           FROM held AS one, held AS other WHERE one.id = 'x1' AND other.id = 'x2')) $$,
    $$ VALUES ('refused', 'RV301') $$, 'is refused'
);
COMMIT AND CHAIN;

-- stories: many that emit are looked at together; one that is wrong is refused by itself

SELECT arvo_v1.register_queue('many');
SELECT arvo_v1.dispatch_many((SELECT jsonb_agg(pg_temp.event('m' || n, 'many')) FROM generate_series(1, 9) AS n));
COMMIT AND CHAIN;
CREATE TEMPORARY TABLE crowd AS
SELECT lease, delivery, event ->> 'id' AS id FROM arvo_v1.claim('{many}', 9, 'w1');
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT ordinal, outcome, code, detail
       FROM arvo_v1.settle((
           SELECT jsonb_agg(pg_temp.result(lease, delivery, 'completed', jsonb_build_object('events', jsonb_build_array(
               pg_temp.event('first-' || id, 'many'),
               pg_temp.event('second-' || id, 'many') || CASE id WHEN 'm5' THEN '{"data": 7}'::jsonb ELSE '{}' END,
               pg_temp.event('third-' || id, 'many') || CASE id WHEN 'm5' THEN '{"subject": 7}'::jsonb ELSE '{}' END
           ))) ORDER BY delivery) FROM crowd))
       WHERE code IS NOT NULL $$,
    $$ VALUES (5, 'refused', 'RV001', 'emitted event: data: must be a JSON object') $$, 'by its first fault'
);
COMMIT AND CHAIN;
SELECT is(
    (SELECT array_agg(event ->> 'id') FROM arvo_v1.claim('{many}', 100, 'w1')),
    ARRAY(
        SELECT place || '-m' || n
        FROM generate_series(1, 9) AS n
        CROSS JOIN unnest('{first,second,third}'::text[]) WITH ORDINALITY AS named (place, ordinal)
        WHERE n <> 5 ORDER BY n, ordinal
    ),
    'the others emit, in order'
);
SELECT is(
    (SELECT array_agg(verdict.outcome) FROM arvo_v1.settle((
        SELECT jsonb_agg(pg_temp.result(lease, delivery)) FROM crowd WHERE id = 'm5'
    )) AS verdict),
    '{completed}', 'it is still open'
);
COMMIT AND CHAIN;

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.settle('{}') $$),
    'RV006 | argument is not valid | results | results is of type object.', 'an object'
);
SELECT is(
    pg_temp.raised('SELECT * FROM arvo_v1.settle(NULL)'),
    'RV006 | argument is not valid | results | results is of type null.', 'nothing'
);
COMMIT AND CHAIN;
SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.settle('[]') $$),
    'RV005 | transaction isolation level must be read committed | settle was called under serializable.', 'a stale view of the ledger'
);

SELECT * FROM finish();
ROLLBACK;
