-- arvo.put_off(queue, turn, log row) — put the head of a key off until its rate limit has room.
CREATE OR REPLACE FUNCTION arvo.put_off(
    p_queue arvo.queue,
    p_turn arvo.turn,
    p_entry arvo.log
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $put_off$
-- A further delivery of it, deferred, with the same attempt. It is to become the holder of the key:
-- the others stay in line behind it, and one timer serves them all. Returns its number.
--
--   Reads    arvo.clock
--   Writes   as arvo.again
--   Locks    as arvo.again
--   Raises   nothing
BEGIN
    RETURN arvo.again(
        p_entry,
        p_entry.attempt,
        arvo.rate_wait(p_turn.tally, p_queue.key_rate_period, arvo.clock()),
        coalesce(p_entry.cause, '{}'::jsonb) || jsonb_build_object(
            'delivery', p_entry.delivery, 'outcome', 'snoozed', 'reason', 'key_rate_limit'
        )
    );
END;
$put_off$;

COMMENT ON FUNCTION arvo.put_off(arvo.queue, arvo.turn, arvo.log) IS
'Defers the head of a key until its rate limit has room; returns the further delivery.';

REVOKE ALL ON FUNCTION arvo.put_off(arvo.queue, arvo.turn, arvo.log) FROM PUBLIC;
