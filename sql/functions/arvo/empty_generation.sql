-- arvo.empty_generation() — empty the oldest generation when its time has come.
CREATE OR REPLACE FUNCTION arvo.empty_generation()
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $empty_generation$
-- Its time has come when it has been finished for delete_after, and no window of deduplication reaches
-- back into it: from when the next one was opened no key was noted here, but by transactions from
-- before, which must have ended. First what is alive is taken out of
-- it, some thousand rows a call: deferred deliveries get their events, idle lanes a new cursor. Then
-- it is locked against writers, looked through again, and emptied. A lock that cannot be had leaves
-- everything as it is, for the next call. What turns up late makes it wait for delete_after again.
-- Returns 1 when one was emptied, else 0.
--
-- Transactions from long ago lose nothing. One that has written here holds its lock, and nothing
-- happens. One that only knows this slot by number, and writes after it was emptied or is in use
-- again, writes rows as good as any: claims go by lane and transaction, not by slot. One that has
-- looked into the log for an event holds all partitions. A snapshot from before, under REPEATABLE
-- READ, that looks here for the first time finds nothing: TRUNCATE is not undone for snapshots.
--
--   Reads    arvo.generation, arvo.queue, arvo.clock, arvo.delete_after; as arvo.slot_pins
--   Writes   arvo.generation; as arvo.carry_deferred, arvo.move_idle, arvo.tally_lanes,
--            arvo.truncate_slot and arvo.forget_slot
--   Locks    as arvo.carry_deferred and arvo.move_idle; then as arvo.freeze_slot; last as
--            arvo.truncate_slot
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_old arvo.generation;
BEGIN
    SELECT old.* INTO v_old
    FROM arvo.generation AS old
    WHERE old.emptied_at IS NULL
    AND old.finished_at <= v_now - arvo.delete_after()
    AND EXISTS (
        SELECT
        FROM arvo.generation AS next
        WHERE next.number = old.number + 1
        AND next.opened_at <= v_now - coalesce(
            (SELECT max(queue.deduplicate_for) FROM arvo.queue), interval '0'
        )
        AND next.horizon <= pg_snapshot_xmin(pg_current_snapshot())
    )
    ORDER BY old.number
    LIMIT 1;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    PERFORM arvo.carry_deferred(v_old.closed_at, 2000);
    PERFORM arvo.move_idle(v_old.slot, 256);

    BEGIN
        PERFORM arvo.freeze_slot(v_old.slot);
        IF EXISTS (SELECT FROM arvo.slot_pins(v_old.slot, v_old.closed_at, 1)) THEN
            UPDATE arvo.generation AS old
            SET finished_at = NULL
            WHERE old.number = v_old.number;
            RETURN 0;
        END IF;
        IF EXISTS (
            SELECT
            FROM arvo.deferred
            WHERE deferred.origin_delivery IS NOT NULL AND deferred.at <= v_old.closed_at
        ) OR EXISTS (
            SELECT
            FROM arvo.lane
            CROSS JOIN LATERAL (
                SELECT newest.slot
                FROM arvo.lease AS newest
                WHERE newest.lane = lane.lane
                ORDER BY newest.number DESC
                LIMIT 1
            ) AS head
            WHERE head.slot = v_old.slot
        ) THEN
            RETURN 0;
        END IF;
        PERFORM arvo.tally_lanes(2147483647);
        PERFORM arvo.truncate_slot(v_old.slot);
        PERFORM arvo.forget_slot(v_old.slot);
    EXCEPTION WHEN lock_not_available THEN
        RETURN 0;
    END;
    UPDATE arvo.generation AS old
    SET emptied_at = v_now
    WHERE old.number = v_old.number;
    RETURN 1;
END;
$empty_generation$;

COMMENT ON FUNCTION arvo.empty_generation() IS
'Empties the oldest generation when nothing in it is needed and it was kept for delete_after.';

REVOKE ALL ON FUNCTION arvo.empty_generation() FROM PUBLIC;
