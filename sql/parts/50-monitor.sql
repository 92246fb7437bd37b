-- ---------------------------------------------------------------------------------------------
-- tally: what has been counted, so that nobody need count it again
-- ---------------------------------------------------------------------------------------------

ALTER TABLE arvo.log ADD COLUMN deferred_xid xid8;
COMMENT ON COLUMN arvo.log.deferred_xid IS
'Transaction that had put it into arvo.deferred, when it comes from there.';

CREATE TABLE arvo.tally (
    lane integer NOT NULL,
    number bigint NOT NULL,
    at timestamptz NOT NULL,
    seen pg_snapshot NOT NULL,
    lease bigint NOT NULL,
    previous_snapshot pg_snapshot NOT NULL,
    snapshot pg_snapshot NOT NULL,
    last_xid xid8 NOT NULL,
    last_delivery bigint NOT NULL,
    exhausted boolean NOT NULL,
    unread bigint NOT NULL,
    parked bigint NOT NULL,
    deferred bigint NOT NULL,
    kept bigint[] NOT NULL,
    CONSTRAINT tally_lane_number_pkey PRIMARY KEY (lane, number)
);
COMMENT ON TABLE arvo.tally IS
'Figures of each lane as one snapshot saw them; its newest row counts. Statistics count on from here. Appended; the row before is deleted with it.';
COMMENT ON COLUMN arvo.tally.lane IS 'The lane.';
COMMENT ON COLUMN arvo.tally.number IS 'Order of the rows: newest first, no look-up meets a deleted one.';
COMMENT ON COLUMN arvo.tally.at IS 'When.';
COMMENT ON COLUMN arvo.tally.seen IS 'Counted is what this snapshot sees.';
COMMENT ON COLUMN arvo.tally.lease IS 'Number of the lane''s newest lease row then.';
COMMENT ON COLUMN arvo.tally.previous_snapshot IS 'Cursor of that row: as in arvo.lease.';
COMMENT ON COLUMN arvo.tally.snapshot IS 'As in arvo.lease.';
COMMENT ON COLUMN arvo.tally.last_xid IS 'As in arvo.lease.';
COMMENT ON COLUMN arvo.tally.last_delivery IS 'As in arvo.lease.';
COMMENT ON COLUMN arvo.tally.exhausted IS 'As in arvo.lease.';
COMMENT ON COLUMN arvo.tally.unread IS 'Deliveries in the log that the cursor had not reached.';
COMMENT ON COLUMN arvo.tally.parked IS 'Deliveries that the cursor had passed and that had not been leased.';
COMMENT ON COLUMN arvo.tally.deferred IS 'Deliveries in arvo.deferred that had not been promoted.';
COMMENT ON COLUMN arvo.tally.kept IS 'Deliveries in the log, in each of the four slots.';
CREATE INDEX deferred_lane_idx ON arvo.deferred (lane, xid);

CREATE TYPE arvo.frontier AS (
    late xid8[],
    last_xid xid8,
    last_delivery bigint,
    from_xid xid8,
    from_delivery bigint
);
COMMENT ON TYPE arvo.frontier IS 'Where the rows of a lane''s log begin that a cursor has not passed.';
COMMENT ON COLUMN arvo.frontier.late IS 'Transactions before from_xid whose rows are among them …';
COMMENT ON COLUMN arvo.frontier.last_xid IS '… of this one only …';
COMMENT ON COLUMN arvo.frontier.last_delivery IS '… those behind this delivery.';
COMMENT ON COLUMN arvo.frontier.from_xid IS 'Everything behind this transaction …';
COMMENT ON COLUMN arvo.frontier.from_delivery IS '… and this delivery is among them.';

CREATE TYPE arvo.lane_count AS (
    unread bigint,
    oldest_at timestamptz,
    parked bigint,
    deferred bigint,
    kept bigint,
    slots bigint[]
);
COMMENT ON TYPE arvo.lane_count IS 'Figures of a lane, as arvo.count_lane finds them.';
COMMENT ON COLUMN arvo.lane_count.unread IS 'As in arvo.tally.';
COMMENT ON COLUMN arvo.lane_count.oldest_at IS
'When the oldest of the next 10,000 of them was appended; withdrawn ones left out.';
COMMENT ON COLUMN arvo.lane_count.parked IS 'As in arvo.tally.';
COMMENT ON COLUMN arvo.lane_count.deferred IS 'As in arvo.tally.';
COMMENT ON COLUMN arvo.lane_count.kept IS 'Deliveries in the log.';
COMMENT ON COLUMN arvo.lane_count.slots IS 'The same for each slot; only when a tally is made.';

