-- arvo.count_lane(head, tally, seen, most): contract, stories.
BEGIN;
SELECT plan(15);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.count_lane(arvo.lease,arvo.tally,pg_snapshot,integer)',
    'arvo.lane_count', 'plpgsql', 'stable', false,
    'nobody',
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
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('q');
    PERFORM arvo_v1.dispatch_many((SELECT jsonb_agg(pg_temp.event(n::text, 'q')) FROM generate_series(1, 6) AS n));
    PERFORM arvo_v1.dispatch_many((SELECT jsonb_agg(pg_temp.event(n::text, 'q')) FROM generate_series(7, 9) AS n), '10 seconds');
END;
$$;
COMMIT AND CHAIN;
-- Counted with a bound that is not reached, and carried on from tallies: both must agree.
CREATE FUNCTION pg_temp.told(p_most integer) RETURNS text
LANGUAGE sql AS $$
    SELECT format('unread %s, parked %s, deferred %s, kept %s', told.unread, told.parked, told.deferred, told.kept)
    FROM (SELECT lease AS head FROM arvo.lease ORDER BY number DESC LIMIT 1) AS newest
    LEFT JOIN arvo.tally ON true
    CROSS JOIN LATERAL arvo.count_lane(newest.head, tally, p_most => p_most) AS told
$$;
CREATE FUNCTION pg_temp.figures(p_expected text, p_story text) RETURNS text
LANGUAGE sql AS $$
    SELECT is(ARRAY[pg_temp.told(100), pg_temp.told(0)], ARRAY[p_expected, p_expected], p_story)
$$;
SELECT pg_temp.figures('unread 6, parked 0, deferred 3, kept 6', 'without a tally everything is counted');
SELECT arvo.tally_lanes() \gset
COMMIT AND CHAIN;
SELECT pg_temp.figures('unread 6, parked 0, deferred 3, kept 6', 'just tallied');
SELECT count(*) FROM arvo_v1.claim('{q}', 4) \gset
SELECT arvo_v1.dispatch(pg_temp.event('10', 'q')) \gset
COMMIT AND CHAIN;
SELECT pg_temp.figures('unread 3, parked 0, deferred 3, kept 7', 'what was claimed left, what was dispatched came');
UPDATE arvo.lease SET deliveries = deliveries[1:1] WHERE token <> 0;
INSERT INTO arvo.parked (queue, key, place, delivery, lane, xid, at)
SELECT 1, 1, delivery, delivery, lane, xid, at FROM arvo.log WHERE delivery BETWEEN 2 AND 4;
SELECT pg_temp.figures('unread 3, parked 3, deferred 3, kept 7', 'what was passed and not leased is parked');
COMMIT AND CHAIN;
SELECT arvo.tally_lanes() \gset
COMMIT AND CHAIN;
SELECT pg_temp.figures('unread 3, parked 3, deferred 3, kept 7', 'also when that has been tallied');
SET arvo.frozen_clock = '2030-01-01T00:00:10Z';
SELECT arvo.promote() \gset
SELECT pg_temp.figures('unread 6, parked 3, deferred 0, kept 10', 'promoted they are in the log');
COMMIT AND CHAIN;
SELECT pg_temp.figures('unread 6, parked 3, deferred 0, kept 10', 'for others, too');
SELECT is(
    (
        SELECT format('unread %s, parked %s, deferred %s, slots %s', told.unread, told.parked, told.deferred, told.slots)
        FROM (SELECT lease AS head FROM arvo.lease ORDER BY number DESC LIMIT 1) AS newest
        CROSS JOIN LATERAL arvo.count_lane(newest.head, NULL, arvo.window_snapshot(), NULL) AS told
    ),
    'unread 6, parked 3, deferred 0, slots {10,0,0,0}', 'counted anew it comes to the same'
);

SELECT * FROM finish();
ROLLBACK;
