-- arvo.put_turn(queue, turn) — write the new state of a key.
CREATE OR REPLACE FUNCTION arvo.put_turn(p_queue arvo.queue, p_turn arvo.turn)
RETURNS void
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $put_turn$
-- As arvo.put_turns, for one.
--
--   Reads    as arvo.put_turns
--   Writes   as arvo.put_turns
--   Locks    nothing; the caller holds the queue's home lane
--   Raises   nothing
SELECT arvo.put_turns(p_queue, ARRAY[p_turn]);
$put_turn$;

COMMENT ON FUNCTION arvo.put_turn(arvo.queue, arvo.turn) IS
'Replaces the state of a key, and has it served when somebody waits and there is room.';

REVOKE ALL ON FUNCTION arvo.put_turn(arvo.queue, arvo.turn) FROM PUBLIC;
