-- ---------------------------------------------------------------------------------------------
-- queue: the options of a whole queue engine
-- ---------------------------------------------------------------------------------------------

ALTER TABLE arvo.queue
ADD COLUMN policy text NOT NULL DEFAULT 'standard',
ADD COLUMN key_from text,
ADD COLUMN on_failure text NOT NULL DEFAULT 'block',
ADD COLUMN start_after interval NOT NULL DEFAULT interval '0',
ADD COLUMN retention interval NOT NULL DEFAULT interval '14 days',
ADD COLUMN delete_after interval NOT NULL DEFAULT interval '7 days',
ADD COLUMN deduplicate_for interval NOT NULL DEFAULT interval '7 days',
ADD COLUMN singleton_for interval,
ADD COLUMN singleton_next_slot boolean NOT NULL DEFAULT false,
ADD COLUMN max_active integer,
ADD COLUMN key_max_active integer,
ADD COLUMN rate_limit integer,
ADD COLUMN rate_period interval,
ADD COLUMN key_rate_limit integer,
ADD COLUMN key_rate_period interval,
ADD COLUMN max_redrives integer NOT NULL DEFAULT 20,
ADD COLUMN error_rules jsonb NOT NULL DEFAULT '{}',
ADD COLUMN paused_at timestamptz,
ADD COLUMN paused_by text,
ADD COLUMN drained_to pg_snapshot,
ADD CONSTRAINT queue_policy_check
CHECK (policy IN ('standard', 'short', 'singleton', 'stately', 'exclusive', 'ordered')),
ADD CONSTRAINT queue_on_failure_check CHECK (on_failure IN ('block', 'step_aside')),
ADD CONSTRAINT queue_start_after_check CHECK (start_after >= interval '0'),
ADD CONSTRAINT queue_retention_check CHECK (retention >= interval '1 second'),
ADD CONSTRAINT queue_delete_after_check CHECK (delete_after >= interval '1 second'),
ADD CONSTRAINT queue_deduplicate_for_check CHECK (deduplicate_for >= interval '0'),
ADD CONSTRAINT queue_singleton_for_check CHECK (singleton_for >= interval '1 second'),
ADD CONSTRAINT queue_max_active_check CHECK (max_active >= 1),
ADD CONSTRAINT queue_key_max_active_check CHECK (key_max_active >= 1),
ADD CONSTRAINT queue_rate_limit_check
CHECK (rate_limit >= 1 AND (rate_limit IS NULL) = (rate_period IS NULL)),
ADD CONSTRAINT queue_key_rate_limit_check
CHECK (key_rate_limit >= 1 AND (key_rate_limit IS NULL) = (key_rate_period IS NULL)),
ADD CONSTRAINT queue_max_redrives_check CHECK (max_redrives >= 0),
ADD COLUMN gated boolean GENERATED ALWAYS AS (
    policy IN ('ordered', 'singleton', 'stately')
    OR max_active IS NOT NULL
    OR key_max_active IS NOT NULL
    OR rate_limit IS NOT NULL
    OR key_rate_limit IS NOT NULL
) STORED,
ADD COLUMN slotted boolean GENERATED ALWAYS AS (
    policy IN ('short', 'stately', 'exclusive')
) STORED;
COMMENT ON COLUMN arvo.queue.policy IS
'standard; short, singleton, stately, exclusive: at most one per key queued, active, in each, in all; ordered: first in, first out per key.';
COMMENT ON COLUMN arvo.queue.key_from IS
'Where in the event the key stands: the name of an attribute, or data.a.b; NULL: the subject in an ordered queue, else one key for the whole queue.';
COMMENT ON COLUMN arvo.queue.on_failure IS
'Ordered: whether a failed delivery blocks its key until it is done with, or steps aside.';
COMMENT ON COLUMN arvo.queue.start_after IS 'How long a delivery that names no start is put off.';
COMMENT ON COLUMN arvo.queue.retention IS
'How long a delivery may wait to be claimed; then it is a dead letter with reason retention.';
COMMENT ON COLUMN arvo.queue.delete_after IS 'How long its history is kept, at least.';
COMMENT ON COLUMN arvo.queue.deduplicate_for IS
'How long the same source and id is answered with the first delivery; 0 for never.';
COMMENT ON COLUMN arvo.queue.singleton_for IS
'One delivery per key and interval of this length; NULL for no throttling.';
COMMENT ON COLUMN arvo.queue.singleton_next_slot IS
'Whether a throttled delivery goes to the next interval, when that is free.';
COMMENT ON COLUMN arvo.queue.max_active IS 'How many may run at the same time, over all workers.';
COMMENT ON COLUMN arvo.queue.key_max_active IS 'The same for each key.';
COMMENT ON COLUMN arvo.queue.rate_limit IS 'How many may start per rate_period, over all workers.';
COMMENT ON COLUMN arvo.queue.rate_period IS 'Period of rate_limit.';
COMMENT ON COLUMN arvo.queue.key_rate_limit IS 'How many may start per key and key_rate_period.';
COMMENT ON COLUMN arvo.queue.key_rate_period IS 'Period of key_rate_limit.';
COMMENT ON COLUMN arvo.queue.max_redrives IS 'How often a dead letter may be redriven.';
COMMENT ON COLUMN arvo.queue.error_rules IS
'What follows an error, by its name: {"Name": "dead"}, {"Name": {"retry_after": s}} or {"Name": {"snooze": s}}.';
COMMENT ON COLUMN arvo.queue.paused_at IS 'Since when nothing is claimed; NULL: not paused.';
COMMENT ON COLUMN arvo.queue.paused_by IS 'Who paused it.';
COMMENT ON COLUMN arvo.queue.drained_to IS
'Draining: only what this snapshot saw is claimed; NULL: not draining.';
COMMENT ON COLUMN arvo.queue.gated IS 'Whether claims go through arvo.turn: one lock for all its lanes.';
COMMENT ON COLUMN arvo.queue.slotted IS 'Whether dispatches go through arvo.singleton.';

