-- arvo.is_unclaimed(head, xid, delivery) — whether a lane's cursor has not reached a row of its log.
CREATE OR REPLACE FUNCTION arvo.is_unclaimed(
    p_head arvo.lease,
    p_xid xid8,
    p_delivery bigint
)
RETURNS boolean
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $is_unclaimed$
-- p_head is the newest lease row of the lane. Claimed is what the older snapshot of its window saw,
-- and what the newer one saw up to the position reached.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT NOT pg_visible_in_snapshot(p_xid, p_head.previous_snapshot)
    AND NOT (
        pg_visible_in_snapshot(p_xid, p_head.snapshot)
        AND (
            p_head.exhausted
            OR (p_xid, p_delivery) <= (p_head.last_xid, p_head.last_delivery)
        )
    );
$is_unclaimed$;

COMMENT ON FUNCTION arvo.is_unclaimed(arvo.lease, xid8, bigint) IS
'Whether a delivery in the log has not been claimed yet, judged by its lane''s newest lease row.';

REVOKE ALL ON FUNCTION arvo.is_unclaimed(arvo.lease, xid8, bigint) FROM PUBLIC;
