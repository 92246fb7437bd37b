-- arvo.known_keys(slot, queues, sources, ids, keys) — which deliveries one slot of the log has for some events.
CREATE OR REPLACE FUNCTION arvo.known_keys(
    p_slot integer,
    p_queues integer[],
    p_sources text[],
    p_ids text[],
    p_keys bigint[]
)
RETURNS bigint[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $known_keys$
-- One element for each event asked for: the delivery that was first within the queue's window; NULL
-- when there is none; 0 when another event has the same key, which is no duplicate. No array at all
-- when every element is NULL. p_keys are those of arvo.dedup_key. One statement for each slot: asked
-- by its own name, only that one is locked, and the others can be emptied while a dispatcher's
-- transaction stays open.
--
--   Reads    arvo.log, one partition, by (event_key, dedup_key); arvo.queue, arvo.lane, arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_deliveries bigint[];
BEGIN
    IF p_slot = 0 THEN
        SELECT array_agg(known.delivery ORDER BY asked.ordinal) INTO v_deliveries
        FROM unnest(p_queues, p_sources, p_ids, p_keys) WITH ORDINALITY
            AS asked (queue, source, id, key, ordinal)
        INNER JOIN arvo.queue ON queue.queue = asked.queue
        LEFT JOIN LATERAL (
            SELECT CASE
                WHEN listed.event ->> 'source' = asked.source
                    AND listed.event ->> 'id' = asked.id
                    AND coalesce(
                        (SELECT lane.queue FROM arvo.lane WHERE lane.lane = listed.lane),
                        listed.key
                    ) = asked.queue
                    THEN abs(listed.delivery)
                ELSE 0
            END AS delivery
            FROM arvo.log_0 AS listed
            WHERE listed.event_key = hashtextextended(asked.id, 0)
            AND listed.dedup_key = asked.key
            AND listed.at > v_now - queue.deduplicate_for
            LIMIT 1  -- one look-up for each key, also when the plan is made on an empty table
        ) AS known ON true
        HAVING count(known.delivery) > 0;
    ELSIF p_slot = 1 THEN
        SELECT array_agg(known.delivery ORDER BY asked.ordinal) INTO v_deliveries
        FROM unnest(p_queues, p_sources, p_ids, p_keys) WITH ORDINALITY
            AS asked (queue, source, id, key, ordinal)
        INNER JOIN arvo.queue ON queue.queue = asked.queue
        LEFT JOIN LATERAL (
            SELECT CASE
                WHEN listed.event ->> 'source' = asked.source
                    AND listed.event ->> 'id' = asked.id
                    AND coalesce(
                        (SELECT lane.queue FROM arvo.lane WHERE lane.lane = listed.lane),
                        listed.key
                    ) = asked.queue
                    THEN abs(listed.delivery)
                ELSE 0
            END AS delivery
            FROM arvo.log_1 AS listed
            WHERE listed.event_key = hashtextextended(asked.id, 0)
            AND listed.dedup_key = asked.key
            AND listed.at > v_now - queue.deduplicate_for
            LIMIT 1  -- one look-up for each key, also when the plan is made on an empty table
        ) AS known ON true
        HAVING count(known.delivery) > 0;
    ELSIF p_slot = 2 THEN
        SELECT array_agg(known.delivery ORDER BY asked.ordinal) INTO v_deliveries
        FROM unnest(p_queues, p_sources, p_ids, p_keys) WITH ORDINALITY
            AS asked (queue, source, id, key, ordinal)
        INNER JOIN arvo.queue ON queue.queue = asked.queue
        LEFT JOIN LATERAL (
            SELECT CASE
                WHEN listed.event ->> 'source' = asked.source
                    AND listed.event ->> 'id' = asked.id
                    AND coalesce(
                        (SELECT lane.queue FROM arvo.lane WHERE lane.lane = listed.lane),
                        listed.key
                    ) = asked.queue
                    THEN abs(listed.delivery)
                ELSE 0
            END AS delivery
            FROM arvo.log_2 AS listed
            WHERE listed.event_key = hashtextextended(asked.id, 0)
            AND listed.dedup_key = asked.key
            AND listed.at > v_now - queue.deduplicate_for
            LIMIT 1  -- one look-up for each key, also when the plan is made on an empty table
        ) AS known ON true
        HAVING count(known.delivery) > 0;
    ELSE
        SELECT array_agg(known.delivery ORDER BY asked.ordinal) INTO v_deliveries
        FROM unnest(p_queues, p_sources, p_ids, p_keys) WITH ORDINALITY
            AS asked (queue, source, id, key, ordinal)
        INNER JOIN arvo.queue ON queue.queue = asked.queue
        LEFT JOIN LATERAL (
            SELECT CASE
                WHEN listed.event ->> 'source' = asked.source
                    AND listed.event ->> 'id' = asked.id
                    AND coalesce(
                        (SELECT lane.queue FROM arvo.lane WHERE lane.lane = listed.lane),
                        listed.key
                    ) = asked.queue
                    THEN abs(listed.delivery)
                ELSE 0
            END AS delivery
            FROM arvo.log_3 AS listed
            WHERE listed.event_key = hashtextextended(asked.id, 0)
            AND listed.dedup_key = asked.key
            AND listed.at > v_now - queue.deduplicate_for
            LIMIT 1  -- one look-up for each key, also when the plan is made on an empty table
        ) AS known ON true
        HAVING count(known.delivery) > 0;
    END IF;
    RETURN v_deliveries;
END;
$known_keys$;

COMMENT ON FUNCTION arvo.known_keys(integer, integer[], text[], text[], bigint[]) IS
'First deliveries that one slot of the log has for some dispatched events.';

REVOKE ALL ON FUNCTION arvo.known_keys(integer, integer[], text[], text[], bigint[]) FROM PUBLIC;
