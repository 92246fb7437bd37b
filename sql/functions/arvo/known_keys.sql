-- arvo.known_keys(slot, queues, keys) — which deliveries one partition of event_key has for some keys.
CREATE OR REPLACE FUNCTION arvo.known_keys(p_slot integer, p_queues integer[], p_keys bytea[])
RETURNS bigint[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $known_keys$
-- One element for each key asked for: the delivery that was first within the queue's window, or NULL;
-- no array at all when none is known.
-- One statement for each partition: asked by its own name, only that one is locked, and the others
-- can be emptied while a dispatcher's transaction stays open.
--
--   Reads    arvo.event_key, one partition, by (queue, key); arvo.queue, arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_deliveries bigint[];
BEGIN
    IF p_slot = 0 THEN
        SELECT array_agg(known.delivery ORDER BY asked.ordinal) INTO v_deliveries
        FROM unnest(p_queues, p_keys) WITH ORDINALITY AS asked (queue, key, ordinal)
        INNER JOIN arvo.queue ON queue.queue = asked.queue
        LEFT JOIN LATERAL (
            SELECT listed.delivery
            FROM arvo.event_key_0 AS listed
            WHERE listed.slot = 0 AND listed.queue = asked.queue AND listed.key = asked.key
            AND listed.at > v_now - queue.deduplicate_for
            LIMIT 1  -- one look-up for each key, also when the plan is made on an empty table
        ) AS known ON true
        HAVING count(known.delivery) > 0;
    ELSIF p_slot = 1 THEN
        SELECT array_agg(known.delivery ORDER BY asked.ordinal) INTO v_deliveries
        FROM unnest(p_queues, p_keys) WITH ORDINALITY AS asked (queue, key, ordinal)
        INNER JOIN arvo.queue ON queue.queue = asked.queue
        LEFT JOIN LATERAL (
            SELECT listed.delivery
            FROM arvo.event_key_1 AS listed
            WHERE listed.slot = 1 AND listed.queue = asked.queue AND listed.key = asked.key
            AND listed.at > v_now - queue.deduplicate_for
            LIMIT 1  -- one look-up for each key, also when the plan is made on an empty table
        ) AS known ON true
        HAVING count(known.delivery) > 0;
    ELSE
        SELECT array_agg(known.delivery ORDER BY asked.ordinal) INTO v_deliveries
        FROM unnest(p_queues, p_keys) WITH ORDINALITY AS asked (queue, key, ordinal)
        INNER JOIN arvo.queue ON queue.queue = asked.queue
        LEFT JOIN LATERAL (
            SELECT listed.delivery
            FROM arvo.event_key_2 AS listed
            WHERE listed.slot = 2 AND listed.queue = asked.queue AND listed.key = asked.key
            AND listed.at > v_now - queue.deduplicate_for
            LIMIT 1  -- one look-up for each key, also when the plan is made on an empty table
        ) AS known ON true
        HAVING count(known.delivery) > 0;
    END IF;
    RETURN v_deliveries;
END;
$known_keys$;

COMMENT ON FUNCTION arvo.known_keys(integer, integer[], bytea[]) IS
'First deliveries that one partition of event_key has for some deduplication keys.';

REVOKE ALL ON FUNCTION arvo.known_keys(integer, integer[], bytea[]) FROM PUBLIC;
