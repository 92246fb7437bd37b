-- arvo.when_of(value) — how long until the time that a JSON value means.
CREATE OR REPLACE FUNCTION arvo.when_of(p_value jsonb)
RETURNS interval
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $when_of$
-- A number, or a text of digits, is seconds; an ISO 8601 text with date and offset is a point of
-- time; any other text is an interval of PostgreSQL ('1 hour'). NULL for NULL.
--
--   Reads    arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   RV006  the value is none of these; also 22007, 22008 from PostgreSQL's own reading
DECLARE
    v_text text := p_value #>> '{}';
BEGIN
    IF v_text IS NULL THEN
        RETURN NULL;
    ELSIF jsonb_typeof(p_value) NOT IN ('number', 'string') THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'start_after',
              DETAIL = arvo.json_start(p_value),
              HINT = 'Give seconds, an ISO 8601 time with its offset, or an interval.';
    ELSIF v_text ~ '^-?\d{1,9}(\.\d{1,9})?$' THEN
        RETURN make_interval(secs => v_text::double precision);
    ELSIF v_text ~ '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?\s?(Z|[+-]\d\d(:?\d\d)?)$' THEN
        RETURN v_text::timestamptz - arvo.clock();
    ELSIF v_text ~ '^\s*-?[0-9.]+[eE]' OR v_text ~ '^\d{4}-' THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'start_after',
              DETAIL = arvo.json_start(p_value),
              HINT = 'Give seconds, an ISO 8601 time with its offset, or an interval.';
    END IF;
    RETURN v_text::interval;
END;
$when_of$;

COMMENT ON FUNCTION arvo.when_of(jsonb) IS
'How long until a time: seconds, an ISO 8601 time with its offset, or an interval.';

REVOKE ALL ON FUNCTION arvo.when_of(jsonb) FROM PUBLIC;
