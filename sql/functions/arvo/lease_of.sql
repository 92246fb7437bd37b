-- arvo.lease_of(lane, xid, delivery) — the lease that a logged delivery was handed out under.
CREATE OR REPLACE FUNCTION arvo.lease_of(p_lane integer, p_xid xid8, p_delivery bigint)
RETURNS arvo.lease
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = on
SET enable_sort = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $lease_of$
-- NULL when it has not been claimed. In a gated queue it may have been parked; then its lease names it
-- as a stray. Else leases follow the order of the log, but for transactions that committed late: it is
-- in one of the first whose position is not before it, or in the one with which the cursor passed it,
-- which is searched for by halves. So this costs some index look-ups more for each doubling of the
-- ledger. Only what had been parked and was then purged, or delivered again under new rules, may stand
-- in any later lease whose range of transactions holds it, of which all are read. Heartbeats continue
-- a lease in new rows; this is the first. The index of strays can be read as a bitmap only, which
-- callers may have turned off. A plan made on an empty ledger would sort all that is ahead.
--
--   Reads    arvo.lease by (lane, number), strays and (lane, high_xid, last_delivery), arvo.parked
--            by delivery
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_lease arvo.lease;
    v_from bigint := 0::bigint;
    v_to bigint;
    v_middle bigint;
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
    v_to := v_lease.number;

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

    SELECT ahead.* INTO v_lease
    FROM (
        SELECT lease.*
        FROM arvo.lease
        WHERE lease.lane = p_lane
        AND (lease.high_xid, lease.last_delivery) >= (p_xid, p_delivery)
        AND lease.token <> 0
        ORDER BY lease.high_xid, lease.last_delivery
        LIMIT 16
    ) AS ahead
    WHERE NOT ahead.carried AND p_delivery = ANY (ahead.deliveries)
    LIMIT 1;
    IF FOUND THEN
        RETURN v_lease;
    END IF;

    -- The cursor at v_to has passed it. Numbers that are gone count as before it.
    WHILE v_from < v_to LOOP
        v_middle := (v_from + v_to) / 2;
        SELECT standing.* INTO v_lease
        FROM arvo.lease AS standing
        WHERE standing.lane = p_lane AND standing.number <= v_middle
        ORDER BY standing.number DESC
        LIMIT 1;
        IF NOT FOUND OR arvo.is_unclaimed(v_lease, p_xid, p_delivery) THEN
            v_from := v_middle + 1;
        ELSE
            v_to := v_lease.number;
        END IF;
    END LOOP;
    SELECT passing.* INTO v_lease
    FROM arvo.lease AS passing
    WHERE passing.lane = p_lane AND passing.number = v_to;
    IF p_delivery = ANY (v_lease.deliveries) AND v_lease.token <> 0 AND NOT v_lease.carried THEN
        RETURN v_lease;
    ELSIF v_lease.token <> 0 AND v_lease.keys IS NULL
        OR pg_snapshot_xmax(v_lease.snapshot) = '9223372036854775807'
    THEN
        -- A claim that parks nothing has all that it passes; or the lane was closed by a rebase.
        RETURN NULL;
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
