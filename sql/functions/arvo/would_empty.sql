-- arvo.would_empty(queue) — what emptying a queue would remove.
CREATE OR REPLACE FUNCTION arvo.would_empty(p_queue arvo.queue)
RETURNS SETOF arvo_v1.purged
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $would_empty$
--   Reads    as arvo.census
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT counted.place, counted.removed, counted.kept
FROM arvo.census(p_queue.queue) AS found
CROSS JOIN LATERAL (
    VALUES
    (1, 'queued', found.queued, 0::bigint),
    (2, 'parked', found.parked, 0),
    (3, 'deferred', found.deferred, 0),
    (4, 'leased', 0, found.leased)
) AS counted (ordinal, place, removed, kept)
ORDER BY counted.ordinal;
$would_empty$;

COMMENT ON FUNCTION arvo.would_empty(arvo.queue) IS
'What emptying a queue would remove and leave, by place.';

REVOKE ALL ON FUNCTION arvo.would_empty(arvo.queue) FROM PUBLIC;
