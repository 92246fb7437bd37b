-- arvo.leave_queued(queue, batch) — claimed deliveries no longer have the place of those that wait.
CREATE OR REPLACE FUNCTION arvo.leave_queued(p_queue arvo.queue, p_batch arvo.log[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $leave_queued$
-- short and stately give a place to one that waits, stately also to one that is to be retried. The
-- place of an exclusive queue is kept until the event is finished.
--
--   Reads    nothing
--   Writes   as arvo.free_places
--   Locks    as arvo.free_places
--   Raises   nothing
DECLARE
    v_keys bigint[];
    v_deliveries bigint[];
BEGIN
    IF p_queue.policy NOT IN ('short', 'stately') THEN
        RETURN;
    END IF;
    SELECT
        array_agg(arvo.key_for(p_queue, entry)),
        array_agg(arvo.first_of(entry))
    INTO v_keys, v_deliveries
    FROM unnest(p_batch) AS entry;
    PERFORM arvo.free_places(p_queue.queue, 'queued', v_keys, v_deliveries);
    IF p_queue.policy = 'stately' THEN
        PERFORM arvo.free_places(p_queue.queue, 'retry', v_keys, v_deliveries);
    END IF;
END;
$leave_queued$;

COMMENT ON FUNCTION arvo.leave_queued(arvo.queue, arvo.log[]) IS
'Frees the places of short and stately queues when their deliveries are claimed.';

REVOKE ALL ON FUNCTION arvo.leave_queued(arvo.queue, arvo.log[]) FROM PUBLIC;
