-- arvo.cron_rules(cron, gap, overlap) — what a cron text does on the two nights of a clock change.
CREATE OR REPLACE FUNCTION arvo.cron_rules(p_cron arvo.cron, p_gap text, p_overlap text)
RETURNS text[]
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $cron_rules$
-- Answers gap and overlap; one that is NULL gets its default. A cron text that fires in every hour of
-- the day means "every so often" and goes by real time: nothing is made up for, nothing held back
-- (skip, both). Any other names hours of the day, which happen once in each: shift, first.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   RV006  gap or overlap is none of its values
DECLARE
    v_often boolean := position(B'0' IN p_cron.hours) = 0;
BEGIN
    IF p_gap NOT IN ('skip', 'shift') THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'gap',
              DETAIL = format('gap: %s', left(to_json(p_gap)::text, 80)),
              HINT = 'For gap use skip or shift: what becomes of a local time that a clock change'
                     ' leaves out.';
    ELSIF p_overlap NOT IN ('first', 'second', 'both') THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'overlap',
              DETAIL = format('overlap: %s', left(to_json(p_overlap)::text, 80)),
              HINT = 'For overlap use first, second or both: what becomes of a local time that a'
                     ' clock change brings twice.';
    END IF;
    RETURN ARRAY[
        coalesce(p_gap, CASE WHEN v_often THEN 'skip' ELSE 'shift' END),
        coalesce(p_overlap, CASE WHEN v_often THEN 'both' ELSE 'first' END)
    ];
END;
$cron_rules$;

COMMENT ON FUNCTION arvo.cron_rules(arvo.cron, text, text) IS
'Gap and overlap policy of a cron text, with the defaults that fit it.';

REVOKE ALL ON FUNCTION arvo.cron_rules(arvo.cron, text, text) FROM PUBLIC;
