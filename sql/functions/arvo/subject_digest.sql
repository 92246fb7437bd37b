-- arvo.subject_digest(subject) — the key under which a subject of any length is stored.
CREATE OR REPLACE FUNCTION arvo.subject_digest(p_subject text)
RETURNS bytea
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $subject_digest$
-- A B-tree holds keys up to about 2,700 bytes; subjects have no limit of their own.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    RETURN sha256(convert_to(p_subject, 'UTF8'));
END;
$subject_digest$;

COMMENT ON FUNCTION arvo.subject_digest(text) IS
'SHA-256 of a subject''s UTF-8 text.';

REVOKE ALL ON FUNCTION arvo.subject_digest(text) FROM PUBLIC;
