-- arvo.barred_to(events) — a queue that emitted events go to, and the caller may not.
CREATE OR REPLACE FUNCTION arvo.barred_to(p_events jsonb)
RETURNS text
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $barred_to$
-- The first by name; NULL when there is none. p_events is an array of events that have been checked.
-- What is published is left to arvo.append, which passes over queues that are closed.
--
--   Reads    as arvo.goes_to and arvo.may
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT min(named.name COLLATE "C")
FROM unnest(arvo.goes_to(
    ARRAY(SELECT emitted.event FROM jsonb_array_elements(p_events) AS emitted (event)), false, false
)) AS named (name)
WHERE NOT arvo.may(named.name, 'dispatch');
$barred_to$;

COMMENT ON FUNCTION arvo.barred_to(jsonb) IS
'A queue that emitted events go to although the caller may not dispatch there.';

REVOKE ALL ON FUNCTION arvo.barred_to(jsonb) FROM PUBLIC;
