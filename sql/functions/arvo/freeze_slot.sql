-- arvo.freeze_slot(slot) — keep everybody from writing into an old generation.
CREATE OR REPLACE FUNCTION arvo.freeze_slot(p_slot smallint)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $freeze_slot$
-- Nobody writes there but a transaction from long ago; readers are not hindered. Once this is had, a
-- look at what is needed there stays true until the transaction ends.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    the slot's partitions of lease, closure and log: SHARE, tried, never waited for
--   Raises   55P03  somebody is writing there, or is vacuuming it
BEGIN
    IF p_slot = 0 THEN
        LOCK TABLE arvo.lease_0, arvo.closure_0, arvo.log_0 IN SHARE MODE NOWAIT;
    ELSIF p_slot = 1 THEN
        LOCK TABLE arvo.lease_1, arvo.closure_1, arvo.log_1 IN SHARE MODE NOWAIT;
    ELSIF p_slot = 2 THEN
        LOCK TABLE arvo.lease_2, arvo.closure_2, arvo.log_2 IN SHARE MODE NOWAIT;
    ELSE
        LOCK TABLE arvo.lease_3, arvo.closure_3, arvo.log_3 IN SHARE MODE NOWAIT;
    END IF;
END;
$freeze_slot$;

COMMENT ON FUNCTION arvo.freeze_slot(smallint) IS
'Locks the partitions of a slot against writers.';

REVOKE ALL ON FUNCTION arvo.freeze_slot(smallint) FROM PUBLIC;
