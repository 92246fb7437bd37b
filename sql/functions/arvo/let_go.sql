-- arvo.let_go(log row) — what others of its key may wait for, when a delivery is taken out of its queue.
CREATE OR REPLACE FUNCTION arvo.let_go(p_entry arvo.log)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $let_go$
-- Its key goes on, if it stood at its head, and the place that a policy had given it is free. The
-- caller holds the queue's home lane.
--
--   Reads    arvo.queue, arvo.lane
--   Writes   as arvo.release_key and arvo.free_places
--   Locks    as arvo.release_key and arvo.free_places
--   Raises   nothing
DECLARE
    v_queue arvo.queue;
    v_key bigint;
BEGIN
    SELECT queue.* INTO STRICT v_queue
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = p_entry.lane;
    IF NOT v_queue.gated AND NOT v_queue.slotted THEN
        RETURN;
    END IF;

    v_key := arvo.key_for(v_queue, p_entry);
    IF v_queue.gated THEN
        PERFORM arvo.release_key(v_queue.queue, v_key, p_entry.delivery);
    END IF;
    IF v_queue.slotted THEN
        PERFORM arvo.free_places(
            v_queue.queue, place.kind, ARRAY[v_key],
            ARRAY[arvo.first_of(p_entry)]
        )
        FROM (VALUES ('queued'), ('retry'), ('any')) AS place (kind);
    END IF;
    PERFORM arvo.wake(ARRAY[v_queue.name]);
END;
$let_go$;

COMMENT ON FUNCTION arvo.let_go(arvo.log) IS
'Frees the key and the place that a delivery had, when an operator takes it out of its queue.';

REVOKE ALL ON FUNCTION arvo.let_go(arvo.log) FROM PUBLIC;
