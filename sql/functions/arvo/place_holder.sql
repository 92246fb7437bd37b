-- arvo.place_holder(queue, kind, key) — the delivery that has a place.
CREATE OR REPLACE FUNCTION arvo.place_holder(p_queue integer, p_kind text, p_key bigint)
RETURNS bigint
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $place_holder$
-- NULL when it is free. Takes nothing: for dry runs.
--
--   Reads    arvo.singleton by (queue, kind, key, number)
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT newest.delivery
FROM arvo.singleton AS newest
WHERE newest.queue = p_queue AND newest.kind = p_kind AND newest.key = p_key
ORDER BY newest.number DESC
LIMIT 1;
$place_holder$;

COMMENT ON FUNCTION arvo.place_holder(integer, text, bigint) IS
'The delivery that has the place of a key, or NULL.';

REVOKE ALL ON FUNCTION arvo.place_holder(integer, text, bigint) FROM PUBLIC;
