-- arvo.move_idle(slot, limit) — take the cursors of idle lanes out of an old generation.
CREATE OR REPLACE FUNCTION arvo.move_idle(p_slot smallint, p_limit integer)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $move_idle$
-- The newest lease row of a lane is its cursor, however old. Where it stands in p_slot a new one is
-- appended. A lane that somebody holds is left out; he is about to write one. Returns how many.
--
--   Reads    arvo.lane, arvo.lease by (lane, number)
--   Writes   arvo.lease
--   Locks    each such lane: tried, never waited for
--   Raises   nothing
DECLARE
    v_lane integer;
    v_head arvo.lease;
    v_moved integer := 0;
BEGIN
    FOR v_lane IN
        SELECT lane.lane
        FROM arvo.lane
        CROSS JOIN LATERAL (
            SELECT newest.slot
            FROM arvo.lease AS newest
            WHERE newest.lane = lane.lane
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS head
        WHERE head.slot = p_slot
        ORDER BY lane.lane
        LIMIT p_limit
    LOOP
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_lane);
        v_head := arvo.head_of(v_lane);
        CONTINUE WHEN v_head.slot <> p_slot;
        PERFORM arvo.move_cursor(v_head);
        v_moved := v_moved + 1;
    END LOOP;
    RETURN v_moved;
END;
$move_idle$;

COMMENT ON FUNCTION arvo.move_idle(smallint, integer) IS
'Appends a cursor for each idle lane whose newest lease row stands in a slot; returns how many.';

REVOKE ALL ON FUNCTION arvo.move_idle(smallint, integer) FROM PUBLIC;
