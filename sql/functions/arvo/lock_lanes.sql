-- arvo.lock_lanes(lanes) — hold lanes, so that nobody claims from them meanwhile.
CREATE OR REPLACE FUNCTION arvo.lock_lanes(p_lanes integer[])
RETURNS void
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $lock_lanes$
-- Claims go on with other lanes, heartbeats wait: whoever holds lanes ends its transaction soon.
-- What the last holder wrote is seen by the caller's next statement, not by this one.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    the lanes, in order
--   Raises   nothing
SELECT pg_advisory_xact_lock(hashtext('arvo'), named.lane)
FROM (
    SELECT DISTINCT listed.lane
    FROM unnest(p_lanes) AS listed (lane)
    WHERE listed.lane IS NOT NULL
    ORDER BY listed.lane
) AS named;
$lock_lanes$;

COMMENT ON FUNCTION arvo.lock_lanes(integer[]) IS
'Waits for the locks of lanes, in order, and holds them to the end of the transaction.';

REVOKE ALL ON FUNCTION arvo.lock_lanes(integer[]) FROM PUBLIC;
