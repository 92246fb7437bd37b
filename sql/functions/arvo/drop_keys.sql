-- arvo.drop_keys(slot, ids, keys, deliveries) — remove keys that this transaction has noted in a slot.
CREATE OR REPLACE FUNCTION arvo.drop_keys(
    p_slot integer,
    p_ids text[],
    p_keys bigint[],
    p_deliveries bigint[]
)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $drop_keys$
-- Only rows in lane 0, which are nothing but keys. Returns how many.
--
--   Reads    nothing
--   Writes   arvo.log, one partition
--   Locks    nothing that this transaction has not written
--   Raises   nothing
DECLARE
    v_dropped integer;
BEGIN
    IF p_slot = 0 THEN
        DELETE FROM arvo.log_0 AS noted
        USING unnest(p_ids, p_keys, p_deliveries) AS given (id, key, delivery)
        WHERE noted.event_key = hashtextextended(given.id, 0) AND noted.dedup_key = given.key
        AND noted.lane = 0 AND noted.delivery = -given.delivery;
    ELSIF p_slot = 1 THEN
        DELETE FROM arvo.log_1 AS noted
        USING unnest(p_ids, p_keys, p_deliveries) AS given (id, key, delivery)
        WHERE noted.event_key = hashtextextended(given.id, 0) AND noted.dedup_key = given.key
        AND noted.lane = 0 AND noted.delivery = -given.delivery;
    ELSIF p_slot = 2 THEN
        DELETE FROM arvo.log_2 AS noted
        USING unnest(p_ids, p_keys, p_deliveries) AS given (id, key, delivery)
        WHERE noted.event_key = hashtextextended(given.id, 0) AND noted.dedup_key = given.key
        AND noted.lane = 0 AND noted.delivery = -given.delivery;
    ELSE
        DELETE FROM arvo.log_3 AS noted
        USING unnest(p_ids, p_keys, p_deliveries) AS given (id, key, delivery)
        WHERE noted.event_key = hashtextextended(given.id, 0) AND noted.dedup_key = given.key
        AND noted.lane = 0 AND noted.delivery = -given.delivery;
    END IF;
    GET DIAGNOSTICS v_dropped = ROW_COUNT;
    RETURN v_dropped;
END;
$drop_keys$;

COMMENT ON FUNCTION arvo.drop_keys(integer, text[], bigint[], bigint[]) IS
'Removes deduplication keys of deliveries from a slot of the log; returns how many.';

REVOKE ALL ON FUNCTION arvo.drop_keys(integer, text[], bigint[], bigint[]) FROM PUBLIC;
