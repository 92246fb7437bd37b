-- arvo.rebase_queued(own, drained, first) — move what nobody has claimed into the new lanes.
CREATE OR REPLACE FUNCTION arvo.rebase_queued(
    p_own bigint,
    p_drained boolean,
    p_first bigint
)
RETURNS bigint[]
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $rebase_queued$
-- For arvo_v1.rebase, after arvo.retire_lanes and before arvo.close_lanes. What waits is judged by the
-- stored snapshots alone, which is plain arithmetic: of a dump, all rows are committed. Deliveries
-- above p_own are this transaction's and come last. Deliveries keep their numbers, and their order: a
-- new lane is read by transaction, then by delivery, so the transaction, p_first at the beginning,
-- goes one up wherever the old order goes down in deliveries, and each 10000 rows, so that a row is
-- found again among few. p_drained: those that a draining queue is still to hand out, rather than all
-- others. Returns how many up to p_own, and the next free transaction.
--
--   Reads    arvo.lane, arvo.queue, arvo.lease, arvo.log, arvo.slot
--   Writes   arvo.log, arvo.dead
--   Locks    arvo.dead rows
--   Raises   nothing
WITH head AS MATERIALIZED (
    SELECT
        lane.lane, lane.successor, queue.drained_to, newest.previous_snapshot, newest.snapshot,
        newest.last_xid, newest.last_delivery, newest.exhausted
    FROM arvo.lane
    INNER JOIN arvo.lane AS fresh ON fresh.lane = lane.successor AND NOT fresh.retired
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    CROSS JOIN LATERAL (
        SELECT latest.*
        FROM arvo.lease AS latest
        WHERE latest.lane = lane.lane
        ORDER BY latest.number DESC
        LIMIT 1
    ) AS newest
),

slot AS MATERIALIZED (
    SELECT arvo.slot() AS now
),

waiting AS (
    SELECT
        head.successor,
        CASE WHEN pg_visible_in_snapshot(entry.xid, head.snapshot) THEN 1 ELSE 2 END AS part,
        entry.slot, entry.lane, entry.xid, entry.delivery
    FROM head
    INNER JOIN arvo.log AS entry
        ON entry.lane = head.lane AND entry.xid >= pg_snapshot_xmin(head.previous_snapshot)
    WHERE NOT pg_visible_in_snapshot(entry.xid, head.previous_snapshot)
    AND NOT (
        pg_visible_in_snapshot(entry.xid, head.snapshot)
        AND (
            head.exhausted
            OR (entry.xid, entry.delivery) <= (head.last_xid, head.last_delivery)
        )
    )
    AND coalesce(pg_visible_in_snapshot(entry.xid, head.drained_to), false) = p_drained
    AND entry.delivery <= p_own
    UNION ALL
    SELECT head.successor, 3, entry.slot, entry.lane, entry.xid, entry.delivery
    FROM head
    INNER JOIN arvo.log AS entry ON entry.lane = head.lane AND entry.xid = pg_current_xact_id()
    WHERE entry.delivery > p_own AND NOT p_drained
),

ranked AS (
    SELECT
        waiting.*,
        row_number() OVER in_order AS rank,
        waiting.delivery < lag(waiting.delivery) OVER in_order AS descends
    FROM waiting
    WINDOW in_order AS (
        PARTITION BY waiting.successor ORDER BY waiting.part, waiting.xid, waiting.delivery
    )
),

numbered AS (
    SELECT
        ranked.*,
        p_first + (ranked.rank - 1) / 10000 + count(*) FILTER (WHERE ranked.descends) OVER (
            PARTITION BY ranked.successor ORDER BY ranked.rank ROWS UNBOUNDED PRECEDING
        ) AS number
    FROM ranked
),

logged AS (
    INSERT INTO arvo.log (
        slot, lane, xid, delivery, attempt, at, subject_key, event_key,
        origin_delivery, origin_lane, origin_xid, event, cause, key, options
    )
    SELECT
        slot.now, numbered.successor, numbered.number::text::xid8, entry.delivery,
        entry.attempt, entry.at, entry.subject_key, entry.event_key,
        CASE WHEN old.body IS NULL THEN coalesce(entry.origin_delivery, entry.delivery) END,
        CASE WHEN old.body IS NULL THEN coalesce(entry.origin_lane, entry.lane) END,
        CASE WHEN old.body IS NULL THEN coalesce(entry.origin_xid, entry.xid) END,
        old.body,
        CASE
            WHEN old.body IS NULL OR entry.origin_delivery IS NULL THEN entry.cause
            ELSE entry.cause || jsonb_build_object('first', entry.origin_delivery)
        END,
        entry.key, entry.options
    FROM numbered
    CROSS JOIN slot
    INNER JOIN arvo.log AS entry
        ON entry.lane = numbered.lane
        AND entry.xid = numbered.xid
        AND entry.delivery = numbered.delivery
    -- A row refers to a body in its own generation; one from an older one it carries.
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN entry.event IS NOT NULL THEN
                CASE WHEN entry.slot <> slot.now THEN entry.event END
            ELSE (
                SELECT origin.event
                FROM arvo.log AS origin
                WHERE origin.lane = entry.origin_lane
                AND origin.xid = entry.origin_xid
                AND origin.delivery = entry.origin_delivery
                AND origin.slot <> slot.now
            )
        END AS body
    ) AS old
    RETURNING log.lane, log.xid, log.delivery
),

pointed AS (
    UPDATE arvo.dead
    SET dead_letter_lane = logged.lane, dead_letter_xid = logged.xid
    FROM logged
    INNER JOIN arvo.lane ON lane.successor = logged.lane
    WHERE dead.dead_letter_lane = lane.lane
    AND dead.dead_letter_delivery = logged.delivery
    AND dead.resolution IS NULL
)

SELECT ARRAY[
    count(*) FILTER (WHERE logged.delivery <= p_own),
    coalesce(max(logged.xid::text::bigint) + 1, p_first)
]
FROM logged;
$rebase_queued$;

COMMENT ON FUNCTION arvo.rebase_queued(bigint, boolean, bigint) IS
'Moves what nobody has claimed into the new lanes, in order; returns how many, and the next free transaction.';

REVOKE ALL ON FUNCTION arvo.rebase_queued(bigint, boolean, bigint) FROM PUBLIC;
