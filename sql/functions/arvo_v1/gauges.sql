-- arvo_v1.gauges(most) — all figures for a monitoring system, in one call.
CREATE OR REPLACE FUNCTION arvo_v1.gauges(p_most integer DEFAULT 1000)
RETURNS SETOF arvo_v1.gauge
LANGUAGE sql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $gauges$
-- The p_most longest queues are told one by one (0 to 100,000), the others as one with an empty name:
-- a monitoring system must not have a series for each name that somebody has ever dispatched to.
-- Writes nothing, so a standby answers, too.
--
--   Reads    as arvo.gauges_of_queues and arvo.gauges_of_server
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT figure.* FROM arvo.gauges_of_queues(least(greatest(p_most, 0), 100000)) AS figure
UNION ALL
SELECT figure.* FROM arvo.gauges_of_server() AS figure;
$gauges$;

COMMENT ON FUNCTION arvo_v1.gauges(integer) IS
'Every figure for a monitoring system: of the longest queues, their lanes, upkeep, history and server.';

REVOKE ALL ON FUNCTION arvo_v1.gauges(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.gauges(integer) TO arvo_worker, arvo_monitor, arvo_operator;
