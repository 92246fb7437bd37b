-- arvo.head_of(lane) — the newest lease row of a lane: its cursor.
CREATE OR REPLACE FUNCTION arvo.head_of(p_lane integer)
RETURNS arvo.lease
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $head_of$
-- Asked in a statement of its own, it sees what the last holder of the lane's lock committed.
--
--   Reads    arvo.lease by (lane, number)
--   Writes   nothing
--   Locks    nothing
--   Raises   P0002  the lane has no lease row at all
DECLARE
    v_head arvo.lease;
BEGIN
    SELECT head.* INTO STRICT v_head
    FROM arvo.lease AS head
    WHERE head.lane = p_lane
    ORDER BY head.number DESC
    LIMIT 1;
    RETURN v_head;
END;
$head_of$;

COMMENT ON FUNCTION arvo.head_of(integer) IS
'The newest lease row of a lane.';

REVOKE ALL ON FUNCTION arvo.head_of(integer) FROM PUBLIC;
