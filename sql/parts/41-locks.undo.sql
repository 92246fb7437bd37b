DROP TYPE arvo_v1.locked_state;
COMMENT ON SEQUENCE arvo.lock_token IS 'Fencing tokens of subject locks; they only grow.';
ALTER SEQUENCE arvo.lock_token MAXVALUE 72057594037927935;
