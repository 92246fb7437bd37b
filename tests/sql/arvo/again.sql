-- arvo.again(log row, attempt, after, cause): contract, stories.
BEGIN;
SELECT plan(15);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.again(arvo.log,integer,interval,jsonb)',
    'bigint', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$ BEGIN PERFORM arvo_v1.register_queue('com.test.sink'); END; $$;
SELECT delivery AS first FROM arvo_v1.dispatch(pg_temp.event('1', 'com.test.sink'), p_priority => 7) \gset
SET LOCAL arvo.frozen_clock = '2030-01-01T00:01:00Z';
SELECT arvo.again(log, 2, NULL, '{"outcome": "failed"}') AS second FROM arvo.log WHERE delivery = :first \gset
SELECT cmp_ok(:second::bigint, '>', :first::bigint, 'a further delivery has a number of its own');
SELECT results_eq(
    format('SELECT log.xid, log.slot, log.attempt, log.at, log.origin_delivery, log.origin_lane, log.origin_xid, log.event,
                   log.cause, log.lane = first.lane, log.subject_key = first.subject_key, log.event_key = first.event_key
            FROM arvo.log, arvo.log AS first WHERE log.delivery = %s AND first.delivery = %s', :second, :first),
    format($$ SELECT pg_current_xact_id(), 0::smallint, 2, timestamptz '2030-01-01 00:01:00Z', delivery, lane, xid, NULL::jsonb,
                     '{"outcome": "failed"}'::jsonb, true, true, true FROM arvo.log WHERE delivery = %s $$, :first),
    'at once: it is appended to the same lane and says where the event stands'
);
SELECT arvo.again(log, 2, '0', '{}') AS third FROM arvo.log WHERE delivery = :second \gset
SELECT is(
    (SELECT origin_delivery FROM arvo.log WHERE delivery = :third), :first::bigint,
    'after no time is at once, too; the first delivery stays the origin'
);
SELECT arvo.again(log, 1, '-1 second', '{}') AS past FROM arvo.log WHERE delivery = :first \gset
SELECT is((SELECT count(*) FROM arvo.log WHERE delivery = :past), 1::bigint, 'so is a time that is over');
SELECT is_empty('SELECT FROM arvo.deferred', 'nothing of that is deferred');

SELECT arvo.again(log, 5, '1 microsecond', '{"n": 1}') AS fourth FROM arvo.log WHERE delivery = :third \gset
SELECT results_eq(
    'SELECT delivery, due, lane, attempt, at, event, cause, origin_delivery, origin_lane, origin_xid FROM arvo.deferred',
    format($$ SELECT %s::bigint, timestamptz '2030-01-01 00:01:00.000001Z', lane, 5, timestamptz '2030-01-01 00:01:00Z',
                     NULL::jsonb, '{"n": 1}'::jsonb, delivery, lane, xid FROM arvo.log WHERE delivery = %s $$, :fourth, :first),
    'later: it is deferred until that time'
);

-- A dead letter follows the delivery by which its dead-letter queue holds it.
INSERT INTO arvo.dead (
    delivery, queue, dead_letter, dead_letter_lane, dead_letter_xid, dead_letter_delivery, event_id, subject_key,
    event_key, event, attempts, reason, died_at, resolution, resolved_at
)
SELECT 1, 'com.test.a', 'com.test.sink', lane, xid, delivery, number::text, 0, 0, '{}', 3, 'failed', now(),
       CASE number WHEN 2 THEN 'consumed' END, CASE number WHEN 2 THEN now() END
FROM arvo.log, generate_series(1, 2) AS number
WHERE delivery = :first;
SELECT arvo.again(log, 1, '10 seconds', '{}') AS put_off FROM arvo.log WHERE delivery = :first \gset
SELECT results_eq(
    'SELECT event_id, dead_letter_delivery, dead_letter_xid FROM arvo.dead ORDER BY event_id',
    format($$ SELECT '1', %s::bigint, NULL::xid8 UNION ALL SELECT '2', delivery, xid FROM arvo.log WHERE delivery = %s $$,
           :put_off, :first),
    'put off: without a transaction of the log, and only while it is open'
);
UPDATE arvo.dead SET dead_letter_delivery = :first WHERE event_id = '1';
SELECT arvo.again(log, 1, NULL, '{}') AS at_once FROM arvo.log WHERE delivery = :first \gset
SELECT results_eq(
    $$ SELECT dead_letter_delivery, dead_letter_xid FROM arvo.dead WHERE event_id = '1' $$,
    format('SELECT %s::bigint, pg_current_xact_id()', :at_once), 'at once: with this transaction'
);

SELECT * FROM finish();
ROLLBACK;
