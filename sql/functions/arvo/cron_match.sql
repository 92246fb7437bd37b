-- arvo.cron_match(cron, from, until) — the first local time that fits, going by the calendar only.
CREATE OR REPLACE FUNCTION arvo.cron_match(
    p_cron arvo.cron,
    p_from timestamp,
    p_until timestamp
)
RETURNS timestamp
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $cron_match$
-- At or after p_from and before p_until, a whole second; NULL when there is none. Jumps from field to
-- field: whole months, then days, and straight to the next hour, minute and second.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_at timestamp := date_trunc('second', p_from + interval '999999 microseconds');
    v_day boolean;
    v_weekday boolean;
    v_step integer;
BEGIN
    WHILE v_at < p_until LOOP
        v_step := position(B'1' IN substring(p_cron.months FROM extract(month FROM v_at)::integer));
        IF v_step = 0 THEN
            v_at := date_trunc('year', v_at) + interval '1 year';
            CONTINUE;
        ELSIF v_step > 1 THEN
            v_at := date_trunc('month', v_at) + make_interval(months => v_step - 1);
        END IF;

        v_day := get_bit(p_cron.days, extract(day FROM v_at)::integer - 1) = 1;
        v_weekday := get_bit(p_cron.weekdays, extract(dow FROM v_at)::integer) = 1;
        IF NOT (v_day AND v_weekday OR p_cron.either_day AND (v_day OR v_weekday)) THEN
            v_at := date_trunc('day', v_at) + interval '1 day';
            CONTINUE;
        END IF;

        v_step := position(B'1' IN substring(p_cron.hours FROM extract(hour FROM v_at)::integer + 1));
        IF v_step = 0 THEN
            v_at := date_trunc('day', v_at) + interval '1 day';
            CONTINUE;
        ELSIF v_step > 1 THEN
            v_at := date_trunc('hour', v_at) + make_interval(hours => v_step - 1);
        END IF;

        v_step := position(
            B'1' IN substring(p_cron.minutes FROM extract(minute FROM v_at)::integer + 1)
        );
        IF v_step = 0 THEN
            v_at := date_trunc('hour', v_at) + interval '1 hour';
            CONTINUE;
        ELSIF v_step > 1 THEN
            v_at := date_trunc('minute', v_at) + make_interval(mins => v_step - 1);
        END IF;

        v_step := position(
            B'1' IN substring(p_cron.seconds FROM extract(second FROM v_at)::integer + 1)
        );
        IF v_step = 0 THEN
            v_at := date_trunc('minute', v_at) + interval '1 minute';
            CONTINUE;
        END IF;
        v_at := v_at + make_interval(secs => v_step - 1);
        RETURN CASE WHEN v_at < p_until THEN v_at END;
    END LOOP;
    RETURN NULL;
END;
$cron_match$;

COMMENT ON FUNCTION arvo.cron_match(arvo.cron, timestamp, timestamp) IS
'The first local time that a cron text fits, by the calendar only; NULL when there is none.';

REVOKE ALL ON FUNCTION arvo.cron_match(arvo.cron, timestamp, timestamp) FROM PUBLIC;
