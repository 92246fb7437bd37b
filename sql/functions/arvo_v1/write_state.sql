-- arvo_v1.write_state(subject, data, expected_version, parent, initiator, source, lock) — store the next state of one workflow.
CREATE OR REPLACE FUNCTION arvo_v1.write_state(
    p_subject text,
    p_data jsonb,
    p_expected_version bigint DEFAULT 0,
    p_parent_subject text DEFAULT NULL,
    p_initiator text DEFAULT NULL,
    p_source text DEFAULT NULL,
    p_lock bigint DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $write_state$
-- Stores p_data as version p_expected_version + 1 and returns that version; a first write expects
-- version 0. With p_lock, only while that lock on the subject is held: nobody can take it over
-- before this transaction ends.
--
--   Reads    arvo.clock, arvo.state_lock
--   Writes   as arvo.put_state and arvo.place
--   Locks    arvo.state_lock row of p_subject (when p_lock is given), then as arvo.put_state and
--            arvo.place
--   Raises   RV006  an argument is not valid
--            RV101  version mismatch: the stored version is not the expected one
--            RV302  the lock is not, or no longer, held
DECLARE
    v_argument text := CASE
        WHEN p_subject IS NULL OR p_subject = '' THEN 'subject'
        WHEN p_data IS NULL OR jsonb_typeof(p_data) <> 'object' THEN 'data'
        WHEN arvo.json_fault(p_data, 67108864) IS NOT NULL THEN 'data'
        WHEN p_expected_version IS NULL OR p_expected_version < 0 THEN 'expected_version'
    END;
    v_version bigint;
BEGIN
    IF v_argument IS NOT NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = v_argument,
              DETAIL = format('argument: %s', v_argument),
              HINT = 'subject is a text that is not empty, expected_version 0 or more; data a JSON'
                     ' object of at most 64 MiB, nested at most 512 deep, with numbers of at most'
                     ' 4000 digits.';
    END IF;

    IF p_lock IS NOT NULL THEN
        PERFORM
        FROM arvo.state_lock
        WHERE state_lock.subject_digest = arvo.subject_digest(p_subject)
        AND state_lock.token = p_lock
        AND state_lock.expires_at > arvo.clock()
        FOR SHARE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'lock is not held'
            USING ERRCODE = 'RV302',
                  DETAIL = format('subject %s, token %s',
                                  left(to_json(p_subject)::text, 80), p_lock),
                  HINT = 'Acquire the lock, read the state again and decide again.';
        END IF;
    END IF;

    v_version := arvo.put_state(
        p_subject, p_data, p_expected_version, p_initiator, p_source
    );
    IF v_version IS NULL THEN
        RAISE EXCEPTION 'version mismatch: the state has moved on'
        USING ERRCODE = 'RV101',
              DETAIL = format('subject %s is not at version %s',
                              left(to_json(p_subject)::text, 80), p_expected_version),
              HINT = 'Read the state again and decide again.';
    END IF;
    IF v_version = 1 THEN
        PERFORM arvo.place(ARRAY[p_subject], ARRAY[p_parent_subject]);
    END IF;
    RETURN v_version;
END;
$write_state$;

COMMENT ON FUNCTION arvo_v1.write_state(text, jsonb, bigint, text, text, text, bigint) IS
'Optimistic write: stores the next state of a subject and returns its version.';

REVOKE ALL ON FUNCTION
arvo_v1.write_state(text, jsonb, bigint, text, text, text, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
arvo_v1.write_state(text, jsonb, bigint, text, text, text, bigint) TO arvo_worker;
