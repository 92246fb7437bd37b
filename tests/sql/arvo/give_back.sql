-- arvo.give_back(item, queue): contract, the decision table as stories, refusals.
BEGIN;
SELECT plan(72);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.give_back(arvo.result,arvo.queue)',
    'arvo.result', 'plpgsql', 'volatile', false,
    'nobody'
);

-- A delivery in its log as it stands at some attempt, given back with some outcome.
CREATE FUNCTION pg_temp.accept(p_id text, p_attempt integer, p_cause jsonb DEFAULT NULL, p_to text DEFAULT 'com.test.sink')
RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_delivery bigint;
BEGIN
    v_delivery := (arvo_v1.dispatch(pg_temp.event(p_id, p_to))).delivery;
    IF p_attempt > 1 OR p_cause IS NOT NULL THEN
        SELECT arvo.again(log, p_attempt, NULL, p_cause) INTO STRICT v_delivery
        FROM arvo.log WHERE log.delivery = v_delivery;
    END IF;
    RETURN v_delivery;
END;
$$;
CREATE FUNCTION pg_temp.give_back(
    p_delivery bigint, p_outcome text, p_error jsonb DEFAULT NULL, p_after interval DEFAULT NULL
) RETURNS text
LANGUAGE sql AS $$
    SELECT (arvo.give_back(
        jsonb_populate_record(NULL::arvo.result, jsonb_build_object(
            'lane', log.lane, 'xid', log.xid::text, 'delivery', log.delivery, 'error', p_error, 'after', p_after,
            'asked', CASE WHEN p_outcome <> 'conflict' THEN p_outcome ELSE 'completed' END,
            'verdict', CASE WHEN p_outcome = 'conflict' THEN p_outcome END
        )),
        named
    )).verdict
    FROM arvo.log INNER JOIN arvo.lane USING (lane) INNER JOIN arvo.queue AS named ON named.queue = lane.queue
    WHERE log.delivery = p_delivery
$$;
-- Where an event stands now: the newest delivery of it.
CREATE FUNCTION pg_temp.place(p_id text, OUT place text, OUT attempt integer, OUT due timestamptz, OUT cause jsonb)
LANGUAGE sql AS $$
    SELECT newest.place, newest.attempt, newest.due, newest.cause - 'delivery'
    FROM (
        SELECT 'log', log.attempt, NULL::timestamptz, log.cause, log.delivery
        FROM arvo.log WHERE log.event_key = hashtextextended(p_id, 0)
        UNION ALL
        SELECT 'deferred', deferred.attempt, deferred.due, deferred.cause, deferred.delivery
        FROM arvo.deferred WHERE deferred.event_key = hashtextextended(p_id, 0)
    ) AS newest (place, attempt, due, cause, delivery)
    ORDER BY newest.delivery DESC LIMIT 1
$$;

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('com.test.sink', p_retry_limit => 2, p_retry_delay => '10 seconds');
    PERFORM arvo_v1.register_queue('com.test.soon', p_retry_limit => 2);
    PERFORM arvo_v1.register_queue('com.test.never', p_retry_limit => 0);
END;
$$;

SELECT is(
    pg_temp.give_back(pg_temp.accept(outcome || attempt, attempt), outcome, '{"name": "E"}'), 'retried',
    format('%s, attempt %s of 3: retried', outcome, attempt)
)
FROM unnest(ARRAY['failed', 'expired']) AS outcome, generate_series(1, 2) AS attempt;
SELECT results_eq(
    $$ SELECT asked.id, stands.* FROM unnest(ARRAY['failed1', 'failed2', 'expired1', 'expired2']) AS asked (id),
              LATERAL pg_temp.place(asked.id) AS stands $$,
    $$ VALUES
       ('failed1', 'deferred', 2, timestamptz '2030-01-01 00:00:10Z', '{"outcome": "failed", "error": {"name": "E"}}'::jsonb),
       ('failed2', 'deferred', 3, '2030-01-01 00:00:10Z', '{"outcome": "failed", "error": {"name": "E"}}'),
       ('expired1', 'deferred', 2, '2030-01-01 00:00:10Z', '{"outcome": "expired", "error": {"name": "E"}, "expiries": 1}'),
       ('expired2', 'deferred', 3, '2030-01-01 00:00:10Z', '{"outcome": "expired", "error": {"name": "E"}, "expiries": 1}') $$,
    'after the queue''s delay, as the next attempt, with the cause'
);
SELECT is(
    pg_temp.give_back(pg_temp.accept(outcome || 'last', 3), outcome, '{"name": "E"}'), 'dead',
    outcome || ', the last attempt: dead'
)
FROM unnest(ARRAY['failed', 'expired']) AS outcome;
SELECT results_eq(
    'SELECT event_id, attempts, reason, error FROM arvo.dead ORDER BY event_id',
    $$ VALUES ('expiredlast', 3, 'lease_expired', '{"name": "E", "message": "lease_expired ×1: "}'::jsonb), ('failedlast', 3, 'failed', '{"name": "E"}') $$,
    'for a reason'
);
SELECT is(
    pg_temp.give_back(pg_temp.accept('never', 1, NULL, 'com.test.never'), 'failed'), 'dead',
    'where nothing is retried, the first attempt is the last'
);

