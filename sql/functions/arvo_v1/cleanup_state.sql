-- arvo_v1.cleanup_state(subject) — forget one workflow.
CREATE OR REPLACE FUNCTION arvo_v1.cleanup_state(p_subject text)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $cleanup_state$
-- Removes the state, the lock and, unless other workflows descend from it, the place in the tree.
-- Children are not touched and keep their root. Of ancestors that are gone, the places that nothing
-- depends on any more go, too. Idempotent: true when there was a state.
--
--   Reads    arvo.lineage; as arvo.prune_lineage
--   Writes   arvo.state, arvo.state_lock, arvo.lineage; arvo.operation, when no worker calls
--   Locks    the subject's transaction lock, then arvo.state_lock row, arvo.state row, arvo.lineage
--            row of p_subject; as arvo.prune_lineage
--   Raises   nothing
DECLARE
    v_digest bytea := arvo.subject_digest(p_subject);
    v_found boolean;
    v_parent bytea;
BEGIN
    PERFORM pg_advisory_xact_lock(arvo.lock_key(p_subject));
    DELETE FROM arvo.state_lock WHERE state_lock.subject_digest = v_digest;
    DELETE FROM arvo.state WHERE state.subject_digest = v_digest;
    v_found := FOUND;
    DELETE FROM arvo.lineage
    WHERE lineage.subject_digest = v_digest
    AND NOT EXISTS (
        SELECT FROM arvo.lineage AS child WHERE child.parent_digest = v_digest
    )
    RETURNING lineage.parent_digest INTO v_parent;
    IF v_parent IS NOT NULL THEN
        PERFORM arvo.prune_lineage(v_parent);
    END IF;
    -- Workers do it whenever a workflow is over: that is no news.
    IF v_found AND NOT arvo.is_one_of(ARRAY['arvo_worker']) THEN
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
