-- arvo.covers(pattern, name) — whether a name, or one with a star, stands for a queue.
CREATE OR REPLACE FUNCTION arvo.covers(p_pattern text, p_name text)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $covers$
-- A name that ends in * stands for every name that begins so; p_name may be such a pattern itself.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT CASE
    WHEN p_pattern LIKE '%*' THEN starts_with(p_name, left(p_pattern, -1))
    ELSE p_name = p_pattern
END;
$covers$;

COMMENT ON FUNCTION arvo.covers(text, text) IS
'Whether a name, or a beginning with a star, stands for a queue.';

REVOKE ALL ON FUNCTION arvo.covers(text, text) FROM PUBLIC;
