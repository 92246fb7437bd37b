-- arvo.move_cursor(head, open_from, sweep_at) — write a lease row that leases nothing.
CREATE OR REPLACE FUNCTION arvo.move_cursor(
    p_head arvo.lease,
    p_open_from bigint DEFAULT NULL,
    p_sweep_at timestamptz DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $move_cursor$
-- p_head is the newest row of a lane that the caller holds, its window and position possibly moved
-- on by the caller. What a sweep found out, or a read, is worth a row; so is a cursor that is to
-- leave an old generation. NULL keeps what p_head says.
--
--   Reads    arvo.clock, arvo.slot
--   Writes   arvo.lease (one row)
--   Locks    nothing
--   Raises   nothing
BEGIN
    INSERT INTO arvo.lease (
        slot, lane, number, token, worker, leased_at, expires_at, deliveries,
        previous_snapshot, snapshot, last_xid, last_delivery, exhausted,
        open_from, sweep_at, ready_from
    )
    VALUES (
        arvo.slot(), p_head.lane, p_head.number + 1, 0, NULL, arvo.clock(), p_head.expires_at, '{}',
        p_head.previous_snapshot, p_head.snapshot, p_head.last_xid, p_head.last_delivery,
        p_head.exhausted, coalesce(p_open_from, p_head.open_from),
        coalesce(p_sweep_at, p_head.sweep_at), p_head.ready_from
    );
END;
$move_cursor$;

COMMENT ON FUNCTION arvo.move_cursor(arvo.lease, bigint, timestamptz) IS
'Appends a lease row that holds nothing but a lane''s cursor.';

REVOKE ALL ON FUNCTION arvo.move_cursor(arvo.lease, bigint, timestamptz) FROM PUBLIC;
