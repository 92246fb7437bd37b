-- ground: the rooms of arvo and the row types of the contract arvo_v1

SET LOCAL lock_timeout = '5s';

CREATE SCHEMA arvo_v1 AUTHORIZATION arvo_owner;

SET LOCAL ROLE arvo_owner;

COMMENT ON SCHEMA arvo IS
'Arvo: the rooms (tables) and private helpers of the broker. No client role may enter.';
COMMENT ON SCHEMA arvo_v1 IS
'Arvo: the contract, version 1. Functions and row types only; the one thing that clients may call.';

GRANT USAGE ON SCHEMA arvo_v1 TO arvo_client, arvo_worker, arvo_operator, arvo_monitor;

-- ---------------------------------------------------------------------------------------------
-- revision: what has been applied here
-- ---------------------------------------------------------------------------------------------

CREATE TABLE arvo.revision (
    number integer NOT NULL,
    name text NOT NULL,
    oldest_client integer NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT revision_number_pkey PRIMARY KEY (number)
);
COMMENT ON TABLE arvo.revision IS
'One row per migration applied; written by the migration itself, in its own transaction.';
COMMENT ON COLUMN arvo.revision.number IS 'Number of the migration.';
COMMENT ON COLUMN arvo.revision.name IS 'File name of the migration, without its ending.';
COMMENT ON COLUMN arvo.revision.oldest_client IS
'Newest migration number that a client must know to be allowed in.';
COMMENT ON COLUMN arvo.revision.applied_at IS 'When it was applied.';

-- ---------------------------------------------------------------------------------------------
-- origin: the cluster whose transaction numbers are stored here
-- ---------------------------------------------------------------------------------------------

CREATE TABLE arvo.origin (
    number bigint GENERATED ALWAYS AS IDENTITY,
    system_identifier bigint NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT origin_number_pkey PRIMARY KEY (number)
);
COMMENT ON TABLE arvo.origin IS
'The clusters whose transaction numbers the rooms hold. The newest row must name this cluster, or claims are refused.';
COMMENT ON COLUMN arvo.origin.number IS 'Order of the rows; the newest counts.';
COMMENT ON COLUMN arvo.origin.system_identifier IS 'system_identifier of pg_control_system().';
COMMENT ON COLUMN arvo.origin.since IS 'When this cluster took over.';
INSERT INTO arvo.origin (system_identifier)
SELECT control.system_identifier FROM pg_control_system() AS control;

-- ---------------------------------------------------------------------------------------------
-- queue and lane: where deliveries go
-- ---------------------------------------------------------------------------------------------

CREATE TABLE arvo.queue (
    queue integer GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    registered boolean NOT NULL DEFAULT false,
    stateful boolean NOT NULL DEFAULT false,
    priority integer NOT NULL DEFAULT 0,
    retry_limit integer NOT NULL DEFAULT 2,
    retry_delay interval NOT NULL DEFAULT interval '0',
    retry_backoff boolean NOT NULL DEFAULT false,
    retry_delay_max interval,
    expire_in interval NOT NULL DEFAULT interval '15 minutes',
    dead_letter text,
    warning_queue_size integer NOT NULL DEFAULT 10000,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    CONSTRAINT queue_queue_pkey PRIMARY KEY (queue),
    CONSTRAINT queue_name_key UNIQUE (name),
    CONSTRAINT queue_name_check
    CHECK (name ~ '^[A-Za-z0-9._~:/?#@!$&()+,;=%-]+$' AND length(name) <= 512),
    CONSTRAINT queue_retry_limit_check CHECK (retry_limit >= 0),
    CONSTRAINT queue_retry_delay_check CHECK (retry_delay >= interval '0'),
    CONSTRAINT queue_retry_delay_max_check CHECK (retry_delay_max >= interval '0'),
    CONSTRAINT queue_expire_in_check
    CHECK (expire_in >= interval '1 second' AND expire_in <= interval '1 day'),
    CONSTRAINT queue_dead_letter_check CHECK (dead_letter <> name),
    CONSTRAINT queue_warning_queue_size_check CHECK (warning_queue_size >= 1)
);
COMMENT ON TABLE arvo.queue IS
'The routing table: one row per destination. Read-mostly.';
COMMENT ON COLUMN arvo.queue.queue IS 'Number of the queue.';
COMMENT ON COLUMN arvo.queue.name IS 'The text that events carry in "to".';
COMMENT ON COLUMN arvo.queue.registered IS
'A handler has been registered. Without one, events wait here and count as unroutable.';
COMMENT ON COLUMN arvo.queue.stateful IS 'Claims hand out the state of the event''s subject.';
COMMENT ON COLUMN arvo.queue.priority IS 'Priority of deliveries that name none.';
COMMENT ON COLUMN arvo.queue.retry_limit IS 'Retries after the first attempt.';
COMMENT ON COLUMN arvo.queue.retry_delay IS 'Wait before a retry.';
COMMENT ON COLUMN arvo.queue.retry_backoff IS 'Whether the wait doubles with each attempt, with jitter.';
COMMENT ON COLUMN arvo.queue.retry_delay_max IS 'Longest wait under back-off; NULL for none.';
COMMENT ON COLUMN arvo.queue.expire_in IS 'Longest time a handler may run.';
COMMENT ON COLUMN arvo.queue.dead_letter IS 'Name of the queue that receives what failed for good.';
COMMENT ON COLUMN arvo.queue.warning_queue_size IS 'Depth from which the queue counts as too long.';
COMMENT ON COLUMN arvo.queue.created_at IS 'When the queue was first named.';
COMMENT ON COLUMN arvo.queue.changed_at IS 'When its options last changed.';