CREATE TYPE arvo.pace AS (
    completed_per_minute double precision,
    failed_per_minute double precision,
    wait_mean interval,
    wait_p95 interval,
    run_mean interval,
    run_p95 interval
);
COMMENT ON TYPE arvo.pace IS 'How fast a queue is worked on, as arvo.pace_of finds it.';
COMMENT ON COLUMN arvo.pace.completed_per_minute IS 'As in arvo_v1.queue_stats.';
COMMENT ON COLUMN arvo.pace.failed_per_minute IS 'As in arvo_v1.queue_stats.';
COMMENT ON COLUMN arvo.pace.wait_mean IS 'As in arvo_v1.queue_stats.';
COMMENT ON COLUMN arvo.pace.wait_p95 IS 'As in arvo_v1.queue_stats.';
COMMENT ON COLUMN arvo.pace.run_mean IS 'As in arvo_v1.queue_stats.';
COMMENT ON COLUMN arvo.pace.run_p95 IS 'As in arvo_v1.queue_stats.';

-- Numbers grow with time, so an index of ranges finds one in a log of any size, and costs nearly
-- nothing to keep. Several ranges per block: what was deferred comes to the log with an old number.
CREATE INDEX log_delivery_idx ON arvo.log
USING brin (delivery int8_minmax_multi_ops) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX dead_delivery_idx ON arvo.dead (delivery);
-- Where many deliveries of one transaction are leased by many claims, the position tells them apart.
DROP INDEX arvo.lease_range_idx;
CREATE INDEX lease_range_idx ON arvo.lease (lane, high_xid, last_delivery) WHERE token <> 0;
-- What was parked is leased any time later, so the order of the ledger does not find it. About 1.5
-- microseconds a delivery, in gated queues only; no pending list, whose flush would hold up a claim.
CREATE INDEX lease_delivery_idx ON arvo.lease
USING gin (deliveries) WITH (fastupdate = off) WHERE keys IS NOT NULL;

-- ---------------------------------------------------------------------------------------------
-- worker, upkeep: who is there, and what is done regularly
-- ---------------------------------------------------------------------------------------------

CREATE TABLE arvo.worker (
    worker text NOT NULL,
    queues text[] NOT NULL,
    details jsonb NOT NULL,
    rhythm interval NOT NULL,
    started_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    CONSTRAINT worker_worker_pkey PRIMARY KEY (worker),
    CONSTRAINT worker_rhythm_check CHECK (rhythm > interval '0')
) WITH (fillfactor = 50);
COMMENT ON TABLE arvo.worker IS
'Processes that work here and say so now and then: one row each, updated in place.';
COMMENT ON COLUMN arvo.worker.worker IS 'Its name, as it calls itself when it claims.';
COMMENT ON COLUMN arvo.worker.queues IS 'The queues that it claims from.';
COMMENT ON COLUMN arvo.worker.details IS 'What else it says of itself: host, process, version.';
COMMENT ON COLUMN arvo.worker.rhythm IS 'How often it means to check in; after three times that it counts as dead.';
COMMENT ON COLUMN arvo.worker.started_at IS 'When it was first seen.';
COMMENT ON COLUMN arvo.worker.seen_at IS 'When it was last seen.';

CREATE TABLE arvo.upkeep (
    task text NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT upkeep_task_pkey PRIMARY KEY (task)
) WITH (fillfactor = 50);
COMMENT ON TABLE arvo.upkeep IS 'When each regular task was last done; updated in place.';
COMMENT ON COLUMN arvo.upkeep.task IS 'The task.';
COMMENT ON COLUMN arvo.upkeep.at IS 'When it was last done.';

CREATE TYPE arvo.disagreement AS (
    queue text,
    option text,
    detail text
);
COMMENT ON TYPE arvo.disagreement IS 'An option that living processes have registered differently.';
COMMENT ON COLUMN arvo.disagreement.queue IS 'The queue.';
COMMENT ON COLUMN arvo.disagreement.option IS 'The option.';
COMMENT ON COLUMN arvo.disagreement.detail IS 'Who wants what.';