CREATE TABLE arvo.registration (
    queue text NOT NULL,
    worker text NOT NULL,
    options jsonb NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT registration_queue_worker_pkey PRIMARY KEY (queue, worker)
);
COMMENT ON TABLE arvo.registration IS
'What each process asked for when it registered a queue last: two that disagree can be seen.';
COMMENT ON COLUMN arvo.registration.queue IS 'Name of the queue.';
COMMENT ON COLUMN arvo.registration.worker IS 'Name of the process, as it calls itself.';
COMMENT ON COLUMN arvo.registration.options IS 'The options that it named.';
COMMENT ON COLUMN arvo.registration.at IS 'When.';

-- ---------------------------------------------------------------------------------------------
-- log, deferred, lease: keys, and options of single deliveries
-- ---------------------------------------------------------------------------------------------

ALTER TABLE arvo.log ADD COLUMN key bigint, ADD COLUMN options jsonb;
COMMENT ON COLUMN arvo.log.key IS 'Hash of its key, as arvo.key_of gives it; NULL when it has none of its own.';
COMMENT ON COLUMN arvo.log.options IS 'Options of this delivery that differ from its queue''s.';
ALTER TABLE arvo.deferred ADD COLUMN key bigint, ADD COLUMN options jsonb;
COMMENT ON COLUMN arvo.deferred.key IS 'As in arvo.log.';
COMMENT ON COLUMN arvo.deferred.options IS 'As in arvo.log.';

ALTER TABLE arvo.lease
ADD COLUMN xids xid8[],
ADD COLUMN keys bigint[],
ADD COLUMN places bigint[],
ADD COLUMN ready_from bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN arvo.lease.xids IS
'Transaction of each delivery, to find it again; a single element speaks for all. NULL in rows from before revision 3.';
COMMENT ON COLUMN arvo.lease.keys IS 'Gated queues: the key of each delivery.';
COMMENT ON COLUMN arvo.lease.places IS 'Ordered queues: the place of each delivery in the line of its key.';
COMMENT ON COLUMN arvo.lease.ready_from IS
'Gated queues, in the home lane of the queue: arvo.ready has been read up to this number.';

CREATE INDEX closure_at_idx ON arvo.closure USING brin (at) WITH (pages_per_range = 16);

