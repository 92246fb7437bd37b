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
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $dispatch_copy$
-- As dispatch_many, and answered in short: one row for each outcome that there was, with the number
-- of events that had it. Which ones is told of those that were not taken as they came: these alone
-- are sorted.
--
--   Reads    as arvo_v1.dispatch_many
--   Writes   as arvo_v1.dispatch_many
--   Locks    as arvo_v1.dispatch_many
--   Raises   as arvo_v1.dispatch_many
DECLARE
    v_events jsonb[] := arvo.checked_events(p_events, p_ignore_domain);
BEGIN
    IF v_events = '{}' THEN
        RETURN;
    END IF;
    IF p_options IS NULL THEN
        RETURN QUERY
        SELECT
            told.outcome,
            told.events,
            ARRAY(SELECT listed.ordinal FROM unnest(told.ordinals) AS listed (ordinal) ORDER BY listed.ordinal)
        FROM (
            SELECT
                accepted.outcome,
                count(*) AS events,
                array_agg(accepted.ordinal::bigint) FILTER (
                    WHERE accepted.outcome NOT IN ('queued', 'deferred', 'domained')
                ) AS ordinals
            FROM arvo.append_plain(v_events, p_ignore_domain) AS accepted
            GROUP BY accepted.outcome
        ) AS told
        ORDER BY told.outcome;
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;
    RETURN QUERY
    SELECT
        told.outcome,
        told.events,
        ARRAY(SELECT listed.ordinal FROM unnest(told.ordinals) AS listed (ordinal) ORDER BY listed.ordinal)
    FROM (
        SELECT
            accepted.outcome,
            count(*) AS events,
            array_agg(accepted.ordinal::bigint) FILTER (
                WHERE accepted.outcome NOT IN ('queued', 'deferred', 'domained')
            ) AS ordinals
        FROM arvo.append(v_events, p_options, p_ignore_domain, p_asking => true) AS accepted
        GROUP BY accepted.outcome
    ) AS told
    ORDER BY told.outcome;
END;
$dispatch_copy$;

COMMENT ON FUNCTION arvo_v1.dispatch_copy(jsonb, boolean, jsonb) IS
'Accepts an array of events in order, all or none, and says how many had which outcome.';

REVOKE ALL ON FUNCTION arvo_v1.dispatch_copy(jsonb, boolean, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.dispatch_copy(jsonb, boolean, jsonb)
TO arvo_client, arvo_worker, arvo_operator;
