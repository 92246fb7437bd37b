-- arvo.tally_lane(lane, most) — write down the figures of one lane.
CREATE OR REPLACE FUNCTION arvo.tally_lane(p_lane integer, p_most integer DEFAULT 10000)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $tally_lane$
-- The cursor is read before the snapshot is taken, so what the cursor has passed, the snapshot sees.
-- The own transaction counts as open: what it writes is counted by the next tally. With p_most NULL
-- everything is counted without looking at the tally before, at the cost of a scan of the lane: for
-- whoever, holding the lane, moved its cursor or its parked rows in another way than by leases.
--
--   Reads    arvo.lease, arvo.clock; as arvo.count_lane
--   Writes   arvo.tally
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_head arvo.lease;
    v_tally arvo.tally;
    v_seen pg_snapshot;
    v_count arvo.lane_count;
BEGIN
    SELECT newest.* INTO STRICT v_head
    FROM arvo.lease AS newest
    WHERE newest.lane = p_lane
    ORDER BY newest.number DESC
    LIMIT 1;
    SELECT newest.* INTO v_tally
    FROM arvo.tally AS newest
    WHERE newest.lane = p_lane
    ORDER BY newest.number DESC
    LIMIT 1;
    v_seen := arvo.window_snapshot();
    IF p_most IS NULL THEN
        v_count := arvo.count_lane(v_head, NULL, v_seen, NULL);
    ELSE
        v_count := arvo.count_lane(v_head, v_tally, v_seen, p_most);
    END IF;

    INSERT INTO arvo.tally (
        lane, number, at, seen, lease, previous_snapshot, snapshot, last_xid, last_delivery,
        exhausted, unread, parked, deferred, kept
    )
    VALUES (
        p_lane, coalesce(v_tally.number, 0) + 1, arvo.clock(), v_seen, v_head.number,
        v_head.previous_snapshot, v_head.snapshot, v_head.last_xid, v_head.last_delivery,
        v_head.exhausted, v_count.unread, v_count.parked, v_count.deferred,
        ARRAY(
            SELECT appended.entries + CASE WHEN p_most IS NULL THEN 0 ELSE coalesce(kept.entries, 0) END
            FROM unnest(v_count.slots) WITH ORDINALITY AS appended (entries, ordinal)
            LEFT JOIN unnest(v_tally.kept) WITH ORDINALITY AS kept (entries, ordinal)
                ON kept.ordinal = appended.ordinal
            ORDER BY appended.ordinal
        )
    )
    ON CONFLICT (lane, number) DO NOTHING;
    DELETE FROM arvo.tally AS gone
    WHERE gone.lane = p_lane AND gone.number = v_tally.number;
END;
$tally_lane$;

COMMENT ON FUNCTION arvo.tally_lane(integer, integer) IS
'Writes the next tally of a lane, carried on from the last or counted anew.';

REVOKE ALL ON FUNCTION arvo.tally_lane(integer, integer) FROM PUBLIC;
