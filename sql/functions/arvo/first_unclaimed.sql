-- arvo.first_unclaimed(head, low, high) — the oldest delivery that a lane's cursor has not reached.
CREATE OR REPLACE FUNCTION arvo.first_unclaimed(
    p_head arvo.lease,
    p_low_slot integer DEFAULT 0,
    p_high_slot integer DEFAULT 3
)
RETURNS SETOF arvo.log
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $first_unclaimed$
-- p_head is the newest lease row of the lane; only slots p_low_slot to p_high_slot are looked at. One
-- probe behind the cursor, and one for each transaction that was open when a snapshot of its window
-- was taken: what has been claimed is never walked over. Of these the one that was appended first;
-- no row when all has been claimed. Whoever asks without the lane's lock may get an old answer.
--
--   Reads    arvo.log, by (lane, xid, delivery)
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT entry.*
FROM (
    (
        SELECT log.*
        FROM arvo.log
        WHERE log.slot BETWEEN p_low_slot AND p_high_slot
        AND log.lane = p_head.lane
        AND (log.xid, log.delivery) > (
            CASE
                WHEN p_head.exhausted THEN pg_snapshot_xmax(p_head.snapshot)
                ELSE greatest(p_head.last_xid, pg_snapshot_xmax(p_head.previous_snapshot))
            END,
            CASE
                WHEN p_head.exhausted
                    OR p_head.last_xid < pg_snapshot_xmax(p_head.previous_snapshot) THEN 0
                ELSE p_head.last_delivery
            END
        )
        ORDER BY log.xid, log.delivery
        LIMIT 1
    )
    UNION ALL
    SELECT late.*
    FROM (
        SELECT listed.xid FROM pg_snapshot_xip(p_head.previous_snapshot) AS listed (xid)
        UNION
        SELECT listed.xid FROM pg_snapshot_xip(p_head.snapshot) AS listed (xid)
    ) AS open
    CROSS JOIN LATERAL (
        SELECT log.*
        FROM arvo.log
        WHERE log.slot BETWEEN p_low_slot AND p_high_slot
        AND log.lane = p_head.lane
        AND log.xid = open.xid
        AND log.delivery > CASE
            WHEN open.xid = p_head.last_xid AND NOT p_head.exhausted THEN p_head.last_delivery
            ELSE 0
        END
        ORDER BY log.delivery
        LIMIT 1
    ) AS late
    WHERE arvo.is_unclaimed(p_head, late.xid, late.delivery)
) AS entry
ORDER BY entry.at, entry.delivery
LIMIT 1;
$first_unclaimed$;

COMMENT ON FUNCTION arvo.first_unclaimed(arvo.lease, integer, integer) IS
'The oldest delivery in some slots that a lane''s cursor has not reached, if there is one.';

REVOKE ALL ON FUNCTION arvo.first_unclaimed(arvo.lease, integer, integer) FROM PUBLIC;
