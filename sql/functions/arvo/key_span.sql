-- arvo.key_span(window, now) — in which slots of the log keys of events are looked for, and noted.
CREATE OR REPLACE FUNCTION arvo.key_span(p_window interval, p_now timestamptz)
RETURNS arvo.key_span
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $key_span$
-- New keys go to the slot in use. A sequence names it, so that every snapshot sees the newest. While
-- a transaction that may know only the one before can be running, keys go into both, in this order;
-- afterwards the one before is only looked at, as are those before it, as far as p_window reaches: a
-- row names a time from before the next generation was opened. p_now was taken before the call.
--
--   Reads    arvo.generation, its sequence
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_own xid8;
    v_number bigint;
    v_turning boolean;
    v_span arvo.key_span;
BEGIN
    -- First its own number, then which generation: see arvo.open_generation.
    v_own := pg_current_xact_id();
    SELECT
        current.last_value,
        newest.horizon IS NULL OR pg_snapshot_xmin(pg_current_snapshot()) < newest.horizon
    INTO v_number, v_turning
    FROM arvo.generation_number_seq AS current
    LEFT JOIN arvo.generation AS newest ON newest.number = current.last_value
    WHERE v_own IS NOT NULL;
    v_span.written := CASE
        WHEN v_turning THEN ARRAY[((v_number - 2) % 4)::integer, ((v_number - 1) % 4)::integer]
        ELSE ARRAY[((v_number - 1) % 4)::integer]
    END;
    SELECT array_agg(former.slot::integer ORDER BY former.number) INTO v_span.looked
    FROM arvo.generation AS former
    INNER JOIN arvo.generation AS next ON next.number = former.number + 1
    WHERE former.number < v_number - v_turning::integer
    AND former.emptied_at IS NULL
    AND next.opened_at > p_now - p_window;
    RETURN v_span;
END;
$key_span$;

COMMENT ON FUNCTION arvo.key_span(interval, timestamptz) IS
'Slots of the log in which keys of dispatched events are looked for, and noted.';

REVOKE ALL ON FUNCTION arvo.key_span(interval, timestamptz) FROM PUBLIC;
