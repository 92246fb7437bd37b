-- arvo.close_lanes() — the last cursors of retired lanes.
CREATE OR REPLACE FUNCTION arvo.close_lanes()
RETURNS integer
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $close_lanes$
-- After them nothing in such a lane counts as unclaimed, as leased, or as worth a look, whoever asks.
-- Returns how many were closed.
--
--   Reads    arvo.lane, arvo.lease, arvo.clock, arvo.slot
--   Writes   arvo.lease
--   Locks    nothing
--   Raises   nothing
WITH closed AS (
    INSERT INTO arvo.lease (
        slot, lane, number, token, leased_at, expires_at, deliveries,
        previous_snapshot, snapshot, last_xid, last_delivery, exhausted, open_from, sweep_at
    )
    SELECT
        arvo.slot(), lane.lane, head.number + 1, 0, arvo.clock(), head.expires_at, '{}',
        '9223372036854775807:9223372036854775807:', '9223372036854775807:9223372036854775807:',
        '0', 0, true, head.number + 2, 'infinity'
    FROM arvo.lane
    CROSS JOIN LATERAL (
        SELECT newest.number, newest.expires_at, newest.snapshot
        FROM arvo.lease AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS head
    WHERE lane.retired
    AND pg_snapshot_xmax(head.snapshot) <> '9223372036854775807'
    RETURNING 1
)

SELECT count(*)::integer FROM closed;
$close_lanes$;

COMMENT ON FUNCTION arvo.close_lanes() IS
'Moves the cursors of retired lanes behind everything; returns how many.';

REVOKE ALL ON FUNCTION arvo.close_lanes() FROM PUBLIC;
