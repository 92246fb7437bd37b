-- arvo.count_unread(head, most, seen): contract, stories.
BEGIN;
SELECT plan(16);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.count_unread(arvo.lease,integer,pg_snapshot)',
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
    PERFORM arvo_v1.dispatch(pg_temp.event('1', 'q'));
END;
$$;
CREATE FUNCTION pg_temp.unread(p_most integer, p_seen pg_snapshot DEFAULT NULL) RETURNS text
LANGUAGE sql AS $$
    SELECT format('%s, oldest %s', told.unread, coalesce(to_char(told.oldest_at AT TIME ZONE 'UTC', 'HH24:MI:SS'), '-'))
    FROM (SELECT lease AS head FROM arvo.lease WHERE lane = 1 ORDER BY number DESC LIMIT 1) AS newest
    CROSS JOIN LATERAL arvo.count_unread(newest.head, p_most, p_seen) AS told
$$;
SELECT is(pg_temp.unread(10), '1, oldest 00:00:00', 'the own transaction''s rows count');
SELECT is(pg_temp.unread(10, arvo.window_snapshot()), '0, oldest -', 'unless a snapshot is asked for that does not see them');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:05Z';
SELECT count(*) FROM arvo_v1.dispatch_many((SELECT jsonb_agg(pg_temp.event(n::text, 'q')) FROM generate_series(2, 6) AS n)) \gset
COMMIT AND CHAIN;
SELECT is(pg_temp.unread(10), '6, oldest 00:00:00', 'all of a lane that was never read');
SELECT is(pg_temp.unread(3), '4, oldest 00:00:00', 'up to the bound and one more');
SELECT is(pg_temp.unread(NULL), '6, oldest 00:00:00', 'NULL is no bound');
SELECT count(*) FROM arvo_v1.claim('{q}', 2) \gset
COMMIT AND CHAIN;
SELECT is(pg_temp.unread(10), '4, oldest 00:00:05', 'from a position inside a transaction');
INSERT INTO arvo.tombstone (lane, delivery, at) SELECT 1, delivery, arvo.clock() FROM arvo.log ORDER BY delivery OFFSET 2 LIMIT 4;
SELECT is(pg_temp.unread(10), '4, oldest -', 'what was withdrawn is unread, but not the oldest that waits');
SELECT count(*) FROM arvo_v1.claim('{q}', 10) \gset
COMMIT AND CHAIN;
SELECT is(pg_temp.unread(10), '0, oldest -', 'nothing when all was read');
SELECT arvo_v1.dispatch(pg_temp.event('7', 'q')) \gset
SELECT is(pg_temp.unread(0), '1, oldest 00:00:05', 'what comes later is unread');

SELECT * FROM finish();
ROLLBACK;
