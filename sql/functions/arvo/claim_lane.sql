-- arvo.claim_lane(lane, limit, worker, lease) — lease the next deliveries of one lane.
CREATE OR REPLACE FUNCTION arvo.claim_lane(
    p_lane integer,
    p_limit integer,
    p_worker text,
    p_lease interval
)
RETURNS SETOF arvo_v1.claimed
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $claim_lane$
-- The caller holds the lane. The newest lease row is the cursor; the row that is written here is the
-- next one. A claim that finds nothing writes nothing; nor does one of a queue that has become gated
-- since the caller looked.
--
--   Reads    arvo.lease, arvo.queue; as arvo.read_window and arvo.hand_out
--   Writes   arvo.lease (one row); as arvo.heal, arvo.withdraw and arvo.free_places
--   Locks    as arvo.sweep
--   Raises   as arvo.read_window
DECLARE
    v_head arvo.lease;
    v_queue arvo.queue;
    v_open_from bigint;
    v_reading arvo.reading;
    v_batch arvo.log[];
BEGIN
    SELECT queue.* INTO STRICT v_queue
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = p_lane;
    -- Asked again under the lock: its rules may have changed since.
    IF v_queue.gated OR v_queue.paused_at IS NOT NULL THEN
        RETURN;
    END IF;

    -- Once, unless everything that was leased turns out to be withdrawn.
    LOOP
        v_head := arvo.head_of(p_lane);
        v_open_from := v_head.open_from;
        v_head := arvo.heal(v_head);
        v_reading := arvo.read_window(v_head, p_limit, v_queue.drained_to);
        v_batch := v_reading.batch;
        IF v_batch = '{}' THEN
            -- What the sweep found out is worth a row; the cursor stays where it is.
            IF v_head.open_from > v_open_from THEN
                PERFORM arvo.move_cursor(v_head);
            END IF;
            RETURN;
        END IF;

        v_head := arvo.write_lease(arvo.moved(v_head, v_reading), p_worker, p_lease, v_batch);
        IF EXISTS (SELECT FROM arvo.tombstone WHERE tombstone.lane = p_lane) THEN
            v_batch := arvo.withdraw(v_queue, v_head, v_batch);
        END IF;
        IF v_queue.slotted THEN
            PERFORM arvo.leave_queued(v_queue, v_batch);
        END IF;
        EXIT WHEN v_batch <> '{}';
    END LOOP;

    RETURN QUERY SELECT leased.* FROM arvo.hand_out(v_queue, v_head, v_batch) AS leased;
END;
$claim_lane$;

COMMENT ON FUNCTION arvo.claim_lane(integer, integer, text, interval) IS
'Leases the next deliveries of a lane whose lock the caller holds.';

REVOKE ALL ON FUNCTION arvo.claim_lane(integer, integer, text, interval) FROM PUBLIC;
