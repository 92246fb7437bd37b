-- arvo_v1.dispatch(event, start_after, priority, ignore_domain, options) — accept one event in the caller's transaction.
CREATE OR REPLACE FUNCTION arvo_v1.dispatch(
    p_event jsonb,
    p_start_after interval DEFAULT NULL,
    p_priority integer DEFAULT NULL,
    p_ignore_domain boolean DEFAULT false,
    p_options jsonb DEFAULT NULL
)
RETURNS arvo_v1.dispatched
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
AS $dispatch$
-- The event exists when the caller's transaction commits, and leaves no trace when it does not.
-- Routed by "domain" (to that domain's queue, unless p_ignore_domain), else by "to". An event whose
-- queue nobody has registered waits there: outcome unroutable. The same source and id to the same
-- queue again, within its window, is a duplicate, and answered with the first delivery. p_options is
-- an object as in arvo.read_options; p_start_after and p_priority are two of them.
--
--   Reads    as arvo.append_one and arvo.append
--   Writes   as arvo.append_one or arvo.append
--   Locks    as arvo.append_one or arvo.append
--   Raises   RV001  the event is not valid, or is to be published
--            RV002  an option is not valid, or the queue has too many priorities
--            RV007  the queue is closed to the caller
--            RV201  nobody has registered the queue, and must_be_registered is set
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_fault text := arvo.event_fault(p_event);
    v_dispatched arvo_v1.dispatched;
BEGIN
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION 'event is not valid'
        USING ERRCODE = 'RV001',
              COLUMN = split_part(v_fault, ':', 1),
              DETAIL = v_fault,
              HINT = 'Correct the field and dispatch the event again. Nothing has been stored.';
    END IF;
    IF p_options IS NULL AND p_start_after IS NULL AND p_priority IS NULL THEN
        v_dispatched := arvo.append_one(p_event, p_ignore_domain);
        IF v_dispatched.delivery IS NOT NULL THEN
            RETURN v_dispatched;
        END IF;
    END IF;
    IF coalesce(p_event ->> 'to', p_event ->> 'type') = 'arvo.publish'
        AND (p_ignore_domain OR p_event ->> 'domain' IS NULL)
    THEN
        RAISE EXCEPTION 'event is not valid'
        USING ERRCODE = 'RV001',
              COLUMN = 'to',
              DETAIL = 'to: arvo.publish has an answer for each queue that subscribes',
              HINT = 'Call publish, or dispatch_many. Nothing has been stored.';
    END IF;
    PERFORM arvo.require_dispatch(ARRAY[p_event], p_ignore_domain);
    SELECT accepted.* INTO STRICT v_dispatched
    FROM arvo.append(
        ARRAY[p_event], arvo.options_with(p_options, p_start_after, p_priority), p_ignore_domain
    ) AS accepted;
    RETURN v_dispatched;
END;
$dispatch$;

COMMENT ON FUNCTION arvo_v1.dispatch(jsonb, interval, integer, boolean, jsonb) IS
'Accepts one event in the caller''s transaction and says where it went.';

REVOKE ALL ON FUNCTION arvo_v1.dispatch(jsonb, interval, integer, boolean, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.dispatch(jsonb, interval, integer, boolean, jsonb)
TO arvo_client, arvo_worker, arvo_operator;
