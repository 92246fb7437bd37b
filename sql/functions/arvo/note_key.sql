-- arvo.note_key(number, queue, key, window, delivery, now) — remember the deduplication key of one event.
CREATE OR REPLACE FUNCTION arvo.note_key(
    p_number bigint,
    p_queue integer,
    p_key bytea,
    p_window interval,
    p_delivery bigint,
    p_now timestamptz
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $note_key$
-- As arvo.mark_duplicates, for one event, outside of a turn of the partitions: p_number names the one
-- in use, the one before is looked at by its own name, so that the third can be emptied. False: the
-- key was there within the window, and nothing has been written.
--
--   Reads    arvo.event_key, the partition before, by (queue, key)
--   Writes   arvo.event_key, the partition in use
--   Locks    arvo.event_key row
--   Raises   40001  under REPEATABLE READ: somebody dispatched the same event meanwhile
BEGIN
    IF p_number % 3 = 0 THEN
        INSERT INTO arvo.event_key_0 AS known (slot, queue, key, delivery, at)
        SELECT 0, p_queue, p_key, p_delivery, p_now
        WHERE NOT EXISTS (
            SELECT
            FROM arvo.event_key_2 AS former
            WHERE former.slot = 2 AND former.queue = p_queue AND former.key = p_key
            AND former.at > p_now - p_window
        )
        ON CONFLICT (slot, queue, key) DO UPDATE
        SET delivery = excluded.delivery, at = excluded.at
        WHERE known.at <= p_now - p_window;
    ELSIF p_number % 3 = 1 THEN
        INSERT INTO arvo.event_key_1 AS known (slot, queue, key, delivery, at)
        SELECT 1, p_queue, p_key, p_delivery, p_now
        WHERE NOT EXISTS (
            SELECT
            FROM arvo.event_key_0 AS former
            WHERE former.slot = 0 AND former.queue = p_queue AND former.key = p_key
            AND former.at > p_now - p_window
        )
        ON CONFLICT (slot, queue, key) DO UPDATE
        SET delivery = excluded.delivery, at = excluded.at
        WHERE known.at <= p_now - p_window;
    ELSE
        INSERT INTO arvo.event_key_2 AS known (slot, queue, key, delivery, at)
        SELECT 2, p_queue, p_key, p_delivery, p_now
        WHERE NOT EXISTS (
            SELECT
            FROM arvo.event_key_1 AS former
            WHERE former.slot = 1 AND former.queue = p_queue AND former.key = p_key
            AND former.at > p_now - p_window
        )
        ON CONFLICT (slot, queue, key) DO UPDATE
        SET delivery = excluded.delivery, at = excluded.at
        WHERE known.at <= p_now - p_window;
    END IF;
    RETURN FOUND;
END;
$note_key$;

COMMENT ON FUNCTION arvo.note_key(bigint, integer, bytea, interval, bigint, timestamptz) IS
'Remembers the deduplication key of one event; false when it is known already.';

REVOKE ALL ON FUNCTION arvo.note_key(bigint, integer, bytea, interval, bigint, timestamptz)
FROM PUBLIC;
