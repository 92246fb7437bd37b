-- ---------------------------------------------------------------------------------------------
-- subscription: who gets what is published
-- ---------------------------------------------------------------------------------------------

CREATE TABLE arvo.subscription (
    queue text NOT NULL,
    pattern text NOT NULL,
    expression text NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT subscription_queue_pattern_pkey PRIMARY KEY (queue, pattern)
);
COMMENT ON TABLE arvo.subscription IS
'Which queues get a copy of a published event, by its type.';
COMMENT ON COLUMN arvo.subscription.queue IS 'Name of the queue.';
COMMENT ON COLUMN arvo.subscription.pattern IS
'A type; * stands for one segment, ** at the end for one or more.';
COMMENT ON COLUMN arvo.subscription.expression IS 'The same as a regular expression.';
COMMENT ON COLUMN arvo.subscription.created_at IS 'Since when.';

ALTER TYPE arvo.arrival ADD ATTRIBUTE given integer, ADD ATTRIBUTE origin integer;
COMMENT ON COLUMN arvo.arrival.given IS 'Place of the event in the array; published ones arrive several times.';
COMMENT ON COLUMN arvo.arrival.origin IS 'Published: the arrival that carries the event for this one.';

ALTER TABLE arvo.omission
DROP CONSTRAINT omission_outcome_check,
ADD CONSTRAINT omission_outcome_check CHECK (outcome IN ('throttled', 'duplicate', 'unheard'));
COMMENT ON COLUMN arvo.omission.outcome IS 'throttled, duplicate, or unheard: published, and nobody subscribes to it.';
COMMENT ON COLUMN arvo_v1.dispatched.outcome IS
'queued, deferred, debounced, duplicate, throttled, domained, unroutable, or unheard: published, and nobody subscribes to it.';

CREATE TYPE arvo_v1.subscription AS (
    queue text,
    pattern text,
    created_at timestamptz
);
COMMENT ON TYPE arvo_v1.subscription IS 'A queue that gets published events.';
COMMENT ON COLUMN arvo_v1.subscription.queue IS 'Its name.';
COMMENT ON COLUMN arvo_v1.subscription.pattern IS 'The types that it gets.';
COMMENT ON COLUMN arvo_v1.subscription.created_at IS 'Since when.';
