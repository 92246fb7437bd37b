-- arvo.count_lane(head, tally, seen, most) — the figures of one lane, without scanning its backlog.
CREATE OR REPLACE FUNCTION arvo.count_lane(
    p_head arvo.lease,
    p_tally arvo.tally,
    p_seen pg_snapshot DEFAULT NULL,
    p_most integer DEFAULT 10000
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
AS $count_lane$
-- p_head is the newest lease row of the lane, p_tally its newest tally, or NULL. What is few is
-- counted: up to p_most unread and as many deferred rows. Beyond that the tally is carried on: what
-- was appended since (there now, not seen by its snapshot) comes to it, what the cursor has passed
-- leaves it. A transaction that commits late is counted once, whatever its number: the windows of
-- claims. So the cost grows with the lesser of backlog and time since the tally; never an estimate.
-- With p_seen, only what that snapshot sees counts, for a new tally: p_head was read before it. With
-- p_most NULL everything is counted, parked ones in their room.
--
--   Reads    arvo.log by (lane, xid, delivery), arvo.lease by (lane, number), arvo.deferred by (lane,
--            xid), arvo.promotion, arvo.parked, arvo.lane, arvo.queue
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_count arvo.lane_count;
    v_since pg_snapshot := coalesce(p_tally.seen, '1:1:');
    v_promotion arvo.promotion;
    v_rows bigint;
    v_leased bigint;
    v_gated boolean;
    v_appended bigint;
    v_departed bigint;
    v_passed bigint;
BEGIN
    v_count := arvo.count_unread(p_head, p_most, p_seen);

    SELECT head.* INTO STRICT v_promotion
    FROM arvo.promotion AS head
    ORDER BY head.number DESC
    LIMIT 1;
    SELECT
        count(*),
        count(*) FILTER (
            WHERE NOT (
                (entry.due, entry.delivery) <= (v_promotion.due, v_promotion.delivery)
                AND pg_visible_in_snapshot(entry.xid, v_promotion.snapshot)
            )
            AND (p_seen IS NULL OR pg_visible_in_snapshot(entry.xid, p_seen))
        )
    INTO v_rows, v_count.deferred
    FROM (
        SELECT deferred.xid, deferred.due, deferred.delivery
        FROM arvo.deferred
        WHERE deferred.lane = p_head.lane
        LIMIT p_most + 1
    ) AS entry;

    SELECT coalesce(sum(cardinality(lease.deliveries)), 0) INTO v_leased
    FROM arvo.lease
    WHERE lease.lane = p_head.lane
    AND lease.number > coalesce(p_tally.lease, -1)
    AND lease.number <= p_head.number
    AND lease.token <> 0
    AND NOT lease.carried;
    v_gated := EXISTS (
        SELECT
        FROM arvo.lane
        INNER JOIN arvo.parked ON parked.queue = lane.queue
        WHERE lane.lane = p_head.lane
    );

    IF p_seen IS NOT NULL OR v_gated OR v_count.unread > p_most OR v_rows > p_most THEN
        SELECT
            count(*),
            count(*) FILTER (WHERE pg_visible_in_snapshot(entry.deferred_xid, v_since)),
            ARRAY[
                count(*) FILTER (WHERE entry.slot = 0),
                count(*) FILTER (WHERE entry.slot = 1),
                count(*) FILTER (WHERE entry.slot = 2),
                count(*) FILTER (WHERE entry.slot = 3)
            ]
        INTO v_appended, v_departed, v_count.slots
        FROM (
            SELECT found.xid, found.slot, found.deferred_xid
            FROM pg_snapshot_xip(v_since) AS gap (xid)
            CROSS JOIN LATERAL (
                SELECT log.xid, log.slot, log.deferred_xid
                FROM arvo.log
                WHERE log.lane = p_head.lane AND log.xid = gap.xid
                OFFSET 0
            ) AS found
            UNION ALL
            SELECT next.xid, next.slot, next.deferred_xid
            FROM (
                SELECT log.xid, log.slot, log.deferred_xid
                FROM arvo.log
                WHERE log.lane = p_head.lane
                AND (log.xid, log.delivery) > (pg_snapshot_xmax(v_since), 0)
                OFFSET 0
            ) AS next
        ) AS entry
        WHERE p_seen IS NULL OR pg_visible_in_snapshot(entry.xid, p_seen);
    END IF;

    IF v_count.unread > p_most THEN
        v_passed := arvo.count_passed(p_tally, p_head);
        v_count.unread := coalesce(p_tally.unread, 0) + v_appended - v_passed;
    ELSE
        v_passed := v_appended - (v_count.unread - coalesce(p_tally.unread, 0));
    END IF;

    -- What the cursor has passed has been leased, or stands parked.
    IF p_most IS NULL THEN
        SELECT count(*) INTO v_count.parked FROM arvo.parked WHERE parked.lane = p_head.lane;
    ELSIF p_seen IS NOT NULL OR v_gated THEN
        v_count.parked := coalesce(p_tally.parked, 0) + v_passed - v_leased;
    ELSE
        v_count.parked := 0;
        v_passed := v_leased - coalesce(p_tally.parked, 0);
    END IF;

    v_count.kept := coalesce(p_tally.kept[1] + p_tally.kept[2] + p_tally.kept[3] + p_tally.kept[4], 0)
        + coalesce(v_appended, v_passed + v_count.unread - coalesce(p_tally.unread, 0));

    IF v_rows > p_most THEN
        SELECT coalesce(p_tally.deferred, 0) + count(*) - v_departed INTO v_count.deferred
        FROM (
            SELECT found.xid, found.due, found.delivery
            FROM pg_snapshot_xip(v_since) AS gap (xid)
            CROSS JOIN LATERAL (
                SELECT deferred.xid, deferred.due, deferred.delivery
                FROM arvo.deferred
                WHERE deferred.lane = p_head.lane AND deferred.xid = gap.xid
                OFFSET 0
            ) AS found
            UNION ALL
            SELECT next.xid, next.due, next.delivery
            FROM (
                SELECT deferred.xid, deferred.due, deferred.delivery
                FROM arvo.deferred
                WHERE deferred.lane = p_head.lane AND deferred.xid >= pg_snapshot_xmax(v_since)
                OFFSET 0
            ) AS next
        ) AS entry
        WHERE NOT (
            (entry.due, entry.delivery) <= (v_promotion.due, v_promotion.delivery)
            AND pg_visible_in_snapshot(entry.xid, v_promotion.snapshot)
        )
        AND (p_seen IS NULL OR pg_visible_in_snapshot(entry.xid, p_seen));
    END IF;
    IF p_seen IS NOT NULL THEN
        -- What was promoted since, by this transaction or another, was still there.
        SELECT v_count.deferred + count(*) INTO v_count.deferred
        FROM (
            SELECT found.deferred_xid
            FROM pg_snapshot_xip(p_seen) AS gap (xid)
            CROSS JOIN LATERAL (
                SELECT log.deferred_xid
                FROM arvo.log
                WHERE log.lane = p_head.lane AND log.xid = gap.xid
                OFFSET 0
            ) AS found
            UNION ALL
            SELECT next.deferred_xid
            FROM (
                SELECT log.deferred_xid
                FROM arvo.log
                WHERE log.lane = p_head.lane
                AND (log.xid, log.delivery) > (pg_snapshot_xmax(p_seen), 0)
                OFFSET 0
            ) AS next
        ) AS entry
        WHERE pg_visible_in_snapshot(entry.deferred_xid, p_seen)
        AND (
            coalesce(v_rows <= p_most, true)
            OR NOT pg_visible_in_snapshot(entry.deferred_xid, v_since)
        );
    END IF;
    RETURN v_count;
END;
$count_lane$;

COMMENT ON FUNCTION arvo.count_lane(arvo.lease, arvo.tally, pg_snapshot, integer) IS
'Unread, parked, deferred and kept deliveries of a lane: counted while few, else carried on from its tally.';

REVOKE ALL ON FUNCTION arvo.count_lane(arvo.lease, arvo.tally, pg_snapshot, integer) FROM PUBLIC;
