-- arvo.delete_after() — how long history is kept.
CREATE OR REPLACE FUNCTION arvo.delete_after()
RETURNS interval
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $delete_after$
-- A generation holds the history of all queues, so the longest delete_after counts.
--
--   Reads    arvo.queue
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT coalesce(max(queue.delete_after), interval '7 days')
FROM arvo.queue;
$delete_after$;

COMMENT ON FUNCTION arvo.delete_after() IS
'The longest delete_after of any queue: how long history is kept at least.';

REVOKE ALL ON FUNCTION arvo.delete_after() FROM PUBLIC;
