-- arvo.has_own(queues) — whether this transaction has appended to some queues.
CREATE OR REPLACE FUNCTION arvo.has_own(p_queues text[])
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $has_own$
-- A claim cannot hand out what its own transaction has promoted, taken back or emitted: to its
-- window those rows are still open. The next claim can. A name that ends in * stands for every queue
-- that begins so.
--
--   Reads    arvo.queue, arvo.lane, arvo.log by (lane, xid)
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_own xid8 := pg_current_xact_id_if_assigned();
BEGIN
    RETURN v_own IS NOT NULL AND EXISTS (
        SELECT
        FROM unnest(p_queues) AS asked (name)
        INNER JOIN arvo.queue
            ON queue.name = asked.name
            OR (asked.name LIKE '%*' AND starts_with(queue.name, left(asked.name, -1)))
        INNER JOIN arvo.lane ON lane.queue = queue.queue AND NOT lane.retired
        INNER JOIN arvo.log ON log.lane = lane.lane AND log.xid = v_own
    );
END;
$has_own$;

COMMENT ON FUNCTION arvo.has_own(text[]) IS
'Whether this transaction has appended deliveries to the named queues.';

REVOKE ALL ON FUNCTION arvo.has_own(text[]) FROM PUBLIC;