-- ---------------------------------------------------------------------------------------------
-- turn, parked, ready: keys of gated queues
-- ---------------------------------------------------------------------------------------------

CREATE SEQUENCE arvo.turn_number AS bigint;
COMMENT ON SEQUENCE arvo.turn_number IS 'Numbers of turn, parked and ready; they only grow.';

CREATE TABLE arvo.turn (
    queue integer NOT NULL,
    key bigint NOT NULL,
    number bigint NOT NULL,
    active integer NOT NULL,
    waiting integer NOT NULL,
    upto bigint NOT NULL,
    holder bigint,
    ready boolean NOT NULL,
    tally bigint[] NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT turn_queue_key_number_pkey PRIMARY KEY (queue, key, number),
    CONSTRAINT turn_active_check CHECK (active >= 0),
    CONSTRAINT turn_waiting_check CHECK (waiting >= 0)
);
COMMENT ON TABLE arvo.turn IS
'State of each key of a gated queue: its newest row counts; key 0 is the queue itself. Appended under the lock of the queue''s home lane; the row before is deleted with it, idle ones by maintain().';
COMMENT ON COLUMN arvo.turn.queue IS 'The queue.';
COMMENT ON COLUMN arvo.turn.key IS 'The key; 0 is the queue as a whole.';
COMMENT ON COLUMN arvo.turn.number IS 'Order of the rows: newest first, no look-up meets a deleted one.';
COMMENT ON COLUMN arvo.turn.active IS 'How many of its deliveries are leased.';
COMMENT ON COLUMN arvo.turn.waiting IS 'How many stand in arvo.parked.';
COMMENT ON COLUMN arvo.turn.upto IS 'Places up to here have been taken.';
COMMENT ON COLUMN arvo.turn.holder IS
'A delivery that is to come before all others of the key: its head is put off or was given back.';
COMMENT ON COLUMN arvo.turn.ready IS 'Whether the key stands in arvo.ready, unread.';
COMMENT ON COLUMN arvo.turn.tally IS
'Rate limits: pairs of a piece of the period and how many started in it.';
COMMENT ON COLUMN arvo.turn.at IS 'When.';
CREATE INDEX turn_idle_idx ON arvo.turn (at)
WHERE active = 0 AND waiting = 0 AND holder IS NULL;

CREATE TABLE arvo.parked (
    queue integer NOT NULL,
    key bigint NOT NULL,
    place bigint NOT NULL,
    delivery bigint NOT NULL,
    lane integer NOT NULL,
    xid xid8 NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT parked_queue_key_place_pkey PRIMARY KEY (queue, key, place)
);
COMMENT ON TABLE arvo.parked IS
'Deliveries that a claim has read and that wait for others of their key, in order of their places.';
COMMENT ON COLUMN arvo.parked.queue IS 'The queue.';
COMMENT ON COLUMN arvo.parked.key IS 'The key.';
COMMENT ON COLUMN arvo.parked.place IS 'Place in the line of its key.';
COMMENT ON COLUMN arvo.parked.delivery IS 'The delivery.';
COMMENT ON COLUMN arvo.parked.lane IS 'Where it stands in the log: lane …';
COMMENT ON COLUMN arvo.parked.xid IS '… and transaction.';
COMMENT ON COLUMN arvo.parked.at IS 'When it was appended to the log.';
CREATE INDEX parked_delivery_idx ON arvo.parked (delivery);
CREATE INDEX parked_at_idx ON arvo.parked (at);

CREATE TABLE arvo.ready (
    queue integer NOT NULL,
    number bigint NOT NULL,
    key bigint NOT NULL,
    CONSTRAINT ready_queue_number_pkey PRIMARY KEY (queue, number)
);
COMMENT ON TABLE arvo.ready IS
'Keys that have somebody waiting and room for them, in the order in which they are served; read by a cursor in arvo.lease.';
COMMENT ON COLUMN arvo.ready.queue IS 'The queue.';
COMMENT ON COLUMN arvo.ready.number IS 'Order.';
COMMENT ON COLUMN arvo.ready.key IS 'The key.';

