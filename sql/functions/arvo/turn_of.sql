-- arvo.turn_of(queue, key) — the state of a key.
CREATE OR REPLACE FUNCTION arvo.turn_of(p_queue integer, p_key bigint)
RETURNS arvo.turn
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $turn_of$
-- Its newest row; for a key that is not known, one with nothing in it and number NULL.
--
--   Reads    arvo.turn by (queue, key, number)
--   Writes   nothing
--   Locks    nothing; the caller holds the queue's home lane
--   Raises   nothing
DECLARE
    v_turn arvo.turn;
BEGIN
    SELECT newest.* INTO v_turn
    FROM arvo.turn AS newest
    WHERE newest.queue = p_queue AND newest.key = p_key
    ORDER BY newest.number DESC
    LIMIT 1;
    IF NOT FOUND THEN
        v_turn.queue := p_queue;
        v_turn.key := p_key;
        v_turn.active := 0;
        v_turn.waiting := 0;
        v_turn.upto := 0;
        v_turn.ready := false;
        v_turn.tally := '{}';
    END IF;
    RETURN v_turn;
END;
$turn_of$;

COMMENT ON FUNCTION arvo.turn_of(integer, bigint) IS
'State of a key of a gated queue; key 0 is the queue as a whole.';

REVOKE ALL ON FUNCTION arvo.turn_of(integer, bigint) FROM PUBLIC;
