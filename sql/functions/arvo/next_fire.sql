-- arvo.next_fire() — when the next schedule fires.
CREATE OR REPLACE FUNCTION arvo.next_fire()
RETURNS timestamptz
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $next_fire$
-- NULL when no schedule is waiting for its time. In the past when one is due, and somebody holds it.
--
--   Reads    arvo.schedule by next_at, arvo.clock; as arvo.fire_floor
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT schedule.next_at
FROM arvo.schedule
WHERE schedule.next_at > (SELECT arvo.fire_floor(arvo.clock()))
ORDER BY schedule.next_at
LIMIT 1;
$next_fire$;

COMMENT ON FUNCTION arvo.next_fire() IS
'When the next schedule fires; NULL when none will.';

REVOKE ALL ON FUNCTION arvo.next_fire() FROM PUBLIC;
