-- arvo.forget_slot(slot) — take an emptied slot of the log out of the tallies.
CREATE OR REPLACE FUNCTION arvo.forget_slot(p_slot smallint)
RETURNS void
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $forget_slot$
-- For whoever has emptied that slot in the same transaction, after arvo.tally_lanes.
--
--   Reads    nothing
--   Writes   arvo.tally
--   Locks    arvo.tally rows
--   Raises   nothing
UPDATE arvo.tally
SET kept[p_slot + 1] = 0
WHERE tally.kept[p_slot + 1] <> 0;
$forget_slot$;

COMMENT ON FUNCTION arvo.forget_slot(smallint) IS
'Sets what tallies keep for an emptied slot of the log to zero.';

REVOKE ALL ON FUNCTION arvo.forget_slot(smallint) FROM PUBLIC;
