-- arvo.claim_lane(lane, limit, worker, lease) — lease the next deliveries of one lane.
CREATE OR REPLACE FUNCTION arvo.claim_lane(
    p_lane integer,
    p_limit integer,
    p_worker text,
    p_lease interval
)
RETURNS arvo.leased
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $claim_lane$
-- The caller holds the lane. The newest lease row is the cursor; the row that is written here is the
-- next one. A claim that finds nothing writes nothing; nor does one of a queue that has become gated
-- since the caller looked. Queue, cursor and whether anything was withdrawn are read in one statement
-- under the lock: rules may have changed since the caller looked, and it sees what the last holder
-- of the lock committed.
--
--   Reads    arvo.lane, arvo.queue, arvo.lease by (lane, number), arvo.tombstone, arvo.clock; as
--            arvo.read_window
--   Writes   arvo.lease (one row); as arvo.heal, arvo.withdraw and arvo.free_places
--   Locks    as arvo.sweep
--   Raises   as arvo.read_window
DECLARE
    v_found record;
    v_head arvo.lease;
    v_open_from bigint;
    v_reading arvo.reading;
    v_leased arvo.leased;
BEGIN
    -- Once, unless everything that was leased turns out to be withdrawn.
    LOOP
        SELECT
            own AS queue,
            own.gated,
            own.paused_at,
            own.drained_to,
            own.slotted,
            cursor.head,
            EXISTS (SELECT FROM arvo.tombstone WHERE tombstone.lane = p_lane) AS withdrawn
        INTO STRICT v_found
        FROM arvo.lane
        INNER JOIN arvo.queue AS own ON own.queue = lane.queue
        CROSS JOIN LATERAL (
            SELECT newest AS head
            FROM arvo.lease AS newest
            WHERE newest.lane = p_lane
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS cursor
        WHERE lane.lane = p_lane;
        IF v_found.gated OR v_found.paused_at IS NOT NULL THEN
            RETURN NULL;
        END IF;
        v_head := v_found.head;
        v_open_from := v_head.open_from;
        IF v_head.sweep_at <= arvo.clock() THEN
            v_head := arvo.heal(v_head);
        END IF;
        v_reading := arvo.read_window(v_head, p_limit, v_found.drained_to);
        IF cardinality(v_reading.batch) = 0 THEN
            -- What the sweep found out is worth a row; the cursor stays where it is.
            IF v_head.open_from > v_open_from THEN
                PERFORM arvo.move_cursor(v_head);
            END IF;
            RETURN NULL;
        END IF;

        v_leased.queue := v_found.queue;
        v_leased.batch := v_reading.batch;
        v_leased.lease := arvo.write_lease(
            arvo.moved(v_head, v_reading), p_worker, p_lease, v_leased.batch
        );
        IF v_found.withdrawn THEN
            v_leased.batch := arvo.withdraw(v_leased.queue, v_leased.lease, v_leased.batch);
        END IF;
        IF v_found.slotted THEN
            PERFORM arvo.leave_queued(v_leased.queue, v_leased.batch);
        END IF;
        EXIT WHEN cardinality(v_leased.batch) > 0;
    END LOOP;
    RETURN v_leased;
END;
$claim_lane$;

COMMENT ON FUNCTION arvo.claim_lane(integer, integer, text, interval) IS
'Leases the next deliveries of a lane whose lock the caller holds; NULL when there are none.';

REVOKE ALL ON FUNCTION arvo.claim_lane(integer, integer, text, interval) FROM PUBLIC;
