-- arvo.event_of(log row) — the event of a delivery, wherever it is written.
CREATE OR REPLACE FUNCTION arvo.event_of(p_entry arvo.log)
RETURNS jsonb
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $event_of$
-- The first delivery carries the event; later ones say where the first stands.
--
--   Reads    arvo.log, by (lane, xid, delivery)
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT coalesce(
    p_entry.event,
    (
        SELECT origin.event
        FROM arvo.log AS origin
        WHERE origin.lane = p_entry.origin_lane
        AND origin.xid = p_entry.origin_xid
        AND origin.delivery = p_entry.origin_delivery
    )
);
$event_of$;

COMMENT ON FUNCTION arvo.event_of(arvo.log) IS
'The event of a delivery: its own, or that of the first delivery it refers to.';

REVOKE ALL ON FUNCTION arvo.event_of(arvo.log) FROM PUBLIC;
