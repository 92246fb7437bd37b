-- arvo.import_fault(row) — why a row of a foreign memory cannot be taken, or NULL.
CREATE OR REPLACE FUNCTION arvo.import_fault(p_row jsonb)
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $import_fault$
-- Answers 'code: detail'. Looks at the row alone, not at what is stored.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_read text := 'version';
BEGIN
    IF coalesce(jsonb_typeof(p_row), 'null') <> 'object' THEN
        RETURN format('row: it is %s, not an object', coalesce(jsonb_typeof(p_row), 'null'));
    ELSIF coalesce(jsonb_typeof(p_row -> 'subject'), 'null') <> 'string'
        OR p_row ->> 'subject' = ''
    THEN
        RETURN format('subject: it is %s', left(coalesce(p_row -> 'subject', 'null')::text, 80));
    ELSIF p_row ->> 'data' IS NULL THEN
        IF num_nonnulls(
            p_row ->> 'parent_subject', p_row ->> 'root_subject', p_row ->> 'locked_for'
        ) = 0
        THEN
            RETURN 'row: it has no state, no place in a tree and no lock';
        END IF;
    ELSIF jsonb_typeof(p_row -> 'data') <> 'object' THEN
        RETURN format('data: it is %s, not an object', jsonb_typeof(p_row -> 'data'));
    ELSIF jsonb_typeof(p_row #> '{data,subject}') = 'string'
        AND p_row #>> '{data,subject}' <> p_row ->> 'subject'
    THEN
        RETURN format('foreign: the record is that of %s',
                      left((p_row #> '{data,subject}')::text, 80));
    ELSIF coalesce((p_row ->> 'version')::bigint, 0) < 1 THEN
        RETURN format('version: it is %s', left(coalesce(p_row ->> 'version', 'null'), 80));
    END IF;
    v_read := 'time';
    PERFORM
        (p_row ->> 'created_at')::timestamptz,
        (p_row ->> 'updated_at')::timestamptz,
        make_interval(secs => (p_row ->> 'locked_for')::double precision);
    RETURN NULL;
EXCEPTION WHEN data_exception THEN
    RETURN format('%s: %s', v_read, left(SQLERRM, 200));
END;
$import_fault$;

COMMENT ON FUNCTION arvo.import_fault(jsonb) IS
'Why a row of a foreign memory cannot be taken, as "code: detail"; NULL when it can.';

REVOKE ALL ON FUNCTION arvo.import_fault(jsonb) FROM PUBLIC;
