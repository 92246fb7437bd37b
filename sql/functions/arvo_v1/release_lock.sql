-- arvo_v1.release_lock(subject, token, durable) — give a lock back.
CREATE OR REPLACE FUNCTION arvo_v1.release_lock(
    p_subject text,
    p_token bigint,
    p_durable boolean DEFAULT true
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $release_lock$
-- Removes only the lock that was taken under this token; a stale token removes nothing and is
-- answered false. The subject's transaction lock keeps acquire_lock from waiting for this delete.
-- Without p_durable the commit does not wait for the disk: for a call that is a transaction of its own.
-- After a crash of the server the lock may be there again, until its time is over.
--
--   Reads    nothing
--   Writes   arvo.state_lock; the setting synchronous_commit of this transaction
--   Locks    the subject's transaction lock, then arvo.state_lock row
--   Raises   nothing
BEGIN
    IF NOT p_durable AND pg_current_xact_id_if_assigned() IS NULL THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    PERFORM pg_advisory_xact_lock(arvo.lock_key(p_subject));
    DELETE FROM arvo.state_lock
    WHERE state_lock.subject_digest = arvo.subject_digest(p_subject)
    AND state_lock.token = p_token;
    RETURN FOUND;
END;
$release_lock$;

COMMENT ON FUNCTION arvo_v1.release_lock(text, bigint, boolean) IS
'Releases the lock held under this token; false when it is not held under it.';

REVOKE ALL ON FUNCTION arvo_v1.release_lock(text, bigint, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.release_lock(text, bigint, boolean) TO arvo_worker;