SELECT is(pg_temp.give_back(pg_temp.accept('soon', 1, NULL, 'com.test.soon'), 'failed'), 'retried', 'failed, no delay');
SELECT results_eq(
    $$ SELECT place, attempt, cause FROM pg_temp.place('soon') $$,
    $$ VALUES ('log', 2, '{"outcome": "failed", "error": null}'::jsonb) $$, 'it goes back at once'
);
SELECT is(
    pg_temp.give_back(pg_temp.accept('asked', 1), 'failed', NULL, '77 seconds'), 'retried', 'failed, with a time asked for'
);
SELECT results_eq(
    $$ SELECT place, attempt, due FROM pg_temp.place('asked') $$,
    $$ VALUES ('deferred', 2, timestamptz '2030-01-01 00:01:17Z') $$, 'that time counts'
);
SELECT is(pg_temp.give_back(pg_temp.accept('now', 1), 'failed', NULL, '0'), 'retried', 'also none');
SELECT results_eq($$ SELECT place, attempt FROM pg_temp.place('now') $$, $$ VALUES ('log', 2) $$, 'at once');

SELECT is(
    pg_temp.give_back(pg_temp.accept('rejected', 1), 'rejected', '{"name": "No"}'), 'dead', 'rejected: dead at once'
);
SELECT results_eq(
    $$ SELECT attempts, reason, error FROM arvo.dead WHERE event_id = 'rejected' $$,
    $$ VALUES (1, 'rejected', '{"name": "No"}'::jsonb) $$, 'with attempts left'
);

SELECT is(pg_temp.give_back(pg_temp.accept('released', 3), 'released'), 'released', 'released, at the last attempt');
SELECT results_eq(
    $$ SELECT * FROM pg_temp.place('released') $$,
    $$ VALUES ('log', 3, NULL::timestamptz, '{"outcome": "released", "error": null}'::jsonb) $$,
    'goes back at once and is not charged'
);
SELECT is(
    pg_temp.give_back(pg_temp.accept('snoozed', 3), 'snoozed', NULL, '5 minutes'), 'snoozed', 'snoozed, at the last attempt'
);
SELECT results_eq(
    $$ SELECT * FROM pg_temp.place('snoozed') $$,
    $$ VALUES ('deferred', 3, timestamptz '2030-01-01 00:05:00Z', '{"outcome": "snoozed", "error": null}'::jsonb) $$,
    'comes again at that time and is not charged'
);

SELECT is(pg_temp.give_back(pg_temp.accept('conflict', 3), 'conflict', '{"name": "V"}'), 'conflict', 'conflict, at the last attempt');
SELECT results_eq(
    $$ SELECT * FROM pg_temp.place('conflict') $$,
    $$ VALUES ('log', 3, NULL::timestamptz, '{"outcome": "conflict", "error": {"name": "V"}, "conflicts": 1}'::jsonb) $$,
    'goes back at once, is not charged, but counted'
);
SELECT is(
    pg_temp.give_back(pg_temp.accept('conflict99', 1, '{"conflicts": 98}'), 'conflict'), 'conflict', 'the 99th conflict is not charged'
);
SELECT results_eq(
    $$ SELECT place, attempt, cause -> 'conflicts' FROM pg_temp.place('conflict99') $$, $$ VALUES ('log', 1, '99'::jsonb) $$,
    'it goes back'
);
SELECT is(
    pg_temp.give_back(pg_temp.accept('conflict100', 1, '{"conflicts": 99}'), 'conflict'), 'retried', 'the 100th is'
);
SELECT results_eq(
    $$ SELECT place, attempt, due, cause ? 'conflicts' FROM pg_temp.place('conflict100') $$,
    $$ VALUES ('deferred', 2, timestamptz '2030-01-01 00:00:10Z', false) $$,
    'it waits as a failed attempt does, and the count begins again'
);
SELECT is(
    pg_temp.give_back(pg_temp.accept('conflictdead', 3, '{"conflicts": 99}'), 'conflict', '{"name": "V"}'), 'dead',
    'the 100th at the last attempt is dead'
);
SELECT results_eq(
    $$ SELECT attempts, reason, error FROM arvo.dead WHERE event_id = 'conflictdead' $$,
    $$ VALUES (3, 'failed', '{"name": "V"}'::jsonb) $$, 'as one that failed'
);
SELECT is(
    pg_temp.give_back(pg_temp.accept('redriven', 1, '{"redrives": 2, "dead": 7}'), 'failed'), 'retried', 'a retry'
);
SELECT is(
    (SELECT cause FROM pg_temp.place('redriven')), '{"redrives": 2, "dead": 7, "outcome": "failed", "error": null}'::jsonb,
    'keeps what was known about the delivery'
);

