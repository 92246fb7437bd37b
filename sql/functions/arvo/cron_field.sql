-- arvo.cron_field(field, text, low, high, names) — the values that one field of a cron text names.
CREATE OR REPLACE FUNCTION arvo.cron_field(
    p_field text,
    p_text text,
    p_low integer,
    p_high integer,
    p_names text[]
)
RETURNS bit varying
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $cron_field$
-- A list of *, a value, a range a-b, each with a step /n; a/n runs from a to the end. The first bit
-- of the answer is p_low. p_names[1] is a name of p_low, and so on, three letters in any case. In
-- the day of the week 7 is Sunday, also as the end of a range.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   RV006  the field is not valid
DECLARE
    v_values bit varying := repeat('0', p_high - p_low + 1)::bit varying;
    v_last integer := p_high;
    v_item text;
    v_part text[];
    v_from integer;
    v_to integer;
    v_step integer;
    v_remedy text;
BEGIN
    IF p_field = 'day of week' THEN
        v_last := 7;
    END IF;
    FOREACH v_item IN ARRAY regexp_split_to_array(lower(p_text), ',') LOOP
        v_part := regexp_match(
            v_item, '^(?:(\*)|(\d{1,4}|[a-z]{3})(?:-(\d{1,4}|[a-z]{3}))?)(?:/(\d{1,4}))?$'
        );
        IF v_part IS NULL THEN
            v_remedy := CASE
                WHEN v_item = '' THEN 'A comma stands between two values.'
                WHEN v_item LIKE '%?%' THEN 'For any value write *.'
                WHEN v_item ~ '^[a-z]{4,}' THEN 'Names have three letters, such as jan or mon.'
                WHEN v_item ~ '[lw#]' THEN
                    'L, W and # are not supported: choose among the days in the handler.'
                ELSE 'Write *, a value, a range such as 1-5, or a step such as */15.'
            END;
            EXIT;
        END IF;
        IF v_part[1] = '*' THEN
            v_from := p_low;
            v_to := p_high;
        ELSE
            v_from := CASE
                WHEN v_part[2] ~ '^\d' THEN v_part[2]::integer
                ELSE p_low - 1 + array_position(p_names, v_part[2])
            END;
            v_to := CASE
                WHEN v_part[3] IS NULL AND v_part[4] IS NOT NULL THEN greatest(p_high, v_from)
                WHEN v_part[3] IS NULL THEN v_from
                WHEN v_part[3] = 'sun' AND v_from > 0 AND v_last = 7 THEN 7
                WHEN v_part[3] ~ '^\d' THEN v_part[3]::integer
                ELSE p_low - 1 + array_position(p_names, v_part[3])
            END;
        END IF;
        v_step := coalesce(v_part[4]::integer, 1);
        v_remedy := CASE
            WHEN v_from IS NULL OR v_to IS NULL THEN
                coalesce(
                    'Names here are ' || array_to_string(p_names, ', ') || '.',
                    format('Here stand numbers, %s to %s.', p_low, v_last)
                )
            WHEN v_from NOT BETWEEN p_low AND v_last OR v_to NOT BETWEEN p_low AND v_last THEN
                format('Values here are %s to %s.', p_low, v_last)
            WHEN v_from > v_to THEN
                format('A range goes upwards: write %s-%s,%s-%s.', v_from, p_high, p_low, v_to)
            WHEN v_step NOT BETWEEN 1 AND p_high - p_low THEN
                format('A step here is 1 to %s.', p_high - p_low)
        END;
        EXIT WHEN v_remedy IS NOT NULL;
        FOR v_value IN v_from .. v_to BY v_step LOOP
            v_values := set_bit(
                v_values,
                CASE WHEN v_value > p_high THEN 0 ELSE v_value - p_low END,
                1
            );
        END LOOP;
    END LOOP;
    IF v_remedy IS NOT NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'cron',
              DETAIL = format('%s: %s', p_field, left(to_json(v_item)::text, 80)),
              HINT = v_remedy;
    END IF;
    RETURN v_values;
END;
$cron_field$;

COMMENT ON FUNCTION arvo.cron_field(text, text, integer, integer, text[]) IS
'The values that one field of a cron text names, one bit each.';

REVOKE ALL ON FUNCTION arvo.cron_field(text, text, integer, integer, text[]) FROM PUBLIC;
