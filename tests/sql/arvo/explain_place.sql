-- arvo.explain_place(queue, log row): contract, stories.
BEGIN;
SELECT plan(17);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.explain_place(arvo.queue,arvo.log)',
    'SETOF arvo_v1.explanation', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_bitmapscan=off',
        'enable_hashjoin=off',
        'enable_mergejoin=off',
        'jit=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('q');
    PERFORM arvo_v1.dispatch_many((SELECT jsonb_agg(pg_temp.event(n::text, 'q')) FROM generate_series(1, 4) AS n));
END;
$$;
COMMIT AND CHAIN;
CREATE FUNCTION pg_temp.told(p_delivery bigint) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' | ', told.reason, told.detail, to_char(told.until AT TIME ZONE 'UTC', 'HH24:MI:SS')), '; ')
    FROM arvo.log INNER JOIN arvo.lane ON lane.lane = log.lane INNER JOIN arvo.queue AS asked ON asked.queue = lane.queue
    CROSS JOIN LATERAL arvo.explain_place(asked, log) AS told WHERE log.delivery = p_delivery
$$;
SELECT is(pg_temp.told(1), NULL, 'the next one waits for nothing');
SELECT is(pg_temp.told(3), 'behind | 2 of the same queue and priority come before it.', 'the third waits for two');
SELECT count(*) FROM arvo_v1.claim('{q}', 1) \gset
SELECT arvo_v1.dispatch(pg_temp.event('urgent', 'q'), p_priority => 5) \gset
COMMIT AND CHAIN;
SELECT is(
    pg_temp.told(3),
    'behind | 1 of the same queue and priority come before it.; priority | 1 of higher priority wait, counted up to 1000 of each.',
    'one has been claimed, one of higher priority came'
);
SELECT is(pg_temp.told(5), NULL, 'which nobody is before');
INSERT INTO arvo.tombstone (lane, delivery, at, by) SELECT lane, delivery, arvo.clock(), 'ann' FROM arvo.log WHERE delivery = 5;
SELECT is(pg_temp.told(5), 'withdrawn | It was cancelled by "ann"; the claim that meets it closes it. | 00:00:00', 'withdrawn');
UPDATE arvo.queue SET drained_to = '1:1:';
SELECT matches(pg_temp.told(2), '^draining \| The queue is drained: only what was there before is claimed\.; priority', 'draining');
UPDATE arvo.queue SET drained_to = NULL, policy = 'ordered';
SELECT count(*) FROM arvo_v1.claim('{q}', 9) \gset
INSERT INTO arvo.parked (queue, key, place, delivery, lane, xid, at)
SELECT 1, 7, delivery, delivery, lane, xid, at FROM arvo.log WHERE delivery IN (3, 4);
INSERT INTO arvo.turn (queue, key, number, active, waiting, upto, ready, tally, at) VALUES (1, 7, 1, 1, 2, 2, false, '{}', arvo.clock());
SELECT is(pg_temp.told(3), 'key | 1 of its key run, and 1 may. | 00:00:00', 'parked: one of its key runs');
SELECT is(pg_temp.told(4), 'key | 1 of its key run, and 1 may. | 00:00:00; key | 1 wait before it in the line of its key.', 'and one stands before it');
INSERT INTO arvo.deferred (due, lane, delivery, attempt, at, subject_key, event_key, event)
VALUES ('2030-01-01T00:10:00Z', 1, 99, 2, arvo.clock(), 1, 1, '{}');
INSERT INTO arvo.turn (queue, key, number, active, waiting, upto, holder, ready, tally, at) VALUES (1, 7, 2, 0, 2, 2, 99, false, '{}', arvo.clock());
SELECT is(
    pg_temp.told(3), 'key | Delivery 99 comes before all others of its key: it was given back or put off. | 00:10:00',
    'a head that failed holds its key'
);
UPDATE arvo.queue SET policy = 'standard', key_rate_limit = 2, key_rate_period = '20 seconds';
INSERT INTO arvo.turn (queue, key, number, active, waiting, upto, ready, tally, at)
VALUES (1, 7, 3, 0, 2, 2, false, ARRAY[extract(epoch FROM timestamptz '2030-01-01T00:00:00Z')::bigint, 2], arvo.clock());
SELECT is(pg_temp.told(3), 'rate | 2 of its key have started within 00:00:20. | 00:00:21', 'the rate of its key is used up');

SELECT * FROM finish();
ROLLBACK;
