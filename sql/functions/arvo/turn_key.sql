-- arvo.turn_key(queue, key, subject_key) — the key under which a delivery waits for its turn.
CREATE OR REPLACE FUNCTION arvo.turn_key(
    p_queue arvo.queue,
    p_key bigint,
    p_subject_key bigint
)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $turn_key$
-- Its own; else, in an ordered queue that does not say where keys stand, its subject's; else 0.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT coalesce(
    p_key,
    CASE WHEN p_queue.policy = 'ordered' AND p_queue.key_from IS NULL THEN p_subject_key END,
    0
);
$turn_key$;

COMMENT ON FUNCTION arvo.turn_key(arvo.queue, bigint, bigint) IS
'The key under which a delivery of a queue waits for its turn.';

REVOKE ALL ON FUNCTION arvo.turn_key(arvo.queue, bigint, bigint) FROM PUBLIC;
