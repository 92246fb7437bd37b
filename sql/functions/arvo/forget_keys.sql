-- arvo.forget_keys(items) — take back the keys of events that did not get in.
CREATE OR REPLACE FUNCTION arvo.forget_keys(p_items arvo.arrival[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $forget_keys$
-- An event that was new but was throttled is no duplicate when it comes again. One statement for
-- each partition, as in arvo.known_keys; this transaction wrote the rows, so it locks nothing new.
--
--   Reads    nothing
--   Writes   arvo.event_key
--   Locks    nothing that this transaction has not written
--   Raises   nothing
DECLARE
    v_queues integer[];
    v_keys bytea[];
    v_deliveries bigint[];
BEGIN
    SELECT
        array_agg(item.queue), array_agg(arvo.event_digest(item.event)), array_agg(item.delivery)
    INTO v_queues, v_keys, v_deliveries
    FROM unnest(p_items) AS item
    WHERE item.outcome = 'throttled';
    IF v_queues IS NULL THEN
        RETURN;
    END IF;
    DELETE FROM arvo.event_key_0 AS known
    USING unnest(v_queues, v_keys, v_deliveries) AS given (queue, key, delivery)
    WHERE known.slot = 0 AND known.queue = given.queue AND known.key = given.key
    AND known.delivery = given.delivery;
    DELETE FROM arvo.event_key_1 AS known
    USING unnest(v_queues, v_keys, v_deliveries) AS given (queue, key, delivery)
    WHERE known.slot = 1 AND known.queue = given.queue AND known.key = given.key
    AND known.delivery = given.delivery;
    DELETE FROM arvo.event_key_2 AS known
    USING unnest(v_queues, v_keys, v_deliveries) AS given (queue, key, delivery)
    WHERE known.slot = 2 AND known.queue = given.queue AND known.key = given.key
    AND known.delivery = given.delivery;
END;
$forget_keys$;

COMMENT ON FUNCTION arvo.forget_keys(arvo.arrival[]) IS
'Removes the deduplication keys of arriving events that were throttled.';

REVOKE ALL ON FUNCTION arvo.forget_keys(arvo.arrival[]) FROM PUBLIC;
