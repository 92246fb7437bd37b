-- arvo.promote(limit): contract, stories.
BEGIN;
SELECT plan(38);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.promote(integer)',
    'integer', 'plpgsql', 'volatile', false,
    'nobody'
);

CREATE FUNCTION pg_temp.log_ids() RETURNS text[]
LANGUAGE sql AS $$ SELECT coalesce(array_agg(log.event ->> 'id' ORDER BY log.xid, log.delivery), '{}') FROM arvo.log WHERE lane > 0 $$;
-- Deferred as by a session whose clock, or whose commit, is late: due at a time of one's choosing.
CREATE FUNCTION pg_temp.defer(p_id text, p_due timestamptz) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO arvo.deferred (due, lane, delivery, attempt, at, subject_key, event_key, event)
    VALUES (p_due, arvo.lane_for('com.test.sink'), nextval('arvo.delivery_number'), 1, arvo.clock(), 1, 2,
            pg_temp.event(p_id, 'com.test.sink'))
$$;

-- stories: the exact time

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT is(arvo.promote(), 0, 'nothing is deferred');
SELECT count(*) AS rows FROM arvo.promotion \gset
SELECT is(arvo.promote(), 0, 'nor now');
SELECT is((SELECT count(*) FROM arvo.promotion), :rows::bigint, 'and looking for it writes nothing');
SELECT delivery FROM arvo_v1.dispatch(pg_temp.event('a', 'com.test.sink'), '10 seconds', 5) \gset
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:09.999999Z';
SELECT is(arvo.promote(), 0, 'one microsecond before its time it waits');
SELECT is(pg_temp.log_ids(), '{}', 'outside the log');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:10Z';
SELECT is(arvo.promote(), 1, 'exactly then it is promoted');
SELECT results_eq(
    'SELECT delivery, attempt, at, xid, event, lane.priority FROM arvo.log INNER JOIN arvo.lane USING (lane)',
    format($$ VALUES (%s::bigint, 1, timestamptz '2030-01-01 00:00:10Z', pg_current_xact_id(),
                      pg_temp.event('a', 'com.test.sink'), 5) $$, :delivery),
    'to its lane, under its number, with its event, accepted into the log now'
);
SELECT is(
    (SELECT log.deferred_xid FROM arvo.log WHERE lane > 0), (SELECT deferred.xid FROM arvo.deferred), 'saying which transaction had deferred it: tallies go by that'
);
SELECT is(arvo.promote(), 0, 'once');
COMMIT AND CHAIN;
SELECT is(arvo.promote(), 0, 'also from the next transaction on');
SELECT is((SELECT count(*) FROM arvo.log WHERE lane > 0), 1::bigint, 'it is in the log once');

-- stories: order and limit

SELECT pg_temp.defer(id, timestamptz '2030-01-01 00:01:00Z' + after)
FROM (VALUES ('d', interval '3 s'), ('b', interval '1 s'), ('e', interval '3 s'), ('c', interval '2 s'), ('f', interval '9 s'))
    AS given (id, after);
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:01:05Z';
SELECT is(arvo.promote(2), 2, 'no more than the limit at once');
COMMIT AND CHAIN;
SELECT is(arvo.promote(1), 1, 'nor the next time');
COMMIT AND CHAIN;
SELECT is(arvo.promote(100), 1, 'then the rest of what is due');
SELECT is(pg_temp.log_ids(), '{a,b,c,d,e}', 'in the order of their due times, promotion by promotion');
COMMIT AND CHAIN;

-- stories: late writers

SELECT pg_temp.defer('g', '2030-01-01 00:00:30Z');
COMMIT AND CHAIN;
SELECT is(arvo.promote(), 1, 'a row that is written behind the cursor is found');
SELECT is(pg_temp.log_ids(), '{a,b,c,d,e,g}', 'as the next');
COMMIT AND CHAIN;
SELECT is(arvo.promote(), 0, 'once');

-- This transaction has a number below the one that ends the snapshot, as every transaction that is open
-- while another one is over; the cursor passes it, and only then it writes.
SELECT pg_current_xact_id() AS late \gset
SAVEPOINT later;
CREATE TEMPORARY TABLE later ();
ROLLBACK TO SAVEPOINT later;
SET arvo.frozen_clock = '2030-01-01T00:01:08Z';
SELECT pg_temp.defer('h', '2030-01-01 00:01:06Z');
SELECT is(arvo.promote(), 0, 'the own row is not seen, and the cursor passes its time');
SELECT is(
    (SELECT due FROM arvo.promotion ORDER BY number DESC LIMIT 1), timestamptz '2030-01-01 00:01:08Z',
    'up to now'
);
SELECT ok(
    (SELECT :'late'::xid8 IN (SELECT pg_snapshot_xip(snapshot)) FROM arvo.promotion ORDER BY number DESC LIMIT 1),
    'with this transaction among the open ones'
);
SELECT pg_temp.defer('i', '2030-01-01 00:00:01Z');
COMMIT AND CHAIN;
SELECT is(arvo.promote(), 2, 'both rows of the late transaction are found after its commit');
SELECT is(pg_temp.log_ids(), '{a,b,c,d,e,g,h,i}', 'within one promotion by their numbers');
COMMIT AND CHAIN;
SELECT is(arvo.promote(), 0, 'once');
SAVEPOINT undone;
SELECT pg_temp.defer('never', '2030-01-01 00:00:01Z');
ROLLBACK TO SAVEPOINT undone;
COMMIT AND CHAIN;
SELECT is(arvo.promote(), 0, 'what was rolled back leaves no trace');
SET arvo.frozen_clock = '2030-01-01T00:01:09Z';
SELECT is(arvo.promote(), 1, 'the last one comes in its time');
SELECT is(pg_temp.log_ids(), '{a,b,c,d,e,g,h,i,f}', 'and every one is in the log exactly once');

-- stories: dead letters

SELECT results_eq(
    'SELECT number, promoted FROM arvo.promotion WHERE promoted > 0 ORDER BY number DESC LIMIT 1',
    'SELECT max(number), 1 FROM arvo.promotion', 'the newest row of the cursor says what it did'
);
SELECT pg_temp.defer('j', '2030-01-01 00:02:00Z');
INSERT INTO arvo.dead (
    delivery, queue, dead_letter, dead_letter_lane, dead_letter_delivery, event_id, subject_key, event_key, event,
    attempts, reason, died_at
)
SELECT 1, 'com.test.a', 'com.test.sink', lane, delivery, 'j', 0, 0, '{}', 3, 'failed', arvo.clock()
FROM arvo.deferred WHERE event ->> 'id' = 'j';
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:02:00Z';
SELECT is(arvo.promote(), 1, 'a dead letter that its consumer had put off comes back');
SELECT is(
    (SELECT dead_letter_xid FROM arvo.dead), pg_current_xact_id(), 'and knows the transaction that brought it'
);

-- at the very edge a portion is no larger
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('portion');
    PERFORM arvo_v1.dispatch(pg_temp.event('p' || n, 'portion'), '10 seconds') FROM generate_series(1, 3) AS n;
END;
$$;
COMMIT AND CHAIN;
SELECT set_config('arvo.frozen_clock', (arvo.clock() + interval '10 seconds')::text, false) \gset
SELECT is(arvo.promote(2), 2, 'a portion that ends at this very moment');

SELECT * FROM finish();
ROLLBACK;