CREATE TABLE arvo.lane (
    lane integer GENERATED ALWAYS AS IDENTITY,
    queue integer NOT NULL,
    priority integer NOT NULL,
    CONSTRAINT lane_lane_pkey PRIMARY KEY (lane),
    CONSTRAINT lane_queue_priority_key UNIQUE (queue, priority),
    CONSTRAINT lane_queue_fkey FOREIGN KEY (queue) REFERENCES arvo.queue (queue)
);
COMMENT ON TABLE arvo.lane IS
'One priority of one queue: the unit that is claimed in order, under one lock.';
COMMENT ON COLUMN arvo.lane.lane IS 'Number of the lane.';
COMMENT ON COLUMN arvo.lane.queue IS 'The queue it belongs to.';
COMMENT ON COLUMN arvo.lane.priority IS 'Higher is claimed first.';

-- ---------------------------------------------------------------------------------------------
-- generation: the append-only rooms are kept in four generations, emptied whole
-- ---------------------------------------------------------------------------------------------

CREATE TABLE arvo.generation (
    number bigint GENERATED ALWAYS AS IDENTITY,
    slot smallint NOT NULL,
    opened_at timestamptz NOT NULL,
    CONSTRAINT generation_number_pkey PRIMARY KEY (number),
    CONSTRAINT generation_slot_check CHECK (slot BETWEEN 0 AND 3)
);
COMMENT ON TABLE arvo.generation IS
'History of generations: the newest row names the slot (partition) that new rows are stamped with.';
COMMENT ON COLUMN arvo.generation.number IS 'Running number.';
COMMENT ON COLUMN arvo.generation.slot IS 'Partition of log, lease and closure in use.';
COMMENT ON COLUMN arvo.generation.opened_at IS 'When it came into use.';
INSERT INTO arvo.generation (slot, opened_at) VALUES (0, clock_timestamp());

-- Bits: 56–62 are kept for the number of a database (0 here), so that an identifier finds its way home.
CREATE SEQUENCE arvo.delivery_number AS bigint MAXVALUE 72057594037927935;
COMMENT ON SEQUENCE arvo.delivery_number IS 'Numbers of deliveries.';
CREATE SEQUENCE arvo.lease_number AS bigint MAXVALUE 17592186044415;
COMMENT ON SEQUENCE arvo.lease_number IS
'Upper bits of lease tokens; twelve random bits follow.';

-- ---------------------------------------------------------------------------------------------
-- log, lease, closure: the way of a healthy event, append-only
-- ---------------------------------------------------------------------------------------------

CREATE TABLE arvo.log (
    slot smallint NOT NULL,
    lane integer NOT NULL,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    delivery bigint NOT NULL,
    attempt integer NOT NULL,
    at timestamptz NOT NULL,
    subject_key bigint NOT NULL,
    event_key bigint NOT NULL,
    origin_delivery bigint,
    origin_lane integer,
    origin_xid xid8,
    event jsonb,
    cause jsonb,
    CONSTRAINT log_event_check CHECK ((event IS NULL) = (origin_delivery IS NOT NULL))
) PARTITION BY LIST (slot);
COMMENT ON TABLE arvo.log IS
'Every delivery in order of acceptance, with the event itself at its first. Never updated, never deleted: emptied by generation.';
COMMENT ON COLUMN arvo.log.slot IS 'Generation slot.';
COMMENT ON COLUMN arvo.log.lane IS 'The lane it is claimed from.';
COMMENT ON COLUMN arvo.log.xid IS 'Top-level transaction that wrote the row; windows of snapshots go by it.';
COMMENT ON COLUMN arvo.log.delivery IS 'Number of the delivery; a retry has a new one.';
COMMENT ON COLUMN arvo.log.attempt IS 'Counted from 1; charged when it is claimed.';
COMMENT ON COLUMN arvo.log.at IS 'When it was appended.';
COMMENT ON COLUMN arvo.log.subject_key IS 'Hash of the event''s subject, for histories.';
COMMENT ON COLUMN arvo.log.event_key IS 'Hash of the event''s id, for histories.';
COMMENT ON COLUMN arvo.log.origin_delivery IS
'Where the event is written, for a later delivery of it: the first delivery''s number.';
COMMENT ON COLUMN arvo.log.origin_lane IS 'Lane of the first delivery.';
COMMENT ON COLUMN arvo.log.origin_xid IS 'Transaction of the first delivery.';
COMMENT ON COLUMN arvo.log.event IS 'The event whole, as flat Arvo JSON; written once.';
COMMENT ON COLUMN arvo.log.cause IS
'Why this delivery exists, when it is not the first: previous outcome, error, dead letter.';
CREATE TABLE arvo.log_0 PARTITION OF arvo.log FOR VALUES IN (0);
CREATE TABLE arvo.log_1 PARTITION OF arvo.log FOR VALUES IN (1);
CREATE TABLE arvo.log_2 PARTITION OF arvo.log FOR VALUES IN (2);
CREATE TABLE arvo.log_3 PARTITION OF arvo.log FOR VALUES IN (3);
CREATE INDEX log_lane_idx ON arvo.log (lane, xid, delivery);
CREATE INDEX log_subject_idx ON arvo.log (subject_key);
CREATE INDEX log_event_idx ON arvo.log (event_key);

