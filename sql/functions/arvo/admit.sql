-- arvo.admit(queue, batch) — which deliveries just read from the log may run, and which must wait.
CREATE OR REPLACE FUNCTION arvo.admit(p_queue arvo.queue, p_batch arvo.log[])
RETURNS arvo.taking
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $admit$
-- A delivery passes when its key has room and nobody stands in line before it; the holder of a key
-- passes always, and alone. The others are parked behind those who wait already. What its rate limit
-- stops is put off, except that an ordered key with a run under way must know first how that ends;
-- what has been withdrawn passes, uncounted, for it will be closed under the lease.
--
--   Reads    arvo.turn by (queue, key, number), arvo.tombstone, arvo.clock
--   Writes   arvo.parked; as arvo.put_turn and arvo.put_off
--   Locks    nothing; the caller holds the queue's home lane
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_taking arvo.taking := arvo.no_taking(NULL);
    v_key bigint;
    v_entries arvo.log[];
    v_entry arvo.log;
    v_turn arvo.turn;
    v_holder bigint;
    v_room integer;
    v_rate integer;
    v_place bigint;
BEGIN
    FOR v_key, v_entries IN
        SELECT grouped.key, array_agg(grouped.entry ORDER BY grouped.ordinal)
        FROM (
            SELECT
                arvo.key_for(p_queue, read) AS key,
                read AS entry,
                row_number() OVER () AS ordinal
            FROM unnest(p_batch) AS read
        ) AS grouped
        GROUP BY grouped.key
        ORDER BY min(grouped.ordinal)
    LOOP
        v_turn := arvo.turn_of(p_queue.queue, v_key);
        v_holder := v_turn.holder;
        v_room := CASE
            WHEN v_turn.waiting = 0 THEN arvo.key_room(p_queue, v_turn) ELSE 0
        END;
        v_rate := arvo.rate_room(
            v_turn.tally, p_queue.key_rate_limit, p_queue.key_rate_period, v_now
        );
        FOREACH v_entry IN ARRAY v_entries LOOP
            IF v_entry.delivery IS DISTINCT FROM v_holder
                AND (
                    v_holder IS NOT NULL OR v_room = 0 OR v_turn.waiting > 0
                    OR (v_rate = 0 AND p_queue.policy = 'ordered' AND v_turn.active > 0)
                )
            THEN
                INSERT INTO arvo.parked (queue, key, place, delivery, lane, xid, at)
                VALUES (
                    p_queue.queue, v_key, nextval('arvo.turn_number'::regclass),
                    v_entry.delivery, v_entry.lane, v_entry.xid, v_entry.at
                );
                v_turn.waiting := v_turn.waiting + 1;
                CONTINUE;
            END IF;

            -- The holder keeps its place before all who wait; it comes before what was taken last.
            v_place := v_turn.upto;
            IF v_entry.delivery IS DISTINCT FROM v_holder THEN
                v_place := nextval('arvo.turn_number'::regclass);
                v_turn.upto := v_place;
            END IF;
            v_turn.holder := NULL;
            IF v_rate = 0 AND NOT EXISTS (
                SELECT
                FROM arvo.tombstone
                WHERE tombstone.lane = v_entry.lane AND tombstone.delivery = v_entry.delivery
            ) THEN
                v_turn.holder := arvo.put_off(p_queue, v_turn, v_entry);
                v_holder := v_turn.holder;
                v_taking.put_off := v_taking.put_off || v_entry.delivery;
            ELSE
                v_room := v_room - 1;
                v_turn.active := v_turn.active + 1;
                v_turn.tally := arvo.rate_count(
                    v_turn.tally, least(v_rate, 1), p_queue.key_rate_period, v_now
                );
                v_rate := greatest(v_rate - 1, 0);
                v_taking.taken := v_taking.taken + 1;
            END IF;
            v_taking.batch := v_taking.batch || v_entry;
            v_taking.keys := v_taking.keys || v_key;
            v_taking.places := v_taking.places || v_place;
        END LOOP;
        PERFORM arvo.put_turn(p_queue, v_turn);
    END LOOP;
    RETURN v_taking;
END;
$admit$;

COMMENT ON FUNCTION arvo.admit(arvo.queue, arvo.log[]) IS
'Lets deliveries pass whose keys have room, and parks the others.';

REVOKE ALL ON FUNCTION arvo.admit(arvo.queue, arvo.log[]) FROM PUBLIC;
