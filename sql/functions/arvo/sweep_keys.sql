-- arvo.sweep_keys(limit) — remove what is no longer known about keys.
CREATE OR REPLACE FUNCTION arvo.sweep_keys(p_limit integer)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $sweep_keys$
-- Up to p_limit rows of each kind:
--
--   turn       the newest row of a key, when it has been idle for an hour and for its queue's longest
--              period of a rate; under the lock of the queue's home lane, as whoever appends one
--   ready      rows that the cursor of the queue's home lane has passed
--   singleton  the row of a place that has been free for an hour; taking a place removes the row that
--              it found, and begins again when that is gone: see arvo.take_place
--   throttle   intervals that ended a day ago
--
-- Returns how many rows.
--
--   Reads    arvo.queue, arvo.lane, arvo.lease by (lane, number), arvo.clock
--   Writes   arvo.turn, arvo.ready, arvo.singleton, arvo.throttle
--   Locks    home lanes of gated queues: tried, never waited for; the rows deleted, those
--            of arvo.singleton and arvo.throttle unless somebody holds them
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_queue record;
    v_count integer;
    v_swept integer := 0;
BEGIN
    FOR v_queue IN
        SELECT DISTINCT
            idle.queue,
            arvo.home_lane(idle.queue) AS lane,
            v_now - greatest(
                interval '1 hour', queue.rate_period, queue.key_rate_period
            ) AS before
        FROM (
            SELECT turn.queue
            FROM arvo.turn
            WHERE turn.active = 0 AND turn.waiting = 0 AND turn.holder IS NULL
            AND turn.at <= v_now - interval '1 hour'
            ORDER BY turn.at
            LIMIT p_limit
        ) AS idle
        INNER JOIN arvo.queue ON queue.queue = idle.queue
        ORDER BY lane
        LIMIT 32
    LOOP
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_queue.lane);
        DELETE FROM arvo.turn
        USING (
            SELECT idle.key, idle.number
            FROM arvo.turn AS idle
            WHERE idle.queue = v_queue.queue
            AND idle.active = 0 AND idle.waiting = 0 AND idle.holder IS NULL AND NOT idle.ready
            AND idle.at <= v_queue.before
            AND NOT EXISTS (
                SELECT
                FROM arvo.turn AS newer
                WHERE newer.queue = idle.queue AND newer.key = idle.key
                AND newer.number > idle.number
            )
            ORDER BY idle.at
            LIMIT p_limit
        ) AS gone
        WHERE turn.queue = v_queue.queue
        AND turn.key = gone.key
        AND turn.number = gone.number;
        GET DIAGNOSTICS v_count = ROW_COUNT;
        v_swept := v_swept + v_count;
    END LOOP;

    DELETE FROM arvo.ready
    USING (
        SELECT passed.queue, passed.number
        FROM arvo.queue
        CROSS JOIN LATERAL (
            SELECT newest.ready_from
            FROM arvo.lease AS newest
            WHERE newest.lane = arvo.home_lane(queue.queue)
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS head
        CROSS JOIN LATERAL (
            SELECT ready.queue, ready.number
            FROM arvo.ready
            WHERE ready.queue = queue.queue AND ready.number <= head.ready_from
            ORDER BY ready.number
            LIMIT p_limit
        ) AS passed
        WHERE queue.gated
        LIMIT p_limit
    ) AS gone
    WHERE ready.queue = gone.queue AND ready.number = gone.number;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_swept := v_swept + v_count;

    WITH free AS MATERIALIZED (
        SELECT place.queue, place.kind, place.key, place.number
        FROM arvo.singleton AS place
        WHERE place.delivery IS NULL AND place.at <= v_now - interval '1 hour'
        ORDER BY place.at
        LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    )

    DELETE FROM arvo.singleton
    USING free
    WHERE singleton.queue = free.queue
    AND singleton.kind = free.kind
    AND singleton.key = free.key
    AND singleton.number = free.number;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_swept := v_swept + v_count;

    WITH ended AS MATERIALIZED (
        SELECT old.queue, old.key, old.slot_at
        FROM arvo.throttle AS old
        WHERE old.until <= v_now - interval '1 day'
        ORDER BY old.until
        LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    )

    DELETE FROM arvo.throttle
    USING ended
    WHERE throttle.queue = ended.queue
    AND throttle.key = ended.key
    AND throttle.slot_at = ended.slot_at;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_swept + v_count;
END;
$sweep_keys$;

COMMENT ON FUNCTION arvo.sweep_keys(integer) IS
'Removes idle turns, read ready rows, free places and ended intervals; returns how many rows.';

REVOKE ALL ON FUNCTION arvo.sweep_keys(integer) FROM PUBLIC;