CREATE TABLE arvo.lease (
    slot smallint NOT NULL,
    lane integer NOT NULL,
    number bigint NOT NULL,
    token bigint NOT NULL,
    worker text,
    leased_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    carried boolean NOT NULL DEFAULT false,
    deliveries bigint[] NOT NULL,
    low_xid xid8,
    high_xid xid8,
    previous_snapshot pg_snapshot NOT NULL,
    snapshot pg_snapshot NOT NULL,
    last_xid xid8 NOT NULL,
    last_delivery bigint NOT NULL,
    exhausted boolean NOT NULL,
    open_from bigint NOT NULL,
    sweep_at timestamptz NOT NULL
) PARTITION BY LIST (slot);
COMMENT ON TABLE arvo.lease IS
'One row per claim, carry-forward or move of a cursor. The newest row of a lane is its cursor. Never updated.';
COMMENT ON COLUMN arvo.lease.slot IS 'Generation slot.';
COMMENT ON COLUMN arvo.lease.lane IS 'The lane.';
COMMENT ON COLUMN arvo.lease.number IS 'Order of the rows within the lane.';
COMMENT ON COLUMN arvo.lease.token IS
'The lease''s fencing token: it only grows; 0 for a row that only moves the cursor.';
COMMENT ON COLUMN arvo.lease.worker IS 'Who claimed, by its own name.';
COMMENT ON COLUMN arvo.lease.leased_at IS 'When.';
COMMENT ON COLUMN arvo.lease.expires_at IS 'When it lapses unless extended; never decreases along a lane.';
COMMENT ON COLUMN arvo.lease.carried IS 'The row continues an older row of the same token (heartbeat).';
COMMENT ON COLUMN arvo.lease.deliveries IS 'The deliveries leased.';
COMMENT ON COLUMN arvo.lease.low_xid IS 'Lowest transaction among them, to find them again.';
COMMENT ON COLUMN arvo.lease.high_xid IS 'Highest transaction among them.';
COMMENT ON COLUMN arvo.lease.previous_snapshot IS 'The window being read: not visible in this snapshot …';
COMMENT ON COLUMN arvo.lease.snapshot IS '… but visible in this one.';
COMMENT ON COLUMN arvo.lease.last_xid IS 'Position reached inside the window: transaction.';
COMMENT ON COLUMN arvo.lease.last_delivery IS 'Position reached inside the window: delivery.';
COMMENT ON COLUMN arvo.lease.exhausted IS 'The window has no rows left.';
COMMENT ON COLUMN arvo.lease.open_from IS 'No older row of the lane holds an open delivery.';
COMMENT ON COLUMN arvo.lease.sweep_at IS 'When looking for expired leases can find something.';
CREATE TABLE arvo.lease_0 PARTITION OF arvo.lease FOR VALUES IN (0);
CREATE TABLE arvo.lease_1 PARTITION OF arvo.lease FOR VALUES IN (1);
CREATE TABLE arvo.lease_2 PARTITION OF arvo.lease FOR VALUES IN (2);
CREATE TABLE arvo.lease_3 PARTITION OF arvo.lease FOR VALUES IN (3);
CREATE INDEX lease_lane_idx ON arvo.lease (lane, number);
CREATE INDEX lease_token_idx ON arvo.lease (token, number);
CREATE INDEX lease_range_idx ON arvo.lease (lane, high_xid) WHERE token <> 0;

CREATE TABLE arvo.closure (
    slot smallint NOT NULL,
    token bigint NOT NULL,
    at timestamptz NOT NULL,
    deliveries bigint[] NOT NULL,
    outcomes text[] NOT NULL,
    run_times integer[] NOT NULL
) PARTITION BY LIST (slot);
COMMENT ON TABLE arvo.closure IS
'The journal: one row per lease and settlement, saying what became of its deliveries. Never updated.';
COMMENT ON COLUMN arvo.closure.slot IS 'Generation slot.';
COMMENT ON COLUMN arvo.closure.token IS 'The lease.';
COMMENT ON COLUMN arvo.closure.at IS 'When it was settled.';
COMMENT ON COLUMN arvo.closure.deliveries IS 'The deliveries closed.';
COMMENT ON COLUMN arvo.closure.outcomes IS
'What became of each: completed, retried, dead, released, snoozed, conflict, expired, cancelled. A single element speaks for all.';
COMMENT ON COLUMN arvo.closure.run_times IS 'How long each ran, in microseconds; NULL when unknown.';
CREATE TABLE arvo.closure_0 PARTITION OF arvo.closure FOR VALUES IN (0);
CREATE TABLE arvo.closure_1 PARTITION OF arvo.closure FOR VALUES IN (1);
CREATE TABLE arvo.closure_2 PARTITION OF arvo.closure FOR VALUES IN (2);
CREATE TABLE arvo.closure_3 PARTITION OF arvo.closure FOR VALUES IN (3);
CREATE INDEX closure_token_idx ON arvo.closure (token);

-- ---------------------------------------------------------------------------------------------
-- deferred and promotion: due later
-- ---------------------------------------------------------------------------------------------

CREATE TABLE arvo.deferred (
    delivery bigint NOT NULL,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    due timestamptz NOT NULL,
    lane integer NOT NULL,
    attempt integer NOT NULL,
    at timestamptz NOT NULL,
    subject_key bigint NOT NULL,
    event_key bigint NOT NULL,
    origin_delivery bigint,
    origin_lane integer,
    origin_xid xid8,
    event jsonb,
    cause jsonb,
    CONSTRAINT deferred_delivery_pkey PRIMARY KEY (delivery),
    CONSTRAINT deferred_event_check CHECK ((event IS NULL) = (origin_delivery IS NOT NULL))
);
COMMENT ON TABLE arvo.deferred IS
'Deliveries that are due later (start_after, retry, snooze). Promoted to the log by a cursor; what has been promoted is swept away by maintain().';
COMMENT ON COLUMN arvo.deferred.delivery IS 'Number that the delivery keeps when it is promoted.';
COMMENT ON COLUMN arvo.deferred.xid IS 'Transaction that wrote the row.';
COMMENT ON COLUMN arvo.deferred.due IS 'From when it may run.';
COMMENT ON COLUMN arvo.deferred.lane IS 'The lane it goes to.';
COMMENT ON COLUMN arvo.deferred.attempt IS 'The attempt it will be.';
COMMENT ON COLUMN arvo.deferred.at IS 'When it was deferred.';
COMMENT ON COLUMN arvo.deferred.subject_key IS 'As in arvo.log.';
COMMENT ON COLUMN arvo.deferred.event_key IS 'As in arvo.log.';
COMMENT ON COLUMN arvo.deferred.origin_delivery IS 'As in arvo.log.';
COMMENT ON COLUMN arvo.deferred.origin_lane IS 'As in arvo.log.';
COMMENT ON COLUMN arvo.deferred.origin_xid IS 'As in arvo.log.';
COMMENT ON COLUMN arvo.deferred.event IS 'The event whole, when it was never in the log.';
COMMENT ON COLUMN arvo.deferred.cause IS 'As in arvo.log.';
CREATE INDEX deferred_due_idx ON arvo.deferred (due, delivery);
CREATE INDEX deferred_xid_idx ON arvo.deferred (xid, delivery);
CREATE INDEX deferred_subject_idx ON arvo.deferred (subject_key);

