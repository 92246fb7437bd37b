-- arvo_v1.dispatch_copy(events, ignore_domain, options) — accept one batch of a stream of events, in order.
CREATE OR REPLACE FUNCTION arvo_v1.dispatch_copy(
    p_events jsonb,
    p_ignore_domain boolean DEFAULT false,
    p_options jsonb DEFAULT NULL
)
RETURNS SETOF arvo_v1.copied
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $dispatch_copy$
-- As dispatch_many, and answered in short: one row for each outcome that there was, with the number
-- of events that had it. Which ones is told of those that were not taken as they came.
--
--   Reads    as arvo_v1.dispatch_many
--   Writes   as arvo_v1.dispatch_many
--   Locks    as arvo_v1.dispatch_many
--   Raises   as arvo_v1.dispatch_many
BEGIN
    RETURN QUERY
    SELECT
        accepted.outcome,
        count(*),
        coalesce(
            array_agg(accepted.ordinal::bigint ORDER BY accepted.ordinal) FILTER (
                WHERE accepted.outcome NOT IN ('queued', 'deferred', 'domained')
            ),
            '{}'
        )
    FROM arvo_v1.dispatch_many(
        p_events, p_ignore_domain => p_ignore_domain, p_options => p_options
    ) AS accepted
    GROUP BY accepted.outcome
    ORDER BY accepted.outcome;
END;
$dispatch_copy$;

COMMENT ON FUNCTION arvo_v1.dispatch_copy(jsonb, boolean, jsonb) IS
'Accepts an array of events in order, all or none, and says how many had which outcome.';

REVOKE ALL ON FUNCTION arvo_v1.dispatch_copy(jsonb, boolean, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.dispatch_copy(jsonb, boolean, jsonb)
TO arvo_client, arvo_worker, arvo_operator;
