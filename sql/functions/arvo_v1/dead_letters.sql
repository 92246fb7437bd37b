-- arvo_v1.dead_letters(queue, after, limit, …) — list what failed for good.
CREATE OR REPLACE FUNCTION arvo_v1.dead_letters(
    p_queue text DEFAULT NULL,
    p_after bigint DEFAULT 0,
    p_limit integer DEFAULT 100,
    p_resolved boolean DEFAULT false,
    p_dead bigint[] DEFAULT NULL,
    p_reason text DEFAULT NULL,
    p_since timestamptz DEFAULT NULL,
    p_before timestamptz DEFAULT NULL,
    p_event_type text DEFAULT NULL,
    p_subject text DEFAULT NULL,
    p_path jsonpath DEFAULT NULL,
    p_text text DEFAULT NULL
)
RETURNS SETOF arvo_v1.dead_letter
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $dead_letters$
-- p_queue names the queue they failed in, or the dead-letter queue that received them; died since
-- then, before then; p_path finds something in the event or is a predicate that holds for it;
-- p_text stands in the event or the error, in upper or lower case. In the order of their numbers;
-- p_after is the last number of the page before. Conditions other than number, queue and subject
-- are asked of one open letter after the other.
--
--   Reads    arvo.dead
--   Writes   nothing
--   Locks    nothing
--   Raises   RV006  there is no such reason; limit is not 1 to 10000
SELECT
    found.dead,
    found.delivery,
    found.queue,
    found.dead_letter,
    found.event_id,
    found.event,
    found.attempts,
    found.reason,
    found.error,
    found.died_at,
    found.redrives,
    found.resolution,
    found.edited,
    found.resolved_at,
    found.resolved_by,
    earlier.resolved_at,
    earlier.resolved_by
FROM arvo.find_dead(
    arvo.read_dead_filter(
        p_dead, p_queue, p_reason, p_since, p_before, p_event_type, p_subject, p_path, p_text,
        p_limit, false
    ),
    coalesce(p_after, 0),
    p_limit,
    coalesce(p_resolved, false)
) AS found
LEFT JOIN LATERAL (
    SELECT dead.resolved_at, dead.resolved_by
    FROM arvo.dead
    WHERE found.redrives > 0
    AND dead.event_key = found.event_key
    AND dead.dead < found.dead
    AND dead.event_id = found.event_id
    AND dead.event ->> 'source' = found.event ->> 'source'
    AND dead.resolution = 'redriven'
    ORDER BY dead.event_key DESC, dead.dead DESC
    LIMIT 1
) AS earlier ON true
ORDER BY found.dead;
$dead_letters$;

COMMENT ON FUNCTION
arvo_v1.dead_letters(
    text, bigint, integer, boolean, bigint[], text, timestamptz, timestamptz, text, text, jsonpath,
    text
) IS
'Dead letters, by queue, number, reason, age, type, subject, JSON path or text, page by page.';

REVOKE ALL ON FUNCTION
arvo_v1.dead_letters(
    text, bigint, integer, boolean, bigint[], text, timestamptz, timestamptz, text, text, jsonpath,
    text
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
arvo_v1.dead_letters(
    text, bigint, integer, boolean, bigint[], text, timestamptz, timestamptz, text, text, jsonpath,
    text
) TO arvo_operator;
