-- what is published and closed to its publisher
ALTER TABLE arvo.omission
DROP CONSTRAINT omission_outcome_check,
ADD CONSTRAINT omission_outcome_check
CHECK (outcome IN ('throttled', 'duplicate', 'unheard', 'closed'));
COMMENT ON COLUMN arvo.omission.outcome IS
'throttled, duplicate; of what was published: unheard, nobody subscribes, or closed to the publisher.';
COMMENT ON COLUMN arvo_v1.dispatched.outcome IS
'queued, deferred, debounced, duplicate, throttled, domained, unroutable; of what was published: unheard, nobody subscribes, or closed: the queue subscribes and is closed to the publisher.';
