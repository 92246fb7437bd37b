-- arvo.note_keys(queues, sources, ids, deliveries) — note events as keys, and say which were known.
CREATE OR REPLACE FUNCTION arvo.note_keys(
    p_queues integer[],
    p_sources text[],
    p_ids text[],
    p_deliveries bigint[]
)
RETURNS bigint[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $note_keys$
-- For events that do not go into the log with their own key: they are due later, may yet be refused,
-- or come while the log turns. A row in lane 0, which nobody claims, holds the key, and source and id,
-- by which it is told from another one with the same key.
--
-- One element for each event: NULL when it is new and has been noted, else the delivery that was first
-- within the window of its queue; also for the second of two in one call. NULL when all are new. A
-- dispatch of the same event that is still open is waited for: nobody can know yet whether it will be
-- there.
--
--   Reads    arvo.queue, arvo.clock; as arvo.key_span and arvo.known_keys
--   Writes   arvo.log, rows in lane 0; as arvo.free_keys
--   Locks    keys in arvo.log, by slot, event_key and dedup_key; as arvo.free_keys
--   Raises   40001  under REPEATABLE READ: somebody dispatched the same event meanwhile
DECLARE
    v_now timestamptz := arvo.clock();
    v_span arvo.key_span;
    v_slot integer;
    v_keys bigint[];
    v_written integer;
    v_known bigint[];
    v_first bigint[];
    v_left integer[];
BEGIN
    v_span := arvo.key_span(
        (SELECT max(queue.deduplicate_for) FROM arvo.queue WHERE queue.queue = ANY (p_queues)),
        v_now
    );
    v_keys := ARRAY(
        SELECT arvo.dedup_key(item.queue, item.source, item.id)
        FROM unnest(p_queues, p_sources, p_ids) WITH ORDINALITY
            AS item (queue, source, id, ordinal)
        ORDER BY item.ordinal
    );
    v_first := array_fill(NULL::bigint, ARRAY[cardinality(p_ids)]);
    FOREACH v_slot IN ARRAY coalesce(v_span.looked, '{}') LOOP
        v_first := arvo.first_known(
            v_first, p_deliveries, arvo.known_keys(v_slot, p_queues, p_sources, p_ids, v_keys)
        );
    END LOOP;

    FOREACH v_slot IN ARRAY v_span.written LOOP
        LOOP
            INSERT INTO arvo.log (
                slot, lane, delivery, attempt, at, subject_key, event_key, event, key, dedup_key
            )
            SELECT
                v_slot, 0, -item.delivery, 0, v_now, 0, hashtextextended(item.id, 0),
                jsonb_build_object('source', item.source, 'id', item.id), item.queue, item.key
            FROM unnest(p_queues, p_sources, p_ids, v_keys, p_deliveries, v_first) WITH ORDINALITY
                AS item (queue, source, id, key, delivery, first, ordinal)
            WHERE item.first IS NULL
            ORDER BY hashtextextended(item.id, 0), item.key, item.ordinal
            ON CONFLICT DO NOTHING;
            GET DIAGNOSTICS v_written = ROW_COUNT;
            EXIT WHEN v_written = cardinality(p_ids);
            v_known := arvo.known_keys(v_slot, p_queues, p_sources, p_ids, v_keys);
            v_first := arvo.first_known(v_first, p_deliveries, v_known);
            -- What stands in the way of the others is over.
            SELECT array_agg(item.ordinal::integer) INTO v_left
            FROM unnest(v_first, v_known) WITH ORDINALITY AS item (first, known, ordinal)
            WHERE item.first IS NULL AND item.known IS NULL;
            EXIT WHEN v_left IS NULL;
            PERFORM arvo.free_keys(
                v_slot,
                ARRAY(SELECT p_queues[ordinal] FROM unnest(v_left) AS ordinal),
                ARRAY(SELECT p_ids[ordinal] FROM unnest(v_left) AS ordinal),
                ARRAY(SELECT v_keys[ordinal] FROM unnest(v_left) AS ordinal)
            );
        END LOOP;
    END LOOP;
    RETURN CASE WHEN num_nonnulls(VARIADIC v_first) > 0 THEN v_first END;
END;
$note_keys$;

COMMENT ON FUNCTION arvo.note_keys(integer[], text[], text[], bigint[]) IS
'Notes dispatched events as keys; answers the first delivery of each that was known within its window.';

REVOKE ALL ON FUNCTION arvo.note_keys(integer[], text[], text[], bigint[]) FROM PUBLIC;
