-- arvo.cron_next(cron, time_zone, after, gap, overlap) — the first fire after a time.
CREATE OR REPLACE FUNCTION arvo.cron_next(
    p_cron arvo.cron,
    p_time_zone text,
    p_after timestamptz,
    p_gap text,
    p_overlap text
)
RETURNS timestamptz
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $cron_next$
-- Goes through local times and asks which moment each one is. A local time that a clock change
-- leaves out is nothing (gap skip) or the moment of the change (shift): several of them are one fire
-- then, and one with a fire that stands there anyway. A local time that comes twice is the first or
-- the second moment, or both. Always after p_after; NULL when there is none within 48 years, after
-- which the calendar has shown every 29th of February on every day of the week.
--
-- PostgreSQL answers the second moment for a local time that comes twice. For one that is left
-- out it answers with the offset from before the change, so a moment behind it. No zone has changed
-- its clocks twice within a day.
--
--   Reads    the server's time zones
--   Writes   nothing
--   Locks    nothing
--   Raises   22023  the zone is not known
DECLARE
    v_local timestamp := p_after AT TIME ZONE p_time_zone;
    v_until timestamp := v_local + interval '48 years';
    v_moment timestamptz;
    v_change timestamptz;
    v_before interval;
    v_first timestamptz;
BEGIN
    IF p_overlap = 'both' THEN
        RETURN least(
            arvo.cron_next(p_cron, p_time_zone, p_after, p_gap, 'first'),
            arvo.cron_next(p_cron, p_time_zone, p_after, p_gap, 'second')
        );
    END IF;

    v_moment := v_local AT TIME ZONE p_time_zone;
    v_local := date_trunc('second', v_local) + interval '1 second';
    IF p_overlap = 'second' AND v_moment > p_after THEN
        -- This local time comes again, and local times before it do too.
        v_local := arvo.clock_change(p_time_zone, p_after, v_moment) AT TIME ZONE p_time_zone;
    END IF;

    v_local := arvo.cron_match(p_cron, v_local, v_until);
    WHILE v_local IS NOT NULL LOOP
        v_moment := v_local AT TIME ZONE p_time_zone;
        IF v_moment AT TIME ZONE p_time_zone <> v_local THEN
            v_change := arvo.clock_change(p_time_zone, v_moment - interval '1 day', v_moment);
            IF p_gap = 'shift' AND v_change > p_after THEN
                RETURN v_change;
            END IF;
            v_local := arvo.cron_match(
                p_cron,
                greatest(v_change AT TIME ZONE p_time_zone, v_local + interval '1 second'),
                v_until
            );
            CONTINUE;
        END IF;
        IF p_overlap = 'first' THEN
            v_before := ((v_moment - interval '1 day') AT TIME ZONE p_time_zone)
                - ((v_moment - interval '1 day') AT TIME ZONE 'UTC');
            v_first := (v_local - v_before) AT TIME ZONE 'UTC';
            IF v_first < v_moment AND v_first AT TIME ZONE p_time_zone = v_local THEN
                IF v_first > p_after THEN
                    RETURN v_first;
                END IF;
                -- The clocks have been put back already: go on where local times are new again.
                v_change := arvo.clock_change(p_time_zone, v_first, v_moment);
                v_local := arvo.cron_match(
                    p_cron, (v_change AT TIME ZONE 'UTC') + v_before, v_until
                );
                CONTINUE;
            END IF;
        END IF;
        IF v_moment > p_after THEN
            RETURN v_moment;
        END IF;
        v_local := arvo.cron_match(p_cron, v_local + interval '1 second', v_until);
    END LOOP;
    RETURN NULL;
END;
$cron_next$;

COMMENT ON FUNCTION arvo.cron_next(arvo.cron, text, timestamptz, text, text) IS
'The first fire of a cron text after a time, in a time zone, across clock changes.';

REVOKE ALL ON FUNCTION arvo.cron_next(arvo.cron, text, timestamptz, text, text) FROM PUBLIC;
