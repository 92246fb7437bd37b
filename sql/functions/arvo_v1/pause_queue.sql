-- arvo_v1.pause_queue(queue) — claim nothing from a queue, until it is resumed.
CREATE OR REPLACE FUNCTION arvo_v1.pause_queue(p_queue text)
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
AS $pause_queue$
-- A name that ends in * stands for every queue that begins so. What is in hands is settled as ever;
-- dispatches go on. It waits for claims that are under way: once this has been committed, none hands
-- out anything any more. Ends a drain. One row for each queue; idempotent.
--
--   Reads    arvo.queue, arvo.lane, arvo.clock
--   Writes   arvo.queue, arvo.operation
--   Locks    all lanes of the queues, in order; then their arvo.queue rows
--   Raises   RV003  the queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV006  the name stands for queues with more than 512 lanes
--            RV007  a queue is closed to the caller
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_switched arvo_v1.switched[];
BEGIN
    PERFORM arvo.require_read_committed('pause_queue');
    PERFORM arvo.require_home();
    PERFORM arvo.require_right(
        ARRAY(SELECT named.name FROM arvo.queues_named(p_queue) AS named), 'operate'
    );
    PERFORM arvo.lock_lanes(arvo.lanes_named(p_queue));

    WITH named AS MATERIALIZED (
        SELECT queue.queue, queue.paused_at
        FROM arvo.queue
        WHERE queue.queue IN (SELECT named.queue FROM arvo.queues_named(p_queue) AS named)
        ORDER BY queue.name COLLATE "C"
        FOR NO KEY UPDATE
    ),

    paused AS (
        UPDATE arvo.queue
        SET paused_at = arvo.clock(), paused_by = session_user, drained_to = NULL
        FROM named
        WHERE queue.queue = named.queue AND named.paused_at IS NULL
        RETURNING queue.queue, queue.paused_at, queue.paused_by
    )

    SELECT array_agg(
        (
            queue.name,
            CASE WHEN paused.queue IS NULL THEN 'unchanged' ELSE 'paused' END,
            coalesce(paused.paused_at, queue.paused_at),
            coalesce(paused.paused_by, queue.paused_by),
            false,
            NULL
        )::arvo_v1.switched
        ORDER BY queue.name COLLATE "C"
    )
    INTO v_switched
    FROM named
    INNER JOIN arvo.queue ON queue.queue = named.queue
    LEFT JOIN paused ON paused.queue = named.queue;

    PERFORM arvo.note_operation(
        'pause_queue', p_queue, '{}',
        (SELECT count(*) FROM unnest(v_switched) AS done WHERE done.change <> 'unchanged')
    );
    RETURN QUERY SELECT done.* FROM unnest(v_switched) AS done;
END;
$pause_queue$;

COMMENT ON FUNCTION arvo_v1.pause_queue(text) IS
'Stops claims from a queue, or from all that begin alike, until they are resumed.';

REVOKE ALL ON FUNCTION arvo_v1.pause_queue(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.pause_queue(text) TO arvo_operator;