CREATE TABLE arvo.promotion (
    number bigint NOT NULL,
    due timestamptz NOT NULL,
    delivery bigint NOT NULL,
    snapshot pg_snapshot NOT NULL,
    promoted integer NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT promotion_number_pkey PRIMARY KEY (number)
);
COMMENT ON TABLE arvo.promotion IS
'Cursor over arvo.deferred; its newest row counts.';
COMMENT ON COLUMN arvo.promotion.number IS 'Running number.';
COMMENT ON COLUMN arvo.promotion.due IS 'Everything due up to here …';
COMMENT ON COLUMN arvo.promotion.delivery IS '… and this delivery …';
COMMENT ON COLUMN arvo.promotion.snapshot IS '… and visible in this snapshot has been promoted.';
COMMENT ON COLUMN arvo.promotion.promoted IS 'How many rows this step promoted.';
COMMENT ON COLUMN arvo.promotion.at IS 'When.';
INSERT INTO arvo.promotion (number, due, delivery, snapshot, promoted, at)
VALUES (0, '-infinity', 0, '1:1:', 0, clock_timestamp());

-- ---------------------------------------------------------------------------------------------
-- dead and tombstone: exceptions
-- ---------------------------------------------------------------------------------------------

CREATE TABLE arvo.dead (
    dead bigint GENERATED ALWAYS AS IDENTITY,
    delivery bigint NOT NULL,
    queue text NOT NULL,
    dead_letter text,
    dead_letter_lane integer,
    dead_letter_xid xid8,
    dead_letter_delivery bigint,
    event_id text NOT NULL,
    subject_key bigint NOT NULL,
    event_key bigint NOT NULL,
    event jsonb NOT NULL,
    attempts integer NOT NULL,
    reason text NOT NULL,
    error jsonb,
    died_at timestamptz NOT NULL,
    redrives integer NOT NULL DEFAULT 0,
    resolution text,
    resolved_at timestamptz,
    resolved_by text,
    CONSTRAINT dead_dead_pkey PRIMARY KEY (dead),
    CONSTRAINT dead_reason_check CHECK (reason IN ('failed', 'rejected', 'lease_expired')),
    CONSTRAINT dead_resolution_check CHECK (resolution IN ('redriven', 'consumed')),
    CONSTRAINT dead_resolved_at_check CHECK ((resolution IS NULL) = (resolved_at IS NULL))
);
COMMENT ON TABLE arvo.dead IS
'Deliveries that failed for good, with provenance and error. Open until redriven, or consumed from the dead-letter queue.';
COMMENT ON COLUMN arvo.dead.dead IS 'Number of the dead letter.';
COMMENT ON COLUMN arvo.dead.delivery IS 'The delivery that failed for good.';
COMMENT ON COLUMN arvo.dead.queue IS 'The queue it failed in.';
COMMENT ON COLUMN arvo.dead.dead_letter IS 'The dead-letter queue that also received it.';
COMMENT ON COLUMN arvo.dead.dead_letter_lane IS 'Lane of that delivery.';
COMMENT ON COLUMN arvo.dead.dead_letter_xid IS
'Transaction that put it into the log of that lane; NULL while it is deferred.';
COMMENT ON COLUMN arvo.dead.dead_letter_delivery IS 'Number of that delivery.';
COMMENT ON COLUMN arvo.dead.event_id IS 'Id of the event.';
COMMENT ON COLUMN arvo.dead.subject_key IS 'As in arvo.log.';
COMMENT ON COLUMN arvo.dead.event_key IS 'As in arvo.log.';
COMMENT ON COLUMN arvo.dead.event IS 'The event whole: a dead letter outlives the log.';
COMMENT ON COLUMN arvo.dead.attempts IS 'Attempts charged.';
COMMENT ON COLUMN arvo.dead.reason IS 'failed, rejected or lease_expired.';
COMMENT ON COLUMN arvo.dead.error IS 'Name, message and stack of the last error.';
COMMENT ON COLUMN arvo.dead.died_at IS 'When.';
COMMENT ON COLUMN arvo.dead.redrives IS 'How often the event had been redriven before.';
COMMENT ON COLUMN arvo.dead.resolution IS 'What was done about it; NULL while open.';
COMMENT ON COLUMN arvo.dead.resolved_at IS 'When.';
COMMENT ON COLUMN arvo.dead.resolved_by IS 'By which login role.';
CREATE INDEX dead_open_idx ON arvo.dead (queue, dead) WHERE resolution IS NULL;
CREATE INDEX dead_dead_letter_idx ON arvo.dead (dead_letter, dead) WHERE resolution IS NULL;
CREATE INDEX dead_dead_letter_delivery_idx
ON arvo.dead (dead_letter_lane, dead_letter_delivery) WHERE resolution IS NULL;
CREATE INDEX dead_subject_idx ON arvo.dead (subject_key);

