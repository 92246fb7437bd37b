-- arvo.entomb(log row, reason) — withdraw a delivery that nobody holds.
CREATE OR REPLACE FUNCTION arvo.entomb(p_entry arvo.log, p_reason text)
RETURNS void
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $entomb$
-- It is queued or parked, and the caller holds its lane; or the caller's transaction has appended it.
-- The claim that meets it closes it for this reason. A dead letter that is cancelled in its dead-letter
-- queue is discarded.
--
--   Reads    arvo.clock
--   Writes   arvo.tombstone, arvo.dead
--   Locks    arvo.dead row, when the delivery is one of a dead-letter queue
--   Raises   nothing
WITH discarded AS (
    UPDATE arvo.dead
    SET resolution = 'discarded', resolved_at = arvo.clock(), resolved_by = session_user
    WHERE p_reason = 'cancelled'
    AND dead.dead_letter_lane = p_entry.lane
    AND dead.dead_letter_delivery = p_entry.delivery
    AND dead.resolution IS NULL
)

INSERT INTO arvo.tombstone (lane, delivery, at, reason, by)
VALUES (p_entry.lane, p_entry.delivery, arvo.clock(), p_reason, session_user)
ON CONFLICT (lane, delivery) DO NOTHING;
$entomb$;

COMMENT ON FUNCTION arvo.entomb(arvo.log, text) IS
'Withdraws a queued or parked delivery, as cancelled or moved.';

REVOKE ALL ON FUNCTION arvo.entomb(arvo.log, text) FROM PUBLIC;
