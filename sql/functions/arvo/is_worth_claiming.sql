-- arvo.is_worth_claiming(lane) — whether a claim of a lane can find something to do.
CREATE OR REPLACE FUNCTION arvo.is_worth_claiming(p_lane integer)
RETURNS boolean
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $is_worth_claiming$
-- Looks without the lane's lock, so that a claim over very many lanes need not lock the idle ones.
-- False only when the newest window has been read to its end, nothing has been committed since, no
-- lease can have lapsed, and no key of a gated queue is to be served there. Rows of the caller's own
-- transaction may answer true for nothing.
--
--   Reads    arvo.lease by (lane, number), arvo.log by (lane, xid), arvo.ready,
--            arvo.lane, arvo.clock
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
    OR EXISTS (
        SELECT
        FROM arvo.lane
        INNER JOIN arvo.ready ON ready.queue = lane.queue AND ready.number > head.ready_from
        WHERE lane.lane = p_lane AND arvo.home_lane(lane.queue) = p_lane
    )
FROM (
    SELECT newest.exhausted, newest.sweep_at, newest.snapshot, newest.ready_from
    FROM arvo.lease AS newest
    WHERE newest.lane = p_lane
    ORDER BY newest.number DESC
    LIMIT 1
) AS head;
$is_worth_claiming$;

COMMENT ON FUNCTION arvo.is_worth_claiming(integer) IS
'Whether a lane has unread deliveries or a lease that may have lapsed; looks without its lock.';

REVOKE ALL ON FUNCTION arvo.is_worth_claiming(integer) FROM PUBLIC;