CREATE TABLE arvo.tombstone (
    lane integer NOT NULL,
    delivery bigint NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT tombstone_lane_delivery_pkey PRIMARY KEY (lane, delivery)
);
COMMENT ON TABLE arvo.tombstone IS
'Deliveries of the log that must not be handed out any more; the claim that meets one closes it.';
COMMENT ON COLUMN arvo.tombstone.lane IS 'Lane of the delivery.';
COMMENT ON COLUMN arvo.tombstone.delivery IS 'The delivery.';
COMMENT ON COLUMN arvo.tombstone.at IS 'When it was withdrawn.';

-- ---------------------------------------------------------------------------------------------
-- state, state_lock, lineage: the memory of workflows
-- ---------------------------------------------------------------------------------------------

CREATE TABLE arvo.state (
    subject_digest bytea NOT NULL,
    subject text NOT NULL,
    version bigint NOT NULL,
    data jsonb NOT NULL,
    execution_status text NOT NULL,
    initiator text,
    source text,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    CONSTRAINT state_subject_digest_pkey PRIMARY KEY (subject_digest),
    CONSTRAINT state_version_check CHECK (version >= 1)
) WITH (fillfactor = 70);
COMMENT ON TABLE arvo.state IS 'The state of each workflow: one row per subject, one version per write.';
COMMENT ON COLUMN arvo.state.subject_digest IS 'SHA-256 of the subject: subjects have no length limit.';
COMMENT ON COLUMN arvo.state.subject IS 'The subject, verbatim.';
COMMENT ON COLUMN arvo.state.version IS 'Grows by exactly one per accepted write.';
COMMENT ON COLUMN arvo.state.data IS 'The state record.';
COMMENT ON COLUMN arvo.state.execution_status IS 'normal, failure, or what the handler says.';
COMMENT ON COLUMN arvo.state.initiator IS 'Who started the workflow.';
COMMENT ON COLUMN arvo.state.source IS 'The handler whose state it is.';
COMMENT ON COLUMN arvo.state.created_at IS 'First write.';
COMMENT ON COLUMN arvo.state.changed_at IS 'Last write.';

CREATE SEQUENCE arvo.lock_token AS bigint MAXVALUE 72057594037927935;
COMMENT ON SEQUENCE arvo.lock_token IS 'Fencing tokens of subject locks; they only grow.';

CREATE TABLE arvo.state_lock (
    subject_digest bytea NOT NULL,
    subject text NOT NULL,
    token bigint NOT NULL,
    locked_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT state_lock_subject_digest_pkey PRIMARY KEY (subject_digest)
) WITH (fillfactor = 70);
COMMENT ON TABLE arvo.state_lock IS 'Time-limited locks on subjects, each with a fencing token.';
COMMENT ON COLUMN arvo.state_lock.subject_digest IS 'SHA-256 of the subject.';
COMMENT ON COLUMN arvo.state_lock.subject IS 'The subject, verbatim.';
COMMENT ON COLUMN arvo.state_lock.token IS 'The holder''s fencing token.';
COMMENT ON COLUMN arvo.state_lock.locked_at IS 'When it was taken.';
COMMENT ON COLUMN arvo.state_lock.expires_at IS 'From when anybody may take it.';

CREATE TABLE arvo.lineage (
    subject_digest bytea NOT NULL,
    subject text NOT NULL,
    parent_digest bytea,
    created_at timestamptz NOT NULL,
    CONSTRAINT lineage_subject_digest_pkey PRIMARY KEY (subject_digest),
    CONSTRAINT lineage_parent_digest_check CHECK (parent_digest <> subject_digest)
);
COMMENT ON TABLE arvo.lineage IS
'The tree of workflows: each subject and its parent. Roots are found by walking up, so order of arrival does not matter.';
COMMENT ON COLUMN arvo.lineage.subject_digest IS 'SHA-256 of the subject.';
COMMENT ON COLUMN arvo.lineage.subject IS 'The subject, verbatim.';
COMMENT ON COLUMN arvo.lineage.parent_digest IS 'SHA-256 of the parent''s subject; NULL for a root.';
COMMENT ON COLUMN arvo.lineage.created_at IS 'When it was first seen.';
CREATE INDEX lineage_parent_idx ON arvo.lineage (parent_digest) WHERE parent_digest IS NOT NULL;

CREATE TYPE arvo.result AS (
    ordinal integer,
    lease bigint,
    delivery bigint,
    asked text,
    events jsonb,
    state jsonb,
    error jsonb,
    after interval,
    run_time integer,
    lane integer,
    low_xid xid8,
    high_xid xid8,
    verdict text,
    code text,
    detail text,
    state_version bigint
);
COMMENT ON TYPE arvo.result IS 'One result inside settle(): what was asked, and the verdict on it.';
COMMENT ON COLUMN arvo.result.ordinal IS 'Place in the array of results, from 1.';
COMMENT ON COLUMN arvo.result.lease IS 'The lease named.';
COMMENT ON COLUMN arvo.result.delivery IS 'The delivery named.';
COMMENT ON COLUMN arvo.result.asked IS 'The outcome asked for.';
COMMENT ON COLUMN arvo.result.events IS 'Events to emit.';
COMMENT ON COLUMN arvo.result.state IS 'State to write.';
COMMENT ON COLUMN arvo.result.error IS 'Why it failed.';
COMMENT ON COLUMN arvo.result.after IS 'When to try again.';
COMMENT ON COLUMN arvo.result.run_time IS 'How long it ran, in microseconds.';
COMMENT ON COLUMN arvo.result.lane IS 'Lane of the lease.';
COMMENT ON COLUMN arvo.result.low_xid IS 'Lowest transaction of the lease''s deliveries.';
COMMENT ON COLUMN arvo.result.high_xid IS 'Highest transaction of the lease''s deliveries.';
COMMENT ON COLUMN arvo.result.verdict IS 'What became of it; NULL while undecided.';
COMMENT ON COLUMN arvo.result.code IS 'SQLSTATE of a refusal or conflict.';
COMMENT ON COLUMN arvo.result.detail IS 'Its facts.';
COMMENT ON COLUMN arvo.result.state_version IS 'Version of the state written.';

