-- arvo.is_finished(execution_status, data) — whether a workflow's state says that it has come to its end.
CREATE OR REPLACE FUNCTION arvo.is_finished(p_execution_status text, p_data jsonb)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $is_finished$
-- The records of upstream's resumables and orchestrators. One of another shape is never finished.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT CASE
           WHEN p_execution_status = 'failure' THEN true
           ELSE coalesce(p_data ->> 'status' IN ('done', 'error', 'stopped'), false)
       END;
$is_finished$;

COMMENT ON FUNCTION arvo.is_finished(text, jsonb) IS
'Whether a workflow''s state says that it is done or has failed.';

REVOKE ALL ON FUNCTION arvo.is_finished(text, jsonb) FROM PUBLIC;
