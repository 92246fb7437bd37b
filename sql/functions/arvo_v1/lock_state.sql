-- arvo_v1.lock_state(subject, ttl, durable) — take the lock on a subject, and read its state.
CREATE OR REPLACE FUNCTION arvo_v1.lock_state(
    p_subject text,
    p_ttl interval DEFAULT interval '2 minutes',
    p_durable boolean DEFAULT true
)
RETURNS SETOF arvo_v1.locked_state
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $lock_state$
-- As arvo_v1.acquire_lock, in one round trip with the read that follows: the state is as it is when
-- the lock has been taken; version 0 when there is none.
--
--   Reads    arvo.clock, arvo.state
--   Writes   as arvo.take_lock
--   Locks    as arvo.take_lock
--   Raises   RV006  an argument is not valid
DECLARE
    v_now timestamptz := arvo.clock();
    v_token bigint := arvo.take_lock(p_subject, p_ttl, p_durable, v_now);
    v_version bigint;
    v_data jsonb;
BEGIN
    IF v_token IS NULL THEN
        RETURN;
    END IF;
    -- A statement of its own: it sees what the last holder committed.
    SELECT state.version, state.data INTO v_version, v_data
    FROM arvo.state
    WHERE state.subject_digest = arvo.subject_digest(p_subject);
    RETURN NEXT (
        p_subject, v_token, v_now + p_ttl, coalesce(v_version, 0), v_data
    )::arvo_v1.locked_state;
END;
$lock_state$;

COMMENT ON FUNCTION arvo_v1.lock_state(text, interval, boolean) IS
'Takes the time-limited lock on a subject and reads its state; no row when the lock is held.';

REVOKE ALL ON FUNCTION arvo_v1.lock_state(text, interval, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.lock_state(text, interval, boolean) TO arvo_worker;
