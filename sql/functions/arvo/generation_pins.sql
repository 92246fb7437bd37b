-- arvo.generation_pins(limit) — what keeps history from being emptied.
CREATE OR REPLACE FUNCTION arvo.generation_pins(p_limit integer DEFAULT 100)
RETURNS SETOF arvo.pin
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $generation_pins$
-- Of every generation that is not in use any more and not finished yet; no rows when all is well.
--
--   Reads    arvo.generation, arvo.clock; as arvo.slot_pins
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT old.number, pin.kind, pin.queue, pin.lane, pin.delivery, pin.at
FROM arvo.generation AS old
CROSS JOIN LATERAL arvo.slot_pins(
    old.slot, coalesce(old.closed_at, arvo.clock()), p_limit
) AS pin
WHERE old.emptied_at IS NULL
AND old.finished_at IS NULL
AND old.number < (SELECT max(newest.number) FROM arvo.generation AS newest)
ORDER BY old.number
LIMIT p_limit;
$generation_pins$;

COMMENT ON FUNCTION arvo.generation_pins(integer) IS
'What keeps old generations from being emptied: queue, lane, kind and an example.';

REVOKE ALL ON FUNCTION arvo.generation_pins(integer) FROM PUBLIC;
