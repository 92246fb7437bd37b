-- arvo_v1.dispatch_many(events, start_after, priority, ignore_domain, options) — accept an array of events, in order.
CREATE OR REPLACE FUNCTION arvo_v1.dispatch_many(
    p_events jsonb,
    p_start_after interval DEFAULT NULL,
    p_priority integer DEFAULT NULL,
    p_ignore_domain boolean DEFAULT false,
    p_options jsonb DEFAULT NULL
)
RETURNS SETOF arvo_v1.dispatched
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
AS $dispatch_many$
-- As dispatch, for all or none: one event that is not valid refuses the whole call and says which.
--
--   Reads    as arvo.checked_events, arvo.append_plain and arvo.append
--   Writes   as arvo.append_plain or arvo.append
--   Locks    as arvo.append_plain or arvo.append
--   Raises   RV001, RV006, RV007  as arvo.checked_events
--            RV002  an option is not valid, or a queue has too many priorities
--            RV201  nobody has registered a queue, and must_be_registered is set
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_events jsonb[] := arvo.checked_events(p_events, p_ignore_domain);
BEGIN
    IF v_events = '{}' THEN
        RETURN;
    END IF;
    IF p_options IS NULL AND p_start_after IS NULL AND p_priority IS NULL THEN
        RETURN QUERY
        SELECT accepted.* FROM arvo.append_plain(v_events, p_ignore_domain) AS accepted;
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;
    RETURN QUERY
    SELECT accepted.*
    FROM arvo.append(
        v_events, arvo.options_with(p_options, p_start_after, p_priority), p_ignore_domain,
        p_asking => true
    ) AS accepted;
END;
$dispatch_many$;

COMMENT ON FUNCTION arvo_v1.dispatch_many(jsonb, interval, integer, boolean, jsonb) IS
'Accepts an array of events in order, all or none, and says where each went.';

REVOKE ALL ON FUNCTION arvo_v1.dispatch_many(jsonb, interval, integer, boolean, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.dispatch_many(jsonb, interval, integer, boolean, jsonb)
TO arvo_client, arvo_worker, arvo_operator;
