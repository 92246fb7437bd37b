-- arvo.is_worth_claiming(lane) — whether a claim of a lane can find something to do.
CREATE OR REPLACE FUNCTION arvo.is_worth_claiming(p_lane integer)
RETURNS boolean
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $is_worth_claiming$
-- Looks without the lane's lock, so that a claim over very many lanes need not lock the idle ones.
-- False only when the newest window has been read to its end, nothing has been committed since, and
-- no lease can have lapsed. Rows of the caller's own transaction may answer true for nothing.
--
--   Reads    arvo.lease by (lane, number), arvo.log by (lane, xid), arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    NOT head.exhausted
    OR head.sweep_at <= arvo.clock()
    OR EXISTS (
        SELECT
        FROM arvo.log AS entry
        WHERE entry.lane = p_lane AND entry.xid >= pg_snapshot_xmax(head.snapshot)
    )
    OR EXISTS (
        SELECT
        FROM pg_snapshot_xip(head.snapshot) AS late (xid)
        INNER JOIN arvo.log AS entry ON entry.lane = p_lane AND entry.xid = late.xid
    )
FROM (
    SELECT newest.exhausted, newest.sweep_at, newest.snapshot
    FROM arvo.lease AS newest
    WHERE newest.lane = p_lane
    ORDER BY newest.number DESC
    LIMIT 1
) AS head;
$is_worth_claiming$;

COMMENT ON FUNCTION arvo.is_worth_claiming(integer) IS
'Whether a lane has unread deliveries or a lease that may have lapsed; looks without its lock.';

REVOKE ALL ON FUNCTION arvo.is_worth_claiming(integer) FROM PUBLIC;
