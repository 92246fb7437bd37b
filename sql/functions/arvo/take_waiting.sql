-- arvo.take_waiting(queue, ready_from, room) — take parked deliveries whose keys have room.
CREATE OR REPLACE FUNCTION arvo.take_waiting(
    p_queue arvo.queue,
    p_ready_from bigint,
    p_room integer
)
RETURNS arvo.taking
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $take_waiting$
-- Keys are served in the order in which they became ready, and each goes to the end of that line when
-- more of it wait: none starves. Nothing is scanned but what is taken.
--
--   Reads    arvo.ready by (queue, number), arvo.parked by (queue, key, place), arvo.log by (lane,
--            xid, delivery), arvo.tombstone, arvo.clock
--   Writes   arvo.parked; as arvo.put_turn and arvo.put_off
--   Locks    nothing; the caller holds the queue's home lane
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_taking arvo.taking := arvo.no_taking(p_ready_from);
    v_number bigint;
    v_key bigint;
    v_turn arvo.turn;
    v_want integer;
    v_rate integer;
    v_entries arvo.log[];
    v_places bigint[];
    v_count integer;
BEGIN
    WHILE v_taking.taken < p_room LOOP
        SELECT ready.number, ready.key INTO v_number, v_key
        FROM arvo.ready
        WHERE ready.queue = p_queue.queue AND ready.number > v_taking.ready_from
        ORDER BY ready.number
        LIMIT 1;
        EXIT WHEN NOT FOUND;
        v_taking.ready_from := v_number;
        v_turn := arvo.turn_of(p_queue.queue, v_key);
        v_turn.ready := false;
        v_rate := arvo.rate_room(
            v_turn.tally, p_queue.key_rate_limit, p_queue.key_rate_period, v_now
        );
        v_want := least(p_room - v_taking.taken, arvo.key_room(p_queue, v_turn), greatest(v_rate, 1));
        v_entries := '{}';
        IF v_want > 0 THEN
            SELECT
                array_agg(waiting.place ORDER BY waiting.place),
                array_agg(waiting.entry ORDER BY waiting.place)
            INTO v_places, v_entries
            FROM (
                SELECT parked.place, entry.entry
                FROM (
                    SELECT line.*
                    FROM arvo.parked AS line
                    WHERE line.queue = p_queue.queue
                    AND line.key = v_key
                    AND line.place > v_turn.upto
                    ORDER BY line.place
                    LIMIT v_want
                ) AS parked
                CROSS JOIN LATERAL (
                    SELECT log AS entry
                    FROM arvo.log
                    WHERE log.lane = parked.lane
                    AND log.xid = parked.xid
                    AND log.delivery = parked.delivery
                    LIMIT 1
                ) AS entry
            ) AS waiting;
        END IF;
        v_count := coalesce(cardinality(v_entries), 0);
        IF v_count = 0 THEN
            IF v_want > 0 THEN
                v_turn.waiting := 0;
            END IF;
            PERFORM arvo.put_turn(p_queue, v_turn);
            CONTINUE;
        END IF;
        DELETE FROM arvo.parked
        WHERE parked.queue = p_queue.queue
        AND parked.key = v_key
        AND parked.place = ANY (v_places);
        v_turn.waiting := greatest(v_turn.waiting - v_count, 0);
        v_turn.upto := v_places[v_count];
        -- What has been withdrawn will be closed under the lease: it is not put off, nor counted.
        IF v_rate = 0 AND NOT EXISTS (
            SELECT
            FROM arvo.tombstone
            WHERE tombstone.lane = v_entries[1].lane AND tombstone.delivery = v_entries[1].delivery
        ) THEN
            v_turn.holder := arvo.put_off(p_queue, v_turn, v_entries[1]);
            v_taking.put_off := v_taking.put_off || v_entries[1].delivery;
        ELSE
            v_turn.active := v_turn.active + v_count;
            v_turn.tally := arvo.rate_count(
                v_turn.tally, least(v_rate, v_count), p_queue.key_rate_period, v_now
            );
            v_taking.taken := v_taking.taken + v_count;
        END IF;
        v_taking.batch := v_taking.batch || v_entries;
        v_taking.keys := v_taking.keys || array_fill(v_key, ARRAY[v_count]);
        v_taking.places := v_taking.places || v_places;
        PERFORM arvo.put_turn(p_queue, v_turn);
    END LOOP;
    RETURN v_taking;
END;
$take_waiting$;

COMMENT ON FUNCTION arvo.take_waiting(arvo.queue, bigint, integer) IS
'Takes parked deliveries of the keys that are ready, in order.';

REVOKE ALL ON FUNCTION arvo.take_waiting(arvo.queue, bigint, integer) FROM PUBLIC;
