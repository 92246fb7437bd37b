-- arvo.bury(log row, queue, reason, error): contract, stories, refusals.
BEGIN;
SELECT plan(16);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.bury(arvo.log,arvo.queue,text,jsonb)',
    'bigint', 'plpgsql', 'volatile', false,
    'nobody'
);

CREATE FUNCTION pg_temp.bury(p_delivery bigint, p_reason text, p_error jsonb) RETURNS bigint
LANGUAGE sql AS $$
    SELECT arvo.bury(log, origin, p_reason, p_error)
    FROM arvo.log
    INNER JOIN arvo.lane USING (lane)
    INNER JOIN arvo.queue AS origin USING (queue)
    WHERE log.delivery = p_delivery
$$;

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('com.test.plain');
    PERFORM arvo_v1.register_queue('com.test.sink', p_dead_letter => 'com.test.dead');
END;
$$;
SELECT delivery AS plain FROM arvo_v1.dispatch(pg_temp.event('1', 'com.test.plain')) \gset
SELECT pg_temp.bury(:plain, 'rejected', '{"name": "No"}') AS dead \gset
SELECT results_eq(
    'SELECT dead, delivery, queue, dead_letter, dead_letter_lane, dead_letter_xid, dead_letter_delivery, event_id, event,
            attempts, reason, error, died_at, redrives, resolution, resolved_at, resolved_by FROM arvo.dead',
    format($$ VALUES (%s::bigint, %s::bigint, 'com.test.plain', NULL::text, NULL::integer, NULL::xid8, NULL::bigint, '1',
                      pg_temp.event('1', 'com.test.plain'), 1, 'rejected', '{"name": "No"}'::jsonb,
                      timestamptz '2030-01-01 00:00:00Z', 0, NULL::text, NULL::timestamptz, NULL::text) $$, :dead, :plain),
    'without a dead-letter queue it lies and waits for an operator'
);
SELECT is((SELECT count(*) FROM arvo.log), 1::bigint, 'nobody else receives it');

SELECT delivery AS sink FROM arvo_v1.dispatch(pg_temp.event('2', 'com.test.sink')) \gset
SELECT arvo.again(log, 3, NULL, '{"redrives": 2}') AS third FROM arvo.log WHERE delivery = :sink \gset
SELECT pg_temp.bury(:third, 'lease_expired', NULL) AS dead \gset
SELECT results_eq(
    format($$ SELECT dead.delivery, dead.queue, dead.dead_letter, queue.name, dead.dead_letter_xid, dead.event, dead.attempts,
                     dead.reason, dead.error, dead.redrives
              FROM arvo.dead INNER JOIN arvo.lane ON lane.lane = dead.dead_letter_lane
                   INNER JOIN arvo.queue ON queue.queue = lane.queue
              WHERE dead = %s $$, :dead),
    format($$ VALUES (%s::bigint, 'com.test.sink', 'com.test.dead', 'com.test.dead', pg_current_xact_id(),
                      pg_temp.event('2', 'com.test.sink'), 3, 'lease_expired', NULL::jsonb, 2) $$, :third),
    'with one it goes there; the event is kept whole, also of a later delivery'
);
SELECT results_eq(
    format($$ SELECT log.attempt, log.event, log.origin_delivery, log.cause, arvo.event_of(log)
              FROM arvo.log INNER JOIN arvo.dead ON dead.dead_letter_lane = log.lane AND dead.dead_letter_delivery = log.delivery
              WHERE dead.dead = %s $$, :dead),
    format($$ VALUES (1, NULL::jsonb, %s::bigint,
                      jsonb_build_object('outcome', 'dead', 'dead', %s, 'queue', 'com.test.sink', 'delivery', %s, 'attempts', 3,
                                         'reason', 'lease_expired', 'error', NULL, 'redrives', 2, 'hops', 1),
                      pg_temp.event('2', 'com.test.sink')) $$, :sink, :dead, :third),
    'the dead-letter queue gets the event with the story of its death'
);

-- A dead letter that dies again in its dead-letter queue stays one.
DO $$ BEGIN PERFORM arvo_v1.register_queue('com.test.dead', p_dead_letter => 'com.test.sink'); END; $$;
SELECT dead_letter_delivery AS again FROM arvo.dead WHERE dead = :dead \gset
SELECT is(pg_temp.bury(:again, 'failed', '{"name": "Again"}')::bigint, :dead::bigint, 'it keeps its number');
SELECT results_eq(
    format($$ SELECT delivery, queue, reason, dead_letter FROM arvo.dead WHERE dead = %s $$, :dead),
    format($$ VALUES (%s::bigint, 'com.test.sink', 'lease_expired', 'com.test.sink') $$, :third),
    'where and why it died first, and goes on to the next dead-letter queue'
);
CREATE FUNCTION pg_temp.die_on(p_dead bigint) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    v_path text := '';
    v_delivery bigint;
BEGIN
    LOOP
        SELECT dead_letter_delivery INTO v_delivery FROM arvo.dead WHERE dead = p_dead;
        EXIT WHEN v_delivery IS NULL;
        PERFORM pg_temp.bury(v_delivery, 'failed', NULL);
        v_path := v_path || '.';
    END LOOP;
    RETURN v_path;
END;
$$;
SELECT is(pg_temp.die_on(:dead), '....', 'a ring of dead-letter queues ends: after five of them it lies and waits');
SELECT results_eq(
    format($$ SELECT dead_letter, dead_letter_lane, dead_letter_xid, resolution FROM arvo.dead WHERE dead = %s $$, :dead),
    $$ VALUES (NULL::text, NULL::integer, NULL::xid8, NULL::text) $$, 'open, and in no queue'
);

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    left(pg_temp.raised(format($$ SELECT pg_temp.bury(%s, 'bored', NULL) $$, :sink)), 81),
    '23514 | new row for relation "dead" violates check constraint "dead_reason_check"',
    'there are three reasons to die'
);

SELECT * FROM finish();
ROLLBACK;
