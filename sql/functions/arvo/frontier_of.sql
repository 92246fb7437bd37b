-- arvo.frontier_of(previous, snapshot, last, exhausted) — where the rows begin that a cursor has not passed.
CREATE OR REPLACE FUNCTION arvo.frontier_of(
    p_previous_snapshot pg_snapshot,
    p_snapshot pg_snapshot,
    p_last_xid xid8,
    p_last_delivery bigint,
    p_exhausted boolean
)
RETURNS arvo.frontier
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $frontier_of$
-- A cursor is a window between two snapshots and the position reached in it; see arvo.claim_lane.
-- Not passed are the rows behind a bound, and before it those of single transactions that its
-- snapshots list as open. So they are found by index, however far back an open transaction began.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_frontier arvo.frontier;
BEGIN
    v_frontier.from_delivery := 0;
    IF p_exhausted THEN
        v_frontier.last_xid := '0';
        v_frontier.last_delivery := 0;
        v_frontier.from_xid := pg_snapshot_xmax(p_snapshot);
        v_frontier.late := ARRAY(SELECT pg_snapshot_xip(p_snapshot));
        RETURN v_frontier;
    END IF;

    v_frontier.last_xid := p_last_xid;
    v_frontier.last_delivery := p_last_delivery;
    v_frontier.from_xid := pg_snapshot_xmax(p_previous_snapshot);
    IF p_last_xid >= v_frontier.from_xid THEN
        v_frontier.from_xid := p_last_xid;
        v_frontier.from_delivery := p_last_delivery;
    END IF;
    v_frontier.late := ARRAY(
        SELECT listed.xid
        FROM pg_snapshot_xip(p_snapshot) AS listed (xid)
        WHERE listed.xid < v_frontier.from_xid
        UNION
        SELECT listed.xid
        FROM pg_snapshot_xip(p_previous_snapshot) AS listed (xid)
        WHERE listed.xid >= p_last_xid
        AND listed.xid < v_frontier.from_xid
        AND pg_visible_in_snapshot(listed.xid, p_snapshot)
    );
    RETURN v_frontier;
END;
$frontier_of$;

COMMENT ON FUNCTION arvo.frontier_of(pg_snapshot, pg_snapshot, xid8, bigint, boolean) IS
'Where the rows of a lane''s log begin that a cursor has not passed.';

REVOKE ALL ON FUNCTION
arvo.frontier_of(pg_snapshot, pg_snapshot, xid8, bigint, boolean) FROM PUBLIC;
