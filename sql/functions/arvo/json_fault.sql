-- arvo.json_fault(json, most) — why a JSON value is not to be kept, or NULL.
CREATE OR REPLACE FUNCTION arvo.json_fault(p_json jsonb, p_most integer)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $json_fault$
-- What clients can read, and no more than so many bytes as PostgreSQL prints it: a number of nine
-- characters may print as 131,072 digits. The bounds of numbers and depth are those of events.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    -- A value so small is not nested deeper than 512, and has no number of 4000 digits.
    IF p_json IS NULL OR (
        p_most >= 4096
        AND pg_column_size(p_json || '{}') <= 4096
        AND octet_length(p_json::text) <= 4000
    ) THEN
        RETURN NULL;
    END IF;
    RETURN CASE
        WHEN arvo.printed_size(p_json) > p_most
            THEN format('must not be larger than %s bytes', p_most)
        WHEN p_json @? 'strict $.** ? (@ >= 1e4000 || @ <= -1e4000)'
            THEN 'must not have numbers of more than 4000 digits'
        WHEN p_json @? '$.**{513 to last}' THEN 'must not be nested deeper than 512 levels'
    END;
END;
$json_fault$;

COMMENT ON FUNCTION arvo.json_fault(jsonb, integer) IS
'Why a JSON value is too large, too deep or too long a number to be kept; NULL when it is not.';

REVOKE ALL ON FUNCTION arvo.json_fault(jsonb, integer) FROM PUBLIC;
