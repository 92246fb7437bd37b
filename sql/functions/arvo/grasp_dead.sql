-- arvo.grasp_dead(dead, wait) — lock dead letters; answer those that may be moved.
CREATE OR REPLACE FUNCTION arvo.grasp_dead(p_dead bigint[], p_wait boolean)
RETURNS bigint[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $grasp_dead$
-- That is: open, not held by somebody else's transaction, and their delivery in a dead-letter queue
-- (if there is one) in nobody's hands: not claimed yet, or parked behind another. Only the first
-- call of a statement may wait for lanes (p_wait): whoever holds a lane may wait for a row that is
-- locked here. The rows are had by number: asked as "resolution IS NULL", they could be had by an
-- index of all open letters too.
--
--   Reads    arvo.dead, arvo.lane, arvo.queue, arvo.lease, arvo.parked
--   Writes   nothing
--   Locks    lanes of the dead-letter queues (of a gated one its home lane too), in order, or tried;
--            then arvo.dead rows (those that somebody else holds are skipped)
--   Raises   nothing
DECLARE
    v_dead record;
    v_head arvo.lease;
    v_free bigint[] := '{}'::bigint[];
BEGIN
    IF p_wait THEN
        PERFORM pg_advisory_xact_lock(hashtext('arvo'), received.lane)
        FROM (
            SELECT DISTINCT needed.lane
            FROM arvo.dead
            LEFT JOIN arvo.lane ON lane.lane = dead.dead_letter_lane
            LEFT JOIN arvo.queue ON queue.queue = lane.queue AND queue.gated
            CROSS JOIN LATERAL
                unnest(ARRAY[dead.dead_letter_lane, arvo.home_lane(queue.queue)]) AS needed (lane)
            WHERE dead.dead = ANY (p_dead)
            AND coalesce(dead.resolution, 'open') = 'open'
            AND needed.lane IS NOT NULL
            ORDER BY needed.lane
        ) AS received;
    END IF;

    -- A statement of its own: it must see what the last holder of these locks committed.
    FOR v_dead IN
        SELECT
            dead.dead,
            dead.dead_letter_lane AS lane,
            dead.dead_letter_xid AS xid,
            dead.dead_letter_delivery AS delivery
        FROM arvo.dead
        WHERE dead.dead = ANY (p_dead)
        AND coalesce(dead.resolution, 'open') = 'open'
        ORDER BY dead.dead
        FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        IF v_dead.lane IS NOT NULL THEN
            -- A lane that came up since the locks were taken is left to the next call.
            CONTINUE WHEN v_dead.xid IS NULL OR NOT pg_try_advisory_xact_lock(
                hashtext('arvo'), v_dead.lane
            );
            CONTINUE WHEN EXISTS (
                SELECT
                FROM arvo.lane
                INNER JOIN arvo.queue ON queue.queue = lane.queue
                WHERE lane.lane = v_dead.lane
                AND queue.gated
                AND NOT pg_try_advisory_xact_lock(
                    hashtext('arvo'), arvo.home_lane(queue.queue)
                )
            );
            SELECT head.* INTO v_head
            FROM arvo.lease AS head
            WHERE head.lane = v_dead.lane
            ORDER BY head.number DESC
            LIMIT 1;
            -- Of a lane that is no more, nobody has anything in hand.
            CONTINUE WHEN FOUND
                AND NOT arvo.is_unclaimed(v_head, v_dead.xid, v_dead.delivery)
                AND NOT EXISTS (SELECT FROM arvo.parked WHERE parked.delivery = v_dead.delivery);
        END IF;
        v_free := v_free || v_dead.dead;
    END LOOP;
    RETURN v_free;
END;
$grasp_dead$;

COMMENT ON FUNCTION arvo.grasp_dead(bigint[], boolean) IS
'Locks dead letters and their lanes; returns the numbers of those that may be moved.';

REVOKE ALL ON FUNCTION arvo.grasp_dead(bigint[], boolean) FROM PUBLIC;
