-- arvo.require_dispatch(events, ignore_domain, subscribers) — refuse events for queues that are closed.
CREATE OR REPLACE FUNCTION arvo.require_dispatch(
    p_events jsonb[],
    p_ignore_domain boolean DEFAULT false,
    p_subscribers boolean DEFAULT false
)
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $require_dispatch$
-- Where nothing is closed to dispatches it costs one look at a table with nothing in it. Only names are
-- looked at: a queue that is still to be made is closed by a guard that covers its name. Queues that
-- subscribe to what is published are asked for with p_subscribers only: arvo.append passes over those
-- that are closed, so that nobody stops a publisher by subscribing.
--
--   Reads    arvo.queue_guard; as arvo.goes_to and arvo.may
--   Writes   nothing
--   Locks    nothing
--   Raises   RV007  as arvo.require_right
BEGIN
    IF EXISTS (SELECT FROM arvo.queue_guard AS guard WHERE guard.may = 'dispatch') THEN
        PERFORM arvo.require_right(
            arvo.goes_to(p_events, p_ignore_domain, p_subscribers), 'dispatch'
        );
    END IF;
END;
$require_dispatch$;

COMMENT ON FUNCTION arvo.require_dispatch(jsonb[], boolean, boolean) IS
'Raises RV007 unless the caller may dispatch to every queue that events go to.';

REVOKE ALL ON FUNCTION arvo.require_dispatch(jsonb[], boolean, boolean) FROM PUBLIC;
