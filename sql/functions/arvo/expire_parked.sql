-- arvo.expire_parked(limit) — make dead letters of what stood in line longer than its queue's retention.
CREATE OR REPLACE FUNCTION arvo.expire_parked(p_limit integer)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $expire_parked$
-- A parked delivery leaves the line of its key, is leased to nobody in its lane, and closed under
-- that lease; the cursor of the lane stays where it is. Counted from when it was appended to the log.
-- Returns how many dead letters were made.
--
--   Reads    arvo.queue, arvo.lane, arvo.parked by (queue, at), arvo.log by (lane, xid, delivery),
--            arvo.clock
--   Writes   arvo.parked; as arvo.heal and arvo.retire
--   Locks    the queue's home lane, then the deliveries' lanes: tried, never waited
--            for; as arvo.sweep and arvo.retire
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_line record;
    v_queue arvo.queue;
    v_batch arvo.log[];
    v_keys bigint[];
    v_places bigint[];
    v_dead integer := 0;
BEGIN
    FOR v_line IN
        SELECT queue.queue, arvo.home_lane(queue.queue) AS home, waiting.lane
        FROM arvo.queue
        CROSS JOIN LATERAL (
            SELECT DISTINCT oldest.lane
            FROM (
                SELECT parked.lane
                FROM arvo.parked
                WHERE parked.queue = queue.queue AND parked.at <= v_now - queue.retention
                ORDER BY parked.at
                LIMIT p_limit
            ) AS oldest
        ) AS waiting
        ORDER BY waiting.lane
        LIMIT 32
    LOOP
        EXIT WHEN v_dead >= p_limit;
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_line.home);
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_line.lane);
        SELECT queue.* INTO STRICT v_queue
        FROM arvo.queue
        WHERE queue.queue = v_line.queue;
        SELECT
            array_agg(line.entry ORDER BY line.key, line.place),
            array_agg(line.key ORDER BY line.key, line.place),
            array_agg(line.place ORDER BY line.key, line.place)
        INTO v_batch, v_keys, v_places
        FROM (
            SELECT parked.key, parked.place, log AS entry
            FROM arvo.parked
            INNER JOIN arvo.log
                ON log.lane = parked.lane
                AND log.xid = parked.xid
                AND log.delivery = parked.delivery
            WHERE parked.queue = v_queue.queue
            AND parked.lane = v_line.lane
            AND parked.at <= v_now - v_queue.retention
            ORDER BY parked.at
            LIMIT p_limit - v_dead
        ) AS line;
        CONTINUE WHEN v_batch IS NULL;

        DELETE FROM arvo.parked
        USING unnest(v_keys, v_places) AS gone (key, place)
        WHERE parked.queue = v_queue.queue
        AND parked.key = gone.key
        AND parked.place = gone.place;
        v_dead := v_dead + arvo.retire(
            v_queue, arvo.heal(arvo.head_of(v_line.lane)), v_batch, true
        );
    END LOOP;
    RETURN v_dead;
END;
$expire_parked$;

COMMENT ON FUNCTION arvo.expire_parked(integer) IS
'Makes dead letters of parked deliveries that waited longer than their queue''s retention; returns how many.';

REVOKE ALL ON FUNCTION arvo.expire_parked(integer) FROM PUBLIC;