-- ---------------------------------------------------------------------------------------------
-- singleton, throttle, event_key: what a dispatch asks before it appends
-- ---------------------------------------------------------------------------------------------

CREATE TABLE arvo.singleton (
    queue integer NOT NULL,
    kind text NOT NULL,
    key bigint NOT NULL,
    number bigint NOT NULL,
    delivery bigint,
    at timestamptz NOT NULL,
    CONSTRAINT singleton_queue_kind_key_number_pkey PRIMARY KEY (queue, kind, key, number),
    CONSTRAINT singleton_kind_check CHECK (kind IN ('queued', 'retry', 'any'))
);
COMMENT ON TABLE arvo.singleton IS
'The one place per key that the policies short, stately and exclusive give out; the newest row of a place counts.';
COMMENT ON COLUMN arvo.singleton.queue IS 'The queue.';
COMMENT ON COLUMN arvo.singleton.kind IS
'queued (short, stately): not claimed yet; retry (stately): to be retried; any (exclusive): not finished.';
COMMENT ON COLUMN arvo.singleton.key IS 'The key.';
COMMENT ON COLUMN arvo.singleton.number IS 'Order of the rows.';
COMMENT ON COLUMN arvo.singleton.delivery IS 'First delivery of the event that has the place; NULL: it is free.';
COMMENT ON COLUMN arvo.singleton.at IS 'When.';
CREATE INDEX singleton_free_idx ON arvo.singleton (at) WHERE delivery IS NULL;

CREATE TABLE arvo.throttle (
    queue integer NOT NULL,
    key bigint NOT NULL,
    slot_at timestamptz NOT NULL,
    until timestamptz NOT NULL,
    delivery bigint NOT NULL,
    CONSTRAINT throttle_queue_key_slot_at_pkey PRIMARY KEY (queue, key, slot_at)
);
COMMENT ON TABLE arvo.throttle IS
'Intervals of singleton_for that have had their delivery, per queue and key.';
COMMENT ON COLUMN arvo.throttle.queue IS 'The queue.';
COMMENT ON COLUMN arvo.throttle.key IS 'The key.';
COMMENT ON COLUMN arvo.throttle.slot_at IS 'Begin of the interval.';
COMMENT ON COLUMN arvo.throttle.until IS 'Its end.';
COMMENT ON COLUMN arvo.throttle.delivery IS 'The delivery that has it.';
CREATE INDEX throttle_until_idx ON arvo.throttle (until);

CREATE SEQUENCE arvo.event_key_number AS bigint MINVALUE 0 START 0;
COMMENT ON SEQUENCE arvo.event_key_number IS
'Number of the generation of event_key in use. A sequence, because every snapshot must see the newest.';
SELECT setval('arvo.event_key_number', 0, true);

CREATE TABLE arvo.event_key_generation (
    number bigint NOT NULL,
    horizon xid8 NOT NULL,
    opened_at timestamptz NOT NULL,
    CONSTRAINT event_key_generation_number_pkey PRIMARY KEY (number)
);
COMMENT ON TABLE arvo.event_key_generation IS
'Generations of event_key. While a transaction from before the newest one was opened may be running, dispatches write into both.';
COMMENT ON COLUMN arvo.event_key_generation.number IS 'Its number; the partition is number modulo 3.';
COMMENT ON COLUMN arvo.event_key_generation.horizon IS
'Every transaction that may use only the generation before has a number below this.';
COMMENT ON COLUMN arvo.event_key_generation.opened_at IS 'When it came into use.';
INSERT INTO arvo.event_key_generation (number, horizon, opened_at) VALUES (0, '0', clock_timestamp());

