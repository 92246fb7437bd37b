-- arvo_v1.release_lock(subject, token) — give a lock back.
CREATE OR REPLACE FUNCTION arvo_v1.release_lock(p_subject text, p_token bigint)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $release_lock$
-- Removes only the lock that was taken under this token; a stale token removes nothing and is
-- answered false. The subject's transaction lock keeps acquire_lock from waiting for this delete.
--
--   Reads    nothing
--   Writes   arvo.state_lock
--   Locks    the subject's transaction lock, then arvo.state_lock row
--   Raises   nothing
BEGIN
    PERFORM pg_advisory_xact_lock(arvo.lock_key(p_subject));
    DELETE FROM arvo.state_lock
    WHERE state_lock.subject_digest = arvo.subject_digest(p_subject)
    AND state_lock.token = p_token;
    RETURN FOUND;
END;
$release_lock$;

COMMENT ON FUNCTION arvo_v1.release_lock(text, bigint) IS
'Releases the lock held under this token; false when it is not held under it.';

REVOKE ALL ON FUNCTION arvo_v1.release_lock(text, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.release_lock(text, bigint) TO arvo_worker;
