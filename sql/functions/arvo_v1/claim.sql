-- arvo_v1.claim(queues, limit, worker, limits, lease) — lease deliveries.
CREATE OR REPLACE FUNCTION arvo_v1.claim(
    p_queues text[],
    p_limit integer DEFAULT 1,
    p_worker text DEFAULT NULL,
    p_limits integer[] DEFAULT NULL,
    p_lease interval DEFAULT interval '30 seconds'
)
RETURNS SETOF arvo_v1.claimed
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
AS $claim$
-- Heals first: due deferred deliveries are promoted, expired leases are taken back. Then leases up
-- to p_limit deliveries of p_queues, and no more than p_limits[i] of the i-th. A name that ends in *
-- stands for every queue that begins so. Starts at a random queue, also among those that a star
-- stands for, so that none starves; higher priorities come first. A lane that another session is claiming from is left alone.
-- A lane's lock is held to the end of the transaction, and the server has room for some thousands:
-- past 32 lanes, one with nothing to do is not locked, and a call takes from at most 512 more. A
-- paused queue is left out. A gated queue is claimed under the lock of its home lane as well.
-- Within a lane leases lapse in the order in which they were taken, so the longest p_lease that
-- anybody asks for bounds how soon the next crash is noticed there; that is why it is short. In a
-- transaction of several calls settle and extend come before claim: leases are locked before lanes.
--
--   Reads    as arvo.lanes_to_claim, arvo.look_ahead, arvo.claim_lanes
--            and arvo.hand_out
--   Writes   as arvo.promote and arvo.claim_lanes
--   Locks    the promoter's lock, each lane: tried, never waited for
--   Raises   RV003  a queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV006  an argument is not valid
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_asked arvo.claimable;
    v_leased arvo.leased;
BEGIN
    PERFORM arvo.require_read_committed('claim');
    PERFORM arvo.require_home();
    v_asked := arvo.lanes_to_claim(p_queues, p_limit, p_limits, p_lease);
    IF (arvo.look_ahead()).due THEN
        PERFORM arvo.promote();
    END IF;
    FOREACH v_leased IN ARRAY
        coalesce(arvo.claim_lanes(v_asked, p_limit, p_worker, p_limits, p_lease), '{}')
    LOOP
        IF v_leased.rows IS NULL THEN
            RETURN QUERY
            SELECT claimed.*
            FROM arvo.hand_out(v_leased.queue, v_leased.lease, v_leased.batch) AS claimed;
        ELSE
            RETURN QUERY SELECT claimed.* FROM unnest(v_leased.rows) AS claimed;
        END IF;
    END LOOP;
END;
$claim$;

COMMENT ON FUNCTION arvo_v1.claim(text[], integer, text, integer[], interval) IS
'Leases deliveries of the named queues, after healing what is due or expired.';

REVOKE ALL ON FUNCTION arvo_v1.claim(text[], integer, text, integer[], interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.claim(text[], integer, text, integer[], interval)
TO arvo_worker;