CREATE TABLE arvo.event_key (
    slot smallint NOT NULL,
    queue integer NOT NULL,
    key bytea NOT NULL,
    delivery bigint NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT event_key_slot_queue_key_pkey PRIMARY KEY (slot, queue, key)
) PARTITION BY LIST (slot);
COMMENT ON TABLE arvo.event_key IS
'Sources and ids that were dispatched lately, per queue: the same again is answered with the first delivery. Three partitions in turn, emptied whole.';
COMMENT ON COLUMN arvo.event_key.slot IS 'The partition.';
COMMENT ON COLUMN arvo.event_key.queue IS 'The queue.';
COMMENT ON COLUMN arvo.event_key.key IS 'First 16 bytes of the SHA-256 of source and id.';
COMMENT ON COLUMN arvo.event_key.delivery IS 'The first delivery.';
COMMENT ON COLUMN arvo.event_key.at IS 'When it was dispatched.';
CREATE TABLE arvo.event_key_0 PARTITION OF arvo.event_key FOR VALUES IN (0);
CREATE TABLE arvo.event_key_1 PARTITION OF arvo.event_key FOR VALUES IN (1);
CREATE TABLE arvo.event_key_2 PARTITION OF arvo.event_key FOR VALUES IN (2);

CREATE TABLE arvo.omission (
    number bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL,
    queue text NOT NULL,
    outcome text NOT NULL,
    first_delivery bigint,
    event_id text NOT NULL,
    subject_key bigint NOT NULL,
    event_key bigint NOT NULL,
    event jsonb NOT NULL,
    CONSTRAINT omission_number_pkey PRIMARY KEY (number),
    CONSTRAINT omission_outcome_check CHECK (outcome IN ('throttled', 'duplicate'))
);
COMMENT ON TABLE arvo.omission IS
'Emitted and scheduled events that a policy did not let in: nobody was there to be told, so it is written down.';
COMMENT ON COLUMN arvo.omission.number IS 'Running number.';
COMMENT ON COLUMN arvo.omission.at IS 'When.';
COMMENT ON COLUMN arvo.omission.queue IS 'The queue that did not take it.';
COMMENT ON COLUMN arvo.omission.outcome IS 'throttled or duplicate.';
COMMENT ON COLUMN arvo.omission.first_delivery IS 'The delivery that was there before it.';
COMMENT ON COLUMN arvo.omission.event_id IS 'Id of the event.';
COMMENT ON COLUMN arvo.omission.subject_key IS 'As in arvo.log.';
COMMENT ON COLUMN arvo.omission.event_key IS 'As in arvo.log.';
COMMENT ON COLUMN arvo.omission.event IS 'The event whole.';
CREATE INDEX omission_subject_idx ON arvo.omission (subject_key);
CREATE INDEX omission_at_idx ON arvo.omission (at);

-- ---------------------------------------------------------------------------------------------
-- dead, tombstone, operation: what people do
-- ---------------------------------------------------------------------------------------------

ALTER TABLE arvo.dead
DROP CONSTRAINT dead_reason_check,
DROP CONSTRAINT dead_resolution_check,
ADD CONSTRAINT dead_reason_check
CHECK (reason IN ('failed', 'rejected', 'lease_expired', 'retention')),
ADD CONSTRAINT dead_resolution_check
CHECK (resolution IN ('redriven', 'consumed', 'discarded')),
ADD COLUMN key bigint,
ADD COLUMN options jsonb;
COMMENT ON COLUMN arvo.dead.reason IS 'failed, rejected, lease_expired or retention.';
COMMENT ON COLUMN arvo.dead.resolution IS 'redriven, consumed or discarded; NULL while open.';
COMMENT ON COLUMN arvo.dead.key IS 'As in arvo.log.';
COMMENT ON COLUMN arvo.dead.options IS 'As in arvo.log.';

ALTER TABLE arvo.tombstone
ADD COLUMN reason text NOT NULL DEFAULT 'cancelled',
ADD COLUMN by text,
ADD CONSTRAINT tombstone_reason_check CHECK (reason IN ('cancelled', 'moved'));
COMMENT ON COLUMN arvo.tombstone.reason IS 'cancelled, or moved: it was appended elsewhere.';
COMMENT ON COLUMN arvo.tombstone.by IS 'By which login role.';

