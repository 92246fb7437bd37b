-- arvo.count_passed(tally, head) — how many deliveries a lane's cursor has passed since a tally.
CREATE OR REPLACE FUNCTION arvo.count_passed(p_tally arvo.tally, p_head arvo.lease)
RETURNS bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $count_passed$
-- p_head is the newest lease row of the lane, p_tally its newest tally, or NULL. Reads the rows
-- between the two cursors.
--
--   Reads    arvo.log by (lane, xid, delivery)
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_after arvo.frontier := arvo.frontier_of(
        p_tally.previous_snapshot, coalesce(p_tally.snapshot, '1:1:'), p_tally.last_xid,
        p_tally.last_delivery, coalesce(p_tally.exhausted, true)
    );
    v_upto arvo.frontier := arvo.frontier_of(
        p_head.previous_snapshot, p_head.snapshot, p_head.last_xid, p_head.last_delivery,
        p_head.exhausted
    );
    v_passed bigint;
BEGIN
    SELECT count(*) INTO v_passed
    FROM (
        SELECT found.delivery
        FROM unnest(v_after.late) AS gap (xid)
        CROSS JOIN LATERAL (
            SELECT log.delivery
            FROM arvo.log
            WHERE log.lane = p_head.lane
            AND log.xid = gap.xid
            AND log.delivery
                > CASE WHEN gap.xid = v_after.last_xid THEN v_after.last_delivery ELSE 0 END
            AND log.delivery <= CASE
                WHEN pg_visible_in_snapshot(gap.xid, p_head.previous_snapshot)
                    THEN 9223372036854775807
                WHEN NOT pg_visible_in_snapshot(gap.xid, p_head.snapshot) THEN 0
                WHEN p_head.exhausted OR gap.xid < p_head.last_xid THEN 9223372036854775807
                WHEN gap.xid = p_head.last_xid THEN p_head.last_delivery
                ELSE 0
            END
            OFFSET 0
        ) AS found
        UNION ALL
        SELECT next.delivery
        FROM (
            SELECT log.xid, log.delivery
            FROM arvo.log
            WHERE log.lane = p_head.lane
            AND (log.xid, log.delivery) > (v_after.from_xid, v_after.from_delivery)
            AND (log.xid, log.delivery) <= (v_upto.from_xid, v_upto.from_delivery)
            OFFSET 0
        ) AS next
        WHERE pg_visible_in_snapshot(next.xid, p_head.previous_snapshot)
        OR (
            pg_visible_in_snapshot(next.xid, p_head.snapshot)
            AND (
                p_head.exhausted
                OR (next.xid, next.delivery) <= (p_head.last_xid, p_head.last_delivery)
            )
        )
    ) AS passed;
    RETURN v_passed;
END;
$count_passed$;

COMMENT ON FUNCTION arvo.count_passed(arvo.tally, arvo.lease) IS
'How many deliveries the cursor of a lane has passed since a tally of it.';

REVOKE ALL ON FUNCTION arvo.count_passed(arvo.tally, arvo.lease) FROM PUBLIC;
