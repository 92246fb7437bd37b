-- arvo.lock_key(subject) — the transaction lock that guards a subject's lock row.
CREATE OR REPLACE FUNCTION arvo.lock_key(p_subject text)
RETURNS bigint
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $lock_key$
-- Two subjects with one key only ever cost a spurious "held".
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    RETURN hashtextextended(p_subject, hashtextextended('arvo', 0));
END;
$lock_key$;

COMMENT ON FUNCTION arvo.lock_key(text) IS
'Key of the advisory lock that guards a subject''s lock row.';

REVOKE ALL ON FUNCTION arvo.lock_key(text) FROM PUBLIC;
