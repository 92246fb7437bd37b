-- arvo.lease_item(lease, ordinal, verdict) — one delivery of a lease, as settle() sees it.
CREATE OR REPLACE FUNCTION arvo.lease_item(
    p_lease arvo.lease,
    p_ordinal integer,
    p_verdict text
)
RETURNS arvo.result
LANGUAGE plpgsql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $lease_item$
-- For those who close deliveries themselves: sweeps, withdrawals, operators.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_item arvo.result;
BEGIN
    v_item.ordinal := p_ordinal;
    v_item.lease := p_lease.token;
    v_item.delivery := p_lease.deliveries[p_ordinal];
    v_item.lane := p_lease.lane;
    v_item.low_xid := p_lease.low_xid;
    v_item.high_xid := p_lease.high_xid;
    v_item.xid := p_lease.xids[least(p_ordinal, cardinality(p_lease.xids))];
    v_item.key := p_lease.keys[p_ordinal];
    v_item.place := p_lease.places[p_ordinal];
    v_item.verdict := p_verdict;
    RETURN v_item;
END;
$lease_item$;

COMMENT ON FUNCTION arvo.lease_item(arvo.lease, integer, text) IS
'The n-th delivery of a lease as an item of a settlement.';

REVOKE ALL ON FUNCTION arvo.lease_item(arvo.lease, integer, text) FROM PUBLIC;
