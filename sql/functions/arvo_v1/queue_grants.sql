-- arvo_v1.queue_grants(queue) — who may do what with queues that not everybody may.
CREATE OR REPLACE FUNCTION arvo_v1.queue_grants(p_queue text DEFAULT NULL)
RETURNS SETOF arvo_v1.queue_grant
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $queue_grants$
-- All of them, or those that have to do with p_queue: a name, or a beginning with a star. What is not
-- here is open to everybody who has the group role.
--
--   Reads    arvo.queue_guard
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT guard.queue, guard.may, guard.roles, guard.changed_at, guard.changed_by
FROM arvo.queue_guard AS guard
WHERE p_queue IS NULL
OR arvo.covers(guard.queue, p_queue)
OR arvo.covers(p_queue, guard.queue)
ORDER BY guard.queue COLLATE "C", guard.may;
$queue_grants$;

COMMENT ON FUNCTION arvo_v1.queue_grants(text) IS
'What is closed to all but some roles, and to which not: all of it, or what covers a queue.';

REVOKE ALL ON FUNCTION arvo_v1.queue_grants(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.queue_grants(text) TO arvo_monitor, arvo_operator;