CREATE TABLE arvo.operation (
    number bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL,
    by text NOT NULL,
    verb text NOT NULL,
    queue text,
    details jsonb NOT NULL,
    touched bigint NOT NULL,
    CONSTRAINT operation_number_pkey PRIMARY KEY (number)
);
COMMENT ON TABLE arvo.operation IS 'Audit: what operators did, when, to how many.';
COMMENT ON COLUMN arvo.operation.number IS 'Running number.';
COMMENT ON COLUMN arvo.operation.at IS 'When.';
COMMENT ON COLUMN arvo.operation.by IS 'Login role.';
COMMENT ON COLUMN arvo.operation.verb IS 'Name of the function of arvo_v1.';
COMMENT ON COLUMN arvo.operation.queue IS 'The queue, if it was about one.';
COMMENT ON COLUMN arvo.operation.details IS 'Its arguments.';
COMMENT ON COLUMN arvo.operation.touched IS 'How many deliveries, dead letters or schedules it touched.';

-- ---------------------------------------------------------------------------------------------
-- row types
-- ---------------------------------------------------------------------------------------------

CREATE TYPE arvo.reading AS (
    batch arvo.log[],
    previous_snapshot pg_snapshot,
    snapshot pg_snapshot,
    last_xid xid8,
    last_delivery bigint,
    exhausted boolean
);
COMMENT ON TYPE arvo.reading IS 'What arvo.read_window found, and where the cursor stands after it.';
COMMENT ON COLUMN arvo.reading.batch IS 'The next rows of the log, in order.';
COMMENT ON COLUMN arvo.reading.previous_snapshot IS 'As in arvo.lease.';
COMMENT ON COLUMN arvo.reading.snapshot IS 'As in arvo.lease.';
COMMENT ON COLUMN arvo.reading.last_xid IS 'As in arvo.lease.';
COMMENT ON COLUMN arvo.reading.last_delivery IS 'As in arvo.lease.';
COMMENT ON COLUMN arvo.reading.exhausted IS 'As in arvo.lease.';

CREATE TYPE arvo.taking AS (
    batch arvo.log[],
    keys bigint[],
    places bigint[],
    put_off bigint[],
    taken integer,
    ready_from bigint
);
COMMENT ON TYPE arvo.taking IS 'Deliveries of a gated queue that a claim may lease.';
COMMENT ON COLUMN arvo.taking.batch IS 'The deliveries, in order.';
COMMENT ON COLUMN arvo.taking.keys IS 'Key of each.';
COMMENT ON COLUMN arvo.taking.places IS 'Place of each in the line of its key.';
COMMENT ON COLUMN arvo.taking.put_off IS 'Those of them that a rate limit has put off: leased, and closed at once.';
COMMENT ON COLUMN arvo.taking.taken IS 'How many are to run.';
COMMENT ON COLUMN arvo.taking.ready_from IS 'arvo.ready has been read up to here.';

ALTER TYPE arvo.result
ADD ATTRIBUTE xid xid8,
ADD ATTRIBUTE key bigint,
ADD ATTRIBUTE place bigint,
ADD ATTRIBUTE next bigint;
COMMENT ON COLUMN arvo.result.next IS 'Its further delivery, when it was given back.';
COMMENT ON COLUMN arvo.result.xid IS 'Transaction of the delivery; NULL when only the range is known.';
COMMENT ON COLUMN arvo.result.key IS 'Gated queues: key of the delivery.';
COMMENT ON COLUMN arvo.result.place IS 'Ordered queues: its place in the line of its key.';

CREATE TYPE arvo.options AS (
    start_after interval,
    priority integer,
    key text,
    singleton_for interval,
    singleton_next_slot boolean,
    must_be_registered boolean,
    kept jsonb
);
COMMENT ON TYPE arvo.options IS 'Options of a dispatch, read.';
COMMENT ON COLUMN arvo.options.start_after IS 'How long it is put off; NULL: as its queue says.';
COMMENT ON COLUMN arvo.options.priority IS 'Its priority; NULL: as its queue says.';
COMMENT ON COLUMN arvo.options.key IS 'Its key; NULL: as its queue says.';
COMMENT ON COLUMN arvo.options.singleton_for IS 'Length of the interval that takes one; NULL: as its queue says.';
COMMENT ON COLUMN arvo.options.singleton_next_slot IS 'Whether it may go to the next interval; NULL: as its queue says.';
COMMENT ON COLUMN arvo.options.must_be_registered IS 'Whether a queue that nobody has registered is an error.';
COMMENT ON COLUMN arvo.options.kept IS 'What is kept with the delivery: options of retries and of running; NULL: none.';

