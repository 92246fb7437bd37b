-- arvo.retire(queue, head, batch, parked) — make dead letters of deliveries that waited too long.
CREATE OR REPLACE FUNCTION arvo.retire(
    p_queue arvo.queue,
    p_head arvo.lease,
    p_batch arvo.log[],
    p_parked boolean
)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $retire$
-- p_head is the newest row of a lane that the caller holds (with the home lane of a gated queue), its
-- cursor moved on behind p_batch, unless that stood in line. The batch is leased to nobody and closed
-- at once: what was withdrawn as that says, of all others a dead letter is made, with the attempts
-- that were really charged. Keys count them as running for that moment, so that they are freed as
-- after any run. Returns how many dead letters.
--
--   Reads    arvo.tombstone, arvo.clock, arvo.slot; as arvo.turn_of
--   Writes   arvo.closure; as arvo.put_turn, arvo.write_lease, arvo.leave_queued, arvo.withdraw,
--            arvo.bury and arvo.finish
--   Locks    as arvo.withdraw, arvo.bury and arvo.finish
--   Raises   nothing
DECLARE
    v_batch arvo.log[] := p_batch;
    v_deliveries bigint[];
    v_keys bigint[];
    v_key bigint;
    v_turn arvo.turn;
    v_lease arvo.lease;
    v_entry arvo.log;
BEGIN
    IF p_queue.gated THEN
        v_keys := ARRAY(SELECT arvo.key_for(p_queue, entry) FROM unnest(p_batch) AS entry);
        FOR v_key, v_deliveries IN
            SELECT arvo.key_for(p_queue, entry), array_agg(entry.delivery)
            FROM unnest(p_batch) AS entry
            GROUP BY arvo.key_for(p_queue, entry)
            UNION ALL
            SELECT 0, array_agg(entry.delivery)
            FROM unnest(p_batch) AS entry
            ORDER BY 1
        LOOP
            v_turn := arvo.turn_of(p_queue.queue, v_key);
            v_turn.active := v_turn.active + cardinality(v_deliveries);
            IF p_parked AND v_key <> 0 THEN
                v_turn.waiting := greatest(v_turn.waiting - cardinality(v_deliveries), 0);
            END IF;
            IF v_turn.holder = ANY (v_deliveries) THEN
                v_turn.holder := NULL;
            END IF;
            PERFORM arvo.put_turn(p_queue, v_turn);
        END LOOP;
    END IF;

    p_head.strays := CASE
        WHEN p_parked THEN ARRAY(SELECT entry.delivery FROM unnest(p_batch) AS entry)
    END;
    v_lease := arvo.write_lease(p_head, 'arvo.maintain', interval '0', p_batch, v_keys);
    IF EXISTS (SELECT FROM arvo.tombstone WHERE tombstone.lane = v_lease.lane) THEN
        v_batch := arvo.withdraw(p_queue, v_lease, p_batch);
    END IF;
    IF p_queue.slotted THEN
        PERFORM arvo.leave_queued(p_queue, v_batch);
    END IF;
    IF v_batch = '{}' THEN
        RETURN 0;
    END IF;
    v_deliveries := ARRAY(SELECT entry.delivery FROM unnest(v_batch) AS entry);
    INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
    VALUES (
        arvo.slot(), v_lease.token, arvo.clock(), v_deliveries, '{dead}',
        array_fill(NULL::integer, ARRAY[cardinality(v_deliveries)])
    );
    FOREACH v_entry IN ARRAY v_batch LOOP
        v_entry.attempt := v_entry.attempt - 1;
        PERFORM arvo.bury(
            v_entry, p_queue, 'retention',
            jsonb_build_object(
                'name', 'RetentionExpired',
                'message', format('not run within %s of being ready', p_queue.retention),
                'stack', NULL
            )
        );
    END LOOP;
    PERFORM arvo.finish(p_queue, v_lease, v_deliveries);
    RETURN cardinality(v_batch);
END;
$retire$;

COMMENT ON FUNCTION arvo.retire(arvo.queue, arvo.lease, arvo.log[], boolean) IS
'Leases deliveries that waited too long to nobody and makes dead letters of them; returns how many.';

REVOKE ALL ON FUNCTION arvo.retire(arvo.queue, arvo.lease, arvo.log[], boolean) FROM PUBLIC;
