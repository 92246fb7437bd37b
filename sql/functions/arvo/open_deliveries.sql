-- arvo.open_deliveries(token, deliveries) — those of a lease's deliveries that nobody has closed.
CREATE OR REPLACE FUNCTION arvo.open_deliveries(p_token bigint, p_deliveries bigint[])
RETURNS bigint[]
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $open_deliveries$
-- In the order of the lease.
--
--   Reads    arvo.closure, by token
--   Writes   nothing
--   Locks    nothing; the caller holds the lease's lock
--   Raises   nothing
SELECT coalesce(array_agg(leased.delivery ORDER BY leased.ordinal), '{}')
FROM unnest(p_deliveries) WITH ORDINALITY AS leased (delivery, ordinal)
WHERE leased.delivery NOT IN (
    SELECT unnest(closure.deliveries)
    FROM arvo.closure
    WHERE closure.token = p_token
);
$open_deliveries$;

COMMENT ON FUNCTION arvo.open_deliveries(bigint, bigint[]) IS
'Those of a lease''s deliveries that have not been closed.';

REVOKE ALL ON FUNCTION arvo.open_deliveries(bigint, bigint[]) FROM PUBLIC;
