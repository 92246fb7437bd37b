-- arvo.key_room(queue, turn) — how many more of a key may run now, rates aside.
CREATE OR REPLACE FUNCTION arvo.key_room(p_queue arvo.queue, p_turn arvo.turn)
RETURNS integer
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $key_room$
-- An ordered key is given to one worker at a time, up to 16 deliveries at once, which it runs one
-- after the other; one that is stateful with keys other than subjects one by one, because states are
-- written in the order of subjects. While a key has a holder, nobody else passes.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT CASE
           WHEN p_turn.holder IS NOT NULL THEN 0
           WHEN p_queue.policy = 'ordered' AND p_turn.active > 0 THEN 0
           WHEN p_queue.policy = 'ordered' AND p_queue.stateful AND p_queue.key_from IS NOT NULL
               THEN 1
           WHEN p_queue.policy = 'ordered' THEN 16
           WHEN p_queue.policy IN ('singleton', 'stately') THEN greatest(1 - p_turn.active, 0)
           ELSE greatest(coalesce(p_queue.key_max_active, 2147483647) - p_turn.active, 0)
       END;
$key_room$;

COMMENT ON FUNCTION arvo.key_room(arvo.queue, arvo.turn) IS
'How many more deliveries of a key may be leased, by policy and key_max_active.';

REVOKE ALL ON FUNCTION arvo.key_room(arvo.queue, arvo.turn) FROM PUBLIC;
