-- arvo.hold(findings) — take the locks for what was found, and look again.
CREATE OR REPLACE FUNCTION arvo.hold(p_found arvo.finding[])
RETURNS arvo.finding[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $hold$
-- What is in more than 256 lanes is left to the next call: locks are few. A gated queue's keys are
-- guarded by its home lane. Those that are over by now are left out.
--
--   Reads    arvo.lane, arvo.queue; as arvo.recheck
--   Writes   nothing
--   Locks    the lanes, in order; then the promoter's lock, if something is deferred
--   Raises   nothing
DECLARE
    v_lanes integer[];
    v_found arvo.finding[];
BEGIN
    v_lanes := ARRAY(
        SELECT DISTINCT seen.lane
        FROM unnest(p_found) AS seen
        WHERE seen.lane IS NOT NULL
        ORDER BY seen.lane
        LIMIT 256
    );
    PERFORM arvo.lock_lanes(
        v_lanes || ARRAY(
            SELECT arvo.home_lane(queue.queue)
            FROM arvo.lane
            INNER JOIN arvo.queue ON queue.queue = lane.queue
            WHERE lane.lane = ANY (v_lanes) AND queue.gated
        )
    );
    IF EXISTS (SELECT FROM unnest(p_found) AS seen WHERE seen.place = 'deferred') THEN
        PERFORM pg_advisory_xact_lock(hashtext('arvo'), 0);
    END IF;

    -- A statement of its own: it must see what the last holders of these locks committed.
    SELECT array_agg(again.finding ORDER BY seen.delivery) INTO v_found
    FROM unnest(p_found) AS seen
    CROSS JOIN LATERAL (SELECT arvo.recheck(seen) AS finding OFFSET 0) AS again
    WHERE (seen.lane IS NULL OR seen.lane = ANY (v_lanes))
    AND (again.finding).place NOT IN ('withdrawn', 'closed');
    RETURN coalesce(v_found, '{}');
END;
$hold$;

COMMENT ON FUNCTION arvo.hold(arvo.finding[]) IS
'Locks the lanes of deliveries that were found, and the promotion if it matters; says where they stand then.';

REVOKE ALL ON FUNCTION arvo.hold(arvo.finding[]) FROM PUBLIC;
