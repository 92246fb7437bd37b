-- arvo.mark_duplicates(items) — which arriving events have been dispatched before.
CREATE OR REPLACE FUNCTION arvo.mark_duplicates(p_items arvo.arrival[])
RETURNS arvo.arrival[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $mark_duplicates$
-- The same source and id, again to the same queue within its window, is a duplicate; also the second
-- of two in one call. A dispatch of the same event that is still open is waited for: nobody can
-- know yet whether it will be there.
--
-- Keys are kept in three partitions, in use one after the other. A sequence names the one in use, so
-- that every snapshot sees the newest. While a transaction that may know only the one before can be
-- running, keys go into both; afterwards the one before is only looked at.
--
--   Reads    arvo.event_key_number, arvo.event_key_generation, arvo.event_key, arvo.queue, arvo.clock
--   Writes   arvo.event_key
--   Locks    arvo.event_key rows, by (queue, key)
--   Raises   40001  under REPEATABLE READ: somebody dispatched the same event meanwhile
DECLARE
    v_now timestamptz := arvo.clock();
    v_number bigint;
    v_own xid8;
    v_written integer;
    v_turning boolean;
    v_slot integer;
    v_ordinals integer[];
    v_queues integer[];
    v_keys bytea[];
    v_deliveries bigint[];
    v_first bigint[];
BEGIN
    SELECT
        array_agg(arrived.ordinal ORDER BY arrived.ordinal),
        array_agg(arrived.queue ORDER BY arrived.ordinal),
        array_agg(arvo.event_digest(arrived.event) ORDER BY arrived.ordinal),
        array_agg(arrived.delivery ORDER BY arrived.ordinal)
    INTO v_ordinals, v_queues, v_keys, v_deliveries
    FROM unnest(p_items) AS arrived
    INNER JOIN arvo.queue ON queue.queue = arrived.queue
    WHERE queue.deduplicate_for > interval '0';
    IF v_ordinals IS NULL THEN
        RETURN p_items;
    END IF;

    -- First its own number, then which partition: see arvo.event_key_generation.
    v_own := pg_current_xact_id();
    SELECT
        current.last_value,
        generation.horizon IS NULL
        OR pg_snapshot_xmin(pg_current_snapshot()) < generation.horizon
    INTO v_number, v_turning
    FROM arvo.event_key_number AS current
    LEFT JOIN arvo.event_key_generation AS generation ON generation.number = current.last_value
    WHERE v_own IS NOT NULL;

    v_first := array_fill(NULL::bigint, ARRAY[cardinality(v_ordinals)]);
    FOREACH v_slot IN ARRAY CASE
        WHEN v_number = 0 THEN '{0}'
        ELSE ARRAY[(v_number - 1) % 3, v_number % 3]::integer[]
    END LOOP
        v_written := 0;
        IF v_turning OR v_slot = v_number % 3 THEN
            INSERT INTO arvo.event_key AS known (slot, queue, key, delivery, at)
            SELECT DISTINCT ON (item.queue, item.key)
                v_slot, item.queue, item.key, item.delivery, v_now
            FROM unnest(v_queues, v_keys, v_deliveries, v_first) WITH ORDINALITY
                AS item (queue, key, delivery, first, ordinal)
            WHERE item.first IS NULL
            ORDER BY item.queue, item.key, item.ordinal
            ON CONFLICT (slot, queue, key) DO UPDATE
            SET delivery = excluded.delivery, at = excluded.at
            WHERE known.at <= (
                SELECT v_now - queue.deduplicate_for
                FROM arvo.queue
                WHERE queue.queue = excluded.queue
            );
            GET DIAGNOSTICS v_written = ROW_COUNT;
        END IF;
        -- As a rule every key was new.
        CONTINUE WHEN v_written = cardinality(v_ordinals);
        SELECT array_agg(
            coalesce(item.first, nullif(item.known, item.delivery)) ORDER BY item.ordinal
        )
        INTO v_first
        FROM unnest(v_deliveries, v_first, arvo.known_keys(v_slot, v_queues, v_keys))
            WITH ORDINALITY AS item (delivery, first, known, ordinal);
    END LOOP;

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
