-- arvo_v1.next_fires(cron, time_zone, count, from, gap, overlap) — when a cron text would fire.
CREATE OR REPLACE FUNCTION arvo_v1.next_fires(
    p_cron text,
    p_time_zone text DEFAULT 'UTC',
    p_count integer DEFAULT 10,
    p_from timestamptz DEFAULT NULL,
    p_gap text DEFAULT NULL,
    p_overlap text DEFAULT NULL
)
RETURNS SETOF arvo_v1.fire
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $next_fires$
-- The first p_count fires after p_from, or after now: a preview that touches no schedule. Fewer when
-- there are no more within 48 years of each other.
--
--   Reads    arvo.clock, the server's time zones
--   Writes   nothing
--   Locks    nothing
--   Raises   RV006  an argument is not valid
DECLARE
    v_fields arvo.cron := arvo.cron_parse(p_cron);
    v_rules text[] := arvo.cron_rules(v_fields, p_gap, p_overlap);
    v_at timestamptz := coalesce(p_from, arvo.clock());
    v_local timestamp;
BEGIN
    PERFORM arvo.require_time_zone(p_time_zone);
    IF (p_count BETWEEN 0 AND 10000) IS NOT TRUE THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'count',
              DETAIL = format('count: %s', coalesce(p_count::text, 'null')),
              HINT = 'For count use 0 to 10000.';
    ELSIF v_at NOT BETWEEN '1900-01-01 00:00Z' AND '9900-01-01 00:00Z' THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'from',
              DETAIL = format('from: %s', p_from),
              HINT = 'For from use a time between the years 1900 and 9900.';
    END IF;
    FOR v_number IN 1 .. p_count LOOP
        v_at := arvo.cron_next(v_fields, p_time_zone, v_at, v_rules[1], v_rules[2]);
        EXIT WHEN v_at IS NULL;
        v_local := v_at AT TIME ZONE p_time_zone;
        RETURN NEXT (
            v_at,
            to_char(v_local, 'YYYY-MM-DD"T"HH24:MI:SS'),
            v_local - (v_at AT TIME ZONE 'UTC')
        )::arvo_v1.fire;
    END LOOP;
END;
$next_fires$;

COMMENT ON FUNCTION arvo_v1.next_fires(text, text, integer, timestamptz, text, text) IS
'When a cron text would fire next in a time zone: a preview.';

REVOKE ALL ON FUNCTION
arvo_v1.next_fires(text, text, integer, timestamptz, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.next_fires(text, text, integer, timestamptz, text, text)
TO arvo_client, arvo_worker, arvo_operator, arvo_monitor;
