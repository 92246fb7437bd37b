-- arvo.require_path(path) — refuse a JSON path that names variables.
CREATE OR REPLACE FUNCTION arvo.require_path(p_path jsonpath)
RETURNS void
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $require_path$
-- There are none; asked of an event it would be an error of PostgreSQL's own. A path prints them as
-- $"name", with nothing between; texts and keys are taken out first.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   RV006  the path names a variable
BEGIN
    IF regexp_replace(p_path::text, '"(\\.|[^"\\])*"', '""', 'g') ~ '\$""' THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'path',
              DETAIL = format('path: %s', left(to_json(p_path::text)::text, 80)),
              HINT = 'Write values into the path itself: it has no variables.';
    END IF;
END;
$require_path$;

COMMENT ON FUNCTION arvo.require_path(jsonpath) IS
'Raises RV006 for a JSON path that names variables.';

REVOKE ALL ON FUNCTION arvo.require_path(jsonpath) FROM PUBLIC;
