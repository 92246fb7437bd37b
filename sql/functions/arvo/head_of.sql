-- arvo.head_of(lane) — the newest row of a lane's ledger, which is its cursor.
CREATE OR REPLACE FUNCTION arvo.head_of(p_lane integer)
RETURNS arvo.lease
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $head_of$
--   Reads    arvo.lease by (lane, number)
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT head.*
FROM arvo.lease AS head
WHERE head.lane = p_lane
ORDER BY head.number DESC
LIMIT 1;
$head_of$;

COMMENT ON FUNCTION arvo.head_of(integer) IS
'The newest row of a lane''s ledger: its cursor.';

REVOKE ALL ON FUNCTION arvo.head_of(integer) FROM PUBLIC;
