-- arvo.find_logged(delivery) — the log row of a delivery, by its number alone.
CREATE OR REPLACE FUNCTION arvo.find_logged(p_delivery bigint)
RETURNS arvo.log
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $find_logged$
-- By an index of ranges: reads the blocks that may hold it, and those too new to be summarized. For a
-- person who asks, not for the way of an event.
--
--   Reads    arvo.log by delivery
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_entry arvo.log;
BEGIN
    SELECT log.* INTO v_entry
    FROM arvo.log
    WHERE log.delivery = p_delivery
    LIMIT 1;
    RETURN v_entry;
END;
$find_logged$;

COMMENT ON FUNCTION arvo.find_logged(bigint) IS
'The log row of a delivery, found by its number; NULL when there is none.';

REVOKE ALL ON FUNCTION arvo.find_logged(bigint) FROM PUBLIC;