CREATE TYPE arvo.lane_state AS (
    queue text,
    priority integer,
    registered boolean,
    paused boolean,
    warning_queue_size integer,
    unread bigint,
    parked bigint,
    oldest_at timestamptz
);
COMMENT ON TYPE arvo.lane_state IS 'A lane with something in it, inside health().';
COMMENT ON COLUMN arvo.lane_state.queue IS 'Name of its queue.';
COMMENT ON COLUMN arvo.lane_state.priority IS 'As in arvo.lane.';
COMMENT ON COLUMN arvo.lane_state.registered IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo.lane_state.paused IS 'Whether the queue is paused.';
COMMENT ON COLUMN arvo.lane_state.warning_queue_size IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo.lane_state.unread IS 'As in arvo.lane_count.';
COMMENT ON COLUMN arvo.lane_state.parked IS 'As in arvo.lane_count.';
COMMENT ON COLUMN arvo.lane_state.oldest_at IS 'As in arvo.lane_count.';

-- ---------------------------------------------------------------------------------------------
-- row types
-- ---------------------------------------------------------------------------------------------

ALTER TYPE arvo_v1.queue_stats
ADD ATTRIBUTE policy text,
ADD ATTRIBUTE retention interval,
ADD ATTRIBUTE delete_after interval,
ADD ATTRIBUTE waiting_count bigint,
ADD ATTRIBUTE total_count bigint,
ADD ATTRIBUTE exact boolean,
ADD ATTRIBUTE singletons_active bigint,
ADD ATTRIBUTE paused_at timestamptz,
ADD ATTRIBUTE draining boolean,
ADD ATTRIBUTE oldest_queued_age interval,
ADD ATTRIBUTE completed_per_minute double precision,
ADD ATTRIBUTE failed_per_minute double precision,
ADD ATTRIBUTE wait_mean interval,
ADD ATTRIBUTE wait_p95 interval,
ADD ATTRIBUTE run_mean interval,
ADD ATTRIBUTE run_p95 interval;
COMMENT ON COLUMN arvo_v1.queue_stats.deferred_count IS 'Due later: start_after, retry, snooze. Exact.';
COMMENT ON COLUMN arvo_v1.queue_stats.queued_count IS
'Ready and not yet claimed; withdrawn ones left out. Exact, unless "exact" says otherwise.';
COMMENT ON COLUMN arvo_v1.queue_stats.dead_count IS
'Dead letters of this queue that are still open; counted up to 10,000.';
COMMENT ON COLUMN arvo_v1.queue_stats.oldest_queued_at IS
'When the oldest ready delivery was appended; of each priority, the next 10,000 are looked at.';
COMMENT ON COLUMN arvo_v1.queue_stats.policy IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue_stats.retention IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue_stats.delete_after IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue_stats.waiting_count IS
'Behind another delivery of their key, or behind a limit; withdrawn ones left out.';
COMMENT ON COLUMN arvo_v1.queue_stats.total_count IS
'Deliveries kept, whatever became of them: history and deferred ones. Every attempt is one.';
COMMENT ON COLUMN arvo_v1.queue_stats.exact IS
'False when dead letters or withdrawn deliveries were so many that counting stopped at 10,000: then there are at least as many dead, and at most as many queued and waiting.';
COMMENT ON COLUMN arvo_v1.queue_stats.singletons_active IS
'Policies singleton and stately: how many keys run now; NULL for other policies. Keys are stored as hashes, so they are counted, not named.';
COMMENT ON COLUMN arvo_v1.queue_stats.paused_at IS 'Since when it is paused; NULL: it is not.';
COMMENT ON COLUMN arvo_v1.queue_stats.draining IS 'Whether only what was there before is claimed.';
COMMENT ON COLUMN arvo_v1.queue_stats.oldest_queued_age IS 'How long ago that was.';
COMMENT ON COLUMN arvo_v1.queue_stats.completed_per_minute IS
'Of what was claimed in the last five minutes, or by the newest 200 claims of each priority, whichever is less: completed, per minute of that time.';
COMMENT ON COLUMN arvo_v1.queue_stats.failed_per_minute IS
'The same for attempts that failed: retried, dead or expired.';
COMMENT ON COLUMN arvo_v1.queue_stats.wait_mean IS
'Mean time from ready to claimed of the newest 200 deliveries of each priority, claimed in the last five minutes; NULL for none.';
COMMENT ON COLUMN arvo_v1.queue_stats.wait_p95 IS 'The same: 95 of 100 waited no longer.';
COMMENT ON COLUMN arvo_v1.queue_stats.run_mean IS
'Mean time that handlers ran, as workers report it, over the claims of completed_per_minute; NULL for none.';
COMMENT ON COLUMN arvo_v1.queue_stats.run_p95 IS 'The same: 95 of 100 ran no longer.';

