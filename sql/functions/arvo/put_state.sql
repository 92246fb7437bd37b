-- arvo.put_state(subject, data, expected_version, initiator, source) — optimistic write, without raising.
CREATE OR REPLACE FUNCTION arvo.put_state(
    p_subject text,
    p_data jsonb,
    p_expected_version bigint,
    p_initiator text,
    p_source text
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $put_state$
-- Stores p_data as version p_expected_version + 1 and returns that version; NULL when the stored
-- version is another one. After a first write (expected version 0) the caller places the subject in
-- the tree of workflows.
--
--   Reads    arvo.clock
--   Writes   arvo.state
--   Locks    arvo.state row of p_subject
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_digest bytea := arvo.subject_digest(p_subject);
    v_status text := coalesce(p_data ->> 'executionStatus', 'unknown');
    v_version bigint;
BEGIN
    IF p_expected_version > 0 THEN
        UPDATE arvo.state
        SET version = state.version + 1,
            data = p_data,
            execution_status = v_status,
            changed_at = v_now
        WHERE state.subject_digest = v_digest AND state.version = p_expected_version
        RETURNING state.version INTO v_version;
        RETURN v_version;
    END IF;

    INSERT INTO arvo.state (
        subject_digest, subject, version, data, execution_status, initiator, source,
        created_at, changed_at
    )
    VALUES (
        v_digest, p_subject, 1, p_data, v_status, p_initiator, p_source,
        v_now, v_now
    )
    ON CONFLICT (subject_digest) DO NOTHING
    RETURNING state.version INTO v_version;
    RETURN v_version;
END;
$put_state$;

COMMENT ON FUNCTION arvo.put_state(text, jsonb, bigint, text, text) IS
'Optimistic write of a state: the new version, or NULL when the stored version is another one.';

REVOKE ALL ON FUNCTION arvo.put_state(text, jsonb, bigint, text, text) FROM PUBLIC;
