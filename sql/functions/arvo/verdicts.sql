-- arvo.verdicts(parted, items) — what a settlement answers.
CREATE OR REPLACE FUNCTION arvo.verdicts(p_parted arvo.parted, p_items arvo.result[])
RETURNS SETOF arvo_v1.settled
LANGUAGE plpgsql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $verdicts$
-- One row for each delivery that was named, in the order in which they were: those that were plainly
-- completed, and those that were judged one by one (their places are those in what was left).
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    RETURN QUERY
    SELECT
        verdict.ordinal, verdict.lease, verdict.delivery, verdict.accepted, verdict.outcome,
        verdict.code, verdict.detail, verdict.state_version
    FROM (
        SELECT
            done.items[least(completed.place, cardinality(done.items))] AS ordinal,
            completed.place,
            done.lease,
            completed.delivery,
            true AS accepted,
            'completed' AS outcome,
            NULL::text AS code,
            NULL::text AS detail,
            NULL::bigint AS state_version
        FROM unnest(p_parted.closed) AS done
        CROSS JOIN LATERAL
            unnest(done.deliveries) WITH ORDINALITY AS completed (delivery, place)
        UNION ALL
        SELECT
            CASE
                WHEN p_parted.items = '{}' THEN item.named_in
                ELSE p_parted.items[item.named_in]
            END,
            item.ordinal,
            item.lease,
            item.delivery,
            coalesce(item.verdict, '') NOT IN ('refused', 'conflict') AND item.code IS NULL,
            coalesce(item.verdict, 'completed'),
            item.code,
            item.detail,
            item.state_version
        FROM unnest(p_items) AS item
    ) AS verdict
    ORDER BY verdict.ordinal, verdict.place;
END;
$verdicts$;

COMMENT ON FUNCTION arvo.verdicts(arvo.parted, arvo.result[]) IS
'The verdicts of a settlement, one for each delivery, in the order of the call.';

REVOKE ALL ON FUNCTION arvo.verdicts(arvo.parted, arvo.result[]) FROM PUBLIC;
