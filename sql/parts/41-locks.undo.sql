DROP TYPE arvo_v1.locked_state;
COMMENT ON SEQUENCE arvo.lock_token IS 'Fencing tokens of subject locks; they only grow.';
ALTER SEQUENCE arvo.lock_token MAXVALUE 72057594037927935;
-- Tokens only grow: those from now on lack the random bits.
SELECT setval('arvo.lock_token'::regclass, (given.last_value << 12) | 4095)
FROM arvo.lock_token AS given
WHERE given.is_called;
