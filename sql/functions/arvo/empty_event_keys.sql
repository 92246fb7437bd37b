-- arvo.empty_event_keys(slot) — empty one partition of event_key.
CREATE OR REPLACE FUNCTION arvo.empty_event_keys(p_slot integer)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $empty_event_keys$
-- The partition that is neither in use nor looked at. Returns false when somebody has it locked for
-- a tenth of a second: then everything stays as it is.
--
--   Reads    nothing
--   Writes   arvo.event_key: one partition
--   Locks    that partition: ACCESS EXCLUSIVE, waited for a tenth of a second
--   Raises   nothing
BEGIN
    IF p_slot = 0 THEN
        TRUNCATE arvo.event_key_0;
    ELSIF p_slot = 1 THEN
        TRUNCATE arvo.event_key_1;
    ELSE
        TRUNCATE arvo.event_key_2;
    END IF;
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END;
$empty_event_keys$;

COMMENT ON FUNCTION arvo.empty_event_keys(integer) IS
'Empties a partition of event_key; false when its lock cannot be had.';

REVOKE ALL ON FUNCTION arvo.empty_event_keys(integer) FROM PUBLIC;
