-- arvo.claim_gated(lane, home, limit, worker, lease) — lease the next deliveries of a gated queue.
CREATE OR REPLACE FUNCTION arvo.claim_gated(
    p_lane integer,
    p_home integer,
    p_limit integer,
    p_worker text,
    p_lease interval
)
RETURNS SETOF arvo_v1.claimed
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $claim_gated$
-- The caller holds the lane and p_home, the home lane of the queue, which guards all its
-- keys. First the limits of the whole queue; then deliveries that have waited, in the claim of
-- p_home, and new ones from the log, mixed so that neither starves: of several places a quarter is
-- left to new ones, a single place goes to either by chance. What may not run yet is parked; a claim
-- that finds nothing else parks up to 256 batches before it gives up. The lease names as strays those
-- that had waited: the order of the log does not find them again.
--
--   Reads    arvo.lease, arvo.queue, arvo.lane, arvo.ready and arvo.turn by (queue, number); as arvo.read_window, arvo.take_waiting and arvo.hand_out
--   Writes   arvo.lease, arvo.closure, arvo.turn; as arvo.heal, arvo.take_waiting, arvo.admit, arvo.withdraw and arvo.free_places
--   Locks    as arvo.sweep; other lanes of the queue: tried, never waited for
--   Raises   as arvo.read_window
DECLARE
    v_now timestamptz := arvo.clock();
    v_queue arvo.queue;
    v_head arvo.lease;
    v_open_from bigint;
    v_whole arvo.turn;
    v_room integer;
    v_share integer;
    v_serving boolean;
    v_ready boolean;
    v_moved boolean := false;
    v_reading arvo.reading;
    v_more arvo.taking;
    v_all arvo.taking;
    v_lane integer;
    v_lease arvo.lease;
    v_batch arvo.log[];
    v_keys bigint[];
    v_places bigint[];
    v_strays bigint[];
    v_lanes integer[];
    v_found boolean := false;
