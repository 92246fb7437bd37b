-- arvo.completion_of(item) — an item of a settlement, when it plainly completes something.
CREATE OR REPLACE FUNCTION arvo.completion_of(p_item jsonb)
RETURNS arvo.completion
LANGUAGE plpgsql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $completion_of$
-- Numbers are read as they mostly come; an item that is malformed, not plain, or merely written in an
-- unusual way is answered with NULLs: arvo.read_results looks at it closely. No statement for each
-- delivery: a group costs some regular expressions over its text.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_numbers CONSTANT text :=
        '^\[("[0-9]{1,18}"|[0-9]{1,18})(, ("[0-9]{1,18}"|[0-9]{1,18}))*\]$';
    v_deliveries text;
    v_times text;
BEGIN
    IF p_item ->> 'lease' ~ '^[0-9]{1,18}$'
        AND p_item ->> 'outcome' = 'completed'
        AND coalesce(p_item -> 'events', '[]') IN ('[]', 'null')
        AND p_item ->> 'state' IS NULL
        AND p_item ->> 'after' IS NULL
    THEN
        IF p_item ->> 'deliveries' IS NULL THEN
            IF p_item ->> 'delivery' ~ '^[0-9]{1,18}$' THEN
                RETURN (
                    (p_item ->> 'lease')::bigint,
                    ARRAY[(p_item ->> 'delivery')::bigint],
                    ARRAY[
                        CASE
                            WHEN p_item ->> 'run_time' ~ '^[0-9]{1,10}$'
                                THEN least((p_item ->> 'run_time')::bigint, 2147483647)::integer
                        END
                    ],
                    NULL,
                    NULL
                )::arvo.completion;
            END IF;
            RETURN NULL;
        END IF;
        v_deliveries := p_item ->> 'deliveries';
        v_times := p_item ->> 'run_times';
        -- A text may look like an array.
        IF jsonb_typeof(p_item -> 'deliveries') = 'array'
            AND v_deliveries ~ v_numbers
            AND p_item ->> 'delivery' IS NULL
            AND p_item ->> 'error' IS NULL
            AND coalesce(v_times ~ '^\[(null|[0-9]{1,9})(, (null|[0-9]{1,9}))*\]$', true)
            AND (
                CASE
                    WHEN v_times IS NULL THEN true
                    WHEN jsonb_typeof(p_item -> 'run_times') = 'array'
                        THEN jsonb_array_length(p_item -> 'run_times')
                        = jsonb_array_length(p_item -> 'deliveries')
                END
            )
        THEN
            RETURN (
                (p_item ->> 'lease')::bigint,
                ('{' || btrim(v_deliveries, '[]') || '}')::bigint[],
                CASE
                    WHEN v_times IS NULL THEN array_fill(
                        NULL::integer, ARRAY[jsonb_array_length(p_item -> 'deliveries')]
                    )
                    ELSE ('{' || btrim(v_times, '[]') || '}')::integer[]
                END,
                NULL,
                NULL
            )::arvo.completion;
        END IF;
    END IF;
    RETURN NULL;
END;
$completion_of$;

COMMENT ON FUNCTION arvo.completion_of(jsonb) IS
'An item of a settlement that plainly completes one or more deliveries; NULLs for any other.';

REVOKE ALL ON FUNCTION arvo.completion_of(jsonb) FROM PUBLIC;
