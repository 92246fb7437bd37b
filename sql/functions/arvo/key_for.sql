-- arvo.key_for(queue, log row) — the key under which a delivery stands in line.
CREATE OR REPLACE FUNCTION arvo.key_for(p_queue arvo.queue, p_entry arvo.log)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $key_for$
-- Its own; else its subject in an ordered queue; else the one key that all share. 0 is left to the
-- queue as a whole.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT coalesce(
    p_entry.key,
    CASE
        WHEN p_queue.policy <> 'ordered' OR p_entry.subject_key = 0 THEN 1
        ELSE p_entry.subject_key
    END
);
$key_for$;

COMMENT ON FUNCTION arvo.key_for(arvo.queue, arvo.log) IS
'Key of a delivery: its own, or the default of its queue''s policy.';

REVOKE ALL ON FUNCTION arvo.key_for(arvo.queue, arvo.log) FROM PUBLIC;
