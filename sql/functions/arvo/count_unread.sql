-- arvo.count_unread(head, most, seen) — what a lane's cursor has not reached, counted up to a bound.
CREATE OR REPLACE FUNCTION arvo.count_unread(
    p_head arvo.lease,
    p_most integer,
    p_seen pg_snapshot DEFAULT NULL
)
RETURNS arvo.lane_count
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $count_unread$
-- p_head is the newest lease row of the lane. Answers unread, at most p_most + 1, and the time of the
-- oldest of them that has not been withdrawn. With p_seen, only what that snapshot sees counts.
--
--   Reads    arvo.log by (lane, xid, delivery), arvo.tombstone
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_after arvo.frontier := arvo.frontier_of(
        p_head.previous_snapshot, p_head.snapshot, p_head.last_xid, p_head.last_delivery,
        p_head.exhausted
    );
    v_withdrawals boolean := EXISTS (
        SELECT FROM arvo.tombstone WHERE tombstone.lane = p_head.lane
    );
    v_count arvo.lane_count;
BEGIN
    SELECT
        count(*),
        min(entry.at) FILTER (
            WHERE NOT v_withdrawals OR NOT EXISTS (
                SELECT
                FROM arvo.tombstone
                WHERE tombstone.lane = p_head.lane AND tombstone.delivery = entry.delivery
            )
        )
    INTO v_count.unread, v_count.oldest_at
    FROM (
        SELECT unread.delivery, unread.at
        FROM (
            SELECT found.xid, found.delivery, found.at
            FROM unnest(v_after.late) AS gap (xid)
            CROSS JOIN LATERAL (
                SELECT log.xid, log.delivery, log.at
                FROM arvo.log
                WHERE log.lane = p_head.lane
                AND log.xid = gap.xid
                AND log.delivery
                    > CASE WHEN gap.xid = v_after.last_xid THEN v_after.last_delivery ELSE 0 END
                OFFSET 0
            ) AS found
            UNION ALL
            SELECT next.xid, next.delivery, next.at
            FROM (
                SELECT log.xid, log.delivery, log.at
                FROM arvo.log
                WHERE log.lane = p_head.lane
                AND (log.xid, log.delivery) > (v_after.from_xid, v_after.from_delivery)
                ORDER BY log.xid, log.delivery
            ) AS next
        ) AS unread
        WHERE p_seen IS NULL OR pg_visible_in_snapshot(unread.xid, p_seen)
        LIMIT p_most + 1
    ) AS entry;
    RETURN v_count;
END;
$count_unread$;

COMMENT ON FUNCTION arvo.count_unread(arvo.lease, integer, pg_snapshot) IS
'How many deliveries a lane''s cursor has not reached, up to a bound, and the oldest of them.';

REVOKE ALL ON FUNCTION arvo.count_unread(arvo.lease, integer, pg_snapshot) FROM PUBLIC;
