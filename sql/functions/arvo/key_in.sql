-- arvo.key_in(event, key_from) — the key that an event carries.
CREATE OR REPLACE FUNCTION arvo.key_in(p_event jsonb, p_key_from text)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $key_in$
-- p_key_from names an attribute, or data.a.b: a path into the data. An event that has nothing there
-- has the key of the empty text. NULL when p_key_from is NULL.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT CASE
           WHEN p_key_from IS NOT NULL
               THEN arvo.key_of(coalesce(p_event #>> string_to_array(p_key_from, '.'), ''))
       END;
$key_in$;

COMMENT ON FUNCTION arvo.key_in(jsonb, text) IS
'Key of an event, read from the place that its queue names; NULL when it names none.';

REVOKE ALL ON FUNCTION arvo.key_in(jsonb, text) FROM PUBLIC;
