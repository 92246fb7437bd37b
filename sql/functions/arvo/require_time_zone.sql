-- arvo.require_time_zone(time_zone) — refuse a time zone that is not one of the server's by name.
CREATE OR REPLACE FUNCTION arvo.require_time_zone(p_time_zone text)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $require_time_zone$
-- Reads the whole list, some milliseconds: for calls that people make. AT TIME ZONE takes much more
-- for a zone ('Berlin1' is one hour behind UTC), so a typing error would go unnoticed.
--
--   Reads    pg_timezone_names
--   Writes   nothing
--   Locks    nothing
--   Raises   RV006  there is no such zone
DECLARE
    v_meant text;
BEGIN
    IF EXISTS (SELECT FROM pg_timezone_names AS zone WHERE zone.name = p_time_zone) THEN
        RETURN;
    END IF;
    SELECT zone.name INTO v_meant
    FROM pg_timezone_names AS zone
    WHERE lower(zone.name) = lower(replace(btrim(p_time_zone), ' ', '_'))
    OR lower(split_part(zone.name, '/', -1)) = lower(replace(btrim(p_time_zone), ' ', '_'))
    ORDER BY zone.name COLLATE "C"
    LIMIT 1;
    RAISE EXCEPTION 'argument is not valid'
    USING ERRCODE = 'RV006',
          COLUMN = 'time_zone',
          DETAIL = format('time_zone: %s', left(coalesce(to_json(p_time_zone)::text, 'null'), 80)),
          HINT = format('Use a name of pg_timezone_names as it is written there, such as %s.',
                        coalesce(v_meant, 'Europe/Berlin'));
END;
$require_time_zone$;

COMMENT ON FUNCTION arvo.require_time_zone(text) IS
'Refuses a name that is no time zone of the server, and says which one may be meant.';

REVOKE ALL ON FUNCTION arvo.require_time_zone(text) FROM PUBLIC;
