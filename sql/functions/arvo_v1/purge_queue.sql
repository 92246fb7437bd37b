-- arvo_v1.purge_queue(queue, limit, dry_run) — cancel everything in a queue that nobody holds.
CREATE OR REPLACE FUNCTION arvo_v1.purge_queue(
    p_queue text,
    p_limit integer DEFAULT 10000,
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
AS $purge_queue$
-- Four rows: what waits in the log, what waits in line behind others of its key, what is due later,
-- and what is leased, which is left alone. Everything is journalled as cancelled. At most p_limit a
-- call (NULL: all, in one transaction); while "kept" is NULL for one of them there may be more: call
-- again. Dead letters that lie in a dead-letter queue are discarded with it; those of a queue are
-- none of its deliveries. A dry run takes no lock.
--
--   Reads    arvo.queue; as arvo.census and arvo.empty_queue
--   Writes   as arvo.empty_queue; arvo.operation
--   Locks    as arvo.empty_queue
--   Raises   RV003  the queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV006  limit is not valid
--            RV007  a queue is closed to the caller
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_queue arvo.queue;
    v_purged arvo_v1.purged[];
BEGIN
    PERFORM arvo.require_read_committed('purge_queue');
    PERFORM arvo.require_home();
    v_queue := arvo.known_queue(p_queue);
    PERFORM arvo.require_right(ARRAY[p_queue], 'operate');
    IF p_limit < 1 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'limit',
              DETAIL = format('limit: %s', p_limit),
              HINT = 'Use 1 or more; NULL for everything.';
    END IF;
    IF p_dry_run THEN
        RETURN QUERY SELECT counted.* FROM arvo.would_empty(v_queue) AS counted;
        RETURN;
    END IF;

    v_purged := ARRAY(SELECT done FROM arvo.empty_queue(v_queue, p_limit) AS done);
    PERFORM arvo.note_operation(
        'purge_queue', p_queue, jsonb_build_object('limit', p_limit),
        (SELECT sum(done.removed)::bigint FROM unnest(v_purged) AS done)
    );
    RETURN QUERY SELECT done.* FROM unnest(v_purged) AS done;
END;
$purge_queue$;

COMMENT ON FUNCTION arvo_v1.purge_queue(text, integer, boolean) IS
'Cancels everything in a queue that is not leased; says how many, by place.';

REVOKE ALL ON FUNCTION arvo_v1.purge_queue(text, integer, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.purge_queue(text, integer, boolean) TO arvo_operator;
