-- arvo.checked_events(events, ignore_domain) — an array of events taken apart, each of them valid.
CREATE OR REPLACE FUNCTION arvo.checked_events(p_events jsonb, p_ignore_domain boolean)
RETURNS jsonb[]
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $checked_events$
-- In order; an empty array of none. One event that is not valid refuses all, and is named.
--
--   Reads    as arvo.require_dispatch
--   Writes   nothing
--   Locks    nothing
--   Raises   RV001  an event is not valid
--            RV006  p_events is not an array
--            RV007  a queue is closed to the caller
DECLARE
    v_events jsonb[];
    v_event jsonb;
    v_ordinal integer := 0;
    v_fault text;
BEGIN
    IF p_events IS NULL OR jsonb_typeof(p_events) <> 'array' THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'events',
              DETAIL = format('events is of type %s.', coalesce(jsonb_typeof(p_events), 'null')),
              HINT = 'Give a JSON array of events.';
    END IF;
    v_events := ARRAY(SELECT jsonb_array_elements(p_events));
    -- For fewer it takes longer to set up than to look at each.
    IF cardinality(v_events) < 8 OR arvo.let_in(v_events) IS NOT TRUE THEN
        FOREACH v_event IN ARRAY v_events LOOP
            v_ordinal := v_ordinal + 1;
            v_fault := arvo.event_fault(v_event);
            IF v_fault IS NOT NULL THEN
                RAISE EXCEPTION 'event is not valid'
                USING ERRCODE = 'RV001',
                      COLUMN = split_part(v_fault, ':', 1),
                      DETAIL = format('event %s of %s: %s', v_ordinal, cardinality(v_events), v_fault),
                      HINT = 'Correct the field and dispatch the events again. Nothing has been stored.';
            END IF;
        END LOOP;
    END IF;
    PERFORM arvo.require_dispatch(v_events, p_ignore_domain);
    RETURN v_events;
END;
$checked_events$;

COMMENT ON FUNCTION arvo.checked_events(jsonb, boolean) IS
'Takes an array of events apart and refuses it when one is not valid, or not allowed.';

REVOKE ALL ON FUNCTION arvo.checked_events(jsonb, boolean) FROM PUBLIC;
