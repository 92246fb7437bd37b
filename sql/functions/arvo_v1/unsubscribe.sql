-- arvo_v1.unsubscribe(queue, pattern) — end a subscription, or all of a queue.
CREATE OR REPLACE FUNCTION arvo_v1.unsubscribe(p_queue text, p_pattern text DEFAULT NULL)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $unsubscribe$
-- Copies that the queue has got already stay there. p_pattern NULL ends all of them. Returns how many
-- there were.
--
--   Reads    as arvo.may
--   Writes   arvo.subscription, arvo.operation
--   Locks    arvo.subscription rows
--   Raises   RV007  the queue is closed to the caller
DECLARE
    v_ended integer;
BEGIN
    IF NOT arvo.may(p_queue, 'operate') THEN
        PERFORM arvo.require_right(ARRAY[p_queue], 'consume');
    END IF;
    DELETE FROM arvo.subscription
    WHERE subscription.queue = p_queue
    AND (p_pattern IS NULL OR subscription.pattern = p_pattern);
    GET DIAGNOSTICS v_ended = ROW_COUNT;
    IF v_ended > 0 THEN
        PERFORM arvo.note_operation(
            'unsubscribe', p_queue, jsonb_build_object('pattern', p_pattern), v_ended
        );
    END IF;
    RETURN v_ended;
END;
$unsubscribe$;

COMMENT ON FUNCTION arvo_v1.unsubscribe(text, text) IS
'Ends a subscription of a queue, or all of them.';

REVOKE ALL ON FUNCTION arvo_v1.unsubscribe(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.unsubscribe(text, text) TO arvo_worker, arvo_operator;