BEGIN
    SELECT queue.* INTO STRICT v_queue
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = p_lane;

    -- Asked again under the lock: its rules may have changed since.
    IF NOT v_queue.gated OR v_queue.paused_at IS NOT NULL THEN
        RETURN;
    END IF;

    -- Once, unless everything that was leased turns out to be withdrawn or put off.
    LOOP
        v_head := arvo.head_of(p_lane);
        v_open_from := v_head.open_from;
        v_head := arvo.heal(v_head);
        v_moved := v_head.open_from > v_open_from;
        v_room := p_limit;
        IF num_nonnulls(v_queue.max_active, v_queue.rate_limit) > 0 THEN
            v_whole := arvo.turn_of(v_queue.queue, 0);
            v_room := least(
                p_limit,
                v_queue.max_active - v_whole.active,
                arvo.rate_room(v_whole.tally, v_queue.rate_limit, v_queue.rate_period, v_now)
            );
        END IF;
        v_all := ('{}', '{}', '{}', '{}', 0, v_head.ready_from)::arvo.taking;
        v_strays := NULL;
        -- What waits may stand in any lane of the queue: then all of them must be held.
        SELECT
            p_lane = p_home AND NOT EXISTS (
                SELECT
                FROM arvo.lane
                WHERE lane.queue = v_queue.queue AND lane.lane <> p_home AND NOT lane.retired
                AND NOT pg_try_advisory_xact_lock(hashtext('arvo'), lane.lane)
            ),
            EXISTS (
                SELECT
                FROM arvo.ready
                WHERE ready.queue = v_queue.queue AND ready.number > v_head.ready_from
            )
        INTO v_serving, v_ready;
        v_share := CASE
            WHEN v_room > 1 THEN v_room - v_room / 4 ELSE (random() < 0.5)::integer
        END;

        FOR v_round IN 1..256 LOOP
            EXIT WHEN v_all.taken >= v_room OR (v_round > 8 AND v_all.batch <> '{}');
            IF v_serving AND v_ready AND v_share > v_all.taken THEN
                v_more := arvo.take_waiting(v_queue, v_all.ready_from, v_share - v_all.taken);
                v_moved := v_moved OR v_more.ready_from > v_all.ready_from;
                v_strays := v_strays || ARRAY(
                    SELECT waited.delivery FROM unnest(v_more.batch) AS waited
                );
                v_all := arvo.both(v_all, v_more);
            END IF;
            EXIT WHEN v_all.taken >= v_room;
            v_reading := arvo.read_window(v_head, v_room - v_all.taken, v_queue.drained_to);
            IF v_reading.batch <> '{}' THEN
                v_moved := true;
                v_head := arvo.moved(v_head, v_reading);
                v_more := arvo.admit(v_queue, v_reading.batch);
                v_ready := v_ready OR v_more.taken < cardinality(v_reading.batch);
                IF v_all.batch = '{}' THEN
                    v_more.ready_from := v_all.ready_from;
                    v_all := v_more;
                ELSE
                    v_all := arvo.both(v_all, v_more);
                END IF;
            END IF;
            EXIT WHEN v_share >= v_room AND (v_reading.batch = '{}' OR v_head.exhausted);
            IF v_reading.batch = '{}' OR v_head.exhausted THEN
                v_share := v_room;
                EXIT WHEN NOT v_serving;
            END IF;
        END LOOP;
        v_head.ready_from := v_all.ready_from;

        IF v_all.batch = '{}' THEN
            IF v_moved THEN
                PERFORM arvo.move_cursor(v_head);
            END IF;
            RETURN;
        END IF;
        IF v_all.taken > 0 THEN
            UPDATE arvo.turn
            SET number = nextval('arvo.turn_number'::regclass),
                active = turn.active + v_all.taken,
                tally = CASE
                    WHEN v_queue.rate_period IS NULL THEN '{}'
                    ELSE arvo.rate_count(turn.tally, v_all.taken, v_queue.rate_period, v_now)
                END,
                at = v_now
            WHERE turn.ctid = (
                SELECT whole.ctid
                FROM arvo.turn AS whole
                WHERE whole.queue = v_queue.queue AND whole.key = 0
                ORDER BY whole.number DESC
                LIMIT 1
            );
            IF NOT FOUND THEN
                INSERT INTO arvo.turn (queue, key, number, active, waiting, upto, ready, tally, at)
                VALUES (
                    v_queue.queue, 0, nextval('arvo.turn_number'::regclass), v_all.taken, 0, 0,
                    false,
                    arvo.rate_count('{}', v_all.taken, v_queue.rate_period, v_now), v_now
                );
            END IF;
        END IF;

        -- A lease belongs to one lane: those that waited may have come from others.
        v_lanes := ARRAY[p_lane];
        IF v_strays <> '{}' THEN
            v_lanes := ARRAY(
                SELECT taken.lane
                FROM unnest(v_all.batch) AS taken
                GROUP BY taken.lane
                ORDER BY taken.lane <> p_lane, taken.lane
            );
        END IF;
        FOREACH v_lane IN ARRAY v_lanes LOOP
            IF cardinality(v_lanes) = 1 THEN
                v_batch := v_all.batch;
                v_keys := v_all.keys;
                v_places := v_all.places;
            ELSE
                SELECT
                    array_agg(taken.entry ORDER BY taken.ordinal),
                    array_agg(v_all.keys[taken.ordinal] ORDER BY taken.ordinal),
                    array_agg(v_all.places[taken.ordinal] ORDER BY taken.ordinal)
                INTO v_batch, v_keys, v_places
                FROM (
                    SELECT listed AS entry, row_number() OVER () AS ordinal
                    FROM unnest(v_all.batch) AS listed
                ) AS taken
                WHERE (taken.entry).lane = v_lane;
            END IF;
            v_lease := v_head;
            IF v_lane <> p_lane THEN
                v_lease := arvo.head_of(v_lane);
            END IF;
            v_lease.strays := NULL;
            IF v_strays <> '{}' THEN
                v_lease.strays := nullif(ARRAY(
                    SELECT taken.delivery
                    FROM unnest(v_batch) AS taken
                    WHERE taken.delivery = ANY (v_strays)
                ), '{}');
            END IF;
            v_lease := arvo.write_lease(
                v_lease, p_worker, p_lease, v_batch, v_keys,
                CASE WHEN v_queue.policy = 'ordered' THEN v_places END
            );
            v_moved := v_moved AND v_lane <> p_lane;
            IF v_all.put_off <> '{}' THEN
                v_batch := arvo.close_put_off(v_lease, v_batch, v_all.put_off);
            END IF;
            IF EXISTS (SELECT FROM arvo.tombstone WHERE tombstone.lane = v_lane) THEN
                v_batch := arvo.withdraw(v_queue, v_lease, v_batch);
            END IF;
            IF v_queue.slotted THEN
                PERFORM arvo.leave_queued(v_queue, v_batch);
            END IF;
            v_found := v_found OR v_batch <> '{}';
            RETURN QUERY SELECT leased.* FROM arvo.hand_out(v_queue, v_lease, v_batch) AS leased;
        END LOOP;
        -- Only leases of other lanes were written: this one's cursor has moved all the same.
        IF v_moved THEN
            PERFORM arvo.move_cursor(v_head);
        END IF;
        EXIT WHEN v_found;
    END LOOP;
END;
$claim_gated$;

COMMENT ON FUNCTION arvo.claim_gated(integer, integer, integer, text, interval) IS
'Leases deliveries of a queue with keys or limits, and parks those that must wait.';

REVOKE ALL ON FUNCTION arvo.claim_gated(integer, integer, integer, text, interval) FROM PUBLIC;
