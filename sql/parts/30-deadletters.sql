-- ---------------------------------------------------------------------------------------------
-- dead: edited events, and an index for each way to look for dead letters
-- ---------------------------------------------------------------------------------------------

ALTER TABLE arvo.dead ADD COLUMN edited jsonb;
COMMENT ON COLUMN arvo.dead.edited IS
'The event as it was redriven, when it was edited; the original stays in event.';
COMMENT ON INDEX arvo.dead_open_idx IS 'Open dead letters of the queue they failed in, in order.';
COMMENT ON INDEX arvo.dead_dead_letter_idx IS
'Open dead letters that a dead-letter queue received, in order.';
CREATE INDEX dead_resolved_idx ON arvo.dead (queue, dead) WHERE resolution IS NOT NULL;
COMMENT ON INDEX arvo.dead_resolved_idx IS 'Resolved dead letters of the queue they failed in.';
CREATE INDEX dead_dead_letter_resolved_idx ON arvo.dead (dead_letter, dead)
WHERE resolution IS NOT NULL;
COMMENT ON INDEX arvo.dead_dead_letter_resolved_idx IS
'Resolved dead letters that a dead-letter queue received.';
CREATE INDEX dead_all_open_idx ON arvo.dead (resolution, dead) WHERE resolution IS NULL;
COMMENT ON INDEX arvo.dead_all_open_idx IS
'Open dead letters of all queues, in order. Led by a column that is always NULL, so that ORDER BY resolution, dead can be had of no other index.';
CREATE INDEX dead_event_idx ON arvo.dead (event_key, dead);
COMMENT ON INDEX arvo.dead_event_idx IS 'Dead letters of an event: earlier redrives, replays.';
CREATE INDEX deferred_event_idx ON arvo.deferred (event_key);
COMMENT ON INDEX arvo.deferred_event_idx IS 'Deferred deliveries of an event, for histories and replays.';

CREATE TYPE arvo.dead_filter AS (
    dead bigint[],
    queue text,
    reason text,
    since timestamptz,
    before timestamptz,
    event_type text,
    subject text,
    path jsonpath,
    contains text
);
COMMENT ON TYPE arvo.dead_filter IS
'Which dead letters are meant. What is NULL does not matter; the rest must all fit.';
COMMENT ON COLUMN arvo.dead_filter.dead IS 'One of these numbers.';
COMMENT ON COLUMN arvo.dead_filter.queue IS
'The queue they failed in, or the dead-letter queue that received them.';
COMMENT ON COLUMN arvo.dead_filter.reason IS 'As in arvo.dead.';
COMMENT ON COLUMN arvo.dead_filter.since IS 'Died then or later.';
COMMENT ON COLUMN arvo.dead_filter.before IS 'Died earlier.';
COMMENT ON COLUMN arvo.dead_filter.event_type IS 'Type of the event.';
COMMENT ON COLUMN arvo.dead_filter.subject IS 'Subject of the event.';
COMMENT ON COLUMN arvo.dead_filter.path IS
'Finds something in the event (as @? asks), or is a predicate that holds for it (as @@ asks).';
COMMENT ON COLUMN arvo.dead_filter.contains IS
'Stands in the event or in the error, in upper or lower case.';

-- ---------------------------------------------------------------------------------------------
-- row types of the contract
-- ---------------------------------------------------------------------------------------------

ALTER TYPE arvo_v1.dead_letter
ADD ATTRIBUTE edited jsonb,
ADD ATTRIBUTE resolved_at timestamptz,
ADD ATTRIBUTE resolved_by text,
ADD ATTRIBUTE redriven_at timestamptz,
ADD ATTRIBUTE redriven_by text;
COMMENT ON COLUMN arvo_v1.dead_letter.reason IS 'failed, rejected, lease_expired or retention.';
COMMENT ON COLUMN arvo_v1.dead_letter.resolution IS
'redriven, consumed, discarded, or NULL while open.';
COMMENT ON COLUMN arvo_v1.dead_letter.edited IS
'The event as it was redriven, when it was edited.';
COMMENT ON COLUMN arvo_v1.dead_letter.resolved_at IS 'When it was redriven, consumed or discarded.';
COMMENT ON COLUMN arvo_v1.dead_letter.resolved_by IS 'By which login role.';
COMMENT ON COLUMN arvo_v1.dead_letter.redriven_at IS
'When its event was redriven last, before it died this time.';
COMMENT ON COLUMN arvo_v1.dead_letter.redriven_by IS 'By which login role.';

