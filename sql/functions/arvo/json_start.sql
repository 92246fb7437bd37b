-- arvo.json_start(json) — the first characters of a JSON value, for a message.
CREATE OR REPLACE FUNCTION arvo.json_start(p_json jsonb)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $json_start$
-- Eighty of them. What prints as more than a mebibyte is not printed for that.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT CASE
    WHEN arvo.printed_size(p_json) > 1048576 THEN 'more than a mebibyte of JSON'
    ELSE left(p_json::text, 80)
END;
$json_start$;

COMMENT ON FUNCTION arvo.json_start(jsonb) IS
'The beginning of a JSON value as text; of a huge one only that it is.';

REVOKE ALL ON FUNCTION arvo.json_start(jsonb) FROM PUBLIC;
