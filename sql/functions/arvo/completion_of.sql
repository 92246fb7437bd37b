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
    v_done arvo.completion;
    v_lease text := p_item ->> 'lease';
    v_deliveries text := p_item ->> 'deliveries';
    v_delivery text := p_item ->> 'delivery';
    v_times text;
BEGIN
    IF v_lease ~ '^[0-9]{1,18}$'
        AND p_item ->> 'outcome' = 'completed'
        AND coalesce(p_item ->> 'events', '[]') = '[]'
        AND p_item ->> 'state' IS NULL
        AND p_item ->> 'after' IS NULL
    THEN
        IF v_deliveries IS NULL THEN
            v_times := p_item ->> 'run_time';
            IF v_delivery ~ '^[0-9]{1,18}$' THEN
                v_done.lease := v_lease::bigint;
                v_done.deliveries := ARRAY[v_delivery::bigint];
                v_done.run_times := ARRAY[
                    CASE
                        WHEN v_times ~ '^[0-9]{1,10}$'
                            THEN least(v_times::bigint, 2147483647)::integer
                    END
                ];
            END IF;
        ELSIF v_delivery IS NULL
            AND p_item ->> 'error' IS NULL
            AND v_deliveries ~ '^\[("[0-9]{1,18}"|[0-9]{1,18})(, ("[0-9]{1,18}"|[0-9]{1,18}))*\]$'
        THEN
            v_times := p_item ->> 'run_times';
            IF v_times IS NULL THEN
                v_done.deliveries := ('{' || btrim(v_deliveries, '[]') || '}')::bigint[];
                v_done.run_times := array_fill(
                    NULL::integer, ARRAY[cardinality(v_done.deliveries)]
                );
                v_done.lease := v_lease::bigint;
            ELSIF v_times ~ '^\[(null|[0-9]{1,9})(, (null|[0-9]{1,9}))*\]$'
                AND jsonb_array_length(p_item -> 'run_times')
                = jsonb_array_length(p_item -> 'deliveries')
            THEN
                v_done.deliveries := ('{' || btrim(v_deliveries, '[]') || '}')::bigint[];
                v_done.run_times := ('{' || btrim(v_times, '[]') || '}')::integer[];
                v_done.lease := v_lease::bigint;
            END IF;
        END IF;
    END IF;
    RETURN v_done;
END;
$completion_of$;

COMMENT ON FUNCTION arvo.completion_of(jsonb) IS
'An item of a settlement that plainly completes one or more deliveries; NULLs for any other.';

REVOKE ALL ON FUNCTION arvo.completion_of(jsonb) FROM PUBLIC;
