-- ---------------------------------------------------------------------------------------------
-- history_entry: what history() tells
-- ---------------------------------------------------------------------------------------------

CREATE TYPE arvo_v1.history_entry AS (
    position text,
    delivery bigint,
    queue text,
    attempt integer,
    outcome text,
    accepted_at timestamptz,
    claimed_at timestamptz,
    settled_at timestamptz,
    run_time interval,
    worker text,
    event jsonb,
    cause jsonb
);
COMMENT ON TYPE arvo_v1.history_entry IS 'One delivery of the log, with its event.';
COMMENT ON COLUMN arvo_v1.history_entry.position IS
'Where it stands; as p_after it asks for what comes next.';
COMMENT ON COLUMN arvo_v1.history_entry.delivery IS 'Number of the delivery.';
COMMENT ON COLUMN arvo_v1.history_entry.queue IS 'The queue it is, or was, in.';
COMMENT ON COLUMN arvo_v1.history_entry.attempt IS 'Counted from 1.';
COMMENT ON COLUMN arvo_v1.history_entry.outcome IS
'What became of it, or queued, waiting, active, withdrawn and so on: as in arvo_v1.step.';
COMMENT ON COLUMN arvo_v1.history_entry.accepted_at IS 'When it was appended.';
COMMENT ON COLUMN arvo_v1.history_entry.claimed_at IS 'When it was claimed.';
COMMENT ON COLUMN arvo_v1.history_entry.settled_at IS 'When it was settled.';
COMMENT ON COLUMN arvo_v1.history_entry.run_time IS 'How long the handler ran.';
COMMENT ON COLUMN arvo_v1.history_entry.worker IS 'Who claimed it.';
COMMENT ON COLUMN arvo_v1.history_entry.event IS 'The event whole.';
COMMENT ON COLUMN arvo_v1.history_entry.cause IS
'Why this delivery exists, when it is not the first of its event.';
