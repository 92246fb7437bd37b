-- arvo.take_lock(subject, ttl, durable, now) — take the lock on a subject, if it is free: its fencing token.
CREATE OR REPLACE FUNCTION arvo.take_lock(
    p_subject text,
    p_ttl interval,
    p_durable boolean,
    p_now timestamptz
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $take_lock$
-- NULL when somebody holds the lock. Never waits: an upsert alone would wait for a competitor's open
-- transaction, so a transaction lock is tried first; and for whoever has the row in hand (a write under
-- the lock, a renewal, a clean-up), so a row that has lapsed is locked first, or left alone.
--
-- Without p_durable the commit does not wait for the disk: for a call that is a transaction of its own.
-- What a crash of the server undoes then was taken in its last half second; the holder's next
-- write is refused, also if its number is given again: the low bits of a token are random.
--
--   Reads    nothing
--   Writes   arvo.state_lock; the setting synchronous_commit of this transaction
--   Locks    the subject's transaction lock and arvo.state_lock row: tried, never waited for
--   Raises   RV006  an argument is not valid
DECLARE
    v_digest bytea := arvo.subject_digest(p_subject);
    v_token bigint;
    v_expires_at timestamptz;
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
        RETURN NULL;
    END IF;
    -- Whatever was written before in this transaction stays as durable as its writer wants it.
    IF NOT p_durable AND pg_current_xact_id_if_assigned() IS NULL THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;

    SELECT held.expires_at INTO v_expires_at
    FROM arvo.state_lock AS held
    WHERE held.subject_digest = v_digest;
    IF v_expires_at > p_now THEN
        RETURN NULL;
    END IF;
    v_token := (nextval('arvo.lock_token'::regclass) << 12) | floor(random() * 4096)::bigint;
    IF v_expires_at IS NULL THEN
        INSERT INTO arvo.state_lock (subject_digest, subject, token, locked_at, expires_at)
        VALUES (v_digest, p_subject, v_token, p_now, p_now + p_ttl)
        ON CONFLICT (subject_digest) DO NOTHING;
    ELSE
        UPDATE arvo.state_lock
        SET token = v_token, locked_at = p_now, expires_at = p_now + p_ttl
        FROM (
            SELECT lapsed.subject_digest
            FROM arvo.state_lock AS lapsed
            WHERE lapsed.subject_digest = v_digest AND lapsed.expires_at <= p_now
            FOR UPDATE SKIP LOCKED
        ) AS free
        WHERE state_lock.subject_digest = free.subject_digest;
    END IF;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RETURN v_token;
END;
$take_lock$;

COMMENT ON FUNCTION arvo.take_lock(text, interval, boolean, timestamptz) IS
'Takes the time-limited lock on a subject: its fencing token, or NULL when it is held.';

REVOKE ALL ON FUNCTION arvo.take_lock(text, interval, boolean, timestamptz) FROM PUBLIC;
