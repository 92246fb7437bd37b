COMMENT ON COLUMN arvo_v1.dispatched.outcome IS
'queued, deferred, debounced, duplicate, throttled, domained, unroutable, or unheard: published, and nobody subscribes to it.';
COMMENT ON COLUMN arvo.omission.outcome IS 'throttled, duplicate, or unheard: published, and nobody subscribes to it.';
UPDATE arvo.omission
SET outcome = 'unheard'
WHERE omission.outcome = 'closed';
ALTER TABLE arvo.omission
DROP CONSTRAINT omission_outcome_check,
ADD CONSTRAINT omission_outcome_check CHECK (outcome IN ('throttled', 'duplicate', 'unheard'));
