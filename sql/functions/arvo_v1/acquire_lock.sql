-- arvo_v1.acquire_lock(subject, ttl) — take the lock on a subject, if it is free.
CREATE OR REPLACE FUNCTION arvo_v1.acquire_lock(
    p_subject text,
    p_ttl interval DEFAULT interval '2 minutes'
)
RETURNS SETOF arvo_v1.lock
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $acquire_lock$
-- Answers one row with a fencing token, or none when somebody holds the lock. Never waits: an
-- upsert alone would wait for a competitor's open transaction, so a transaction lock is tried first;
-- and for whoever has the row in hand (a write under the lock, a renewal, a clean-up), so the row is
-- locked first, or left alone.
--
--   Reads    arvo.clock
--   Writes   arvo.state_lock
--   Locks    the subject's transaction lock and arvo.state_lock row: tried, never waited for
--   Raises   RV006  an argument is not valid
BEGIN
    IF p_subject IS NULL OR p_subject = ''
        OR p_ttl IS NULL OR p_ttl NOT BETWEEN interval '1 millisecond' AND interval '30 days'
    THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = CASE WHEN p_subject IS NULL OR p_subject = '' THEN 'subject' ELSE 'ttl' END,
              DETAIL = format('ttl: %s', p_ttl),
              HINT = 'subject is a text that is not empty, ttl 1 millisecond to 30 days.';
    END IF;
    IF NOT pg_try_advisory_xact_lock(arvo.lock_key(p_subject)) THEN
        RETURN;
    END IF;
    PERFORM
    FROM arvo.state_lock
    WHERE state_lock.subject_digest = arvo.subject_digest(p_subject)
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND AND EXISTS (
        SELECT
        FROM arvo.state_lock
        WHERE state_lock.subject_digest = arvo.subject_digest(p_subject)
    ) THEN
        RETURN;
    END IF;
    RETURN QUERY
    INSERT INTO arvo.state_lock AS held (subject_digest, subject, token, locked_at, expires_at)
    VALUES (
        arvo.subject_digest(p_subject), p_subject, nextval('arvo.lock_token'::regclass),
        arvo.clock(), arvo.clock() + p_ttl
    )
    ON CONFLICT (subject_digest) DO UPDATE
    SET token = excluded.token,
        locked_at = excluded.locked_at,
        expires_at = excluded.expires_at
    WHERE held.expires_at <= excluded.locked_at
    RETURNING held.subject, held.token, held.expires_at;
END;
$acquire_lock$;

COMMENT ON FUNCTION arvo_v1.acquire_lock(text, interval) IS
'Takes the time-limited lock on a subject and returns its fencing token; no row when it is held.';

REVOKE ALL ON FUNCTION arvo_v1.acquire_lock(text, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.acquire_lock(text, interval) TO arvo_worker;
