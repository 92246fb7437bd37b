-- arvo_v1.health() — what an operator should know, in one call.
CREATE OR REPLACE FUNCTION arvo_v1.health()
RETURNS SETOF arvo_v1.vital
LANGUAGE sql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $health$
-- At least one row for every topic, also when it is well: so it is seen that somebody looked. Writes
-- nothing.
--
--   Reads    as arvo.vitals_of_server, arvo.vitals_of_upkeep and arvo.vitals_of_queues
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT told.* FROM arvo.vitals_of_server() AS told
UNION ALL
SELECT told.* FROM arvo.vitals_of_upkeep() AS told
UNION ALL
SELECT told.* FROM arvo.vitals_of_queues() AS told;
$health$;

COMMENT ON FUNCTION arvo_v1.health() IS
'Topic by topic: ok, notice or warning, the figure, the facts, and what can be done.';

REVOKE ALL ON FUNCTION arvo_v1.health() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.health() TO arvo_worker, arvo_monitor, arvo_operator;
