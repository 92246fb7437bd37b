-- arvo.release_key(queue, key, delivery) — a key's holder is gone: the others go on.
CREATE OR REPLACE FUNCTION arvo.release_key(p_queue integer, p_key bigint, p_delivery bigint)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $release_key$
-- For operators who withdraw a delivery that is deferred, or in the log and unclaimed, while its key
-- waits for it. Returns whether it was the holder.
--
--   Reads    arvo.queue, arvo.turn
--   Writes   as arvo.put_turn
--   Locks    nothing; the caller holds the queue's home lane
--   Raises   nothing
DECLARE
    v_queue arvo.queue;
    v_turn arvo.turn := arvo.turn_of(p_queue, p_key);
BEGIN
    IF v_turn.holder IS DISTINCT FROM p_delivery THEN
        RETURN false;
    END IF;
    SELECT queue.* INTO STRICT v_queue
    FROM arvo.queue
    WHERE queue.queue = p_queue;
    v_turn.holder := NULL;
    PERFORM arvo.put_turn(v_queue, v_turn);
    RETURN true;
END;
$release_key$;

COMMENT ON FUNCTION arvo.release_key(integer, bigint, bigint) IS
'Lets a key go on whose holder was withdrawn.';

REVOKE ALL ON FUNCTION arvo.release_key(integer, bigint, bigint) FROM PUBLIC;
