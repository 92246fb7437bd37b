-- arvo.empty_queue(queue, limit) — cancel everything in a queue that nobody holds.
CREATE OR REPLACE FUNCTION arvo.empty_queue(p_queue arvo.queue, p_limit bigint)
RETURNS SETOF arvo_v1.purged
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $empty_queue$
-- At most p_limit are read (NULL: all): those in line behind others, then those in the log, then those
-- that are due later. What is in the log is leased and closed in the same breath, so that it costs a
-- row for some hundred deliveries, and the journal tells. What is due later is moved into the log
-- under a tombstone. One row for each place, that of the leased with how many were left alone.
--
--   Reads    arvo.lane, arvo.lease, arvo.log, arvo.promotion, arvo.clock
--   Writes   arvo.parked, arvo.turn, arvo.deferred, arvo.queue; as arvo.lease_and_close,
--            arvo.bring_forward, arvo.entomb and arvo.let_go
--   Locks    all lanes of the queue, in order; the promoter's lock; as arvo.lease_and_close
--   Raises   RV902  the stored transaction numbers belong to another cluster
DECLARE
    v_left bigint := coalesce(p_limit, 9223372036854775807);
    -- Those that are made from now on are not locked, and not read.
    v_lanes integer[] := ARRAY(SELECT own.lane FROM arvo.lanes_of(p_queue.queue) AS own);
    v_lane integer;
    v_head arvo.lease;
    v_reading arvo.reading;
    v_entry arvo.log;
    v_delivery bigint;
    v_line arvo.parked[];
    v_queued bigint := 0::bigint;
    v_parked bigint := 0::bigint;
    v_deferred bigint := 0::bigint;
    v_passed arvo.promotion;
BEGIN
    PERFORM arvo.lock_lanes(v_lanes);
    PERFORM pg_advisory_xact_lock(hashtext('arvo'), 0);
    -- A queue that is being drained goes on from here: its lanes are about to be read further.
    UPDATE arvo.queue
    SET drained_to = arvo.window_snapshot()
    WHERE queue.queue = p_queue.queue AND queue.drained_to IS NOT NULL;

    LOOP
        EXIT WHEN v_left <= 0;
        -- The first of each line: places that have been taken only grow.
        WITH first AS (
            SELECT parked.queue, parked.key, parked.place
            FROM arvo.parked
            WHERE parked.queue = p_queue.queue
            ORDER BY parked.key, parked.place
            LIMIT least(v_left, 500)
        ),

        gone AS (
            DELETE FROM arvo.parked
            USING first
            WHERE parked.queue = first.queue
            AND parked.key = first.key
            AND parked.place = first.place
            RETURNING parked AS line
        )

        SELECT array_agg(gone.line) INTO v_line FROM gone;
        EXIT WHEN v_line IS NULL;
        v_left := v_left - cardinality(v_line);

        WITH taken AS (
            SELECT line.key, count(*)::integer AS places, max(line.place) AS upto
            FROM unnest(v_line) AS line
            GROUP BY line.key
        ),

        newest AS MATERIALIZED (
            SELECT head.*, taken.places, taken.upto AS taken_upto
            FROM taken
            CROSS JOIN LATERAL (
                SELECT turn.*
                FROM arvo.turn
                WHERE turn.queue = p_queue.queue AND turn.key = taken.key
                ORDER BY turn.number DESC
                LIMIT 1
            ) AS head
        ),

        gone AS (
            DELETE FROM arvo.turn
            USING newest
            WHERE turn.queue = newest.queue
            AND turn.key = newest.key
            AND turn.number = newest.number
        )

        INSERT INTO arvo.turn (
            queue, key, number, active, waiting, upto, holder, ready, tally, at
        )
        SELECT
            newest.queue, newest.key, nextval('arvo.turn_number'::regclass), newest.active,
            greatest(newest.waiting - newest.places, 0), greatest(newest.upto, newest.taken_upto),
            newest.holder, newest.ready, newest.tally, arvo.clock()
        FROM newest;

        FOR v_lane IN
            SELECT DISTINCT line.lane FROM unnest(v_line) AS line ORDER BY line.lane
        LOOP
            v_head := arvo.head_of(v_lane);
            v_reading := (
                ARRAY(
                    SELECT found.entry
                    FROM unnest(v_line) AS line
                    CROSS JOIN LATERAL (
                        SELECT log AS entry
                        FROM arvo.log
                        WHERE log.lane = line.lane
                        AND log.xid = line.xid
                        AND log.delivery = line.delivery
                    ) AS found
                    WHERE line.lane = v_lane
                    ORDER BY line.key, line.place
                ),
                v_head.previous_snapshot, v_head.snapshot, v_head.last_xid, v_head.last_delivery,
                v_head.exhausted
            )::arvo.reading;
            v_parked := v_parked + arvo.lease_and_close(v_head, v_reading);
        END LOOP;
    END LOOP;

    FOREACH v_lane IN ARRAY v_lanes LOOP
        LOOP
            EXIT WHEN v_left <= 0;
            v_head := arvo.head_of(v_lane);
            v_reading := arvo.read_window(v_head, least(v_left, 500)::integer);
            EXIT WHEN v_reading.batch = '{}';
            v_queued := v_queued + arvo.lease_and_close(v_head, v_reading);
            v_left := v_left - cardinality(v_reading.batch);
        END LOOP;
    END LOOP;

    SELECT head.* INTO STRICT v_passed
    FROM arvo.promotion AS head
    ORDER BY head.number DESC
    LIMIT 1;
    FOR v_delivery IN
        SELECT deferred.delivery
        FROM arvo.deferred
        WHERE deferred.lane = ANY (v_lanes)
        AND NOT (
            (deferred.due, deferred.delivery) <= (v_passed.due, v_passed.delivery)
            AND pg_visible_in_snapshot(deferred.xid, v_passed.snapshot)
        )
        ORDER BY deferred.due, deferred.delivery
        LIMIT v_left
    LOOP
        v_entry := arvo.bring_forward(v_delivery);
        PERFORM arvo.entomb(v_entry, 'cancelled');
        PERFORM arvo.let_go(v_entry);
        v_deferred := v_deferred + 1;
    END LOOP;
    v_left := v_left - v_deferred;

    UPDATE arvo.queue
    SET drained_to = arvo.window_snapshot()
    WHERE queue.queue = p_queue.queue AND queue.drained_to IS NOT NULL;

    RETURN QUERY
    SELECT removed.place, removed.number, CASE WHEN v_left > 0 THEN 0::bigint END
    FROM (
        VALUES (1, 'queued', v_queued), (2, 'parked', v_parked), (3, 'deferred', v_deferred)
    ) AS removed (ordinal, place, number)
    ORDER BY removed.ordinal;
    RETURN NEXT ('leased', 0, arvo.count_leased(p_queue.queue))::arvo_v1.purged;
END;
$empty_queue$;

COMMENT ON FUNCTION arvo.empty_queue(arvo.queue, bigint) IS
'Cancels everything in a queue that is not leased, up to a limit; says how many, by place.';

REVOKE ALL ON FUNCTION arvo.empty_queue(arvo.queue, bigint) FROM PUBLIC;
