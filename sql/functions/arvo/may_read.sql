-- arvo.may_read(queue) — whether the caller may see what events of a queue carry.
CREATE OR REPLACE FUNCTION arvo.may_read(p_queue text)
RETURNS boolean
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $may_read$
-- Who operates or consumes the queue sees it anyway. Who only monitors sees no payload, unless read
-- was granted. What belongs to no queue, such as the state of a workflow, is asked for as '*'.
--
--   Reads    arvo.queue_guard; as arvo.may and arvo.is_one_of
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT (arvo.is_one_of(ARRAY['arvo_operator']) AND arvo.may(p_queue, 'operate'))
    OR (arvo.is_one_of(ARRAY['arvo_worker']) AND arvo.may(p_queue, 'consume'))
    OR EXISTS (
        SELECT
        FROM arvo.queue_guard AS guard
        WHERE guard.may = 'read'
        AND arvo.covers(guard.queue, p_queue)
        AND arvo.is_one_of(guard.roles)
    );
$may_read$;

COMMENT ON FUNCTION arvo.may_read(text) IS
'Whether the caller may see payloads and errors of a queue.';

REVOKE ALL ON FUNCTION arvo.may_read(text) FROM PUBLIC;
