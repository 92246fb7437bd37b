-- arvo.flag_guarded(pattern) — say in the rows of queues whether something guards them.
CREATE OR REPLACE FUNCTION arvo.flag_guarded(p_pattern text)
RETURNS void
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $flag_guarded$
-- The hot path looks at the row only. The caller holds the table, so no queue is being made meanwhile.
--
--   Reads    arvo.queue_guard
--   Writes   arvo.queue
--   Locks    arvo.queue rows
--   Raises   nothing
UPDATE arvo.queue
SET guarded = arvo.is_guarded(queue.name)
WHERE arvo.covers(p_pattern, queue.name)
AND queue.guarded <> arvo.is_guarded(queue.name);
$flag_guarded$;

COMMENT ON FUNCTION arvo.flag_guarded(text) IS
'Brings the flag of queues in line with the guards that cover them.';

REVOKE ALL ON FUNCTION arvo.flag_guarded(text) FROM PUBLIC;
