-- arvo_v1.cleanup_state(subject) — forget one workflow.
CREATE OR REPLACE FUNCTION arvo_v1.cleanup_state(p_subject text)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1s'
AS $cleanup_state$
-- Removes the state, the lock and, unless other workflows descend from it, the place in the tree.
-- Children are not touched and keep their root. Of ancestors that are gone, the places that nothing
-- depends on any more go, too. A child whose first write is still open counts: then the place stays,
-- until that child is cleaned up. Idempotent: true when there was a state.
--
--   Reads    as arvo.prune_lineage
--   Writes   arvo.state, arvo.state_lock; as arvo.prune_lineage; arvo.operation, unless it is
--            a worker's doing
--   Locks    the subject's transaction lock, then arvo.state_lock row, arvo.state row; as
--            arvo.prune_lineage
--   Raises   55P03  somebody has held a lock for a second: call again
DECLARE
    v_digest bytea := arvo.subject_digest(p_subject);
    v_finished boolean;
    v_found boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(arvo.lock_key(p_subject));
    DELETE FROM arvo.state_lock WHERE state_lock.subject_digest = v_digest;
    DELETE FROM arvo.state
    WHERE state.subject_digest = v_digest
    RETURNING arvo.is_finished(state.execution_status, state.data) INTO v_finished;
    v_found := FOUND;
    PERFORM arvo.prune_lineage(v_digest);
    -- Workers do it whenever a workflow is over: that is no news. While it goes on it is, from those
    -- who are operators as well.
    IF v_found AND NOT arvo.acts_as_worker()
        AND NOT (v_finished AND arvo.is_one_of(ARRAY['arvo_worker']))
    THEN
        PERFORM arvo.note_operation(
            'cleanup_state', NULL, jsonb_build_object('subject', p_subject), 1
        );
    END IF;
    RETURN v_found;
END;
$cleanup_state$;

COMMENT ON FUNCTION arvo_v1.cleanup_state(text) IS
'Forgets the state and lock of one subject; true when it had a state.';

REVOKE ALL ON FUNCTION arvo_v1.cleanup_state(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.cleanup_state(text) TO arvo_worker, arvo_operator;
