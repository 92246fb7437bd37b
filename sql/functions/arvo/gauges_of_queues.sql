-- arvo.gauges_of_queues(most) — figures of queues and lanes for a monitoring system.
CREATE OR REPLACE FUNCTION arvo.gauges_of_queues(p_most integer)
RETURNS SETOF arvo_v1.gauge
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $gauges_of_queues$
-- A lane where nothing was appended, claimed or deferred since its tally is answered by the tally; any
-- other is counted up to 1,000 and carried on from there, see arvo.count_lane. So idle queues, however
-- many, cost some look-ups each, and a long one no more than what has happened since maintain(). The
-- p_most longest queues are told one by one, the others as one with an empty name.
--
--   Reads    arvo.queue, arvo.lane, arvo.lease, arvo.log by (lane, xid), arvo.deferred by (lane, xid),
--            arvo.tally, arvo.tombstone, arvo.parked, arvo.closure, arvo.dead, arvo.clock; as
--            arvo.count_lane
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
WITH now AS MATERIALIZED (
    SELECT arvo.clock() AS at
),

lane AS MATERIALIZED (
    SELECT
        lane.queue,
        lane.priority,
        figures.unread - withdrawn.unread AS ready,
        figures.parked - withdrawn.parked AS waiting,
        figures.deferred,
        running.deliveries AS running,
        figures.oldest_at
    FROM arvo.lane
    CROSS JOIN LATERAL (
        SELECT newest AS lease, newest.number, newest.open_from
        FROM arvo.lease AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS head
    LEFT JOIN LATERAL (
        SELECT newest AS tally, newest.unread, newest.parked, newest.deferred, newest.lease, newest.seen
        FROM arvo.tally AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS last ON true
    CROSS JOIN LATERAL (
        SELECT
            coalesce(last.unread + last.parked + last.deferred, 1) = 0
            AND last.lease = head.number
            AND pg_snapshot_xmin(last.seen) = pg_snapshot_xmax(last.seen)
            AND NOT EXISTS (
                SELECT
                FROM arvo.log
                WHERE log.lane = lane.lane AND log.xid >= pg_snapshot_xmax(last.seen)
            )
            AND NOT EXISTS (
                SELECT
                FROM arvo.deferred
                WHERE deferred.lane = lane.lane
            ) AS idle
    ) AS known
    CROSS JOIN LATERAL (
        SELECT
            0::bigint AS unread,
            0::bigint AS parked,
            0::bigint AS deferred,
            NULL::timestamptz AS oldest_at
        WHERE known.idle
        UNION ALL
        SELECT counted.unread, counted.parked, counted.deferred, counted.oldest_at
        FROM arvo.count_lane(head.lease, last.tally, p_most => 1000) AS counted
        WHERE NOT known.idle
    ) AS figures
    CROSS JOIN LATERAL (
        SELECT
            count(*) FILTER (WHERE gone.place IS NULL) AS unread,
            count(*) FILTER (WHERE gone.place IS NOT NULL) AS parked
        FROM (
            SELECT parked.place
            FROM arvo.tombstone
            LEFT JOIN arvo.parked ON parked.delivery = tombstone.delivery
            WHERE tombstone.lane = lane.lane
            LIMIT 10001
        ) AS gone
    ) AS withdrawn
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(cardinality(held.deliveries) - closed.deliveries), 0)::bigint AS deliveries
        FROM arvo.lease AS held
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
        WHERE held.lane = lane.lane
        AND held.number >= head.open_from
        AND held.token <> 0
        AND NOT EXISTS (
            SELECT
            FROM arvo.lease AS newer
            WHERE newer.token = held.token AND newer.number > held.number
        )
    ) AS running
),

queue AS MATERIALIZED (
    SELECT
        queue.name,
        queue.registered,
        queue.paused_at IS NOT NULL AS paused,
        total.ready,
        total.deferred,
        total.waiting,
        total.running,
        total.oldest_at,
        (
            SELECT count(*)
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
        ) AS dead
    FROM (
        -- one pass, and each queue by its key: hash joins are off
        SELECT
            part.queue,
            sum(part.ready) AS ready,
            sum(part.deferred) AS deferred,
            sum(part.waiting) AS waiting,
            sum(part.running) AS running,
            min(part.oldest_at) AS oldest_at
        FROM (
            SELECT lane.queue, lane.ready, lane.deferred, lane.waiting, lane.running, lane.oldest_at
            FROM lane
            UNION ALL
            SELECT named.queue, 0, 0, 0, 0, NULL
            FROM arvo.queue AS named
        ) AS part
        GROUP BY part.queue
    ) AS total
    INNER JOIN arvo.queue ON queue.queue = total.queue
),

told AS MATERIALIZED (
    SELECT
        CASE WHEN ranked.place <= p_most THEN ranked.name ELSE '' END AS name,
        bool_and(ranked.registered) AS registered,
        bool_or(ranked.paused) AS paused,
        sum(ranked.ready) AS ready,
        sum(ranked.deferred) AS deferred,
        sum(ranked.waiting) AS waiting,
        sum(ranked.running) AS running,
        min(ranked.oldest_at) AS oldest_at,
        sum(ranked.dead) AS dead
    FROM (
        SELECT
            queue.*,
            row_number() OVER (
                ORDER BY
                    queue.ready + queue.waiting + queue.running + queue.deferred + queue.dead DESC,
                    queue.name COLLATE "C"
            ) AS place
        FROM queue
    ) AS ranked
    GROUP BY CASE WHEN ranked.place <= p_most THEN ranked.name ELSE '' END
),

lagging AS (
    SELECT queue.name, lane.priority, lane.oldest_at
    FROM lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.oldest_at IS NOT NULL
    ORDER BY lane.oldest_at, queue.name COLLATE "C", lane.priority
    LIMIT p_most
)

SELECT figure.name, told.name, NULL::integer, figure.state, figure.value::double precision
FROM told
CROSS JOIN now
CROSS JOIN LATERAL (
    VALUES
    ('arvo.queue.depth', 'ready', told.ready),
    ('arvo.queue.depth', 'deferred', told.deferred),
    ('arvo.queue.depth', 'waiting', told.waiting),
    ('arvo.queue.depth', 'running', told.running),
    ('arvo.queue.oldest.age', NULL, coalesce(extract(epoch FROM now.at - told.oldest_at), 0)),
    ('arvo.queue.dead_letters', NULL, told.dead),
    ('arvo.queue.paused', NULL, told.paused::integer),
    ('arvo.queue.registered', NULL, told.registered::integer)
) AS figure (name, state, value)
UNION ALL
SELECT
    'arvo.lane.lag', lagging.name, lagging.priority, NULL,
    extract(epoch FROM now.at - lagging.oldest_at)::double precision
FROM lagging
CROSS JOIN now
UNION ALL
SELECT 'arvo.queues', NULL, NULL, NULL, count(*)::double precision
FROM queue;
$gauges_of_queues$;

COMMENT ON FUNCTION arvo.gauges_of_queues(integer) IS
'Depth, age, dead letters and flags of the longest queues, and the lag of their lanes.';

REVOKE ALL ON FUNCTION arvo.gauges_of_queues(integer) FROM PUBLIC;
