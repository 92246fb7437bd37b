-- arvo.free_places(queue, kind, keys, deliveries) — give places back.
CREATE OR REPLACE FUNCTION arvo.free_places(
    p_queue integer,
    p_kind text,
    p_keys bigint[],
    p_deliveries bigint[]
)
RETURNS void
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $free_places$
-- p_deliveries are first deliveries: a place is freed only by the event that has it. A free place is
-- a row, too, of the next number; the row before is deleted, where no look-up meets
-- it; by its ctid, for rows are never updated, and no join may read all places.
--
--   Reads    arvo.singleton, arvo.clock
--   Writes   arvo.singleton
--   Locks    arvo.singleton rows of these places
--   Raises   nothing
WITH taken AS MATERIALIZED (
    SELECT newest.key, newest.number, newest.row
    FROM (
        SELECT given.key, given.delivery
        FROM unnest(p_keys, p_deliveries) AS given (key, delivery)
        ORDER BY given.key
    ) AS given
    CROSS JOIN LATERAL (
        SELECT place.key, place.number, place.delivery, place.ctid AS row
        FROM arvo.singleton AS place
        WHERE place.queue = p_queue AND place.kind = p_kind AND place.key = given.key
        ORDER BY place.number DESC
        LIMIT 1
    ) AS newest
    WHERE newest.delivery = given.delivery
),

freed AS (
    INSERT INTO arvo.singleton (queue, kind, key, number, delivery, at)
    SELECT p_queue, p_kind, taken.key, taken.number + 1, NULL, arvo.clock()
    FROM taken
    ORDER BY taken.key
)

DELETE FROM arvo.singleton AS gone
USING taken
WHERE gone.ctid = taken.row;
$free_places$;

COMMENT ON FUNCTION arvo.free_places(integer, text, bigint[], bigint[]) IS
'Frees the places that some events have.';

REVOKE ALL ON FUNCTION arvo.free_places(integer, text, bigint[], bigint[]) FROM PUBLIC;
