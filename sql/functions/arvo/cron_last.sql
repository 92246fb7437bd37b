-- arvo.cron_last(cron, time_zone, after, until, gap, overlap) — the last fire up to a time.
CREATE OR REPLACE FUNCTION arvo.cron_last(
    p_cron arvo.cron,
    p_time_zone text,
    p_after timestamptz,
    p_until timestamptz,
    p_gap text,
    p_overlap text
)
RETURNS timestamptz
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $cron_last$
-- After p_after and not after p_until; NULL when there is none. Halves the time between them, however
-- many fires there are.
--
--   Reads    the server's time zones
--   Writes   nothing
--   Locks    nothing
--   Raises   22023  the zone is not known
DECLARE
    v_found timestamptz := arvo.cron_next(p_cron, p_time_zone, p_after, p_gap, p_overlap);
    v_end timestamptz := date_trunc('second', p_until);
    v_middle timestamptz;
    v_next timestamptz;
BEGIN
    IF v_found > p_until THEN
        RETURN NULL;
    END IF;
    -- Fires are whole seconds: v_found is one, and none is after v_end and not after p_until.
    WHILE v_found < v_end LOOP
        v_middle := v_found
            + make_interval(secs => floor(extract(epoch FROM v_end - v_found) / 2)::double precision);
        v_next := arvo.cron_next(p_cron, p_time_zone, v_middle, p_gap, p_overlap);
        IF v_next <= v_end THEN
            v_found := v_next;
        ELSE
            v_end := v_middle;
        END IF;
    END LOOP;
    RETURN v_found;
END;
$cron_last$;

COMMENT ON FUNCTION
arvo.cron_last(arvo.cron, text, timestamptz, timestamptz, text, text) IS
'The last fire of a cron text between two times, in a time zone.';

REVOKE ALL ON FUNCTION
arvo.cron_last(arvo.cron, text, timestamptz, timestamptz, text, text) FROM PUBLIC;
