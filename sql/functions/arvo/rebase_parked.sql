-- arvo.rebase_parked() — move the log rows of parked deliveries into the new lanes.
CREATE OR REPLACE FUNCTION arvo.rebase_parked()
RETURNS bigint
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $rebase_parked$
-- For arvo_v1.rebase, after arvo.retire_lanes. They keep their numbers and their places, and stand at
-- transaction 2 of the new lanes, where their cursors have passed: they have been read. Returns how
-- many.
--
--   Reads    arvo.lane, arvo.log, arvo.slot
--   Writes   arvo.log, arvo.parked, arvo.dead
--   Locks    arvo.parked rows, arvo.dead rows
--   Raises   nothing
WITH standing AS MATERIALIZED (
    SELECT
        lane.successor,
        entry.*,
        -- A row refers to a body in its own generation; one from an older one it carries.
        (
            SELECT origin.event
            FROM arvo.log AS origin
            WHERE origin.lane = coalesce(entry.origin_lane, entry.lane)
            AND origin.xid = coalesce(entry.origin_xid, entry.xid)
            AND origin.delivery = coalesce(entry.origin_delivery, entry.delivery)
            AND origin.slot <> arvo.slot()
        ) AS body
    FROM arvo.parked
    INNER JOIN arvo.lane ON lane.lane = parked.lane
    INNER JOIN arvo.log AS entry
        ON entry.lane = parked.lane
        AND entry.xid = parked.xid
        AND entry.delivery = parked.delivery
    WHERE lane.retired
),

logged AS (
    INSERT INTO arvo.log (
        slot, lane, xid, delivery, attempt, at, subject_key, event_key,
        origin_delivery, origin_lane, origin_xid, event, cause, key, options
    )
    SELECT
        arvo.slot(), standing.successor, '2', standing.delivery, standing.attempt, standing.at,
        standing.subject_key, standing.event_key,
        CASE
            WHEN standing.body IS NULL THEN coalesce(standing.origin_delivery, standing.delivery)
        END,
        CASE WHEN standing.body IS NULL THEN coalesce(standing.origin_lane, standing.lane) END,
        CASE WHEN standing.body IS NULL THEN coalesce(standing.origin_xid, standing.xid) END,
        standing.body,
        CASE
            WHEN standing.body IS NULL OR standing.origin_delivery IS NULL THEN standing.cause
            ELSE standing.cause || jsonb_build_object('first', standing.origin_delivery)
        END,
        standing.key, standing.options
    FROM standing
    ORDER BY standing.delivery
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
),

moved AS (
    UPDATE arvo.parked
    SET lane = logged.lane, xid = logged.xid
    FROM logged
    INNER JOIN arvo.lane ON lane.successor = logged.lane
    WHERE parked.lane = lane.lane AND parked.delivery = logged.delivery
    RETURNING 1
)

SELECT count(*) FROM moved;
$rebase_parked$;

COMMENT ON FUNCTION arvo.rebase_parked() IS
'Moves the log rows of parked deliveries into the new lanes; returns how many.';

REVOKE ALL ON FUNCTION arvo.rebase_parked() FROM PUBLIC;
