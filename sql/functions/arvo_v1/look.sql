-- arvo_v1.look(queues, limit, worker, limits, lease) — claim, without waiting for the disk.
CREATE OR REPLACE FUNCTION arvo_v1.look(
    p_queues text[],
    p_limit integer DEFAULT 1,
    p_worker text DEFAULT NULL,
    p_limits integer[] DEFAULT NULL,
    p_lease interval DEFAULT interval '30 seconds'
)
RETURNS SETOF arvo_v1.worked
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
AS $look$
-- As work without results, in a transaction of its own, whose commit does not wait until it is on disk
-- (synchronous_commit = off, for this transaction). What a crash of the server may undo are claims,
-- promotions and fires of the last moments, together and in order: they are done again, and tokens
-- from before are refused. Nothing that came later and was waited for, such as a settlement, can
-- survive without them. In a transaction that has written before it is as work: what is there stays as
-- durable as its writer wants it. What is written afterwards does not: call claim there.
--
--   Reads    as arvo.take and arvo_v1.work
--   Writes   as arvo.take and arvo_v1.work
--   Locks    as arvo_v1.claim (which waits for none)
--   Raises   as arvo_v1.claim
BEGIN
    IF pg_current_xact_id_if_assigned() IS NULL THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    RETURN QUERY
    SELECT found.* FROM arvo.take(p_queues, p_limit, p_worker, p_limits, p_lease) AS found;
    IF FOUND THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT found.*
    FROM arvo_v1.work('[]', p_queues, p_limit, p_worker, p_limits, p_lease) AS found;
END;
$look$;

COMMENT ON FUNCTION arvo_v1.look(text[], integer, text, integer[], interval) IS
'Claims the next deliveries as work does, in a transaction whose commit does not wait for the disk.';

REVOKE ALL ON FUNCTION arvo_v1.look(text[], integer, text, integer[], interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.look(text[], integer, text, integer[], interval) TO arvo_worker;
