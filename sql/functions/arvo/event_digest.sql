-- arvo.event_digest(event) — the deduplication key of an event.
CREATE OR REPLACE FUNCTION arvo.event_digest(p_event jsonb)
RETURNS bytea
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $event_digest$
-- CloudEvents: source and id together name an event. The length keeps the two apart.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    RETURN substr(
        sha256(convert_to(
            concat(
                length(p_event ->> 'source'), ':', p_event ->> 'source', p_event ->> 'id'
            ),
            'UTF8'
        )),
        1, 16
    );
END;
$event_digest$;

COMMENT ON FUNCTION arvo.event_digest(jsonb) IS
'First 16 bytes of the SHA-256 of an event''s source and id.';

REVOKE ALL ON FUNCTION arvo.event_digest(jsonb) FROM PUBLIC;
