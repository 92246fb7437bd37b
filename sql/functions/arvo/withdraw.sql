-- arvo.withdraw(queue, lease, batch) — close what was withdrawn before it could be claimed.
CREATE OR REPLACE FUNCTION arvo.withdraw(
    p_queue arvo.queue,
    p_lease arvo.lease,
    p_batch arvo.log[]
)
RETURNS arvo.log[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $withdraw$
-- Those of a freshly leased batch that have a tombstone are closed under that lease, with the
-- tombstone's reason, and their tombstones are removed; their keys and places are free. Returns the
-- others, in their order (unnest keeps it).
--
--   Reads    arvo.clock, arvo.slot
--   Writes   arvo.tombstone, arvo.closure; as arvo.pass_turns and arvo.free_places
--   Locks    arvo.tombstone rows
--   Raises   nothing
DECLARE
    v_withdrawn bigint[];
    v_reasons text[];
    v_gone bigint[];
BEGIN
    WITH met AS (
        DELETE FROM arvo.tombstone
        WHERE tombstone.lane = p_lease.lane
        AND tombstone.delivery IN (SELECT entry.delivery FROM unnest(p_batch) AS entry)
        RETURNING tombstone.delivery, tombstone.reason
    )

    SELECT
        array_agg(met.delivery),
        CASE
            WHEN min(met.reason) = max(met.reason) THEN ARRAY[min(met.reason)]
            ELSE array_agg(met.reason)
        END,
        array_agg(met.delivery) FILTER (WHERE met.reason <> 'moved')
    INTO v_withdrawn, v_reasons, v_gone
    FROM met;
    IF v_withdrawn IS NULL THEN
        RETURN p_batch;
    END IF;

    INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
    VALUES (
        arvo.slot(), p_lease.token, arvo.clock(), v_withdrawn, v_reasons,
        array_fill(NULL::integer, ARRAY[cardinality(v_withdrawn)])
    );
    -- The place of one that was moved went along.
    IF p_queue.slotted AND v_gone IS NOT NULL THEN
        PERFORM arvo.leave_places(p_queue, p_lease, v_gone);
    END IF;
    p_queue.slotted := false;
    PERFORM arvo.finish(p_queue, p_lease, v_withdrawn);
    RETURN ARRAY(
        SELECT entry
        FROM unnest(p_batch) AS entry
        WHERE entry.delivery <> ALL (v_withdrawn)
    );
END;
$withdraw$;

COMMENT ON FUNCTION arvo.withdraw(arvo.queue, arvo.lease, arvo.log[]) IS
'Closes withdrawn deliveries of a freshly leased batch; returns the others.';

REVOKE ALL ON FUNCTION arvo.withdraw(arvo.queue, arvo.lease, arvo.log[]) FROM PUBLIC;
