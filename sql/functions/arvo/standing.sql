-- arvo.standing(lane, xid, delivery) — where a row of the log stands.
CREATE OR REPLACE FUNCTION arvo.standing(p_lane integer, p_xid xid8, p_delivery bigint)
RETURNS arvo.standing
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $standing$
-- As of the calling statement. It stays true while the caller holds the lane, and what is leased also
-- while the caller holds the lease.
--
--   Reads    arvo.lease, arvo.tombstone, arvo.parked, arvo.closure; as arvo.lease_of
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_unclaimed boolean := arvo.is_unclaimed(arvo.head_of(p_lane), p_xid, p_delivery);
    v_token bigint;
BEGIN
    IF v_unclaimed OR EXISTS (SELECT FROM arvo.parked WHERE parked.delivery = p_delivery) THEN
        IF EXISTS (
            SELECT
            FROM arvo.tombstone
            WHERE tombstone.lane = p_lane AND tombstone.delivery = p_delivery
        ) THEN
            RETURN ('withdrawn', NULL)::arvo.standing;
        END IF;
        RETURN (CASE WHEN v_unclaimed THEN 'queued' ELSE 'parked' END, NULL)::arvo.standing;
    END IF;

    v_token := (arvo.lease_of(p_lane, p_xid, p_delivery)).token;
    IF v_token IS NULL OR arvo.open_deliveries(v_token, ARRAY[p_delivery]) = '{}' THEN
        RETURN ('closed', NULL)::arvo.standing;
    END IF;
    RETURN ('leased', v_token)::arvo.standing;
END;
$standing$;

COMMENT ON FUNCTION arvo.standing(integer, xid8, bigint) IS
'Where a row of the log stands: queued, parked, leased, withdrawn or closed.';

REVOKE ALL ON FUNCTION arvo.standing(integer, xid8, bigint) FROM PUBLIC;
