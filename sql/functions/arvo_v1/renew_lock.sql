-- arvo_v1.renew_lock(subject, token, ttl) — keep a lock that is held.
CREATE OR REPLACE FUNCTION arvo_v1.renew_lock(
    p_subject text,
    p_token bigint,
    p_ttl interval DEFAULT interval '2 minutes'
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $renew_lock$
-- True: the lock is held until p_ttl from now. False: it is another's, lapsed or gone, and nothing
-- has changed.
--
--   Reads    arvo.clock
--   Writes   arvo.state_lock
--   Locks    arvo.state_lock row of p_subject
--   Raises   RV006  an argument is not valid
BEGIN
    IF p_ttl IS NULL OR p_ttl NOT BETWEEN interval '1 millisecond' AND interval '30 days' THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'ttl',
              DETAIL = format('ttl: %s', p_ttl),
              HINT = 'ttl is 1 millisecond to 30 days.';
    END IF;
    UPDATE arvo.state_lock
    SET expires_at = arvo.clock() + p_ttl
    WHERE state_lock.subject_digest = arvo.subject_digest(p_subject)
    AND state_lock.token = p_token
    AND state_lock.expires_at > arvo.clock();
    RETURN FOUND;
END;
$renew_lock$;

COMMENT ON FUNCTION arvo_v1.renew_lock(text, bigint, interval) IS
'Extends a lock that is still held under this token; false when it is not.';

REVOKE ALL ON FUNCTION arvo_v1.renew_lock(text, bigint, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.renew_lock(text, bigint, interval) TO arvo_worker;
