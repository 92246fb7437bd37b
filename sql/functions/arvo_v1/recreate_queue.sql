-- arvo_v1.recreate_queue(queue, dry_run) — empty a queue and put its options back to their defaults.
CREATE OR REPLACE FUNCTION arvo_v1.recreate_queue(
    p_queue text,
    p_dry_run boolean DEFAULT false
)
RETURNS SETOF arvo_v1.purged
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
AS $recreate_queue$
-- As purge_queue of everything, in one transaction; it stays registered, neither paused nor draining.
-- What is leased is left alone, and the row of the leased says how many those are: their results count.
--
--   Reads    arvo.queue; as arvo.census and arvo.empty_queue
--   Writes   as arvo.empty_queue and arvo.reset_queue; arvo.operation
--   Locks    as arvo.empty_queue; then as arvo.reset_queue
--   Raises   RV003  the queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV007  a queue is closed to the caller
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_queue arvo.queue;
    v_purged arvo_v1.purged[];
BEGIN
    PERFORM arvo.require_read_committed('recreate_queue');
    PERFORM arvo.require_home();
    v_queue := arvo.known_queue(p_queue);
    PERFORM arvo.require_right(ARRAY[p_queue], 'operate');
    IF p_dry_run THEN
        RETURN QUERY SELECT counted.* FROM arvo.would_empty(v_queue) AS counted;
        RETURN;
    END IF;

    v_purged := ARRAY(SELECT done FROM arvo.empty_queue(v_queue, NULL) AS done);
    PERFORM arvo.reset_queue(v_queue, v_queue.registered);
    PERFORM arvo.note_operation(
        'recreate_queue', p_queue, '{}',
        (SELECT sum(done.removed)::bigint FROM unnest(v_purged) AS done)
    );
    PERFORM arvo.wake(ARRAY[v_queue.name]);
    RETURN QUERY SELECT done.* FROM unnest(v_purged) AS done;
END;
$recreate_queue$;

COMMENT ON FUNCTION arvo_v1.recreate_queue(text, boolean) IS
'Cancels what is not leased and sets the options back; says how many, by place.';

REVOKE ALL ON FUNCTION arvo_v1.recreate_queue(text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.recreate_queue(text, boolean) TO arvo_operator;
