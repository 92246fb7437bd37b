-- arvo_v1.queue_stats(queue) — live numbers of one queue, or of all.
CREATE OR REPLACE FUNCTION arvo_v1.queue_stats(p_queue text DEFAULT NULL)
RETURNS SETOF arvo_v1.queue_stats
LANGUAGE sql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $queue_stats$
-- Counts what is few and carries on the tallies of what is many, so it reads neither the backlog nor
-- history; see arvo.count_lane. Never an estimate: what stops at a bound says so in "exact". What has
-- been withdrawn does not wait. An empty queue has zeros; an unknown one has no row. Writes nothing,
-- so a standby answers, too.
--
--   Reads    arvo.queue, arvo.lane, arvo.lease, arvo.tally, arvo.tombstone, arvo.parked,
--            arvo.closure, arvo.dead, arvo.clock; as arvo.count_lane and arvo.pace_of
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
    counted.deferred,
    counted.unread - withdrawn.unread,
    running.deliveries,
    died.letters,
    counted.oldest_at,
    queue.created_at,
    queue.changed_at,
    queue.policy,
    queue.retention,
    queue.delete_after,
    counted.parked - withdrawn.parked,
    counted.kept + counted.deferred,
    died.letters <= 10000 AND withdrawn.exact,
    CASE WHEN queue.policy IN ('singleton', 'stately') THEN running.keys END,
    queue.paused_at,
    queue.drained_to IS NOT NULL,
    arvo.clock() - counted.oldest_at,
    pace.completed_per_minute,
    pace.failed_per_minute,
    pace.wait_mean,
    pace.wait_p95,
    pace.run_mean,
    pace.run_p95
FROM arvo.queue
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(figures.unread), 0)::bigint AS unread,
        min(figures.oldest_at) AS oldest_at,
        coalesce(sum(figures.parked), 0)::bigint AS parked,
        coalesce(sum(figures.deferred), 0)::bigint AS deferred,
        coalesce(sum(figures.kept), 0)::bigint AS kept
    FROM arvo.lane
    CROSS JOIN LATERAL (
        SELECT newest AS lease
        FROM arvo.lease AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS head
    LEFT JOIN LATERAL (
        SELECT newest AS tally
        FROM arvo.tally AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS last ON true
    CROSS JOIN LATERAL arvo.count_lane(head.lease, last.tally) AS figures
    WHERE lane.queue = queue.queue
) AS counted
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE gone.place IS NULL) AS unread,
        count(*) FILTER (WHERE gone.place IS NOT NULL) AS parked,
        count(*) <= 10000 AS exact
    FROM (
        SELECT parked.place
        FROM arvo.lane
        INNER JOIN arvo.tombstone ON tombstone.lane = lane.lane
        LEFT JOIN arvo.parked ON parked.delivery = tombstone.delivery
        WHERE lane.queue = queue.queue
        LIMIT 10001
    ) AS gone
) AS withdrawn
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(open.deliveries), 0)::bigint AS deliveries,
        count(DISTINCT open.key) AS keys
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
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(
            CASE
                WHEN NOT held.carried THEN cardinality(closure.deliveries)
                ELSE (
                    SELECT count(*)
                    FROM unnest(closure.deliveries) AS gone (delivery)
                    WHERE gone.delivery = ANY (held.deliveries)
                )
            END
        ), 0) AS deliveries
        FROM arvo.closure
        WHERE closure.token = held.token
    ) AS closed
    CROSS JOIN LATERAL (
        SELECT cardinality(held.deliveries) - closed.deliveries AS deliveries, NULL::bigint AS key
        WHERE queue.policy NOT IN ('singleton', 'stately') OR held.keys IS NULL
        UNION ALL
        SELECT 1, held.keys[array_position(held.deliveries, still.delivery)]
        FROM unnest(arvo.open_deliveries(held.token, held.deliveries)) AS still (delivery)
        WHERE queue.policy IN ('singleton', 'stately') AND held.keys IS NOT NULL
    ) AS open
    WHERE lane.queue = queue.queue
    AND closed.deliveries < cardinality(held.deliveries)
    AND NOT EXISTS (
        SELECT
        FROM arvo.lease AS newer
        WHERE newer.token = held.token AND newer.number > held.number
    )
) AS running
CROSS JOIN LATERAL (
    SELECT count(*) AS letters
    FROM (
        SELECT
        FROM arvo.dead
        -- Written so, only the index of the queue's own has this order; with an equality,
        -- statistics may choose the one of all that are open, for each queue.
        WHERE dead.queue >= queue.name AND dead.queue <= queue.name
        AND dead.resolution IS NULL
        ORDER BY dead.queue, dead.dead
        LIMIT 10001
    ) AS open
) AS died
CROSS JOIN LATERAL arvo.pace_of(queue.queue) AS pace
WHERE p_queue IS NULL OR queue.name = p_queue
ORDER BY queue.name COLLATE "C";
$queue_stats$;

COMMENT ON FUNCTION arvo_v1.queue_stats(text) IS
'Live numbers of one queue, or of all queues when none is named.';

REVOKE ALL ON FUNCTION arvo_v1.queue_stats(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.queue_stats(text) TO arvo_worker, arvo_monitor, arvo_operator;
