-- arvo.clock_change(time_zone, from, until) — when the clocks of a zone change.
CREATE OR REPLACE FUNCTION arvo.clock_change(
    p_time_zone text,
    p_from timestamptz,
    p_until timestamptz
)
RETURNS timestamptz
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $clock_change$
-- The caller knows that there is one change after p_from and not after p_until. Halves the time
-- between them, to the second, at which the new offset holds for the first time.
--
--   Reads    the server's time zones
--   Writes   nothing
--   Locks    nothing
--   Raises   22023  the zone is not known
DECLARE
    v_low bigint := floor(extract(epoch FROM p_from))::bigint;
    v_high bigint := ceil(extract(epoch FROM p_until))::bigint;
    v_middle bigint;
    v_at timestamptz := to_timestamp(v_low);
    v_before interval := (v_at AT TIME ZONE p_time_zone) - (v_at AT TIME ZONE 'UTC');
BEGIN
    WHILE v_high - v_low > 1 LOOP
        v_middle := v_low + (v_high - v_low) / 2;
        v_at := to_timestamp(v_middle);
        IF (v_at AT TIME ZONE p_time_zone) - (v_at AT TIME ZONE 'UTC') = v_before THEN
            v_low := v_middle;
        ELSE
            v_high := v_middle;
        END IF;
    END LOOP;
    RETURN to_timestamp(v_high);
END;
$clock_change$;

COMMENT ON FUNCTION arvo.clock_change(text, timestamptz, timestamptz) IS
'The moment between two times at which the clocks of a time zone change.';

REVOKE ALL ON FUNCTION arvo.clock_change(text, timestamptz, timestamptz) FROM PUBLIC;
