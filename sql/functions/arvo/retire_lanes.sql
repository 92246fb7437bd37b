-- arvo.retire_lanes() — put a new lane in the place of each one in use.
CREATE OR REPLACE FUNCTION arvo.retire_lanes()
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $retire_lanes$
-- For arvo_v1.rebase, which then moves what is live into the new lanes. They have the order of the
-- old ones, so that a queue's first lane stays its first. Their first cursors stand at transaction 3:
-- in a new lane, what has a lower number counts as claimed. What a cursor says of arvo.ready goes on.
-- The old lanes' cursors stay, to judge their rows by, until arvo.close_lanes. Returns how many lanes
-- were retired.
--
--   Reads    arvo.lease, arvo.clock, arvo.slot
--   Writes   arvo.lane, arvo.lease
--   Locks    arvo.lane rows
--   Raises   nothing
DECLARE
    v_made integer[];
BEGIN
    WITH retired AS (
        UPDATE arvo.lane
        SET successor = numbered.successor
        FROM (
            SELECT ordered.lane, nextval('arvo.lane_lane_seq'::regclass) AS successor
            FROM (
                SELECT lane.lane FROM arvo.lane WHERE lane.successor IS NULL ORDER BY lane.lane
            ) AS ordered
        ) AS numbered
        WHERE lane.lane = numbered.lane
        RETURNING lane.successor
    )

    SELECT coalesce(array_agg(retired.successor), '{}') INTO v_made FROM retired;

    WITH made AS (
        INSERT INTO arvo.lane (lane, queue, priority)
        OVERRIDING SYSTEM VALUE
        SELECT lane.successor, lane.queue, lane.priority
        FROM arvo.lane
        WHERE lane.successor = ANY (v_made)
        RETURNING lane.lane
    )

    INSERT INTO arvo.lease (
        slot, lane, number, token, leased_at, expires_at, deliveries,
        previous_snapshot, snapshot, last_xid, last_delivery, exhausted, open_from, sweep_at,
        ready_from
    )
    SELECT
        arvo.slot(), made.lane, 0, 0, arvo.clock(), '-infinity', '{}',
        '3:3:', '3:3:', '0', 0, true, 1, 'infinity',
        head.ready_from
    FROM made
    INNER JOIN arvo.lane AS old ON old.successor = made.lane
    CROSS JOIN LATERAL (
        SELECT newest.ready_from
        FROM arvo.lease AS newest
        WHERE newest.lane = old.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS head;
    RETURN cardinality(v_made);
END;
$retire_lanes$;

COMMENT ON FUNCTION arvo.retire_lanes() IS
'Puts a new, empty lane in the place of each one in use; returns how many.';

REVOKE ALL ON FUNCTION arvo.retire_lanes() FROM PUBLIC;
