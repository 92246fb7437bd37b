-- arvo.window_snapshot() — the current snapshot, as a window of a lane may store it.
CREATE OR REPLACE FUNCTION arvo.window_snapshot()
RETURNS pg_snapshot
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $window_snapshot$
-- PostgreSQL leaves the caller's own transaction out of a snapshot's in-progress list. A stored
-- snapshot without it would call rows seen that this same transaction appends later (every work()
-- with emitted events does), and they would never be delivered. So it is listed here.
--
--   Reads    pg_current_snapshot
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_snapshot pg_snapshot := pg_current_snapshot();
    v_own xid8 := pg_current_xact_id_if_assigned();
BEGIN
    IF v_own IS NULL OR v_own >= pg_snapshot_xmax(v_snapshot) THEN
        RETURN v_snapshot;
    END IF;
    RETURN (
        SELECT (
            least(pg_snapshot_xmin(v_snapshot), v_own)::text
            || ':' || pg_snapshot_xmax(v_snapshot)::text
            || ':' || string_agg(open.xid::text, ',' ORDER BY open.xid)
        )::pg_snapshot
        FROM (
            SELECT listed.xid
            FROM pg_snapshot_xip(v_snapshot) AS listed (xid)
            UNION
            SELECT v_own
        ) AS open
    );
END;
$window_snapshot$;

COMMENT ON FUNCTION arvo.window_snapshot() IS
'The current snapshot with the caller''s own transaction in its in-progress list.';

REVOKE ALL ON FUNCTION arvo.window_snapshot() FROM PUBLIC;
