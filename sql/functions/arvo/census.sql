-- arvo.census(queue, snapshot) — how many deliveries of a queue are at each place.
CREATE OR REPLACE FUNCTION arvo.census(p_queue integer, p_snapshot pg_snapshot DEFAULT NULL)
RETURNS arvo.census
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $census$
-- Counts exactly, as of the calling statement; the cost grows with what waits. With p_snapshot, of the
-- queued only those that it saw.
--
--   Reads    arvo.lane, arvo.lease, arvo.closure, arvo.log, arvo.parked, arvo.deferred,
--            arvo.promotion, arvo.tombstone
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_census arvo.census := (0::bigint, 0::bigint, 0::bigint, 0::bigint);
    v_lane integer;
    v_head arvo.lease;
    v_count bigint;
BEGIN
    SELECT count(*) INTO v_census.deferred
    FROM arvo.deferred
    CROSS JOIN (
        SELECT head.due, head.delivery, head.snapshot
        FROM arvo.promotion AS head
        ORDER BY head.number DESC
        LIMIT 1
    ) AS passed
    WHERE deferred.lane IN (SELECT own.lane FROM arvo.lanes_of(p_queue) AS own)
    AND NOT (
        (deferred.due, deferred.delivery) <= (passed.due, passed.delivery)
        AND pg_visible_in_snapshot(deferred.xid, passed.snapshot)
    );
    SELECT count(*) INTO v_census.parked
    FROM arvo.parked
    WHERE parked.queue = p_queue
    AND NOT EXISTS (
        SELECT
        FROM arvo.tombstone
        WHERE tombstone.lane = parked.lane AND tombstone.delivery = parked.delivery
        OFFSET 0  -- a look-up for each row
    );

    v_census.leased := arvo.count_leased(p_queue);

    FOR v_lane IN SELECT own.lane FROM arvo.lanes_of(p_queue) AS own LOOP
        v_head := arvo.head_of(v_lane);
        SELECT count(*) INTO v_count
        FROM arvo.log AS entry
        WHERE entry.lane = v_lane
        AND (entry.xid, entry.delivery) > (
            CASE
                WHEN v_head.exhausted OR v_head.last_xid >= pg_snapshot_xmin(v_head.snapshot)
                    THEN pg_snapshot_xmin(v_head.snapshot)
                ELSE v_head.last_xid
            END,
            CASE
                WHEN v_head.exhausted OR v_head.last_xid >= pg_snapshot_xmin(v_head.snapshot) THEN 0
                ELSE v_head.last_delivery
            END
        )
        AND (p_snapshot IS NULL OR pg_visible_in_snapshot(entry.xid, p_snapshot))
        AND NOT pg_visible_in_snapshot(entry.xid, v_head.previous_snapshot)
        AND NOT (
            pg_visible_in_snapshot(entry.xid, v_head.snapshot)
            AND (
                v_head.exhausted
                OR (entry.xid, entry.delivery) <= (v_head.last_xid, v_head.last_delivery)
            )
        )
        AND NOT EXISTS (
            SELECT
            FROM arvo.tombstone
            WHERE tombstone.lane = v_lane AND tombstone.delivery = entry.delivery
            OFFSET 0  -- a look-up for each row
        );
        v_census.queued := v_census.queued + v_count;
    END LOOP;
    RETURN v_census;
END;
$census$;

COMMENT ON FUNCTION arvo.census(integer, pg_snapshot) IS
'How many deliveries of a queue are queued, parked, deferred and leased.';

REVOKE ALL ON FUNCTION arvo.census(integer, pg_snapshot) FROM PUBLIC;
