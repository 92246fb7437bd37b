-- arvo.lease_and_close(head, reading) — a claim whose every delivery is cancelled at once.
CREATE OR REPLACE FUNCTION arvo.lease_and_close(p_head arvo.lease, p_reading arvo.reading)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $lease_and_close$
-- p_head is the newest row of the lane, p_reading what was read after it; the caller holds the lane.
-- Those that were withdrawn before are closed for that reason and not counted. Dead letters that lie
-- there as deliveries of a dead-letter queue are discarded. Returns how many were cancelled.
--
--   Reads    arvo.clock, arvo.slot, arvo.queue, arvo.lane
--   Writes   arvo.lease (one row), arvo.closure, arvo.tombstone, arvo.dead; as
--            arvo.let_go
--   Locks    arvo.tombstone rows, arvo.dead rows
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_token bigint := (nextval('arvo.lease_number'::regclass) << 12)
        | floor(random() * 4096)::bigint;
    v_batch arvo.log[] := p_reading.batch;
    v_closed bigint[];
    v_all bigint[];
    v_outcomes text[];
BEGIN
    INSERT INTO arvo.lease (
        slot, lane, number, token, leased_at, expires_at, deliveries,
        low_xid, high_xid, xids, previous_snapshot, snapshot, last_xid, last_delivery,
        exhausted, open_from, sweep_at, ready_from
    )
    SELECT
        arvo.slot(), p_head.lane, p_head.number + 1, v_token, v_now,
        greatest(v_now, p_head.expires_at), array_agg(taken.delivery ORDER BY taken.ordinal),
        min(taken.xid::text::bigint)::text::xid8, max(taken.xid::text::bigint)::text::xid8,
        array_agg(taken.xid ORDER BY taken.ordinal), p_reading.previous_snapshot,
        p_reading.snapshot, p_reading.last_xid, p_reading.last_delivery, p_reading.exhausted,
        p_head.open_from, p_head.sweep_at, p_head.ready_from
    FROM (
        SELECT entry.delivery, entry.xid, row_number() OVER () AS ordinal
        FROM unnest(v_batch) AS entry
    ) AS taken;

    WITH met AS (
        DELETE FROM arvo.tombstone
        WHERE tombstone.lane = p_head.lane
        AND tombstone.delivery IN (SELECT entry.delivery FROM unnest(v_batch) AS entry)
        RETURNING tombstone.delivery, tombstone.reason
    )

    SELECT
        array_agg(entry.delivery ORDER BY entry.delivery),
        array_agg(coalesce(met.reason, 'cancelled') ORDER BY entry.delivery),
        array_agg(entry.delivery) FILTER (WHERE met.delivery IS NULL)
    INTO v_all, v_outcomes, v_closed
    FROM unnest(v_batch) AS entry
    LEFT JOIN met ON met.delivery = entry.delivery;
    INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
    VALUES (
        arvo.slot(), v_token, v_now, v_all,
        CASE WHEN 'moved' = ANY (v_outcomes) THEN v_outcomes ELSE '{cancelled}' END,
        array_fill(NULL::integer, ARRAY[cardinality(v_all)])
    );
    IF v_closed IS NULL THEN
        RETURN 0::bigint;
    END IF;
    UPDATE arvo.dead
    SET resolution = 'discarded', resolved_at = v_now, resolved_by = session_user
    WHERE dead.dead_letter_lane = p_head.lane
    AND dead.dead_letter_delivery = ANY (v_closed)
    AND dead.resolution IS NULL;
    IF EXISTS (
        SELECT
        FROM arvo.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        WHERE lane.lane = p_head.lane AND (queue.gated OR queue.slotted)
    ) THEN
        PERFORM arvo.let_go(entry)
        FROM unnest(v_batch) AS entry
        WHERE entry.delivery = ANY (v_closed);
    END IF;
    RETURN cardinality(v_closed)::bigint;
END;
$lease_and_close$;

COMMENT ON FUNCTION arvo.lease_and_close(arvo.lease, arvo.reading) IS
'Leases what was read from a lane and closes it at once as cancelled; returns how many.';

REVOKE ALL ON FUNCTION arvo.lease_and_close(arvo.lease, arvo.reading) FROM PUBLIC;
