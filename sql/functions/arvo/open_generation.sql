-- arvo.open_generation() — begin a new generation of history when the newest is old enough.
CREATE OR REPLACE FUNCTION arvo.open_generation()
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $open_generation$
-- Four slots: one in use, three that are kept; so one is in use for a third of delete_after, but for
-- five minutes at least, and for the longest deduplicate_for: then that reaches back into one other.
-- The next slot must have been emptied; while it is pinned the newest one grows, and so it does while
-- a transaction from before it was opened is running. One that nothing has been written to stays: an
-- idle house does not turn. Returns 1 or 0.
--
-- The sequence is set first, for those who do not see the row: from then on they note keys in both
-- slots. It does not go back when the transaction does, so the next call sets it back. Whoever may still
-- note keys by the number before has taken his transaction number before he read the sequence, so the
-- horizon must be above every transaction number handed out so far. pg_snapshot_xmax is not: it is one
-- past the last that has ended, and those that run may be above it. The number of a subtransaction
-- that begins here is: numbers are handed out in order. A row of it shows that number, in 32 bits; the
-- upper ones are those of this transaction, at most one wrap before.
--
--   Reads    arvo.generation, arvo.log, arvo.lease, arvo.closure, arvo.queue, arvo.clock,
--            arvo.delete_after
--   Writes   arvo.generation, its sequence
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_newest arvo.generation;
    v_own bigint;
    v_low bigint;
BEGIN
    SELECT newest.* INTO STRICT v_newest
    FROM arvo.generation AS newest
    ORDER BY newest.number DESC
    LIMIT 1;
    IF (SELECT current.last_value FROM arvo.generation_number_seq AS current) <> v_newest.number THEN
        PERFORM setval('arvo.generation_number_seq'::regclass, v_newest.number);
    END IF;
    IF v_newest.opened_at > v_now - greatest(
            arvo.delete_after() / 3,
            (SELECT max(queue.deduplicate_for) FROM arvo.queue),
            interval '5 minutes'
        )
        OR EXISTS (
            SELECT
            FROM arvo.generation AS old
            WHERE old.slot = (v_newest.slot + 1) % 4 AND old.emptied_at IS NULL
        )
        OR pg_snapshot_xmin(pg_current_snapshot()) < v_newest.horizon
        OR NOT (
            EXISTS (SELECT FROM arvo.log WHERE log.slot = v_newest.slot)
            OR EXISTS (SELECT FROM arvo.lease WHERE lease.slot = v_newest.slot AND lease.token > 0)
            OR EXISTS (SELECT FROM arvo.closure WHERE closure.slot = v_newest.slot)
        )
    THEN
        RETURN 0;
    END IF;

    v_own := pg_current_xact_id()::text::bigint;
    -- Not nextval: after a crash that is up to 32 numbers ahead.
    PERFORM setval('arvo.generation_number_seq'::regclass, v_newest.number + 1);
    -- A block with an exception clause is a subtransaction; its first write takes the number.
    BEGIN
        INSERT INTO arvo.generation AS opened (number, slot, opened_at, horizon)
        OVERRIDING SYSTEM VALUE
        VALUES (
            v_newest.number + 1, (v_newest.slot + 1) % 4, arvo.clock(), '18446744073709551615'
        )
        RETURNING opened.xmin::text::bigint INTO v_low;
    EXCEPTION WHEN lock_not_available THEN
        RAISE;
    END;
    UPDATE arvo.generation AS opened
    SET horizon = (v_own + (v_low - v_own % 4294967296 + 4294967296) % 4294967296)::text::xid8
    WHERE opened.number = v_newest.number + 1;
    RETURN 1;
END;
$open_generation$;

COMMENT ON FUNCTION arvo.open_generation() IS
'Opens the next generation when the newest is old enough and the next slot is empty.';

REVOKE ALL ON FUNCTION arvo.open_generation() FROM PUBLIC;
