CREATE TYPE arvo_v1.copied AS (
    outcome text,
    events bigint,
    ordinals bigint[]
);
COMMENT ON TYPE arvo_v1.copied IS 'How many events of a batch had an outcome.';
COMMENT ON COLUMN arvo_v1.copied.outcome IS 'As in arvo_v1.dispatched.';
COMMENT ON COLUMN arvo_v1.copied.events IS 'How many.';
COMMENT ON COLUMN arvo_v1.copied.ordinals IS
'Their places in the batch, counted from 1; empty for queued, deferred and domained.';
