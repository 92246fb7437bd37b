-- arvo.lease_of(lane, xid, delivery) — the lease that a logged delivery was handed out under.
CREATE OR REPLACE FUNCTION arvo.lease_of(p_lane integer, p_xid xid8, p_delivery bigint)
RETURNS arvo.lease
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = on
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $lease_of$
-- NULL when it has not been claimed. In a plain queue leases follow the order of the log, so it is
-- the first whose position is not before it. In a gated queue it may have been parked; then its
-- lease names it as a stray. What is left are leases that were not made by a claim: the first whose range of
-- transactions holds it. Heartbeats continue a lease in new rows; this is the first. The index of
-- strays can be read as a bitmap only, which callers may have turned off.
--
--   Reads    arvo.lease by (lane, number), strays and (lane, high_xid, last_delivery), arvo.parked
--            by delivery
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_lease arvo.lease;
BEGIN
    SELECT head.* INTO v_lease
    FROM arvo.lease AS head
    WHERE head.lane = p_lane
    ORDER BY head.number DESC
    LIMIT 1;
    IF arvo.is_unclaimed(v_lease, p_xid, p_delivery)
        OR EXISTS (SELECT FROM arvo.parked WHERE parked.delivery = p_delivery)
    THEN
        RETURN NULL;
    END IF;

    SELECT found.* INTO v_lease
    FROM (
        SELECT lease.*
        FROM arvo.lease
        WHERE lease.strays IS NOT NULL AND lease.strays @> ARRAY[p_delivery]
        OFFSET 0
    ) AS found
    WHERE found.lane = p_lane
    AND found.token <> 0
    AND NOT found.carried
    AND p_delivery = ANY (found.deliveries)
    LIMIT 1;
    IF FOUND THEN
        RETURN v_lease;
    END IF;

    SELECT lease.* INTO v_lease
    FROM arvo.lease
    WHERE lease.lane = p_lane
    AND (lease.high_xid, lease.last_delivery) >= (p_xid, p_delivery)
    AND lease.low_xid <= p_xid
    AND lease.token <> 0
    AND NOT lease.carried
    AND p_delivery = ANY (lease.deliveries)
    ORDER BY lease.high_xid, lease.last_delivery
    LIMIT 1;
    IF FOUND THEN
        RETURN v_lease;
    END IF;

    SELECT lease.* INTO v_lease
    FROM arvo.lease
    WHERE lease.lane = p_lane
    AND lease.high_xid >= p_xid
    AND lease.low_xid <= p_xid
    AND lease.token <> 0
    AND NOT lease.carried
    AND p_delivery = ANY (lease.deliveries)
    ORDER BY lease.high_xid, lease.number
    LIMIT 1;
    RETURN v_lease;
END;
$lease_of$;

COMMENT ON FUNCTION arvo.lease_of(integer, xid8, bigint) IS
'The first row of the lease that a logged delivery was handed out under; NULL when it was not.';

REVOKE ALL ON FUNCTION arvo.lease_of(integer, xid8, bigint) FROM PUBLIC;
