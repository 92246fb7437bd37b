-- ---------------------------------------------------------------------------------------------
-- locks: tokens with random low bits, and the state with the lock
-- ---------------------------------------------------------------------------------------------

ALTER SEQUENCE arvo.lock_token MAXVALUE 17592186044415;
COMMENT ON SEQUENCE arvo.lock_token IS
'High bits of the fencing tokens of subject locks: they only grow. The low 12 bits are random, so that a number given twice after a crash is refused all the same.';
CREATE TYPE arvo_v1.locked_state AS (
    subject text,
    token bigint,
    expires_at timestamptz,
    version bigint,
    data jsonb
);
COMMENT ON TYPE arvo_v1.locked_state IS 'A lock that was taken, with the state of its subject.';
COMMENT ON COLUMN arvo_v1.locked_state.subject IS 'The subject.';
COMMENT ON COLUMN arvo_v1.locked_state.token IS 'As in arvo_v1.lock.';
COMMENT ON COLUMN arvo_v1.locked_state.expires_at IS 'As in arvo_v1.lock.';
COMMENT ON COLUMN arvo_v1.locked_state.version IS 'Version of the state; 0 when there is none.';
COMMENT ON COLUMN arvo_v1.locked_state.data IS 'The state; NULL when there is none.';
