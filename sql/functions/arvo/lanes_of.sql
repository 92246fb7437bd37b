-- arvo.lanes_of(queue) — the lanes of a queue.
CREATE OR REPLACE FUNCTION arvo.lanes_of(p_queue integer)
RETURNS SETOF arvo.lane
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $lanes_of$
-- In the order in which they are locked.
--
--   Reads    arvo.lane
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT lane.*
FROM arvo.lane
WHERE lane.queue = p_queue AND NOT lane.retired
ORDER BY lane.lane;
$lanes_of$;

COMMENT ON FUNCTION arvo.lanes_of(integer) IS
'The lanes of a queue that are in use, in the order in which they are locked.';

REVOKE ALL ON FUNCTION arvo.lanes_of(integer) FROM PUBLIC;
