-- arvo.numbers_end() — the transaction number below which all stored ones lie.
CREATE OR REPLACE FUNCTION arvo.numbers_end()
RETURNS xid8
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $numbers_end$
-- Of those that a decision still depends on: the windows of lanes in use and what stands in their
-- logs, what is deferred and the promotion's cursor, drained queues, generations. By index only.
--
--   Reads    arvo.lane, arvo.lease, arvo.log by (lane, xid), arvo.deferred, arvo.promotion,
--            arvo.queue, arvo.generation
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT coalesce(max(stored.number), 0)::text::xid8
FROM (
    SELECT greatest(
        pg_snapshot_xmax(head.snapshot)::text::bigint, last_entry.xid::text::bigint + 1
    ) AS number
    FROM arvo.lane
    CROSS JOIN LATERAL (
        SELECT newest.snapshot
        FROM arvo.lease AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS head
    LEFT JOIN LATERAL (
        SELECT entry.xid
        FROM arvo.log AS entry
        WHERE entry.lane = lane.lane
        ORDER BY entry.xid DESC
        LIMIT 1
    ) AS last_entry ON true
    WHERE NOT lane.retired
    UNION ALL
    SELECT postponed.xid::text::bigint + 1
    FROM (
        SELECT deferred.xid FROM arvo.deferred ORDER BY deferred.xid DESC LIMIT 1
    ) AS postponed
    UNION ALL
    SELECT pg_snapshot_xmax(passed.snapshot)::text::bigint
    FROM (
        SELECT head.snapshot FROM arvo.promotion AS head ORDER BY head.number DESC LIMIT 1
    ) AS passed
    UNION ALL
    SELECT pg_snapshot_xmax(queue.drained_to)::text::bigint
    FROM arvo.queue
    WHERE queue.drained_to IS NOT NULL
    UNION ALL
    SELECT generation.horizon::text::bigint FROM arvo.generation
) AS stored;
$numbers_end$;

COMMENT ON FUNCTION arvo.numbers_end() IS
'The transaction number below which all stored ones lie that a decision depends on.';

REVOKE ALL ON FUNCTION arvo.numbers_end() FROM PUBLIC;
