-- arvo_v1.drop_queue(queue, purge, dry_run) — let a queue be no queue of a handler any more.
CREATE OR REPLACE FUNCTION arvo_v1.drop_queue(
    p_queue text,
    p_purge boolean DEFAULT false,
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
AS $drop_queue$
-- It is not registered then, its options are the defaults, and what is dispatched to its name counts
-- as unroutable. Its history stays readable. Refused while something is leased, since it would come
-- back when it fails; and while something waits, unless p_purge, which cancels that. A dry run says
-- what there is, and refuses nothing.
--
--   Reads    arvo.queue; as arvo.census and arvo.empty_queue
--   Writes   as arvo.empty_queue and arvo.reset_queue; arvo.operation
--   Locks    all lanes of the queue, in order; as arvo.empty_queue; then as arvo.reset_queue
--   Raises   RV003  the queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV006  something is leased, or waits and is not to be purged
--            RV007  a queue is closed to the caller
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_queue arvo.queue;
    v_census arvo.census;
    v_purged arvo_v1.purged[];
BEGIN
    PERFORM arvo.require_read_committed('drop_queue');
    PERFORM arvo.require_home();
    v_queue := arvo.known_queue(p_queue);
    PERFORM arvo.require_right(ARRAY[p_queue], 'operate');
    IF p_dry_run THEN
        RETURN QUERY SELECT counted.* FROM arvo.would_empty(v_queue) AS counted;
        RETURN;
    END IF;

    PERFORM arvo.lock_lanes(ARRAY(SELECT own.lane FROM arvo.lanes_of(v_queue.queue) AS own));
    v_census := arvo.census(v_queue.queue);
    IF v_census.leased > 0
        OR (NOT p_purge AND v_census.queued + v_census.parked + v_census.deferred > 0)
    THEN
        RAISE EXCEPTION 'queue is not empty'
        USING ERRCODE = 'RV006',
              COLUMN = CASE WHEN v_census.leased > 0 THEN 'queue' ELSE 'purge' END,
              DETAIL = format(
                  '%s queued, %s parked, %s deferred, %s leased', v_census.queued,
                  v_census.parked, v_census.deferred, v_census.leased
              ),
              HINT = 'Let it be worked off (drain_queue), or give p_purge; what is leased is to be'
                     ' settled, or cancelled with p_include_running, first.';
    END IF;

    v_purged := ARRAY(SELECT done FROM arvo.empty_queue(v_queue, NULL) AS done);
    PERFORM arvo.reset_queue(v_queue, false);
    PERFORM arvo.note_operation(
        'drop_queue', p_queue, jsonb_build_object('purge', p_purge),
        (SELECT sum(done.removed)::bigint FROM unnest(v_purged) AS done)
    );
    RETURN QUERY SELECT done.* FROM unnest(v_purged) AS done;
END;
$drop_queue$;

COMMENT ON FUNCTION arvo_v1.drop_queue(text, boolean, boolean) IS
'Unregisters a queue and sets its options back; its history stays.';

REVOKE ALL ON FUNCTION arvo_v1.drop_queue(text, boolean, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.drop_queue(text, boolean, boolean) TO arvo_operator;
