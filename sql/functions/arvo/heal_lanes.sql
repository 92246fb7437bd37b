-- arvo.heal_lanes(limit) — take back expired leases also in lanes that nobody claims from.
CREATE OR REPLACE FUNCTION arvo.heal_lanes(p_limit integer)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $heal_lanes$
-- Only lanes where something can have lapsed are locked, and not many at a time: they are held until
-- the end of the transaction. A gated queue's lanes go with its home lane.
-- Returns how many lease rows were passed.
--
--   Reads    arvo.lane, arvo.queue, arvo.lease by (lane, number), arvo.clock
--   Writes   as arvo.heal and arvo.move_cursor
--   Locks    each such lane, after the home lane of a gated queue: tried, never waited for; as arvo.sweep
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_lane record;
    v_head arvo.lease;
    v_healed arvo.lease;
    v_passed integer := 0;
BEGIN
    FOR v_lane IN
        SELECT
            lane.lane,
            CASE WHEN queue.gated THEN arvo.home_lane(queue.queue) ELSE lane.lane END AS home
        FROM arvo.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        CROSS JOIN LATERAL (
            SELECT newest.sweep_at
            FROM arvo.lease AS newest
            WHERE newest.lane = lane.lane
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS head
        WHERE head.sweep_at <= v_now
        ORDER BY head.sweep_at
        LIMIT p_limit
    LOOP
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_lane.home);
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_lane.lane);
        v_head := arvo.head_of(v_lane.lane);
        v_healed := arvo.heal(v_head);
        CONTINUE WHEN v_healed.open_from = v_head.open_from;
        PERFORM arvo.move_cursor(v_healed);
        v_passed := v_passed + (v_healed.open_from - v_head.open_from)::integer;
    END LOOP;
    RETURN v_passed;
END;
$heal_lanes$;

COMMENT ON FUNCTION arvo.heal_lanes(integer) IS
'Takes back expired leases of lanes that nobody claims from; returns how many lease rows were passed.';

REVOKE ALL ON FUNCTION arvo.heal_lanes(integer) FROM PUBLIC;
