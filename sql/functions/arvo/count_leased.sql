-- arvo.count_leased(queue) — how many deliveries of a queue are in the hands of workers.
CREATE OR REPLACE FUNCTION arvo.count_leased(p_queue integer)
RETURNS bigint
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $count_leased$
-- Those of a lapsed lease count until it has been taken back.
--
--   Reads    arvo.lane, arvo.lease, arvo.closure
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT coalesce(sum(cardinality(arvo.open_deliveries(held.token, held.deliveries))), 0)::bigint
FROM arvo.lanes_of(p_queue) AS own
CROSS JOIN LATERAL arvo.head_of(own.lane) AS head
INNER JOIN arvo.lease AS held
    ON held.lane = own.lane AND held.number >= head.open_from AND held.token <> 0
WHERE NOT EXISTS (
    SELECT
    FROM arvo.lease AS newer
    WHERE newer.token = held.token AND newer.number > held.number
);
$count_leased$;

COMMENT ON FUNCTION arvo.count_leased(integer) IS
'How many deliveries of a queue are leased and not closed.';

REVOKE ALL ON FUNCTION arvo.count_leased(integer) FROM PUBLIC;
