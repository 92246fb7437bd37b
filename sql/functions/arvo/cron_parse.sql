-- arvo.cron_parse(cron) — read a cron text.
CREATE OR REPLACE FUNCTION arvo.cron_parse(p_cron text)
RETURNS arvo.cron
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $cron_parse$
-- Five fields: minute, hour, day of month, month, day of week; or six, with the second before them.
-- Or a name: @yearly (@annually), @monthly, @weekly, @daily (@midnight), @hourly. Case does not matter.
-- When day of month and day of week are both restricted, one of them is enough; a field that begins
-- with * (also */2) does not count as restricted, and then both must fit: the rule of Vixie's cron.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   RV006  the text is not valid, by field
DECLARE
    v_text text := lower(btrim(p_cron, E' \t\n\r'));
    v_field text[];
    v_remedy text;
BEGIN
    v_text := CASE v_text
        WHEN '@yearly' THEN '0 0 1 1 *'
        WHEN '@annually' THEN '0 0 1 1 *'
        WHEN '@monthly' THEN '0 0 1 * *'
        WHEN '@weekly' THEN '0 0 * * 0'
        WHEN '@daily' THEN '0 0 * * *'
        WHEN '@midnight' THEN '0 0 * * *'
        WHEN '@hourly' THEN '0 * * * *'
        ELSE v_text
    END;
    v_field := regexp_split_to_array(v_text, '\s+');
    IF cardinality(v_field) = 5 THEN
        v_field := ARRAY['0'] || v_field;
    END IF;
    v_remedy := CASE
        WHEN v_text IS NULL OR v_text = '' THEN
            'Write five fields: minute, hour, day of month, month, day of week.'
        WHEN length(v_text) > 1000 THEN 'Write at most 1000 characters.'
        WHEN v_text LIKE '@%' THEN
            'Names are @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly.'
        WHEN cardinality(v_field) <> 6 THEN
            'Write five fields: minute, hour, day of month, month, day of week; or six, with the'
            ' second before them.'
    END;
    IF v_remedy IS NOT NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'cron',
              DETAIL = format('cron: %s', left(coalesce(to_json(p_cron)::text, 'null'), 80)),
              HINT = v_remedy;
    END IF;
    RETURN (
        arvo.cron_field('second', v_field[1], 0, 59, NULL),
        arvo.cron_field('minute', v_field[2], 0, 59, NULL),
        arvo.cron_field('hour', v_field[3], 0, 23, NULL),
        arvo.cron_field('day of month', v_field[4], 1, 31, NULL),
        arvo.cron_field(
            'month', v_field[5], 1, 12,
            ARRAY['jan', 'feb', 'mar', 'apr', 'may', 'jun',
                  'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
        ),
        arvo.cron_field(
            'day of week', v_field[6], 0, 6,
            ARRAY['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']
        ),
        v_field[4] NOT LIKE '*%' AND v_field[6] NOT LIKE '*%'
    )::arvo.cron;
END;
$cron_parse$;

COMMENT ON FUNCTION arvo.cron_parse(text) IS
'Reads a cron text of five or six fields, or one of the names such as @daily.';

REVOKE ALL ON FUNCTION arvo.cron_parse(text) FROM PUBLIC;
