-- arvo.carried_body(delivery, lane, transaction) — an event that must be written again.
CREATE OR REPLACE FUNCTION arvo.carried_body(p_delivery bigint, p_lane integer, p_xid xid8)
RETURNS jsonb
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $carried_body$
-- A row may say where its event is written instead of holding it, but only within one generation:
-- then both disappear together, and a generation can be emptied without asking who refers to it.
-- Answers the event of the first delivery named when that stands in an older generation; NULL when
-- it stands in the one in use. To be asked in the very statement that writes the new row and stamps
-- it with arvo.slot(): one snapshot decides both. A row that gets the event names no origin, and its
-- cause gets "first", for arvo.first_of.
--
--   Reads    arvo.log by (lane, xid, delivery), arvo.slot
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT origin.event
FROM arvo.log AS origin
WHERE origin.lane = p_lane
AND origin.xid = p_xid
AND origin.delivery = p_delivery
AND origin.slot <> arvo.slot();
$carried_body$;

COMMENT ON FUNCTION arvo.carried_body(bigint, integer, xid8) IS
'The event of a first delivery that stands in an older generation; NULL when a reference will do.';

REVOKE ALL ON FUNCTION arvo.carried_body(bigint, integer, xid8) FROM PUBLIC;