CREATE TYPE arvo.arrival AS (
    ordinal integer,
    event jsonb,
    queue integer,
    name text,
    registered boolean,
    lane integer,
    key bigint,
    after interval,
    delivery bigint,
    outcome text,
    first_delivery bigint
);
COMMENT ON TYPE arvo.arrival IS 'One event inside append(): where it goes, and what hinders it.';
COMMENT ON COLUMN arvo.arrival.ordinal IS 'Place in the array that was given, from 1.';
COMMENT ON COLUMN arvo.arrival.event IS 'The event.';
COMMENT ON COLUMN arvo.arrival.queue IS 'The queue.';
COMMENT ON COLUMN arvo.arrival.name IS 'Its name.';
COMMENT ON COLUMN arvo.arrival.registered IS 'Whether somebody has registered it.';
COMMENT ON COLUMN arvo.arrival.lane IS 'The lane.';
COMMENT ON COLUMN arvo.arrival.key IS 'As in arvo.log.';
COMMENT ON COLUMN arvo.arrival.after IS 'How long it is put off; zero or less: not at all.';
COMMENT ON COLUMN arvo.arrival.delivery IS 'Number of its delivery.';
COMMENT ON COLUMN arvo.arrival.outcome IS 'duplicate or throttled: it does not go in; debounced: it goes in later.';
COMMENT ON COLUMN arvo.arrival.first_delivery IS 'The delivery that is in its way.';

ALTER TYPE arvo_v1.queue
ADD ATTRIBUTE policy text,
ADD ATTRIBUTE key_from text,
ADD ATTRIBUTE on_failure text,
ADD ATTRIBUTE start_after interval,
ADD ATTRIBUTE retention interval,
ADD ATTRIBUTE delete_after interval,
ADD ATTRIBUTE deduplicate_for interval,
ADD ATTRIBUTE singleton_for interval,
ADD ATTRIBUTE singleton_next_slot boolean,
ADD ATTRIBUTE max_active integer,
ADD ATTRIBUTE key_max_active integer,
ADD ATTRIBUTE rate_limit integer,
ADD ATTRIBUTE rate_period interval,
ADD ATTRIBUTE key_rate_limit integer,
ADD ATTRIBUTE key_rate_period interval,
ADD ATTRIBUTE max_redrives integer,
ADD ATTRIBUTE error_rules jsonb,
ADD ATTRIBUTE paused_at timestamptz;
COMMENT ON COLUMN arvo_v1.queue.policy IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue.key_from IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue.on_failure IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue.start_after IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue.retention IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue.delete_after IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue.deduplicate_for IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue.singleton_for IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue.singleton_next_slot IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue.max_active IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue.key_max_active IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue.rate_limit IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue.rate_period IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue.key_rate_limit IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue.key_rate_period IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue.max_redrives IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue.error_rules IS 'As in arvo.queue.';
COMMENT ON COLUMN arvo_v1.queue.paused_at IS 'As in arvo.queue.';

COMMENT ON COLUMN arvo_v1.dispatched.delivery IS
'Number of its delivery; of the first one for a duplicate, of the one in the way for a throttled event.';
COMMENT ON COLUMN arvo_v1.dispatched.outcome IS
'queued, deferred, debounced, duplicate, throttled, domained or unroutable.';

ALTER TYPE arvo_v1.extended ADD ATTRIBUTE deliveries bigint[];
COMMENT ON COLUMN arvo_v1.extended.deliveries IS
'Its deliveries that are open still; one that is missing was settled, cancelled or taken back.';
ALTER TYPE arvo_v1.claimed ADD ATTRIBUTE key bigint;
COMMENT ON COLUMN arvo_v1.claimed.key IS
'Ordered queues: deliveries of one key are to be run one after the other, in the order given.';
ALTER TYPE arvo_v1.worked ADD ATTRIBUTE key bigint;
COMMENT ON COLUMN arvo_v1.worked.key IS 'claimed: as in arvo_v1.claimed.';
