-- arvo_v1.drain_queue(queue) — work off what waits now; what comes after waits.
CREATE OR REPLACE FUNCTION arvo_v1.drain_queue(p_queue text)
RETURNS arvo_v1.switched
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
AS $drain_queue$
-- All lanes are held while the line is drawn, so no claim can have read beyond it; a priority that is
-- used for the first time at this moment may have been, and then waits from there. What is put off, and
-- what fails from now on, comes after it. Ends a pause; resume_queue ends the drain. "waiting" says how
-- many are left to do, with those in hands: call again to see it fall. Idempotent: the line stays where
-- it was drawn first.
--
--   Reads    arvo.queue; as arvo.census
--   Writes   arvo.queue, arvo.operation
--   Locks    table arvo.queue, ROW EXCLUSIVE; all lanes of the queue, in order; then its arvo.queue row
--   Raises   RV003  the queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV007  a queue is closed to the caller
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_queue arvo.queue;
    v_change text := 'unchanged';
    v_census arvo.census;
BEGIN
    PERFORM arvo.require_read_committed('drain_queue');
    PERFORM arvo.require_home();
    v_queue := arvo.known_queue(p_queue);
    PERFORM arvo.require_right(ARRAY[p_queue], 'operate');
    -- Before any row of it: a grant holds the table, and waits for rows.
    LOCK TABLE arvo.queue IN ROW EXCLUSIVE MODE;
    PERFORM arvo.lock_lanes(ARRAY(SELECT own.lane FROM arvo.lanes_of(v_queue.queue) AS own));

    -- Whoever resumes it holds no lane: what that does must be seen by the next statement.
    PERFORM FROM arvo.queue WHERE queue.queue = v_queue.queue FOR NO KEY UPDATE;
    UPDATE arvo.queue
    SET drained_to = arvo.window_snapshot(), paused_at = NULL, paused_by = NULL
    WHERE queue.queue = v_queue.queue AND queue.drained_to IS NULL;
    IF FOUND THEN
        v_change := 'draining';
        PERFORM arvo.wake(ARRAY[v_queue.name]);
    END IF;
    SELECT queue.* INTO STRICT v_queue FROM arvo.queue WHERE queue.queue = v_queue.queue;
    v_census := arvo.census(v_queue.queue, v_queue.drained_to);
    PERFORM arvo.note_operation(
        'drain_queue', p_queue, '{}', CASE WHEN v_change = 'unchanged' THEN 0 ELSE 1 END
    );
    RETURN (
        v_queue.name, v_change, NULL, NULL, true,
        v_census.queued + v_census.parked + v_census.leased
    )::arvo_v1.switched;
END;
$drain_queue$;

COMMENT ON FUNCTION arvo_v1.drain_queue(text) IS
'Lets a queue be worked off: only what waits now is claimed, until it is resumed.';

REVOKE ALL ON FUNCTION arvo_v1.drain_queue(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.drain_queue(text) TO arvo_operator;
