-- arvo.options_with(options, start_after, priority) — options of a dispatch, with two given apart.
CREATE OR REPLACE FUNCTION arvo.options_with(
    p_options jsonb,
    p_start_after interval,
    p_priority integer
)
RETURNS jsonb
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $options_with$
-- NULL when there is nothing to say. What is no object is left for arvo.read_options to refuse.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT CASE
           WHEN p_start_after IS NULL AND p_priority IS NULL THEN p_options
           WHEN jsonb_typeof(p_options) NOT IN ('object', 'null') THEN p_options
           ELSE coalesce(nullif(p_options, 'null'), '{}') || jsonb_strip_nulls(jsonb_build_object(
               'start_after', extract(epoch FROM p_start_after), 'priority', p_priority
           ))
       END;
$options_with$;

COMMENT ON FUNCTION arvo.options_with(jsonb, interval, integer) IS
'Options of a dispatch together with start_after and priority; NULL for none.';

REVOKE ALL ON FUNCTION arvo.options_with(jsonb, interval, integer) FROM PUBLIC;
