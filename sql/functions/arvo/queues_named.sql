-- arvo.queues_named(name) — the queue of a name, or all that begin so.
CREATE OR REPLACE FUNCTION arvo.queues_named(p_name text)
RETURNS SETOF arvo.queue
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $queues_named$
-- A name that ends in * stands for every queue that begins so, also for none.
--
--   Reads    arvo.queue
--   Writes   nothing
--   Locks    nothing
--   Raises   RV003  the queue is not known
BEGIN
    IF p_name LIKE '%*' THEN
        RETURN QUERY
        SELECT queue.*
        FROM arvo.queue
        WHERE starts_with(queue.name, left(p_name, -1))
        ORDER BY queue.name COLLATE "C";
    ELSE
        RETURN NEXT arvo.known_queue(p_name);
    END IF;
END;
$queues_named$;

COMMENT ON FUNCTION arvo.queues_named(text) IS
'The queue of a name, or all queues that begin like a name that ends in a star.';

REVOKE ALL ON FUNCTION arvo.queues_named(text) FROM PUBLIC;
