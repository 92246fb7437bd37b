-- arvo.put_turn(queue, turn) — write the new state of a key.
CREATE OR REPLACE FUNCTION arvo.put_turn(p_queue arvo.queue, p_turn arvo.turn)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $put_turn$
-- p_turn.number is that of the row which it replaces; NULL for none. The row before is deleted at
-- once: it has a lower number, and look-ups begin at the highest. A key that has somebody waiting and
-- room for them goes to the end of the line of keys to be served.
--
--   Reads    arvo.clock
--   Writes   arvo.turn, arvo.ready; as arvo.wake
--   Locks    nothing; the caller holds the queue's home lane
--   Raises   nothing
DECLARE
    v_before bigint := p_turn.number;
BEGIN
    p_turn.number := nextval('arvo.turn_number'::regclass);
    p_turn.at := arvo.clock();
    IF p_turn.waiting > 0 AND NOT p_turn.ready AND arvo.key_room(p_queue, p_turn) > 0 THEN
        p_turn.ready := true;
        INSERT INTO arvo.ready (queue, number, key)
        VALUES (p_turn.queue, p_turn.number, p_turn.key);
        PERFORM arvo.wake(ARRAY[p_queue.name]);
    END IF;
    INSERT INTO arvo.turn SELECT p_turn.*;
    IF v_before IS NOT NULL THEN
        DELETE FROM arvo.turn AS gone
        WHERE gone.queue = p_turn.queue AND gone.key = p_turn.key AND gone.number = v_before;
    END IF;
END;
$put_turn$;

COMMENT ON FUNCTION arvo.put_turn(arvo.queue, arvo.turn) IS
'Replaces the state of a key, and has it served when somebody waits and there is room.';

REVOKE ALL ON FUNCTION arvo.put_turn(arvo.queue, arvo.turn) FROM PUBLIC;
