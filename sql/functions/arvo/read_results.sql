-- arvo.read_results(results) — the results of a settlement as rows, malformed ones refused.
CREATE OR REPLACE FUNCTION arvo.read_results(p_results jsonb)
RETURNS SETOF arvo.result
LANGUAGE plpgsql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $read_results$
-- Nothing is cast before it has been looked at: a malformed item is refused (RV006) by itself, and
-- spoils no other. An item that names several deliveries gives a row for each of them, or, malformed,
-- a single row. The form of an item is described in arvo_v1.settle.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    RETURN QUERY
    WITH listed AS MATERIALIZED (
        SELECT
            entry.ordinal::integer AS named_in,
            CASE
                WHEN given.lease ~ '^[0-9]{1,18}$' THEN given.lease::bigint
                ELSE arvo.as_bigint(entry.item -> 'lease')
            END AS token,
            CASE
                WHEN given.delivery ~ '^[0-9]{1,18}$' THEN given.delivery::bigint
                ELSE arvo.as_bigint(entry.item -> 'delivery')
            END AS single,
            given.*,
            CASE
                WHEN given.deliveries IS NULL THEN NULL
                WHEN jsonb_typeof(given.deliveries) <> 'array' OR given.deliveries = '[]'
                    OR (
                        given.deliveries::text
                        !~ '^\[("[0-9]{1,18}"|[0-9]{1,18})(, ("[0-9]{1,18}"|[0-9]{1,18}))*\]$'
                        AND EXISTS (
                            SELECT
                            FROM jsonb_array_elements(given.deliveries) AS member (number)
                            WHERE arvo.as_bigint(member.number) IS NULL
                        )
                    ) THEN 'deliveries: must be an array of numbers, of one at least'
                WHEN given.delivery IS NOT NULL
                    THEN 'delivery: stands for one, deliveries for several; give one of the two'
                WHEN given.outcome IN ('failed', 'released', 'snoozed', 'rejected')
                    THEN 'outcome: several deliveries at once can only be completed'
                WHEN given.events <> '[]' OR given.state IS NOT NULL
                    OR given.error IS NOT NULL OR given.after IS NOT NULL
                    THEN 'deliveries: several at once have no events, state, error or after'
                WHEN jsonb_typeof(given.run_times) <> 'array'
                    OR jsonb_array_length(given.run_times) <> jsonb_array_length(given.deliveries)
                    THEN 'run_times: must be an array, with one for each delivery'
            END AS group_fault
        FROM jsonb_array_elements(p_results) WITH ORDINALITY AS entry (item, ordinal)
        CROSS JOIN LATERAL jsonb_to_record(
            CASE WHEN jsonb_typeof(entry.item) = 'object' THEN entry.item ELSE '{}' END
        ) AS given (
            lease text, delivery text, outcome text, events jsonb, state jsonb, error jsonb,
            after jsonb, run_time text, deliveries jsonb, run_times jsonb
        )
    ),

    -- By itself, so that the arrays are not sorted along with each of their members.
    member AS MATERIALIZED (
        SELECT
            listed.named_in,
            one.place,
            listed.token AS lease,
            CASE
                WHEN listed.deliveries IS NULL THEN listed.single
                WHEN length(one.delivery) <= 18 THEN one.delivery::bigint
                ELSE arvo.as_bigint(to_jsonb(one.delivery))
            END AS delivery,
            listed.outcome AS asked,
            listed.events,
            listed.state,
            listed.error,
            listed.after,
            CASE WHEN listed.deliveries IS NULL THEN listed.run_time ELSE one.run_time END AS run_time,
            listed.group_fault
        FROM listed
        CROSS JOIN LATERAL ROWS FROM (
            jsonb_array_elements_text(
                CASE
                    WHEN listed.deliveries IS NULL OR listed.group_fault IS NOT NULL THEN '[null]'
                    ELSE listed.deliveries
                END
            ),
            jsonb_array_elements_text(
                CASE
                    WHEN listed.run_times IS NULL OR listed.deliveries IS NULL
                        OR listed.group_fault IS NOT NULL THEN '[]'
                    ELSE listed.run_times
                END
            )
        ) WITH ORDINALITY AS one (delivery, run_time, place)
    ),

    item AS MATERIALIZED (
        SELECT
            row_number() OVER (ORDER BY member.named_in, member.place)::integer AS ordinal,
            member.*
        FROM member
    ),

    checked AS (
        SELECT
            item.*,
            CASE
                WHEN item.lease IS NULL THEN 'lease: must be a number'
                WHEN item.group_fault IS NOT NULL THEN item.group_fault
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
                WHEN arvo.json_fault(item.state -> 'data', 67108864) IS NOT NULL
                    THEN 'state.data: ' || arvo.json_fault(item.state -> 'data', 67108864)
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
            WHEN arvo.json_fault(checked.error, 65536) IS NOT NULL THEN (
                SELECT jsonb_object_agg(
                    part.name, left(checked.error ->> part.name, part.most)
                ) || '{"truncated": true}'
                FROM (VALUES ('name', 200), ('message', 2000), ('stack', 20000)) AS part (name, most)
                WHERE coalesce(jsonb_typeof(checked.error -> part.name), 'string') = 'string'
            )
            ELSE checked.error
        END,
        CASE
            WHEN checked.fault IS NULL
                THEN make_interval(secs => round((checked.after #>> '{}')::numeric, 6)::double precision)
        END,
        CASE
            WHEN checked.run_time ~ '^[0-9]{1,10}$'
                THEN least(checked.run_time::bigint, 2147483647)::integer
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
        NULL::bigint,
        checked.named_in
    FROM checked
    ORDER BY checked.ordinal;
END;
$read_results$;

COMMENT ON FUNCTION arvo.read_results(jsonb) IS
'The results of a settlement as rows; malformed ones are refused one by one.';

REVOKE ALL ON FUNCTION arvo.read_results(jsonb) FROM PUBLIC;
