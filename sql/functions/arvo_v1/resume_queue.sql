-- arvo_v1.resume_queue(queue) — claim from a queue again.
CREATE OR REPLACE FUNCTION arvo_v1.resume_queue(p_queue text)
RETURNS SETOF arvo_v1.switched
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
AS $resume_queue$
-- Ends a pause and a drain. A name that ends in * stands for every queue that begins so. One row for
-- each queue; idempotent.
--
--   Reads    arvo.queue
--   Writes   arvo.queue, arvo.operation
--   Locks    arvo.queue rows, by name
--   Raises   RV003  the queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV007  a queue is closed to the caller
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_switched arvo_v1.switched[];
BEGIN
    PERFORM arvo.require_read_committed('resume_queue');
    PERFORM arvo.require_home();
    PERFORM arvo.require_right(
        ARRAY(SELECT named.name FROM arvo.queues_named(p_queue) AS named), 'operate'
    );

    WITH named AS MATERIALIZED (
        SELECT queue.queue, queue.name, queue.paused_at, queue.drained_to
        FROM arvo.queue
        WHERE queue.queue IN (SELECT named.queue FROM arvo.queues_named(p_queue) AS named)
        ORDER BY queue.name COLLATE "C"
        FOR NO KEY UPDATE
    ),

    resumed AS (
        UPDATE arvo.queue
        SET paused_at = NULL, paused_by = NULL, drained_to = NULL
        FROM named
        WHERE queue.queue = named.queue
        -- as the row is since it was waited for, not as it was when this call began
        AND num_nonnulls(named.paused_at, named.drained_to) > 0
        RETURNING queue.queue
    )

    SELECT array_agg(
        (
            named.name,
            CASE WHEN resumed.queue IS NULL THEN 'unchanged' ELSE 'resumed' END,
            NULL, NULL, false, NULL
        )::arvo_v1.switched
        ORDER BY named.name COLLATE "C"
    )
    INTO v_switched
    FROM named
    LEFT JOIN resumed ON resumed.queue = named.queue;

    PERFORM arvo.note_operation(
        'resume_queue', p_queue, '{}',
        (SELECT count(*) FROM unnest(v_switched) AS done WHERE done.change <> 'unchanged')
    );
    PERFORM arvo.wake(
        ARRAY(
            SELECT done.queue FROM unnest(v_switched) AS done WHERE done.change <> 'unchanged'
        )
    );
    RETURN QUERY SELECT done.* FROM unnest(v_switched) AS done;
END;
$resume_queue$;

COMMENT ON FUNCTION arvo_v1.resume_queue(text) IS
'Ends the pause or the drain of a queue, or of all that begin alike.';

REVOKE ALL ON FUNCTION arvo_v1.resume_queue(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.resume_queue(text) TO arvo_operator;