CREATE TYPE arvo_v1.attempt AS (
    delivery bigint,
    attempt integer,
    accepted_at timestamptz,
    claimed_at timestamptz,
    settled_at timestamptz,
    run_time interval,
    worker text,
    outcome text,
    error jsonb
);
COMMENT ON TYPE arvo_v1.attempt IS
'One delivery on the way to a dead letter. What is not kept any more is NULL.';
COMMENT ON COLUMN arvo_v1.attempt.delivery IS 'Number of the delivery.';
COMMENT ON COLUMN arvo_v1.attempt.attempt IS 'Which attempt it was, from 1.';
COMMENT ON COLUMN arvo_v1.attempt.accepted_at IS 'When the delivery was appended.';
COMMENT ON COLUMN arvo_v1.attempt.claimed_at IS 'When it was claimed.';
COMMENT ON COLUMN arvo_v1.attempt.settled_at IS 'When it was settled, or taken back.';
COMMENT ON COLUMN arvo_v1.attempt.run_time IS 'How long its handler ran.';
COMMENT ON COLUMN arvo_v1.attempt.worker IS 'Which worker ran it.';
COMMENT ON COLUMN arvo_v1.attempt.outcome IS
'What became of it: retried, released, snoozed, conflict, expired or dead.';
COMMENT ON COLUMN arvo_v1.attempt.error IS 'Name, message and stack of its error.';

ALTER TYPE arvo_v1.redriven
ADD ATTRIBUTE outcome text,
ADD ATTRIBUTE code text,
ADD ATTRIBUTE detail text,
ADD ATTRIBUTE due_at timestamptz;
COMMENT ON TYPE arvo_v1.redriven IS 'What a redrive did to a dead letter.';
COMMENT ON COLUMN arvo_v1.redriven.delivery IS
'Number of the new delivery; NULL in a dry run, and when it was refused.';
COMMENT ON COLUMN arvo_v1.redriven.queue IS 'The queue it goes to.';
COMMENT ON COLUMN arvo_v1.redriven.outcome IS
'redriven (in a dry run: would be), or refused: it stays open.';
COMMENT ON COLUMN arvo_v1.redriven.code IS 'SQLSTATE of a refusal: RV001, RV102 or RV103.';
COMMENT ON COLUMN arvo_v1.redriven.detail IS 'The facts of a refusal.';
COMMENT ON COLUMN arvo_v1.redriven.due_at IS
'From when it may be delivered, when a rate spreads them; NULL for at once.';

CREATE TYPE arvo_v1.discarded AS (
    dead bigint,
    event_id text,
    queue text,
    outcome text,
    code text,
    detail text
);
COMMENT ON TYPE arvo_v1.discarded IS 'What a discard did to a dead letter.';
COMMENT ON COLUMN arvo_v1.discarded.dead IS 'Number of the dead letter.';
COMMENT ON COLUMN arvo_v1.discarded.event_id IS 'Id of the event.';
COMMENT ON COLUMN arvo_v1.discarded.queue IS 'The queue it failed in.';
COMMENT ON COLUMN arvo_v1.discarded.outcome IS
'discarded (in a dry run: would be), or refused: it stays open.';
COMMENT ON COLUMN arvo_v1.discarded.code IS 'SQLSTATE of a refusal: RV103.';
COMMENT ON COLUMN arvo_v1.discarded.detail IS 'The facts of a refusal.';