-- Errors have rules of their own, by their names; a time that the worker asks for comes before them.
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('com.test.rules', p_retry_limit => 1, p_retry_delay => '10 seconds', p_error_rules =>
        '{"Fatal": "dead", "Busy": {"snooze": 30}, "Slow": {"retry_after": 99.5}, "Now": {"retry_after": 0}, "Tiny": {"retry_after": 1e-16383}, "Nap": {"snooze": 1e-400}}');
END;
$$;
SELECT is(
    pg_temp.give_back(pg_temp.accept(given.id, given.attempt, NULL, 'com.test.rules'), given.outcome, given.error, given.after),
    given.verdict, given.id || ': ' || given.verdict
)
FROM (
    VALUES
    ('rule fatal', 1, 'failed', '{"name": "Fatal"}'::jsonb, NULL::interval, 'dead'),
    ('rule busy', 2, 'failed', '{"name": "Busy"}', NULL, 'snoozed'),
    ('rule slow', 1, 'failed', '{"name": "Slow"}', NULL, 'retried'),
    ('rule slow last', 2, 'failed', '{"name": "Slow"}', NULL, 'dead'),
    ('rule now', 1, 'failed', '{"name": "Now"}', NULL, 'retried'),
    ('rule none', 1, 'failed', '{"name": "Other"}', NULL, 'retried'),
    ('rule tiny', 1, 'failed', '{"name": "Tiny"}', NULL, 'retried'),
    ('rule nap', 1, 'failed', '{"name": "Nap"}', NULL, 'snoozed'),
    ('rule no name', 1, 'failed', '{"message": "x"}', NULL, 'retried'),
    ('rule no error', 1, 'failed', NULL, NULL, 'retried'),
    ('rule after', 1, 'failed', '{"name": "Fatal"}', '5 seconds', 'retried'),
    ('rule rejected', 1, 'rejected', '{"name": "Busy"}', NULL, 'dead'),
    ('rule expired', 1, 'expired', '{"name": "Busy"}', NULL, 'retried')
) AS given (id, attempt, outcome, error, after, verdict);
SELECT results_eq(
    $$ SELECT asked.id, stands.place, stands.attempt, stands.due - timestamptz '2030-01-01Z'
       FROM unnest(ARRAY['rule busy', 'rule slow', 'rule now', 'rule none', 'rule no name', 'rule no error', 'rule after',
                         'rule expired']) AS asked (id),
            LATERAL pg_temp.place(asked.id) AS stands $$,
    $$ VALUES ('rule busy', 'deferred', 2, interval '30 s'), ('rule slow', 'deferred', 2, '99.5 s'), ('rule now', 'log', 2, NULL),
              ('rule none', 'deferred', 2, '10 s'), ('rule no name', 'deferred', 2, '10 s'), ('rule no error', 'deferred', 2, '10 s'),
              ('rule after', 'deferred', 2, '5 s'), ('rule expired', 'deferred', 2, '10 s') $$,
    'when each comes again, and whether it was charged'
);
SELECT results_eq(
    $$ SELECT event_id, reason FROM arvo.dead WHERE event_id LIKE 'rule%' ORDER BY event_id $$,
    $$ VALUES ('rule fatal', 'failed'), ('rule rejected', 'rejected'), ('rule slow last', 'failed') $$,
    'a rule makes no rejection of a failure'
);

-- Options of a delivery come before those of its queue.
CREATE FUNCTION pg_temp.accept_with(p_id text, p_attempt integer, p_options jsonb) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_delivery bigint;
BEGIN
    v_delivery := (arvo_v1.dispatch(pg_temp.event(p_id, 'com.test.sink'), p_options => p_options)).delivery;
    IF p_attempt > 1 THEN
        SELECT arvo.again(log, p_attempt, NULL, NULL) INTO STRICT v_delivery
        FROM arvo.log WHERE log.delivery = v_delivery;
    END IF;
    RETURN v_delivery;
