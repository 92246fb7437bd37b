-- arvo.home_lane(queue) — the lane whose lock guards the keys of a gated queue.
CREATE OR REPLACE FUNCTION arvo.home_lane(p_queue integer)
RETURNS integer
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $home_lane$
-- The queue's first one: which lane that is never changes, whatever priority the queue is given.
--
--   Reads    arvo.lane
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT min(lane.lane)
FROM arvo.lane
WHERE lane.queue = p_queue AND NOT lane.retired;
$home_lane$;

COMMENT ON FUNCTION arvo.home_lane(integer) IS
'The first lane of a queue, whose lock guards the queue''s keys.';

REVOKE ALL ON FUNCTION arvo.home_lane(integer) FROM PUBLIC;
