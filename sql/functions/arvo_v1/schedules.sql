-- arvo_v1.schedules(name) — the schedules.
CREATE OR REPLACE FUNCTION arvo_v1.schedules(p_name text DEFAULT NULL)
RETURNS SETOF arvo_v1.schedule
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $schedules$
-- Of one name, or all, by name and key. One that has an error, or neither next_at nor paused_at,
-- wants somebody to look at it.
--
--   Reads    arvo.schedule
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT shown.*
FROM arvo.schedule AS known
CROSS JOIN LATERAL arvo.schedule_row(known, NULL) AS shown
WHERE p_name IS NULL OR known.name = p_name
ORDER BY known.name, known.key;
$schedules$;

COMMENT ON FUNCTION arvo_v1.schedules(text) IS
'The schedules, all or those of a name: what, when, and how the last fire went.';

REVOKE ALL ON FUNCTION arvo_v1.schedules(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.schedules(text) TO arvo_operator, arvo_monitor;
