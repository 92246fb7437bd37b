-- arvo.mark_duplicates(items) — which arriving events have been dispatched before.
CREATE OR REPLACE FUNCTION arvo.mark_duplicates(p_items arvo.arrival[])
RETURNS arvo.arrival[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $mark_duplicates$
-- The same source and id, again to the same queue within its window, is a duplicate; also the second
-- of two in one call.
--
--   Reads    arvo.queue; as arvo.note_keys
--   Writes   as arvo.note_keys
--   Locks    as arvo.note_keys
--   Raises   40001  as arvo.note_keys
DECLARE
    v_ordinals integer[];
    v_queues integer[];
    v_sources text[];
    v_ids text[];
    v_deliveries bigint[];
    v_first bigint[];
BEGIN
    SELECT
        array_agg(arrived.ordinal ORDER BY arrived.ordinal),
        array_agg(arrived.queue ORDER BY arrived.ordinal),
        array_agg(arrived.event ->> 'source' ORDER BY arrived.ordinal),
        array_agg(arrived.event ->> 'id' ORDER BY arrived.ordinal),
        array_agg(arrived.delivery ORDER BY arrived.ordinal)
    INTO v_ordinals, v_queues, v_sources, v_ids, v_deliveries
    FROM unnest(p_items) AS arrived
    INNER JOIN arvo.queue ON queue.queue = arrived.queue
    WHERE queue.deduplicate_for > interval '0';
    IF v_ordinals IS NULL THEN
        RETURN p_items;
    END IF;
    v_first := arvo.note_keys(v_queues, v_sources, v_ids, v_deliveries);
    IF v_first IS NULL THEN
        RETURN p_items;
    END IF;

    FOR v_at IN 1..cardinality(v_ordinals) LOOP
        IF v_first[v_at] IS NOT NULL THEN
            p_items[v_ordinals[v_at]].outcome := 'duplicate';
            p_items[v_ordinals[v_at]].first_delivery := v_first[v_at];
        END IF;
    END LOOP;
    RETURN p_items;
END;
$mark_duplicates$;

COMMENT ON FUNCTION arvo.mark_duplicates(arvo.arrival[]) IS
'Marks arriving events whose source and id have been dispatched to the same queue within its window.';

REVOKE ALL ON FUNCTION arvo.mark_duplicates(arvo.arrival[]) FROM PUBLIC;
