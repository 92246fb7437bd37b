-- arvo.next_room(queues) — how long until a rate limit has room again.
CREATE OR REPLACE FUNCTION arvo.next_room(p_queues text[])
RETURNS interval
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $next_room$
-- For a worker that was given nothing: the soonest of those of the named queues that have used up
-- their rate_limit. NULL when there is none. A name that ends in * stands for every queue that begins
-- so.
--
--   Reads    arvo.queue, arvo.turn by (queue, key, number), arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT min(arvo.rate_wait(whole.tally, queue.rate_period, arvo.clock()))
FROM unnest(p_queues) AS asked (name)
INNER JOIN arvo.queue
    ON queue.name = asked.name
    OR (asked.name LIKE '%*' AND starts_with(queue.name, left(asked.name, -1)))
CROSS JOIN LATERAL (
    SELECT newest.tally
    FROM arvo.turn AS newest
    WHERE newest.queue = queue.queue AND newest.key = 0
    ORDER BY newest.number DESC
    LIMIT 1
) AS whole
WHERE queue.rate_limit IS NOT NULL
AND arvo.rate_room(whole.tally, queue.rate_limit, queue.rate_period, arvo.clock()) = 0;
$next_room$;

COMMENT ON FUNCTION arvo.next_room(text[]) IS
'How long until a used-up rate limit of one of some queues has room again.';

REVOKE ALL ON FUNCTION arvo.next_room(text[]) FROM PUBLIC;
