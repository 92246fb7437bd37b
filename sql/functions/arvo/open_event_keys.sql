-- arvo.open_event_keys(number) — say from which transaction on everybody knows a generation of event_key.
CREATE OR REPLACE FUNCTION arvo.open_event_keys(p_number bigint)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $open_event_keys$
-- Called after arvo.event_key_number has been set to p_number. Whoever may still write by the number
-- before has taken his transaction number before he read the sequence, so the horizon must be above
-- every transaction number handed out so far. pg_snapshot_xmax is not: it is one past the last that
-- has ended, and those that run may be above it. The number of a subtransaction that begins here is:
-- numbers are handed out in order. A row of it shows that number, in 32 bits; the upper ones are
-- those of this transaction, at most one wrap before.
--
--   Reads    arvo.clock
--   Writes   arvo.event_key_generation
--   Locks    nothing
--   Raises   23505  the generation is there already
DECLARE
    v_own bigint := pg_current_xact_id()::text::bigint;
    v_low bigint;
BEGIN
    -- A block with an exception clause is a subtransaction; its first write takes the number.
    BEGIN
        INSERT INTO arvo.event_key_generation AS opened (number, horizon, opened_at)
        VALUES (p_number, '18446744073709551615', arvo.clock())
        RETURNING opened.xmin::text::bigint INTO v_low;
    EXCEPTION WHEN lock_not_available THEN
        RAISE;
    END;
    UPDATE arvo.event_key_generation AS opened
    SET horizon = (v_own + (v_low - v_own % 4294967296 + 4294967296) % 4294967296)::text::xid8
    WHERE opened.number = p_number;
END;
$open_event_keys$;

COMMENT ON FUNCTION arvo.open_event_keys(bigint) IS
'Notes a new generation of event_key, with a horizon above every transaction number so far.';

REVOKE ALL ON FUNCTION arvo.open_event_keys(bigint) FROM PUBLIC;
