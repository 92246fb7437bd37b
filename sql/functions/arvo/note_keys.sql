-- arvo.note_keys(queues, keys, deliveries) — remember deduplication keys, and say which were known.
CREATE OR REPLACE FUNCTION arvo.note_keys(
    p_queues integer[],
    p_keys bytea[],
    p_deliveries bigint[]
)
RETURNS bigint[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $note_keys$
-- One element for each key: NULL when it is new and has been noted, else the delivery that was first
-- within the window of its queue; also for the second of two in one call. NULL when all are new. A
-- dispatch of the same event that is still open is waited for: nobody can know yet whether it will be
-- there.
--
-- Keys are kept in three partitions, in use one after the other. A sequence names the one in use, so
-- that every snapshot sees the newest. While a transaction that may know only the one before can be
-- running, keys go into both; afterwards the one before is only looked at.
--
-- As a rule every key is new. Many of them are simply inserted, in a subtransaction that is undone when
-- one is known after all: ON CONFLICT looks each up first, and writes 48 bytes of log more for it.
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
    v_known bigint[];
    v_first bigint[];
BEGIN
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

    FOREACH v_slot IN ARRAY CASE
        WHEN v_number = 0 THEN '{0}'
        ELSE ARRAY[(v_number - 1) % 3, v_number % 3]::integer[]
    END LOOP
        v_written := 0;
        IF v_first IS NULL AND NOT v_turning AND v_slot = v_number % 3 AND cardinality(p_keys) >= 100
        THEN
            BEGIN
                INSERT INTO arvo.event_key (slot, queue, key, delivery, at)
                SELECT v_slot, item.queue, item.key, item.delivery, v_now
                FROM unnest(p_queues, p_keys, p_deliveries) AS item (queue, key, delivery)
                ORDER BY item.queue, item.key;
                RETURN NULL;
            EXCEPTION WHEN unique_violation THEN
                NULL;  -- known already, or twice in this call
            END;
        END IF;
        IF v_turning OR v_slot = v_number % 3 THEN
            INSERT INTO arvo.event_key AS known (slot, queue, key, delivery, at)
            SELECT DISTINCT ON (item.queue, item.key)
                v_slot, item.queue, item.key, item.delivery, v_now
            FROM unnest(p_queues, p_keys, p_deliveries, v_first) WITH ORDINALITY
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
        CONTINUE WHEN v_written = cardinality(p_keys);
        v_known := arvo.known_keys(v_slot, p_queues, p_keys);
        CONTINUE WHEN v_known IS NULL;
        SELECT array_agg(
            coalesce(item.first, nullif(item.known, item.delivery)) ORDER BY item.ordinal
        )
        INTO v_first
        FROM unnest(p_deliveries, v_first, v_known)
            WITH ORDINALITY AS item (delivery, first, known, ordinal);
    END LOOP;
    RETURN v_first;
END;
$note_keys$;

COMMENT ON FUNCTION arvo.note_keys(integer[], bytea[], bigint[]) IS
'Remembers deduplication keys; answers the first delivery of each that was known within its window.';

REVOKE ALL ON FUNCTION arvo.note_keys(integer[], bytea[], bigint[]) FROM PUBLIC;
