-- arvo.key_of(text) — the number under which a key is stored.
CREATE OR REPLACE FUNCTION arvo.key_of(p_key text)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $key_of$
-- The first 8 bytes of its SHA-256, so that nobody can find a second text for a given number. 0 is
-- left to the queue as a whole.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT CASE folded.key WHEN 0 THEN 1 ELSE folded.key END
FROM (
    SELECT ('x' || encode(substr(sha256(convert_to(p_key, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint
) AS folded (key);
$key_of$;

COMMENT ON FUNCTION arvo.key_of(text) IS
'Number of a key: 64 bits of its SHA-256, never 0.';

REVOKE ALL ON FUNCTION arvo.key_of(text) FROM PUBLIC;
