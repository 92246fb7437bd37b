-- arvo.truncate_slot(slot) — empty the partitions of a generation slot.
CREATE OR REPLACE FUNCTION arvo.truncate_slot(p_slot smallint)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $truncate_slot$
-- Everybody who reads the log has the partitions locked until his transaction ends, and whoever comes
-- while this waits, waits too: so it waits for a tenth of a second and no longer. In the order in
-- which claims and settlements come to them. The caller has made sure that nothing there is needed,
-- and does nothing afterwards but commit.
--
--   Reads    nothing
--   Writes   arvo.lease, arvo.closure, arvo.log: one partition of each
--   Locks    these partitions: ACCESS EXCLUSIVE
--   Raises   55P03  somebody kept reading for a tenth of a second
BEGIN
    IF p_slot = 0 THEN
        TRUNCATE arvo.lease_0, arvo.closure_0, arvo.log_0;
    ELSIF p_slot = 1 THEN
        TRUNCATE arvo.lease_1, arvo.closure_1, arvo.log_1;
    ELSIF p_slot = 2 THEN
        TRUNCATE arvo.lease_2, arvo.closure_2, arvo.log_2;
    ELSE
        TRUNCATE arvo.lease_3, arvo.closure_3, arvo.log_3;
    END IF;
END;
$truncate_slot$;

COMMENT ON FUNCTION arvo.truncate_slot(smallint) IS
'Empties the partitions of a slot.';

REVOKE ALL ON FUNCTION arvo.truncate_slot(smallint) FROM PUBLIC;
