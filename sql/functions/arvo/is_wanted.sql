-- arvo.is_wanted(event, event_id, event_type, subjects, path, text) — whether an event passes a filter.
CREATE OR REPLACE FUNCTION arvo.is_wanted(
    p_event jsonb,
    p_event_id text DEFAULT NULL,
    p_event_type text DEFAULT NULL,
    p_subjects text[] DEFAULT NULL,
    p_path jsonpath DEFAULT NULL,
    p_text text DEFAULT NULL
)
RETURNS boolean
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $is_wanted$
-- What is NULL does not filter. A type that ends in * stands for all that begin so. A path passes
-- what it finds, unless that is false or null: so a condition and a search both do what they say.
-- The text is looked for as it is in the event's JSON text.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    RETURN (p_event_id IS NULL OR p_event ->> 'id' = p_event_id)
        AND (
            p_event_type IS NULL
            OR p_event ->> 'type' = p_event_type
            OR (
                p_event_type LIKE '%*' AND starts_with(p_event ->> 'type', left(p_event_type, -1))
            )
        )
        AND (p_subjects IS NULL OR p_event ->> 'subject' = ANY (p_subjects))
        AND (
            p_path IS NULL
            OR coalesce(
                jsonb_path_query_first(p_event, p_path, '{}', true) NOT IN ('false', 'null'), false
            )
        )
        AND (p_text IS NULL OR strpos(p_event::text, p_text) > 0);
END;
$is_wanted$;

COMMENT ON FUNCTION arvo.is_wanted(jsonb, text, text, text[], jsonpath, text) IS
'Whether an event passes an operator''s filter; what is NULL does not filter.';

REVOKE ALL ON FUNCTION arvo.is_wanted(jsonb, text, text, text[], jsonpath, text) FROM PUBLIC;
