-- arvo.tally_lanes(limit) — write down the figures of lanes where something has happened.
CREATE OR REPLACE FUNCTION arvo.tally_lanes(p_limit integer DEFAULT 1000)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $tally_lanes$
-- The lanes whose tally is oldest come first. Each delivery is read once by this, in the order of the
-- log; idle lanes cost a look. Needs no lock: two that write the same tally write one, and either is
-- right. Before a slot of the log is emptied it must have been called for all lanes. Returns how many
-- tallies were written.
--
--   Reads    arvo.lane, arvo.lease, arvo.log, arvo.deferred, arvo.clock; as arvo.count_lane
--   Writes   arvo.tally, arvo.upkeep
--   Locks    arvo.upkeep row
--   Raises   nothing
DECLARE
    v_lane integer;
    v_written integer := 0;
BEGIN
    FOR v_lane IN
        SELECT lane.lane
        FROM arvo.lane
        CROSS JOIN LATERAL (
            SELECT newest.number
            FROM arvo.lease AS newest
            WHERE newest.lane = lane.lane
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS head
        LEFT JOIN LATERAL (
            SELECT newest.at, newest.lease, newest.seen
            FROM arvo.tally AS newest
            WHERE newest.lane = lane.lane
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS counted ON true
        WHERE counted.at IS NULL
        OR head.number > counted.lease
        OR EXISTS (
            SELECT
            FROM arvo.log
            WHERE log.lane = lane.lane AND log.xid >= pg_snapshot_xmax(counted.seen)
        )
        OR EXISTS (
            SELECT
            FROM pg_snapshot_xip(counted.seen) AS gap (xid)
            INNER JOIN arvo.log ON log.lane = lane.lane AND log.xid = gap.xid
        )
        OR EXISTS (
            SELECT
            FROM arvo.deferred
            WHERE deferred.lane = lane.lane AND deferred.xid >= pg_snapshot_xmax(counted.seen)
        )
        OR EXISTS (
            SELECT
            FROM pg_snapshot_xip(counted.seen) AS gap (xid)
            INNER JOIN arvo.deferred ON deferred.lane = lane.lane AND deferred.xid = gap.xid
        )
        ORDER BY counted.at NULLS FIRST
        LIMIT p_limit
    LOOP
        PERFORM arvo.tally_lane(v_lane);
        v_written := v_written + 1;
    END LOOP;

    INSERT INTO arvo.upkeep AS done (task, at)
    VALUES ('tally', arvo.clock())
    ON CONFLICT (task) DO UPDATE SET at = excluded.at;
    RETURN v_written;
END;
$tally_lanes$;

COMMENT ON FUNCTION arvo.tally_lanes(integer) IS
'Writes tallies of the lanes where something has happened; returns how many.';

REVOKE ALL ON FUNCTION arvo.tally_lanes(integer) FROM PUBLIC;