END;
$$;
SELECT is(
    pg_temp.give_back(pg_temp.accept_with(given.id, given.attempt, given.options), 'failed'), given.verdict, given.id || ': ' || given.verdict
)
FROM (
    VALUES
    ('own limit 0', 1, '{"retry_limit": 0}'::jsonb, 'dead'),
    ('own limit 3', 3, '{"retry_limit": 3}', 'retried'),
    ('own limit 3 last', 4, '{"retry_limit": 3}', 'dead'),
    ('own delay', 2, '{"retry_delay": 3}', 'retried'),
    ('own cap', 2, '{"retry_backoff": true, "retry_delay_max": "12 seconds"}', 'retried')
) AS given (id, attempt, options, verdict);
SELECT results_eq(
    $$ SELECT asked.id, stands.attempt, stands.due - timestamptz '2030-01-01Z'
       FROM unnest(ARRAY['own limit 3', 'own delay', 'own cap']) AS asked (id), LATERAL pg_temp.place(asked.id) AS stands $$,
    $$ VALUES ('own limit 3', 4, interval '10 s'), ('own delay', 3, '3 s'), ('own cap', 3, '12 s') $$,
    'its limit, its delay, its back-off with its cap'
);
SELECT results_eq(
    $$ SELECT options FROM arvo.deferred WHERE event_key = hashtextextended('own cap', 0) $$,
    $$ VALUES ('{"retry_backoff": true, "retry_delay_max": "00:00:12"}'::jsonb) $$, 'which go on with it'
);

-- A lease that lapses is counted beside the attempts.
SELECT is(
    pg_temp.give_back(pg_temp.accept('lapsed', 3, '{"expiries": 2}'), 'expired', '{"name": "L", "message": "gone"}'), 'dead',
    'the last of three leases lapsed'
);
SELECT results_eq(
    $$ SELECT reason, error FROM arvo.dead WHERE event_id = 'lapsed' $$,
    $$ VALUES ('lease_expired', '{"name": "L", "message": "lease_expired ×3: gone"}'::jsonb) $$, 'and the dead letter says how often'
);

-- A stately queue has one place per key for what is to be retried.
DO $$ BEGIN PERFORM arvo_v1.register_queue('com.test.stately', p_policy => 'stately', p_retry_limit => 5); END; $$;
CREATE FUNCTION pg_temp.stately(p_id text) RETURNS bigint
LANGUAGE sql AS $$
    INSERT INTO arvo.log (slot, lane, delivery, attempt, at, subject_key, event_key, event)
    SELECT 0, arvo.lane_for('com.test.stately'), nextval('arvo.delivery_number'), 1, arvo.clock(), 7, hashtextextended(p_id, 0),
           pg_temp.event(p_id, 'com.test.stately')
    RETURNING delivery
$$;
SELECT is(pg_temp.give_back(pg_temp.stately('first to fail'), 'failed'), 'retried', 'the first that fails has the place');
SELECT is(pg_temp.give_back(pg_temp.stately('second to fail'), 'failed'), 'dead', 'the second finds it taken, and is dead');
SELECT is(pg_temp.give_back(pg_temp.stately('released'), 'released'), 'released', 'who was only released needs none');

-- Back-off waits between once and twice the delay after the first attempt, never more than the cap.
DO $$
BEGIN
    PERFORM arvo_v1.register_queue(
        'com.test.backoff', p_retry_limit => 9, p_retry_delay => '10 seconds', p_retry_backoff => true, p_retry_delay_max => '70 seconds'
    );
END;
$$;
SELECT is(
    count(*) FILTER (WHERE pg_temp.give_back(pg_temp.accept('backoff' || number, attempt, NULL, 'com.test.backoff'), 'failed') = 'retried'),
    100::bigint, 'failed with back-off, attempt ' || attempt
)
FROM generate_series(1, 3) AS attempt, LATERAL generate_series(attempt * 1000 + 1, attempt * 1000 + 100) AS number
GROUP BY attempt ORDER BY attempt;
SELECT ok(
    min(due) >= timestamptz '2030-01-01Z' + low AND max(due) <= timestamptz '2030-01-01Z' + high AND count(DISTINCT due) > 1,
    format('waits %s to %s, by chance', low, high)
)
FROM arvo.deferred
INNER JOIN arvo.lane USING (lane)
INNER JOIN arvo.queue USING (queue)
INNER JOIN (VALUES (2, interval '10 s', interval '20 s'), (3, '20 s', '40 s'), (4, '40 s', '70 s')) AS bound (attempt, low, high)
    ON bound.attempt = deferred.attempt
WHERE queue.name = 'com.test.backoff'
GROUP BY low, high ORDER BY low;

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised($$ SELECT arvo.give_back(jsonb_populate_record(NULL::arvo.result, jsonb_build_object(
        'lane', arvo.lane_for('com.test.sink'), 'low_xid', '0', 'high_xid', '9223372036854775807', 'delivery', 4711,
        'asked', 'failed')), named) FROM arvo.queue AS named WHERE name = 'com.test.sink' $$),
    format('RV901 | a leased delivery is not in the log | lane %s, delivery 4711', arvo.lane_for('com.test.sink')),
    'a delivery that never was'
);

SELECT * FROM finish();
ROLLBACK;
