-- arvo.read_results(results) — the results of a settlement as rows, malformed ones refused.
CREATE OR REPLACE FUNCTION arvo.read_results(p_results jsonb)
RETURNS SETOF arvo.result
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $read_results$
-- Nothing is cast before it has been looked at: a malformed item is refused (RV006) by itself, and
-- spoils no other. The form of an item is described in arvo_v1.settle.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
WITH item AS MATERIALIZED (
    SELECT
        listed.ordinal::integer AS ordinal,
        CASE
            WHEN given.lease ~ '^[0-9]{1,18}$' THEN given.lease::bigint
            ELSE arvo.as_bigint(listed.item -> 'lease')
        END AS lease,
        CASE
            WHEN given.delivery ~ '^[0-9]{1,18}$' THEN given.delivery::bigint
            ELSE arvo.as_bigint(listed.item -> 'delivery')
        END AS delivery,
        given.outcome AS asked,
        given.events,
        given.state,
        given.error,
        given.after,
        CASE WHEN given.run_time ~ '^[0-9]{1,10}$' THEN given.run_time::bigint END AS run_time
    FROM jsonb_array_elements(p_results) WITH ORDINALITY AS listed (item, ordinal)
    CROSS JOIN LATERAL jsonb_to_record(
        CASE WHEN jsonb_typeof(listed.item) = 'object' THEN listed.item ELSE '{}' END
    ) AS given (
        lease text, delivery text, outcome text, events jsonb, state jsonb, error jsonb,
        after jsonb, run_time text
    )
),

checked AS (
    SELECT
        item.*,
        CASE
            WHEN item.lease IS NULL THEN 'lease: must be a number'
            WHEN item.delivery IS NULL THEN 'delivery: must be a number'
            WHEN item.asked IS NULL
                OR item.asked NOT IN ('completed', 'failed', 'released', 'snoozed', 'rejected')
                THEN 'outcome: must be completed, failed, released, snoozed or rejected'
            WHEN row_number() OVER (
                PARTITION BY item.lease, item.delivery ORDER BY item.ordinal
            ) > 1 THEN 'delivery: is named twice in one call'
            WHEN item.events IS NOT NULL AND jsonb_typeof(item.events) <> 'array'
                THEN 'events: must be an array'
            WHEN item.asked <> 'completed'
                AND (item.state IS NOT NULL OR item.events <> '[]')
                THEN 'outcome: only a completed delivery emits events or writes a state'
            WHEN item.state IS NOT NULL AND jsonb_typeof(item.state) <> 'object'
                THEN 'state: must be an object'
            WHEN item.state IS NOT NULL AND (
                jsonb_typeof(item.state -> 'subject') IS DISTINCT FROM 'string'
                OR item.state ->> 'subject' = ''
            ) THEN 'state.subject: must be a text that is not empty'
            WHEN item.state IS NOT NULL
                AND jsonb_typeof(item.state -> 'data') IS DISTINCT FROM 'object'
                THEN 'state.data: must be an object'
            WHEN item.state IS NOT NULL
                AND arvo.as_bigint(item.state -> 'expected_version') IS NULL
                THEN 'state.expected_version: must be a number'
            WHEN item.after IS NOT NULL AND (
                jsonb_typeof(item.after) <> 'number'
                OR (item.after #>> '{}')::numeric NOT BETWEEN 0 AND 315360000
            ) THEN 'after: must be seconds, 0 to 315360000'
            WHEN item.asked = 'snoozed' AND item.after IS NULL THEN 'after: is missing'
        END AS fault
    FROM item
)

SELECT
    checked.ordinal,
    checked.lease,
    checked.delivery,
    checked.asked,
    checked.events,
    checked.state,
    CASE
        WHEN pg_column_size(checked.error) > 65536 THEN jsonb_build_object(
            'name', left(checked.error ->> 'name', 200),
            'message', left(checked.error ->> 'message', 2000),
            'stack', left(checked.error ->> 'stack', 20000),
            'truncated', true
        )
        ELSE checked.error
    END,
    CASE
        WHEN checked.fault IS NULL
            THEN make_interval(secs => (checked.after #>> '{}')::double precision)
    END,
    CASE
        WHEN checked.run_time IS NOT NULL THEN least(checked.run_time, 2147483647)::integer
    END,
    NULL::integer,
    NULL::xid8,
    NULL::xid8,
    CASE WHEN checked.fault IS NOT NULL THEN 'refused' END,
    CASE WHEN checked.fault IS NOT NULL THEN 'RV006' END,
    checked.fault,
    NULL::bigint,
    NULL::xid8,
    NULL::bigint,
    NULL::bigint,
    NULL::bigint
FROM checked
ORDER BY checked.ordinal;
$read_results$;

COMMENT ON FUNCTION arvo.read_results(jsonb) IS
'The results of a settlement as rows; malformed ones are refused one by one.';

REVOKE ALL ON FUNCTION arvo.read_results(jsonb) FROM PUBLIC;
