-- arvo_v1.publish(event, options) — deliver an event to every queue that subscribes to its type.
CREATE OR REPLACE FUNCTION arvo_v1.publish(p_event jsonb, p_options jsonb DEFAULT NULL)
RETURNS SETOF arvo_v1.dispatched
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $publish$
-- One row for each copy, with an outcome of its own: each queue has its own policy, and its own
-- window for duplicates. The body is stored once. One row with the outcome "unheard", and no
-- delivery, when nobody subscribes: then nothing is stored. "to" and "domain" are not looked at. A
-- handler publishes by emitting an event whose "to" is arvo.publish. A queue that subscribes and is
-- closed to the publisher gets no copy, and a row with the outcome "closed" says so: it refuses only
-- itself, or whoever may subscribe could stop everybody who publishes.
--
--   Reads    as arvo.append
--   Writes   as arvo.append
--   Locks    as arvo.append
--   Raises   RV001  the event is not valid
--            RV002, RV201, RV902  as arvo.append
DECLARE
    v_fault text := arvo.event_fault(p_event);
BEGIN
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION 'event is not valid'
        USING ERRCODE = 'RV001',
              COLUMN = split_part(v_fault, ':', 1),
              DETAIL = v_fault,
              HINT = 'Correct the field and publish the event again. Nothing has been stored.';
    END IF;
    RETURN QUERY
    SELECT accepted.*
    FROM arvo.append(ARRAY[p_event], p_options, false, false, '{arvo.publish}', true) AS accepted;
END;
$publish$;

COMMENT ON FUNCTION arvo_v1.publish(jsonb, jsonb) IS
'Delivers an event to every queue that subscribes to its type; one row for each copy.';

REVOKE ALL ON FUNCTION arvo_v1.publish(jsonb, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.publish(jsonb, jsonb)
TO arvo_client, arvo_worker, arvo_operator;
