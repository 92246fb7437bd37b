-- arvo_v1.state_retentions() — how long states of finished workflows are kept.
CREATE OR REPLACE FUNCTION arvo_v1.state_retentions()
RETURNS SETOF arvo_v1.state_retention
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $state_retentions$
-- The rule for all handlers that have none of their own comes first. No row: all is kept for ever.
--
--   Reads    arvo.state_retention
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    nullif(state_retention.source, ''),
    state_retention.age,
    state_retention.changed_at,
    state_retention.changed_by
FROM arvo.state_retention
ORDER BY state_retention.source COLLATE "C";
$state_retentions$;

COMMENT ON FUNCTION arvo_v1.state_retentions() IS
'Rules that say how long states of finished workflows are kept; without one they are kept for ever.';

REVOKE ALL ON FUNCTION arvo_v1.state_retentions() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.state_retentions() TO arvo_worker, arvo_monitor, arvo_operator;
