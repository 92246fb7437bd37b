-- arvo_v1.dead_letters(queue, after, limit, resolved) — list what failed for good.
CREATE OR REPLACE FUNCTION arvo_v1.dead_letters(
    p_queue text DEFAULT NULL,
    p_after bigint DEFAULT 0,
    p_limit integer DEFAULT 100,
    p_resolved boolean DEFAULT false
)
RETURNS SETOF arvo_v1.dead_letter
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $dead_letters$
-- p_queue names the queue they failed in, or the dead-letter queue that received them. In the order
-- of their numbers; p_after is the last number of the page before.
--
--   Reads    arvo.dead
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    dead.dead,
    dead.delivery,
    dead.queue,
    dead.dead_letter,
    dead.event_id,
    dead.event,
    dead.attempts,
    dead.reason,
    dead.error,
    dead.died_at,
    dead.redrives,
    dead.resolution
FROM arvo.dead
WHERE (p_queue IS NULL OR dead.queue = p_queue OR dead.dead_letter = p_queue)
AND dead.dead > p_after
AND (p_resolved OR dead.resolution IS NULL)
ORDER BY dead.dead
LIMIT p_limit;
$dead_letters$;

COMMENT ON FUNCTION arvo_v1.dead_letters(text, bigint, integer, boolean) IS
'Dead letters of a queue, or that a dead-letter queue received, page by page.';

REVOKE ALL ON FUNCTION arvo_v1.dead_letters(text, bigint, integer, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.dead_letters(text, bigint, integer, boolean) TO arvo_operator;