-- ---------------------------------------------------------------------------------------------
-- row types of the contract
-- ---------------------------------------------------------------------------------------------

CREATE TYPE arvo_v1.about AS (
    contract integer,
    revision integer,
    oldest_client integer,
    installation text,
    system_identifier text
);
COMMENT ON TYPE arvo_v1.about IS 'What is installed here.';
COMMENT ON COLUMN arvo_v1.about.contract IS 'Version of the contract: 1.';
COMMENT ON COLUMN arvo_v1.about.revision IS 'Number of the newest migration applied.';
COMMENT ON COLUMN arvo_v1.about.oldest_client IS
'A client must know migrations at least up to this number.';
COMMENT ON COLUMN arvo_v1.about.installation IS
'Name of the installation: its schema, and the prefix of its roles and channel.';
COMMENT ON COLUMN arvo_v1.about.system_identifier IS 'Identity of the cluster.';

CREATE TYPE arvo_v1.queue AS (
    queue text,
    change text,
    registered boolean,
    stateful boolean,
    priority integer,
    retry_limit integer,
    retry_delay interval,
    retry_backoff boolean,
    retry_delay_max interval,
    expire_in interval,
    dead_letter text,
    warning_queue_size integer
);
COMMENT ON TYPE arvo_v1.queue IS 'A queue and its options, after a registration.';
COMMENT ON COLUMN arvo_v1.queue.queue IS 'Its name.';
COMMENT ON COLUMN arvo_v1.queue.change IS
'What the registration did: created, unchanged, or a list of the options that changed.';
COMMENT ON COLUMN arvo_v1.queue.registered IS 'Always true after a registration.';
COMMENT ON COLUMN arvo_v1.queue.stateful IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue.priority IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue.retry_limit IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue.retry_delay IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue.retry_backoff IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue.retry_delay_max IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue.expire_in IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue.dead_letter IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue.warning_queue_size IS 'As in arvo.queue.';

CREATE TYPE arvo_v1.dispatched AS (
    ordinal integer,
    event_id text,
    delivery bigint,
    queue text,
    outcome text
);
COMMENT ON TYPE arvo_v1.dispatched IS 'What became of a dispatched event.';
COMMENT ON COLUMN arvo_v1.dispatched.ordinal IS 'Place in the array that was dispatched, from 1.';
COMMENT ON COLUMN arvo_v1.dispatched.event_id IS 'Id of the event.';
COMMENT ON COLUMN arvo_v1.dispatched.delivery IS 'Number of its delivery.';
COMMENT ON COLUMN arvo_v1.dispatched.queue IS 'The queue it went to.';
COMMENT ON COLUMN arvo_v1.dispatched.outcome IS 'queued, deferred, domained or unroutable.';

CREATE TYPE arvo_v1.claimed AS (
    lease bigint,
    delivery bigint,
    queue text,
    attempt integer,
    expires_at timestamptz,
    expire_in interval,
    event jsonb,
    cause jsonb,
    state jsonb,
    state_version bigint
);
COMMENT ON TYPE arvo_v1.claimed IS 'One delivery, leased.';
COMMENT ON COLUMN arvo_v1.claimed.lease IS 'Fencing token of the lease; settle and extend want it back.';
COMMENT ON COLUMN arvo_v1.claimed.delivery IS 'Number of the delivery.';
COMMENT ON COLUMN arvo_v1.claimed.queue IS 'The queue it comes from.';
COMMENT ON COLUMN arvo_v1.claimed.attempt IS 'Which attempt this is, from 1.';
COMMENT ON COLUMN arvo_v1.claimed.expires_at IS 'When the lease lapses unless extended.';
COMMENT ON COLUMN arvo_v1.claimed.expire_in IS 'How long the handler may run.';
COMMENT ON COLUMN arvo_v1.claimed.event IS 'The event.';
COMMENT ON COLUMN arvo_v1.claimed.cause IS 'Why it is delivered again, if it is.';
COMMENT ON COLUMN arvo_v1.claimed.state IS 'Stateful queues: the state of the event''s subject; NULL for none.';
COMMENT ON COLUMN arvo_v1.claimed.state_version IS 'Stateful queues: its version, 0 for none.';

CREATE TYPE arvo_v1.settled AS (
    ordinal integer,
    lease bigint,
    delivery bigint,
    accepted boolean,
    outcome text,
    code text,
    detail text,
    state_version bigint
);
COMMENT ON TYPE arvo_v1.settled IS 'The verdict on one result.';
COMMENT ON COLUMN arvo_v1.settled.ordinal IS 'Place in the array of results, from 1.';
COMMENT ON COLUMN arvo_v1.settled.lease IS 'The lease named.';
COMMENT ON COLUMN arvo_v1.settled.delivery IS 'The delivery named.';
COMMENT ON COLUMN arvo_v1.settled.accepted IS 'Whether the result took effect, now or in an earlier call.';
COMMENT ON COLUMN arvo_v1.settled.outcome IS
'completed, retried, dead, released, snoozed, conflict, already, or refused.';
COMMENT ON COLUMN arvo_v1.settled.code IS 'SQLSTATE of a refusal or conflict.';
COMMENT ON COLUMN arvo_v1.settled.detail IS 'The facts of a refusal or conflict.';
COMMENT ON COLUMN arvo_v1.settled.state_version IS 'Version of the state written, if one was.';

