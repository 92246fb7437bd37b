-- arvo.printed_size(json) — how many bytes a JSON value is as PostgreSQL prints it.
CREATE OR REPLACE FUNCTION arvo.printed_size(p_json jsonb)
RETURNS integer
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $printed_size$
-- A number of nine characters may print as 131,072 digits, so a value that came as a mebibyte of
-- text may print as twelve gigabytes. What is small is printed, some fifty megabytes at worst.
-- Otherwise the numbers that print longer than they were written (very large, very small, or zero
-- with its digits after the point) are added up first, and 1,048,577 is the answer as soon as they
-- are more than that. What remains prints about as long as it came.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_number jsonb;
    v_size integer := 0;
BEGIN
    -- Out of a table it may come compressed: with nothing added it is as it is in memory.
    IF pg_column_size(p_json || '{}') > 4096 THEN
        FOR v_number IN
            -- all at once: jsonb_path_query takes the square of their count
            SELECT jsonb_array_elements(
                jsonb_path_query_array(
                    p_json,
                    'strict $.** ? (@ > -1e-15 && @ < 1e-15 || @ > 1e30 || @ < -1e30)'
                )
            )
        LOOP
            v_size := v_size + octet_length(v_number::text);
            IF v_size > 1048576 THEN
                RETURN 1048577;
            END IF;
        END LOOP;
    END IF;
    RETURN octet_length(p_json::text);
END;
$printed_size$;

COMMENT ON FUNCTION arvo.printed_size(jsonb) IS
'Bytes of a JSON value as text; 1,048,577 when its numbers alone take more than a mebibyte.';

REVOKE ALL ON FUNCTION arvo.printed_size(jsonb) FROM PUBLIC;