ALTER TYPE arvo_v1.step
ADD ATTRIBUTE parent_subject text,
ADD ATTRIBUTE depth integer,
ADD ATTRIBUTE due_at timestamptz,
ADD ATTRIBUTE wait_time interval,
ADD ATTRIBUTE cause jsonb;
COMMENT ON COLUMN arvo_v1.step.delivery IS
'Number of the delivery; NULL for an event that a policy did not let in.';
COMMENT ON COLUMN arvo_v1.step.outcome IS
'queued, deferred, waiting (behind its key or a limit), paused, draining, unroutable, domained, active; what became of it: completed, retried, dead, released, snoozed, conflict, expired, cancelled, moved; or not let in: throttled, duplicate.';
COMMENT ON COLUMN arvo_v1.step.parent_subject IS 'The workflow that this one was started by; NULL for the root.';
COMMENT ON COLUMN arvo_v1.step.depth IS 'Steps from the root of the tree of workflows.';
COMMENT ON COLUMN arvo_v1.step.due_at IS 'Deferred: from when it may run.';
COMMENT ON COLUMN arvo_v1.step.wait_time IS 'From accepted to claimed.';
COMMENT ON COLUMN arvo_v1.step.cause IS
'Why it exists, when it is not the first delivery of its event: what the one before came to, which dead letter was redriven, what was replayed; what was in the way of one that was not let in.';

CREATE TYPE arvo_v1.explanation AS (
    delivery bigint,
    event_id text,
    queue text,
    place text,
    reason text,
    detail text,
    until timestamptz,
    remedy text
);
COMMENT ON TYPE arvo_v1.explanation IS 'One reason why a delivery does not run now, or what became of it.';
COMMENT ON COLUMN arvo_v1.explanation.delivery IS 'The delivery.';
COMMENT ON COLUMN arvo_v1.explanation.event_id IS 'Its event.';
COMMENT ON COLUMN arvo_v1.explanation.queue IS 'Its queue.';
COMMENT ON COLUMN arvo_v1.explanation.place IS
'Where it is: logged, deferred, parked, leased, closed, dead, or unknown.';
COMMENT ON COLUMN arvo_v1.explanation.reason IS
'In a word: next (nothing holds it), deferred, promotion, paused, draining, unroutable, domained, withdrawn, behind, priority, key, limit, rate, singleton, leased, lapsed, closed, dead, again, lane, worker, registrations, cluster, unknown.';
COMMENT ON COLUMN arvo_v1.explanation.detail IS 'The facts, in a sentence.';
COMMENT ON COLUMN arvo_v1.explanation.until IS 'Until when that holds, or since when; NULL when nobody knows.';
COMMENT ON COLUMN arvo_v1.explanation.remedy IS 'What can be done about it; NULL for nothing.';

CREATE TYPE arvo_v1.vital AS (
    topic text,
    level text,
    value text,
    detail text,
    remedy text
);
COMMENT ON TYPE arvo_v1.vital IS 'What health() found about one topic.';
COMMENT ON COLUMN arvo_v1.vital.topic IS
'What was looked at: cluster, clock, oldest_snapshot, idle_in_transaction, listeners, notifications, sequence, maintenance, promotion, dead_worker, workers, history, lag, queue_size, unroutable, paused, dead_letters, registrations.';
COMMENT ON COLUMN arvo_v1.vital.level IS 'ok, notice or warning.';
COMMENT ON COLUMN arvo_v1.vital.value IS 'The figure.';
COMMENT ON COLUMN arvo_v1.vital.detail IS 'The facts, in a sentence.';
COMMENT ON COLUMN arvo_v1.vital.remedy IS 'What can be done about it; NULL when nothing need be.';

CREATE TYPE arvo_v1.presence AS (
    worker text,
    alive boolean,
    queues text[],
    details jsonb,
    started_at timestamptz,
    seen_at timestamptz
);
COMMENT ON TYPE arvo_v1.presence IS 'A process that has checked in.';
COMMENT ON COLUMN arvo_v1.presence.worker IS 'As in arvo.worker.';
COMMENT ON COLUMN arvo_v1.presence.alive IS 'Whether it was seen within three of its rhythms.';
COMMENT ON COLUMN arvo_v1.presence.queues IS 'As in arvo.worker.';
COMMENT ON COLUMN arvo_v1.presence.details IS 'As in arvo.worker.';
COMMENT ON COLUMN arvo_v1.presence.started_at IS 'As in arvo.worker.';
COMMENT ON COLUMN arvo_v1.presence.seen_at IS 'As in arvo.worker.';
