-- arvo.read_dead_filter(dead, queue, …, limit, required) — which dead letters a call means.
CREATE OR REPLACE FUNCTION arvo.read_dead_filter(
    p_dead bigint[],
    p_queue text,
    p_reason text,
    p_since timestamptz,
    p_before timestamptz,
    p_event_type text,
    p_subject text,
    p_path jsonpath,
    p_text text,
    p_limit integer,
    p_required boolean
)
RETURNS arvo.dead_filter
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $read_dead_filter$
-- An empty text is one that was left out. p_limit is checked only. p_required: whoever moves dead
-- letters must say which.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   RV006  there is no such reason; limit is not 1 to 10000; no filter is given
DECLARE
    v_filter arvo.dead_filter;
BEGIN
    IF p_reason NOT IN ('failed', 'rejected', 'lease_expired', 'retention') THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'reason',
              DETAIL = format('reason: %s', left(to_json(p_reason)::text, 80)),
              HINT = 'Use failed, rejected, lease_expired or retention.';
    END IF;
    IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'limit',
              DETAIL = format('limit: %s', coalesce(p_limit::text, 'null')),
              HINT = 'Ask for 1 to 10000 in one call.';
    END IF;
    PERFORM arvo.require_path(p_path);
    v_filter := (
        p_dead, p_queue, p_reason, p_since, p_before, p_event_type, p_subject, p_path,
        nullif(p_text, '')
    )::arvo.dead_filter;
    IF p_required AND v_filter IS NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'queue',
              DETAIL = 'No filter is given.',
              HINT = 'Name a queue, the numbers of dead letters, or another filter.';
    END IF;
    RETURN v_filter;
END;
$read_dead_filter$;

COMMENT ON FUNCTION
arvo.read_dead_filter(
    bigint[], text, text, timestamptz, timestamptz, text, text, jsonpath, text, integer,
    boolean
) IS
'Checks and gathers the arguments that say which dead letters are meant.';

REVOKE ALL ON FUNCTION
arvo.read_dead_filter(
    bigint[], text, text, timestamptz, timestamptz, text, text, jsonpath, text, integer,
    boolean
) FROM PUBLIC;
