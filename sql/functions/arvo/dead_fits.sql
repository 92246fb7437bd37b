-- arvo.dead_fits(dead letter, filter) — whether a dead letter is one of those that are meant.
CREATE OR REPLACE FUNCTION arvo.dead_fits(p_dead arvo.dead, p_filter arvo.dead_filter)
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $dead_fits$
-- Cheap conditions first. The path is asked of the original event: for a predicate (which answers
-- true, false or null whatever it is asked about) whether it holds, else whether it finds
-- something. The text is looked for as it stands, and as JSON writes it within a string.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_text text;
    v_escaped text;
BEGIN
    IF p_dead.dead <> ALL (p_filter.dead)
        OR (p_dead.queue <> p_filter.queue AND p_dead.dead_letter IS DISTINCT FROM p_filter.queue)
        OR p_dead.reason <> p_filter.reason
        OR p_dead.died_at < p_filter.since
        OR p_dead.died_at >= p_filter.before
        OR p_dead.event ->> 'type' <> p_filter.event_type
        OR p_dead.event ->> 'subject' <> p_filter.subject
    THEN
        RETURN false;
    END IF;
    IF p_filter.path IS NOT NULL AND NOT coalesce(
        CASE
            WHEN jsonb_path_query_array('{}', p_filter.path, '{}', true)
                IN ('[true]', '[false]', '[null]')
                THEN jsonb_path_match_tz(p_dead.event, p_filter.path, '{}', true)
            ELSE jsonb_path_exists_tz(p_dead.event, p_filter.path, '{}', true)
        END,
        false
    ) THEN
        RETURN false;
    END IF;
    IF p_filter.contains IS NOT NULL THEN
        v_text := lower(concat_ws(E'\n', p_dead.event, p_dead.error));
        v_escaped := to_json(p_filter.contains)::text;
        v_escaped := substr(v_escaped, 2, length(v_escaped) - 2);
        RETURN strpos(v_text, lower(p_filter.contains)) > 0
            OR strpos(v_text, lower(v_escaped)) > 0;
    END IF;
    RETURN true;
END;
$dead_fits$;

COMMENT ON FUNCTION arvo.dead_fits(arvo.dead, arvo.dead_filter) IS
'Whether a dead letter passes a filter.';

REVOKE ALL ON FUNCTION arvo.dead_fits(arvo.dead, arvo.dead_filter) FROM PUBLIC;
