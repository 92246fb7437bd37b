-- arvo.gauges_of_server() — figures of upkeep, history and server for a monitoring system.
CREATE OR REPLACE FUNCTION arvo.gauges_of_server()
RETURNS SETOF arvo_v1.gauge
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $gauges_of_server$
-- Sizes are those of the files: a partition that was emptied counts nothing.
--
--   Reads    arvo.worker, arvo.upkeep, arvo.promotion, arvo.deferred by due time, arvo.generation,
--            arvo.schedule, arvo.clock, pg_class, pg_stat_activity, pg_notification_queue_usage
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
WITH now AS MATERIALIZED (
    SELECT arvo.clock() AS at
),

figure (name, state, value) AS (
    SELECT 'arvo.workers', state.name, count(worker.worker)::numeric
    FROM now
    CROSS JOIN (VALUES ('alive', true), ('dead', false)) AS state (name, alive)
    LEFT JOIN arvo.worker
        ON (worker.seen_at + 3 * worker.rhythm > now.at) = state.alive
    GROUP BY state.name
    UNION ALL
    SELECT 'arvo.maintenance.age', NULL, extract(epoch FROM now.at - upkeep.at)
    FROM now
    INNER JOIN arvo.upkeep ON upkeep.task = 'tally'
    UNION ALL
    SELECT
        'arvo.promotion.lag', NULL,
        greatest(coalesce(extract(epoch FROM now.at - waiting.due), 0), 0)
    FROM now
    CROSS JOIN LATERAL (
        SELECT head.due, head.delivery
        FROM arvo.promotion AS head
        ORDER BY head.number DESC
        LIMIT 1
    ) AS passed
    LEFT JOIN LATERAL (
        SELECT deferred.due
        FROM arvo.deferred
        WHERE (deferred.due, deferred.delivery) > (passed.due, passed.delivery)
        ORDER BY deferred.due, deferred.delivery
        LIMIT 1
    ) AS waiting ON true
    UNION ALL
    SELECT 'arvo.generation.number', NULL, max(generation.number)
    FROM arvo.generation
    UNION ALL
    SELECT 'arvo.generation.age', NULL, extract(epoch FROM now.at - max(generation.opened_at))
    FROM now
    CROSS JOIN arvo.generation
    GROUP BY now.at
    UNION ALL
    SELECT 'arvo.generation.kept', state.name, count(old.number)
    FROM (VALUES ('history', true), ('needed', false)) AS state (name, finished)
    LEFT JOIN arvo.generation AS old
        ON old.emptied_at IS NULL
        AND (old.finished_at IS NOT NULL) = state.finished
        AND old.number < (SELECT max(newest.number) FROM arvo.generation AS newest)
    GROUP BY state.name
    UNION ALL
    SELECT
        'arvo.room.size', room.name,
        coalesce(sum(pg_total_relation_size(part.relid)) FILTER (WHERE part.isleaf), 0)
    FROM (
        VALUES ('log'), ('lease'), ('closure'), ('deferred'), ('parked'), ('dead'), ('state')
    ) AS room (name)
    INNER JOIN pg_class AS stored
        ON stored.relname = room.name AND stored.relnamespace = 'arvo'::regnamespace
    CROSS JOIN LATERAL (
        SELECT tree.relid, tree.isleaf
        FROM pg_partition_tree(stored.oid) AS tree
        UNION ALL
        SELECT stored.oid, true
        WHERE stored.relkind = 'r'
        AND NOT EXISTS (SELECT FROM pg_partition_tree(stored.oid))
    ) AS part
    GROUP BY room.name
    UNION ALL
    SELECT
        'arvo.schedules', state.name,
        count(schedule.schedule)
    FROM (VALUES ('active'), ('paused'), ('failing')) AS state (name)
    LEFT JOIN arvo.schedule ON state.name = CASE
        WHEN schedule.error IS NOT NULL THEN 'failing'
        WHEN schedule.paused_at IS NOT NULL THEN 'paused'
        ELSE 'active'
    END
    GROUP BY state.name
    UNION ALL
    SELECT
        'arvo.schedule.lag', NULL,
        greatest(coalesce(extract(epoch FROM now.at - min(schedule.next_at)), 0), 0)
    FROM now
    LEFT JOIN arvo.schedule ON schedule.paused_at IS NULL
    GROUP BY now.at
    UNION ALL
    SELECT 'arvo.snapshot.age', NULL, coalesce(max(age(activity.backend_xmin)), 0)
    FROM pg_stat_activity AS activity
    WHERE activity.pid <> pg_backend_pid()
    UNION ALL
    SELECT 'arvo.notification.usage', NULL, pg_notification_queue_usage()::numeric
)

SELECT figure.name, NULL::text, NULL::integer, figure.state, figure.value::double precision
FROM figure;
$gauges_of_server$;

COMMENT ON FUNCTION arvo.gauges_of_server() IS
'Workers, maintenance, promotion, generations, sizes, schedules, snapshots and notifications in figures.';

REVOKE ALL ON FUNCTION arvo.gauges_of_server() FROM PUBLIC;
