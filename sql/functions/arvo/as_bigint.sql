-- arvo.as_bigint(value) — a number that fits, or NULL.
CREATE OR REPLACE FUNCTION arvo.as_bigint(p_value jsonb)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $as_bigint$
-- Accepts a JSON number or a text of digits (JavaScript cannot hold every bigint), not negative.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT CASE
           WHEN p_value #>> '{}' ~ '^[0-9]{1,19}$'
               AND (p_value #>> '{}')::numeric <= 9223372036854775807
               THEN (p_value #>> '{}')::bigint
       END;
$as_bigint$;

COMMENT ON FUNCTION arvo.as_bigint(jsonb) IS
'A JSON number, or a text of digits, as bigint; NULL for anything else.';

REVOKE ALL ON FUNCTION arvo.as_bigint(jsonb) FROM PUBLIC;
