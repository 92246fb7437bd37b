-- arvo.open_leases(queue) — tokens of a queue's leases that hold something open.
CREATE OR REPLACE FUNCTION arvo.open_leases(p_queue integer)
RETURNS SETOF bigint
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $open_leases$
-- In order.
--
--   Reads    arvo.lane, arvo.lease by (lane, number), arvo.closure by token
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT DISTINCT held.token
FROM arvo.lane
CROSS JOIN LATERAL (
    SELECT newest.open_from
    FROM arvo.lease AS newest
    WHERE newest.lane = lane.lane
    ORDER BY newest.number DESC
    LIMIT 1
) AS head
INNER JOIN arvo.lease AS held
    ON held.lane = lane.lane AND held.number >= head.open_from AND held.token <> 0
WHERE lane.queue = p_queue AND NOT lane.retired
AND arvo.open_deliveries(held.token, held.deliveries) <> '{}'
ORDER BY held.token;
$open_leases$;

COMMENT ON FUNCTION arvo.open_leases(integer) IS
'Tokens of a queue''s leases that have not been closed wholly.';

REVOKE ALL ON FUNCTION arvo.open_leases(integer) FROM PUBLIC;