CREATE TYPE arvo_v1.worked AS (
    kind text,
    lease bigint,
    delivery bigint,
    outcome text,
    code text,
    detail text,
    queue text,
    attempt integer,
    expire_in interval,
    event jsonb,
    cause jsonb,
    state jsonb,
    state_version bigint,
    wait interval
);
COMMENT ON TYPE arvo_v1.worked IS 'One row of an answer to work().';
COMMENT ON COLUMN arvo_v1.worked.kind IS
'settled: a verdict that is not plainly completed; claimed: a delivery to run; idle: nothing to run now.';
COMMENT ON COLUMN arvo_v1.worked.lease IS 'Fencing token of the lease.';
COMMENT ON COLUMN arvo_v1.worked.delivery IS 'The delivery.';
COMMENT ON COLUMN arvo_v1.worked.outcome IS 'settled: as in arvo_v1.settled.';
COMMENT ON COLUMN arvo_v1.worked.code IS 'settled: SQLSTATE of a refusal or conflict.';
COMMENT ON COLUMN arvo_v1.worked.detail IS 'settled: the facts of a refusal or conflict.';
COMMENT ON COLUMN arvo_v1.worked.queue IS 'claimed: the queue it comes from.';
COMMENT ON COLUMN arvo_v1.worked.attempt IS 'claimed: which attempt this is, from 1.';
COMMENT ON COLUMN arvo_v1.worked.expire_in IS 'claimed: how long the handler may run.';
COMMENT ON COLUMN arvo_v1.worked.event IS 'claimed: the event.';
COMMENT ON COLUMN arvo_v1.worked.cause IS 'claimed: why it is delivered again, if it is.';
COMMENT ON COLUMN arvo_v1.worked.state IS 'claimed, stateful queues: the state of the event''s subject.';
COMMENT ON COLUMN arvo_v1.worked.state_version IS 'claimed, stateful queues: its version, 0 for none; settled: the version written.';
COMMENT ON COLUMN arvo_v1.worked.wait IS 'idle: how long until something deferred becomes due; NULL for nothing in sight.';

CREATE TYPE arvo_v1.extended AS (
    lease bigint,
    held boolean,
    expires_at timestamptz
);
COMMENT ON TYPE arvo_v1.extended IS 'Answer to a heartbeat.';
COMMENT ON COLUMN arvo_v1.extended.lease IS 'The lease.';
COMMENT ON COLUMN arvo_v1.extended.held IS 'False: it is lost, or nothing of it is open.';
COMMENT ON COLUMN arvo_v1.extended.expires_at IS 'When it lapses now.';

CREATE TYPE arvo_v1.state AS (
    subject text,
    version bigint,
    data jsonb,
    execution_status text,
    parent_subject text,
    initiator text,
    source text,
    created_at timestamptz,
    changed_at timestamptz
);
COMMENT ON TYPE arvo_v1.state IS 'The state of one workflow.';
COMMENT ON COLUMN arvo_v1.state.subject IS 'Its subject.';
COMMENT ON COLUMN arvo_v1.state.version IS 'Its version; a write must name it.';
COMMENT ON COLUMN arvo_v1.state.data IS 'The state record.';
COMMENT ON COLUMN arvo_v1.state.execution_status IS 'As in arvo.state.';
COMMENT ON COLUMN arvo_v1.state.parent_subject IS 'Subject of the parent workflow; NULL for a root, or when the parent is unknown here.';
COMMENT ON COLUMN arvo_v1.state.initiator IS 'As in arvo.state.';
COMMENT ON COLUMN arvo_v1.state.source IS 'As in arvo.state.';
COMMENT ON COLUMN arvo_v1.state.created_at IS 'First write.';
COMMENT ON COLUMN arvo_v1.state.changed_at IS 'Last write.';

CREATE TYPE arvo_v1.lock AS (
    subject text,
    token bigint,
    expires_at timestamptz
);
COMMENT ON TYPE arvo_v1.lock IS 'A lock that is held.';
COMMENT ON COLUMN arvo_v1.lock.subject IS 'The subject.';
COMMENT ON COLUMN arvo_v1.lock.token IS 'Fencing token: needed to write under the lock, to renew and to release it.';
COMMENT ON COLUMN arvo_v1.lock.expires_at IS 'From when anybody may take it.';

CREATE TYPE arvo_v1.kin AS (
    subject text,
    parent_subject text,
    depth integer,
    execution_status text,
    created_at timestamptz
);
COMMENT ON TYPE arvo_v1.kin IS 'One workflow of a tree of workflows.';
COMMENT ON COLUMN arvo_v1.kin.subject IS 'Its subject.';
COMMENT ON COLUMN arvo_v1.kin.parent_subject IS 'Its parent''s subject; NULL for the root.';
COMMENT ON COLUMN arvo_v1.kin.depth IS 'Steps from the root.';
COMMENT ON COLUMN arvo_v1.kin.execution_status IS 'Status of its state; NULL when it has none.';
COMMENT ON COLUMN arvo_v1.kin.created_at IS 'When it was first seen.';

