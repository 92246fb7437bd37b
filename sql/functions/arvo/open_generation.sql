-- arvo.open_generation() — begin a new generation of history when the newest is old enough.
CREATE OR REPLACE FUNCTION arvo.open_generation()
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $open_generation$
-- Four slots: one in use, three that are kept; so one is in use for a third of delete_after, but for
-- five minutes at least. The next slot must have been emptied; while it is pinned the newest one
-- grows. One that nothing has been written to stays: an idle house does not turn. Returns 1 or 0.
--
--   Reads    arvo.generation, arvo.log, arvo.lease, arvo.closure, arvo.clock, arvo.delete_after
--   Writes   arvo.generation
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_newest arvo.generation;
BEGIN
    SELECT newest.* INTO STRICT v_newest
    FROM arvo.generation AS newest
    ORDER BY newest.number DESC
    LIMIT 1;
    IF v_newest.opened_at > v_now - greatest(arvo.delete_after() / 3, interval '5 minutes')
        OR EXISTS (
            SELECT
            FROM arvo.generation AS old
            WHERE old.slot = (v_newest.slot + 1) % 4 AND old.emptied_at IS NULL
        )
        OR NOT (
            EXISTS (SELECT FROM arvo.log WHERE log.slot = v_newest.slot)
            OR EXISTS (SELECT FROM arvo.lease WHERE lease.slot = v_newest.slot AND lease.token > 0)
            OR EXISTS (SELECT FROM arvo.closure WHERE closure.slot = v_newest.slot)
        )
    THEN
        RETURN 0;
    END IF;
    INSERT INTO arvo.generation (slot, opened_at)
    VALUES ((v_newest.slot + 1) % 4, v_now);
    RETURN 1;
END;
$open_generation$;

COMMENT ON FUNCTION arvo.open_generation() IS
'Opens the next generation when the newest is old enough and the next slot is empty.';

REVOKE ALL ON FUNCTION arvo.open_generation() FROM PUBLIC;
