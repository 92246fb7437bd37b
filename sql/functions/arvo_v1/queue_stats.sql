-- arvo_v1.queue_stats(queue) — live numbers of one queue, or of all.
CREATE OR REPLACE FUNCTION arvo_v1.queue_stats(p_queue text DEFAULT NULL)
RETURNS SETOF arvo_v1.queue_stats
LANGUAGE sql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $queue_stats$
-- Counts exactly: by index, from each lane's cursor on, so the cost grows with what is waiting, not
-- with history. What has been withdrawn does not wait. An empty queue has zeros; an unknown one has
-- no row.
--
--   Reads    arvo.queue, arvo.lane, arvo.lease, arvo.log, arvo.closure, arvo.deferred,
--            arvo.promotion, arvo.tombstone, arvo.dead
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    queue.name,
    queue.registered,
    queue.retry_limit,
    queue.retry_delay,
    queue.retry_backoff,
    queue.retry_delay_max,
    queue.expire_in,
    queue.dead_letter,
    queue.warning_queue_size,
    (
        SELECT count(*)
        FROM arvo.lane
        CROSS JOIN (
            SELECT head.due, head.delivery, head.snapshot
            FROM arvo.promotion AS head
            ORDER BY head.number DESC
            LIMIT 1
        ) AS passed
        INNER JOIN arvo.deferred ON deferred.lane = lane.lane
        WHERE lane.queue = queue.queue
        AND NOT (
            (deferred.due, deferred.delivery) <= (passed.due, passed.delivery)
            AND pg_visible_in_snapshot(deferred.xid, passed.snapshot)
        )
    ),
    ready.deliveries,
    (
        SELECT coalesce(sum(cardinality(arvo.open_deliveries(held.token, held.deliveries))), 0)
        FROM arvo.lane
        CROSS JOIN LATERAL (
            SELECT newest.open_from
            FROM arvo.lease AS newest
            WHERE newest.lane = lane.lane
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS head
        INNER JOIN arvo.lease AS held
            ON held.lane = lane.lane AND held.number >= head.open_from AND held.token <> 0
        WHERE lane.queue = queue.queue
        AND NOT EXISTS (
            SELECT
            FROM arvo.lease AS newer
            WHERE newer.token = held.token AND newer.number > held.number
        )
    )::bigint,
    (
        SELECT count(*)
        FROM arvo.dead
        WHERE dead.queue = queue.name AND dead.resolution IS NULL
    ),
    ready.oldest,
    queue.created_at,
    queue.changed_at
FROM arvo.queue
CROSS JOIN LATERAL (
    SELECT count(entry.delivery) AS deliveries, min(entry.at) AS oldest
    FROM arvo.lane
    CROSS JOIN LATERAL (
        SELECT newest.*
        FROM arvo.lease AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS head
    INNER JOIN arvo.log AS entry
        ON entry.lane = lane.lane
        AND (entry.xid, entry.delivery) >= (pg_snapshot_xmin(head.previous_snapshot), 0)
        AND NOT pg_visible_in_snapshot(entry.xid, head.previous_snapshot)
        AND NOT (
            pg_visible_in_snapshot(entry.xid, head.snapshot)
            AND (
                head.exhausted
                OR (entry.xid, entry.delivery) <= (head.last_xid, head.last_delivery)
            )
        )
    WHERE lane.queue = queue.queue
    AND NOT EXISTS (
        SELECT
        FROM arvo.tombstone
        WHERE tombstone.lane = lane.lane AND tombstone.delivery = entry.delivery
    )
) AS ready
WHERE p_queue IS NULL OR queue.name = p_queue
ORDER BY queue.name COLLATE "C";
$queue_stats$;

COMMENT ON FUNCTION arvo_v1.queue_stats(text) IS
'Live numbers of one queue, or of all queues when none is named.';

REVOKE ALL ON FUNCTION arvo_v1.queue_stats(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.queue_stats(text) TO arvo_worker, arvo_monitor, arvo_operator;