CREATE TYPE arvo_v1.queue_stats AS (
    name text,
    registered boolean,
    retry_limit integer,
    retry_delay interval,
    retry_backoff boolean,
    retry_delay_max interval,
    expire_in interval,
    dead_letter text,
    warning_queue_size integer,
    deferred_count bigint,
    queued_count bigint,
    active_count bigint,
    dead_count bigint,
    oldest_queued_at timestamptz,
    created_on timestamptz,
    updated_on timestamptz
);
COMMENT ON TYPE arvo_v1.queue_stats IS 'Live numbers of one queue.';
COMMENT ON COLUMN arvo_v1.queue_stats.name IS 'The queue.';
COMMENT ON COLUMN arvo_v1.queue_stats.registered IS 'Whether a handler was registered; without one, its events are unroutable.';
COMMENT ON COLUMN arvo_v1.queue_stats.retry_limit IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue_stats.retry_delay IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue_stats.retry_backoff IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue_stats.retry_delay_max IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue_stats.expire_in IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue_stats.dead_letter IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue_stats.warning_queue_size IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue_stats.deferred_count IS 'Due later: start_after, retry, snooze.';
COMMENT ON COLUMN arvo_v1.queue_stats.queued_count IS 'Ready and not yet claimed.';
COMMENT ON COLUMN arvo_v1.queue_stats.active_count IS 'Leased and not yet settled.';
COMMENT ON COLUMN arvo_v1.queue_stats.dead_count IS 'Dead letters of this queue that are still open.';
COMMENT ON COLUMN arvo_v1.queue_stats.oldest_queued_at IS 'When the oldest ready delivery was appended.';
COMMENT ON COLUMN arvo_v1.queue_stats.created_on IS 'When the queue was first named.';
COMMENT ON COLUMN arvo_v1.queue_stats.updated_on IS 'When its options last changed.';

CREATE TYPE arvo_v1.dead_letter AS (
    dead bigint,
    delivery bigint,
    queue text,
    dead_letter text,
    event_id text,
    event jsonb,
    attempts integer,
    reason text,
    error jsonb,
    died_at timestamptz,
    redrives integer,
    resolution text
);
COMMENT ON TYPE arvo_v1.dead_letter IS 'A delivery that failed for good.';
COMMENT ON COLUMN arvo_v1.dead_letter.dead IS 'Number of the dead letter.';
COMMENT ON COLUMN arvo_v1.dead_letter.delivery IS 'The delivery that failed.';
COMMENT ON COLUMN arvo_v1.dead_letter.queue IS 'The queue it failed in.';
COMMENT ON COLUMN arvo_v1.dead_letter.dead_letter IS 'The dead-letter queue that received it, if one is named.';
COMMENT ON COLUMN arvo_v1.dead_letter.event_id IS 'Id of the event.';
COMMENT ON COLUMN arvo_v1.dead_letter.event IS 'The event.';
COMMENT ON COLUMN arvo_v1.dead_letter.attempts IS 'Attempts charged.';
COMMENT ON COLUMN arvo_v1.dead_letter.reason IS 'failed, rejected or lease_expired.';
COMMENT ON COLUMN arvo_v1.dead_letter.error IS 'The last error.';
COMMENT ON COLUMN arvo_v1.dead_letter.died_at IS 'When.';
COMMENT ON COLUMN arvo_v1.dead_letter.redrives IS 'How often it had been redriven before.';
COMMENT ON COLUMN arvo_v1.dead_letter.resolution IS 'redriven, consumed, or NULL while open.';

CREATE TYPE arvo_v1.redriven AS (
    dead bigint,
    event_id text,
    delivery bigint,
    queue text
);
COMMENT ON TYPE arvo_v1.redriven IS 'A dead letter that was put back into its queue.';
COMMENT ON COLUMN arvo_v1.redriven.dead IS 'Number of the dead letter.';
COMMENT ON COLUMN arvo_v1.redriven.event_id IS 'Id of the event.';
COMMENT ON COLUMN arvo_v1.redriven.delivery IS 'Number of the new delivery; NULL in a dry run.';
COMMENT ON COLUMN arvo_v1.redriven.queue IS 'The queue it went back to.';

CREATE TYPE arvo_v1.step AS (
    subject text,
    event_id text,
    parent_id text,
    event_type text,
    source text,
    queue text,
    delivery bigint,
    attempt integer,
    outcome text,
    accepted_at timestamptz,
    claimed_at timestamptz,
    settled_at timestamptz,
    run_time interval,
    worker text,
    error jsonb
);
COMMENT ON TYPE arvo_v1.step IS 'One delivery in the story of a workflow.';
COMMENT ON COLUMN arvo_v1.step.subject IS 'The workflow.';
COMMENT ON COLUMN arvo_v1.step.event_id IS 'The event.';
COMMENT ON COLUMN arvo_v1.step.parent_id IS 'The event that it answers.';
COMMENT ON COLUMN arvo_v1.step.event_type IS 'Type of the event.';
COMMENT ON COLUMN arvo_v1.step.source IS 'Who emitted it.';
COMMENT ON COLUMN arvo_v1.step.queue IS 'The queue it was delivered to.';
COMMENT ON COLUMN arvo_v1.step.delivery IS 'Number of the delivery.';
COMMENT ON COLUMN arvo_v1.step.attempt IS 'Which attempt it was.';
COMMENT ON COLUMN arvo_v1.step.outcome IS
'queued, deferred, unroutable, active, or what became of it: completed, retried, dead, released, snoozed, conflict, expired, cancelled.';
COMMENT ON COLUMN arvo_v1.step.accepted_at IS 'When the delivery was appended.';
COMMENT ON COLUMN arvo_v1.step.claimed_at IS 'When it was claimed.';
COMMENT ON COLUMN arvo_v1.step.settled_at IS 'When it was settled.';
COMMENT ON COLUMN arvo_v1.step.run_time IS 'How long its handler ran.';
COMMENT ON COLUMN arvo_v1.step.worker IS 'Which worker ran it.';
COMMENT ON COLUMN arvo_v1.step.error IS 'The error that ended it, if one did.';

CREATE TYPE arvo_v1.maintained AS (
    task text,
    touched bigint
);
COMMENT ON TYPE arvo_v1.maintained IS 'What one task of maintenance did.';
COMMENT ON COLUMN arvo_v1.maintained.task IS 'promoted, healed, swept or unlocked.';
COMMENT ON COLUMN arvo_v1.maintained.touched IS 'How many rows.';

INSERT INTO arvo.revision (number, name, oldest_client) VALUES (1, '0001.before.ground', 1);
