-- arvo.has_key(slot, event_key, dedup_key, since) — whether one slot of the log has a key of an event.
CREATE OR REPLACE FUNCTION arvo.has_key(
    p_slot integer,
    p_event_key bigint,
    p_dedup_key bigint,
    p_since timestamptz
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $has_key$
-- From later than p_since. Whose key it is is not asked: that is for arvo.known_keys to tell. Each slot
-- is asked by its own name: only that one is locked, and the others can be emptied while a
-- dispatcher's transaction stays open.
--
--   Reads    arvo.log, one partition, by (event_key, dedup_key)
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    IF p_slot = 0 THEN
        RETURN EXISTS (
            SELECT
            FROM arvo.log_0 AS listed
            WHERE listed.event_key = p_event_key AND listed.dedup_key = p_dedup_key
            AND listed.at > p_since
        );
    ELSIF p_slot = 1 THEN
        RETURN EXISTS (
            SELECT
            FROM arvo.log_1 AS listed
            WHERE listed.event_key = p_event_key AND listed.dedup_key = p_dedup_key
            AND listed.at > p_since
        );
    ELSIF p_slot = 2 THEN
        RETURN EXISTS (
            SELECT
            FROM arvo.log_2 AS listed
            WHERE listed.event_key = p_event_key AND listed.dedup_key = p_dedup_key
            AND listed.at > p_since
        );
    ELSE
        RETURN EXISTS (
            SELECT
            FROM arvo.log_3 AS listed
            WHERE listed.event_key = p_event_key AND listed.dedup_key = p_dedup_key
            AND listed.at > p_since
        );
    END IF;
END;
$has_key$;

COMMENT ON FUNCTION arvo.has_key(integer, bigint, bigint, timestamptz) IS
'Whether a slot of the log has the deduplication key of an event from after some time.';

REVOKE ALL ON FUNCTION arvo.has_key(integer, bigint, bigint, timestamptz) FROM PUBLIC;
