-- arvo_v1.acquire_lock(subject, ttl, durable) — take the lock on a subject, if it is free.
CREATE OR REPLACE FUNCTION arvo_v1.acquire_lock(
    p_subject text,
    p_ttl interval DEFAULT interval '2 minutes',
    p_durable boolean DEFAULT true
)
RETURNS SETOF arvo_v1.lock
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $acquire_lock$
-- Answers one row with a fencing token, or none when somebody holds the lock. Never waits. Without
-- p_durable the commit does not wait for the disk: see arvo.take_lock.
--
--   Reads    arvo.clock
--   Writes   as arvo.take_lock
--   Locks    as arvo.take_lock
--   Raises   RV006  an argument is not valid
DECLARE
    v_now timestamptz := arvo.clock();
    v_token bigint := arvo.take_lock(p_subject, p_ttl, p_durable, v_now);
BEGIN
    IF v_token IS NOT NULL THEN
        RETURN NEXT (p_subject, v_token, v_now + p_ttl)::arvo_v1.lock;
    END IF;
END;
$acquire_lock$;

COMMENT ON FUNCTION arvo_v1.acquire_lock(text, interval, boolean) IS
'Takes the time-limited lock on a subject and returns its fencing token; no row when it is held.';

REVOKE ALL ON FUNCTION arvo_v1.acquire_lock(text, interval, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.acquire_lock(text, interval, boolean) TO arvo_worker;
