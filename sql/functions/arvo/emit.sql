-- arvo.emit(events) — accept what a settlement emits, by the plainest way that takes it.
CREATE OR REPLACE FUNCTION arvo.emit(p_events jsonb[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $emit$
-- The events have been checked by the caller, also against what is closed to it. One goes by
-- arvo.append_one, several by arvo.append_plain; what these leave alone goes by arvo.append, all of it.
-- Emitted events are not looked up as duplicates, for a settlement happens once.
--
--   Reads    as arvo.append_one, arvo.append_plain or arvo.append
--   Writes   as arvo.append_one, arvo.append_plain or arvo.append
--   Locks    as arvo.append
--   Raises   as arvo.append
DECLARE
    v_alone arvo_v1.dispatched;
BEGIN
    IF cardinality(p_events) = 1 THEN
        v_alone := arvo.append_one(p_events[1], false, true);
        IF v_alone.delivery IS NOT NULL THEN
            RETURN;
        END IF;
    ELSE
        PERFORM FROM arvo.append_plain(p_events, false, true);
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;
    PERFORM FROM arvo.append(p_events, NULL, false, true, p_asking => true);
END;
$emit$;

COMMENT ON FUNCTION arvo.emit(jsonb[]) IS
'Appends the events that a settlement emits, in order.';

REVOKE ALL ON FUNCTION arvo.emit(jsonb[]) FROM PUBLIC;
