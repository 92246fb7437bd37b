-- arvo.is_time_zone(time_zone) — whether the server can still tell the time of a zone.
CREATE OR REPLACE FUNCTION arvo.is_time_zone(p_time_zone text)
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $is_time_zone$
-- Some microseconds, where the list of all zones takes milliseconds: for each fire of a schedule.
-- The zone of a schedule was on the list once; another server's list may not have it. Writes
-- nothing, so the exception block takes no transaction number.
--
--   Reads    the server's time zones
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    RETURN (timestamp '2000-01-01 00:00' AT TIME ZONE p_time_zone) IS NOT NULL;
EXCEPTION
    WHEN invalid_parameter_value THEN
        RETURN false;
END;
$is_time_zone$;

COMMENT ON FUNCTION arvo.is_time_zone(text) IS
'Whether the server can tell the time of a zone.';

REVOKE ALL ON FUNCTION arvo.is_time_zone(text) FROM PUBLIC;
