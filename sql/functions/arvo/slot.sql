-- arvo.slot() — the generation slot that new rows are stamped with.
CREATE OR REPLACE FUNCTION arvo.slot()
RETURNS smallint
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $slot$
-- The log, the leases and the journal live in four partitions that are filled in turn and emptied
-- whole. The newest generation names the one in use.
--
--   Reads    arvo.generation
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    RETURN (
        SELECT generation.slot
        FROM arvo.generation
        ORDER BY generation.number DESC
        LIMIT 1
    );
END;
$slot$;

COMMENT ON FUNCTION arvo.slot() IS
'Partition of log, lease and closure that is in use.';

REVOKE ALL ON FUNCTION arvo.slot() FROM PUBLIC;
