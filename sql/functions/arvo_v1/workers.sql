-- arvo_v1.workers() — the processes that have checked in.
CREATE OR REPLACE FUNCTION arvo_v1.workers()
RETURNS SETOF arvo_v1.presence
LANGUAGE sql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $workers$
-- In the order of their names. Who was not seen for three of its rhythms is not alive; after a day
-- it is forgotten.
--
--   Reads    arvo.worker, arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    worker.worker,
    worker.seen_at + 3 * worker.rhythm > arvo.clock(),
    worker.queues,
    worker.details,
    worker.started_at,
    worker.seen_at
FROM arvo.worker
ORDER BY worker.worker COLLATE "C";
$workers$;

COMMENT ON FUNCTION arvo_v1.workers() IS
'The processes that have checked in, and whether they are alive.';

REVOKE ALL ON FUNCTION arvo_v1.workers() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.workers() TO arvo_worker, arvo_monitor, arvo_operator;
