-- arvo.read_options(options) — the options of a dispatch.
CREATE OR REPLACE FUNCTION arvo.read_options(p_options jsonb)
RETURNS arvo.options
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $read_options$
-- p_options is an object. Durations are seconds or texts of intervals:
--
--   start_after          seconds, an ISO 8601 time with its offset, or an interval
--   priority             integer
--   singleton_key        text: the key, instead of the one that the queue reads from the event
--   singleton_for        one per key and interval of this length
--   singleton_next_slot  whether a throttled one goes to the next interval
--   must_be_registered   whether a queue that nobody has registered is an error
--   retry_limit, retry_delay, retry_backoff, retry_delay_max, expire_in   as of the queue
--
-- All NULL for NULL.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   RV002  an option is unknown or not valid
DECLARE
    v_read arvo.options;
    v_name text;
    v_value jsonb;
    v_kept jsonb := '{}'::jsonb;
    v_after interval;
    v_valid boolean := true;
BEGIN
    IF p_options IS NULL OR p_options = 'null' THEN
        RETURN v_read;
    END IF;
    FOR v_name, v_value IN
        SELECT field.key, field.value
        FROM jsonb_each(
            CASE jsonb_typeof(p_options)
                WHEN 'object' THEN p_options ELSE jsonb_build_object('options', p_options)
            END
        ) AS field
    LOOP
        CONTINUE WHEN v_value = 'null';
        CASE
            WHEN v_name IN ('start_after', 'singleton_for', 'retry_delay', 'retry_delay_max',
                            'expire_in') THEN
                v_after := arvo.when_of(v_value);
                IF v_after > interval '3650 days'
                    OR (v_name IN ('retry_delay', 'retry_delay_max') AND v_after < interval '0')
                    OR (v_name IN ('singleton_for', 'expire_in') AND v_after < interval '1 second')
                    OR (v_name = 'expire_in' AND v_after > interval '1 day')
                THEN
                    v_valid := false;
                END IF;
                IF v_name = 'start_after' THEN
                    v_read.start_after := v_after;
                ELSIF v_name = 'singleton_for' THEN
                    v_read.singleton_for := v_after;
                ELSE
                    v_kept := v_kept || jsonb_build_object(v_name, v_after::text);
                END IF;
            WHEN v_name IN ('priority', 'retry_limit') THEN
                IF jsonb_typeof(v_value) <> 'number' OR (v_value #>> '{}') !~ '^-?\d{1,10}$' THEN
                    v_valid := false;
                END IF;
                IF v_name = 'priority' THEN
                    v_read.priority := v_value::integer;
                ELSIF v_value::integer < 0 THEN
                    v_valid := false;
                ELSE
                    v_kept := v_kept || jsonb_build_object(v_name, v_value::integer);
                END IF;
            WHEN v_name IN ('singleton_next_slot', 'must_be_registered', 'retry_backoff') THEN
                IF v_name = 'singleton_next_slot' THEN
                    v_read.singleton_next_slot := v_value::boolean;
                ELSIF v_name = 'must_be_registered' THEN
                    v_read.must_be_registered := v_value::boolean;
                ELSE
                    v_kept := v_kept || jsonb_build_object(v_name, v_value::boolean);
                END IF;
            WHEN v_name = 'singleton_key' THEN
                IF jsonb_typeof(v_value) <> 'string' OR length(v_value #>> '{}') > 1000 THEN
                    v_valid := false;
                END IF;
                v_read.key := v_value #>> '{}'::text[];
            ELSE
                v_valid := false;
        END CASE;
        EXIT WHEN NOT v_valid;
    END LOOP;
    v_read.kept := nullif(v_kept, '{}'::jsonb);
    IF v_valid THEN
        RETURN v_read;
    END IF;
    RAISE EXCEPTION 'option is not valid' USING ERRCODE = 'RV002';
EXCEPTION
    WHEN data_exception OR cannot_coerce OR SQLSTATE 'RV002' OR SQLSTATE 'RV006' THEN
        RAISE EXCEPTION 'option is not valid'
        USING ERRCODE = 'RV002',
              COLUMN = left(v_name, 60),
              DETAIL = format('%s: %s', left(to_json(v_name)::text, 60),
                              arvo.json_start(coalesce(v_value, p_options))),
              HINT = CASE
                  WHEN v_name = 'start_after'
                      THEN 'Give seconds, an ISO 8601 time with its offset, or an interval; at most'
                           ' 3650 days.'
                  WHEN v_name IN ('retry_delay', 'retry_delay_max')
                      THEN 'Give seconds or an interval, between 0 and 3650 days.'
                  WHEN v_name = 'singleton_for'
                      THEN 'Give seconds or an interval, between 1 second and 3650 days.'
                  WHEN v_name = 'expire_in'
                      THEN 'Give seconds or an interval, between 1 second and 1 day.'
                  WHEN v_name = 'priority' THEN 'Give an integer of 32 bits.'
                  WHEN v_name = 'retry_limit' THEN 'Give an integer, 0 or more.'
                  WHEN v_name = 'singleton_key' THEN 'Give a text of at most 1000 characters.'
                  WHEN v_name IN ('singleton_next_slot', 'must_be_registered', 'retry_backoff')
                      THEN 'Give true or false.'
                  ELSE 'A dispatch has the options start_after, priority, singleton_key,'
                       ' singleton_for, singleton_next_slot, must_be_registered, retry_limit,'
                       ' retry_delay, retry_backoff, retry_delay_max and expire_in.'
              END;
END;
$read_options$;

COMMENT ON FUNCTION arvo.read_options(jsonb) IS
'Options of a dispatch, read from an object; refuses what is unknown or not valid.';

REVOKE ALL ON FUNCTION arvo.read_options(jsonb) FROM PUBLIC;
