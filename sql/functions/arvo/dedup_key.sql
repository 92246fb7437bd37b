-- arvo.dedup_key(queue, source, id) — by what the log knows a dispatched event again.
CREATE OR REPLACE FUNCTION arvo.dedup_key(p_queue integer, p_source text, p_id text)
RETURNS bigint
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $dedup_key$
-- CloudEvents: source and id together name an event. The length keeps the two apart. By way of
-- SHA-256, so that nobody can make two events with the same key on purpose; whoever meets one by
-- chance is told apart by arvo.known_keys.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    RETURN hashtextextended(
        encode(
            sha256(convert_to(concat(length(p_source), ':', p_source, p_id), 'UTF8')), 'hex'
        ),
        p_queue
    );
END;
$dedup_key$;

COMMENT ON FUNCTION arvo.dedup_key(integer, text, text) IS
'Hash of a queue and an event''s source and id: the key by which the log refuses duplicates.';

REVOKE ALL ON FUNCTION arvo.dedup_key(integer, text, text) FROM PUBLIC;
