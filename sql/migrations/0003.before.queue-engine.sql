-- queue-engine
-- depends: 0002.before.functions

SET LOCAL ROLE arvo_owner;
SET LOCAL lock_timeout = '5s';
SET LOCAL check_function_bodies = off;  -- blocks may refer to later blocks

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

-- ---------------------------------------------------------------------------------------------
-- schedule: events that are dispatched by the clock
-- ---------------------------------------------------------------------------------------------

CREATE TYPE arvo.cron AS (
    seconds bit varying,
    minutes bit varying,
    hours bit varying,
    days bit varying,
    months bit varying,
    weekdays bit varying,
    either_day boolean
);
COMMENT ON TYPE arvo.cron IS 'A cron text, read: one bit per value that a field may have.';
COMMENT ON COLUMN arvo.cron.seconds IS 'Seconds 0 to 59: the first bit is 0.';
COMMENT ON COLUMN arvo.cron.minutes IS 'Minutes 0 to 59: the first bit is 0.';
COMMENT ON COLUMN arvo.cron.hours IS 'Hours 0 to 23: the first bit is 0.';
COMMENT ON COLUMN arvo.cron.days IS 'Days of the month 1 to 31: the first bit is 1.';
COMMENT ON COLUMN arvo.cron.months IS 'Months 1 to 12: the first bit is 1.';
COMMENT ON COLUMN arvo.cron.weekdays IS 'Days of the week 0 to 6: the first bit is Sunday.';
COMMENT ON COLUMN arvo.cron.either_day IS
'Whether the day of the month or the day of the week is enough (both are restricted), or both must fit.';

CREATE TABLE arvo.schedule (
    schedule integer GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    key text NOT NULL,
    cron text NOT NULL,
    fields arvo.cron NOT NULL,
    time_zone text NOT NULL,
    event jsonb NOT NULL,
    options jsonb,
    missed text NOT NULL,
    missed_limit integer NOT NULL,
    grace interval NOT NULL,
    gap text NOT NULL,
    overlap text NOT NULL,
    paused_at timestamptz,
    paused_by text,
    next_at timestamptz,
    last_at timestamptz,
    last_delivery bigint,
    last_outcome text,
    fires bigint NOT NULL DEFAULT 0,
    missed_from timestamptz,
    missed_to timestamptz,
    error jsonb,
    error_at timestamptz,
    failures bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    changed_at timestamptz NOT NULL,
    changed_by text NOT NULL,
    CONSTRAINT schedule_schedule_pkey PRIMARY KEY (schedule),
    CONSTRAINT schedule_name_key_key UNIQUE (name, key),
    CONSTRAINT schedule_missed_check CHECK (missed IN ('skip', 'one', 'all')),
    CONSTRAINT schedule_missed_limit_check CHECK (missed_limit BETWEEN 1 AND 1000),
    CONSTRAINT schedule_grace_check
    CHECK (grace BETWEEN interval '1 second' AND interval '1 day'),
    CONSTRAINT schedule_gap_check CHECK (gap IN ('skip', 'shift')),
    CONSTRAINT schedule_overlap_check CHECK (overlap IN ('first', 'second', 'both')),
    CONSTRAINT schedule_paused_at_check CHECK (paused_at IS NULL OR next_at IS NULL),
    -- The search for the next fire trusts these lengths.
    CONSTRAINT schedule_fields_check CHECK (
        length((fields).seconds) = 60
        AND length((fields).minutes) = 60
        AND length((fields).hours) = 24
        AND length((fields).days) = 31
        AND length((fields).months) = 12
        AND length((fields).weekdays) = 7
        AND (fields).either_day IS NOT NULL
    )
);
COMMENT ON TABLE arvo.schedule IS
'What is dispatched by the clock. A fire is dispatched and next_at moved past it in one transaction, under the lock of the row: no fire happens twice.';
COMMENT ON COLUMN arvo.schedule.schedule IS 'Its number.';
COMMENT ON COLUMN arvo.schedule.name IS 'Its name …';
COMMENT ON COLUMN arvo.schedule.key IS '… and key, together unique; the empty text when it has none.';
COMMENT ON COLUMN arvo.schedule.cron IS 'When it fires: the cron text as it was given.';
COMMENT ON COLUMN arvo.schedule.fields IS 'The cron text, read.';
COMMENT ON COLUMN arvo.schedule.time_zone IS 'Whose clock it goes by.';
COMMENT ON COLUMN arvo.schedule.event IS
'The event that each fire dispatches, without what differs from fire to fire.';
COMMENT ON COLUMN arvo.schedule.options IS 'Options of the dispatch; NULL: none.';
COMMENT ON COLUMN arvo.schedule.missed IS
'What happens to fires that nobody dispatched in time: skip, one stands for all, or all.';
COMMENT ON COLUMN arvo.schedule.missed_limit IS 'How many missed fires are made up for at most, with all.';
COMMENT ON COLUMN arvo.schedule.grace IS 'How late a fire may be without being a missed one.';
COMMENT ON COLUMN arvo.schedule.gap IS
'Local times that a clock change leaves out: skip, or shift them behind the change.';
COMMENT ON COLUMN arvo.schedule.overlap IS
'Local times that a clock change brings twice: first, second or both.';
COMMENT ON COLUMN arvo.schedule.paused_at IS 'Since when it is paused; NULL: it is not.';
COMMENT ON COLUMN arvo.schedule.paused_by IS 'Who paused it.';
COMMENT ON COLUMN arvo.schedule.next_at IS
'The next fire that has not been dispatched; NULL: paused, or stopped by an error.';
COMMENT ON COLUMN arvo.schedule.last_at IS 'Time of the last fire that was dispatched.';
COMMENT ON COLUMN arvo.schedule.last_delivery IS 'Its delivery.';
COMMENT ON COLUMN arvo.schedule.last_outcome IS 'Its outcome, as of a dispatch.';
COMMENT ON COLUMN arvo.schedule.fires IS 'How many fires were dispatched.';
COMMENT ON COLUMN arvo.schedule.missed_from IS
'When fires were left out last: those from this one …';
COMMENT ON COLUMN arvo.schedule.missed_to IS '… until before this one.';
COMMENT ON COLUMN arvo.schedule.error IS
'Why the last fire failed: code, message, detail, fire_at. NULL: it did not.';
COMMENT ON COLUMN arvo.schedule.error_at IS 'When that was.';
COMMENT ON COLUMN arvo.schedule.failures IS 'How many times firing failed.';
COMMENT ON COLUMN arvo.schedule.created_at IS 'When it was made.';
COMMENT ON COLUMN arvo.schedule.created_by IS 'By which login role.';
COMMENT ON COLUMN arvo.schedule.changed_at IS 'When it was changed last.';
COMMENT ON COLUMN arvo.schedule.changed_by IS 'By which login role.';
CREATE INDEX schedule_next_idx ON arvo.schedule (next_at) WHERE next_at IS NOT NULL;

CREATE TABLE arvo.fire_pass (
    number bigint GENERATED ALWAYS AS IDENTITY,
    done_to timestamptz NOT NULL,
    swept_at timestamptz NOT NULL,
    CONSTRAINT fire_pass_number_pkey PRIMARY KEY (number)
);
COMMENT ON TABLE arvo.fire_pass IS
'How far schedules have been fired; the newest row counts. Who looks for due fires begins there, and not among the dead versions of rows that have fired.';
COMMENT ON COLUMN arvo.fire_pass.number IS 'Order.';
COMMENT ON COLUMN arvo.fire_pass.done_to IS
'Nothing that was to be seen is due up to this time.';
COMMENT ON COLUMN arvo.fire_pass.swept_at IS
'When somebody looked before that time as well, for what was committed late.';
INSERT INTO arvo.fire_pass (done_to, swept_at) VALUES ('-infinity', '-infinity');

CREATE TYPE arvo_v1.schedule AS (
    name text,
    key text,
    change text,
    cron text,
    time_zone text,
    event jsonb,
    options jsonb,
    missed text,
    missed_limit integer,
    grace interval,
    gap text,
    overlap text,
    paused_at timestamptz,
    paused_by text,
    next_at timestamptz,
    last_at timestamptz,
    last_delivery bigint,
    last_outcome text,
    fires bigint,
    missed_from timestamptz,
    missed_to timestamptz,
    error jsonb,
    error_at timestamptz,
    failures bigint,
    created_at timestamptz,
    created_by text,
    changed_at timestamptz,
    changed_by text
);
COMMENT ON TYPE arvo_v1.schedule IS 'A schedule, and what a call did to it.';
COMMENT ON COLUMN arvo_v1.schedule.name IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.key IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.change IS
'created, unchanged, paused, resumed, removed, or the options that changed; NULL in a list.';
COMMENT ON COLUMN arvo_v1.schedule.cron IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.time_zone IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.event IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.options IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.missed IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.missed_limit IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.grace IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.gap IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.overlap IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.paused_at IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.paused_by IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.next_at IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.last_at IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.last_delivery IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.last_outcome IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.fires IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.missed_from IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.missed_to IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.error IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.error_at IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.failures IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.created_at IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.created_by IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.changed_at IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.changed_by IS 'As in arvo.schedule.';

CREATE TYPE arvo_v1.fire AS (
    fire_at timestamptz,
    local_time text,
    utc_offset interval
);
COMMENT ON TYPE arvo_v1.fire IS 'One time at which a cron text fires.';
COMMENT ON COLUMN arvo_v1.fire.fire_at IS 'The time.';
COMMENT ON COLUMN arvo_v1.fire.local_time IS 'What the clocks of the time zone show then.';
COMMENT ON COLUMN arvo_v1.fire.utc_offset IS 'How far they are ahead of UTC.';

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

-- ---------------------------------------------------------------------------------------------
-- generation: from its opening to its emptying
-- ---------------------------------------------------------------------------------------------

ALTER TABLE arvo.generation
ADD COLUMN opened_by xid8 NOT NULL DEFAULT pg_current_xact_id(),
ADD COLUMN closed_at timestamptz,
ADD COLUMN finished_at timestamptz,
ADD COLUMN emptied_at timestamptz;
COMMENT ON COLUMN arvo.generation.opened_by IS 'Transaction that opened it.';
COMMENT ON COLUMN arvo.generation.closed_at IS
'When the next one was seen in use: every row stamped with this one names an earlier time.';
COMMENT ON COLUMN arvo.generation.finished_at IS
'When nothing in it was needed any more but as history; NULL again when something turned up late.';
COMMENT ON COLUMN arvo.generation.emptied_at IS 'When its partitions were emptied.';

CREATE TYPE arvo.pin AS (
    generation bigint,
    kind text,
    queue text,
    lane integer,
    delivery bigint,
    at timestamptz
);
COMMENT ON TYPE arvo.pin IS 'What keeps a generation from being emptied.';
COMMENT ON COLUMN arvo.pin.generation IS 'The generation; NULL when a slot was asked about.';
COMMENT ON COLUMN arvo.pin.kind IS 'unclaimed, leased or parked.';
COMMENT ON COLUMN arvo.pin.queue IS 'Its queue.';
COMMENT ON COLUMN arvo.pin.lane IS 'Its lane.';
COMMENT ON COLUMN arvo.pin.delivery IS 'One such delivery of the lane.';
COMMENT ON COLUMN arvo.pin.at IS 'When that was appended; when it was leased, for a leased one.';

-- ---------------------------------------------------------------------------------------------
-- indexes that maintenance goes by
-- ---------------------------------------------------------------------------------------------

CREATE INDEX deferred_origin_idx ON arvo.deferred (at) WHERE origin_delivery IS NOT NULL;
CREATE INDEX dead_resolved_at_idx ON arvo.dead (resolved_at) WHERE resolution IS NOT NULL;
DROP INDEX arvo.parked_at_idx;
CREATE INDEX parked_at_idx ON arvo.parked (queue, at);

COMMENT ON COLUMN arvo_v1.maintained.task IS
'promoted, healed, retired, expired, swept, unlocked, keys, notes, turned, finished, opened or emptied.';
COMMENT ON COLUMN arvo_v1.maintained.touched IS
'How many rows, lanes or generations; NULL when the task failed: the server''s log says why.';

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

-- ---------------------------------------------------------------------------------------------
-- origin and lane: moving to another cluster
-- ---------------------------------------------------------------------------------------------

ALTER TABLE arvo.origin ADD COLUMN relation oid;
COMMENT ON COLUMN arvo.origin.relation IS
'Oid of arvo.origin there: pg_upgrade and physical copies keep it, a restored dump has another. NULL: from before revision 3.';
UPDATE arvo.origin
SET relation = 'arvo.origin'::regclass::oid
FROM pg_control_system() AS control
WHERE origin.system_identifier = control.system_identifier
AND origin.number = (SELECT max(newest.number) FROM arvo.origin AS newest);

ALTER TABLE arvo.lane
ADD COLUMN successor integer,
ADD COLUMN retired boolean GENERATED ALWAYS AS (successor IS NOT NULL) STORED,
DROP CONSTRAINT lane_queue_priority_key;
COMMENT ON COLUMN arvo.lane.successor IS
'The lane that took over what waited here; NULL while it is in use.';
COMMENT ON COLUMN arvo.lane.retired IS
'Its rows hold transaction numbers of another cluster: they are history, nothing is claimed from them.';
CREATE UNIQUE INDEX lane_live_idx ON arvo.lane (queue, priority) WHERE NOT retired;
CREATE INDEX lane_queue_idx ON arvo.lane (queue);

CREATE TYPE arvo_v1.rebased AS (
    outcome text,
    leased bigint,
    parked bigint,
    queued bigint,
    deferred bigint
);
COMMENT ON TYPE arvo_v1.rebased IS 'What rebase() did.';
COMMENT ON COLUMN arvo_v1.rebased.outcome IS
'home: nothing was to be done; accepted: the numbers fit as they are; rebased: what was live has new ones.';
COMMENT ON COLUMN arvo_v1.rebased.leased IS
'Deliveries that had been leased: they run again with one attempt charged, or are dead when that was the last.';
COMMENT ON COLUMN arvo_v1.rebased.parked IS 'Deliveries that wait for others of their key.';
COMMENT ON COLUMN arvo_v1.rebased.queued IS 'Deliveries that nobody had claimed.';
COMMENT ON COLUMN arvo_v1.rebased.deferred IS 'Deliveries that are due later.';

-- ---------------------------------------------------------------------------------------------
-- what operators do to queues and deliveries
-- ---------------------------------------------------------------------------------------------

CREATE TYPE arvo.standing AS (
    place text,
    token bigint
);
COMMENT ON TYPE arvo.standing IS 'Where a row of the log stands.';
COMMENT ON COLUMN arvo.standing.place IS
'queued, parked, leased, withdrawn (it has a tombstone) or closed.';
COMMENT ON COLUMN arvo.standing.token IS 'leased: the lease.';

CREATE TYPE arvo.finding AS (
    delivery bigint,
    place text,
    lane integer,
    xid xid8,
    event_key bigint,
    token bigint,
    dead bigint,
    queue text,
    event_id text
);
COMMENT ON TYPE arvo.finding IS 'A delivery that an operator asked for, and where it was seen.';
COMMENT ON COLUMN arvo.finding.delivery IS 'Number of the delivery.';
COMMENT ON COLUMN arvo.finding.place IS 'queued, parked, deferred, leased or dead.';
COMMENT ON COLUMN arvo.finding.lane IS 'Lane of the delivery; NULL for a dead one.';
COMMENT ON COLUMN arvo.finding.xid IS 'Transaction of its row in the log; NULL when it is deferred or dead.';
COMMENT ON COLUMN arvo.finding.event_key IS 'As in arvo.log.';
COMMENT ON COLUMN arvo.finding.token IS 'leased: the lease.';
COMMENT ON COLUMN arvo.finding.dead IS 'dead: number of the dead letter.';
COMMENT ON COLUMN arvo.finding.queue IS 'Name of its queue.';
COMMENT ON COLUMN arvo.finding.event_id IS 'Id of the event.';

CREATE TYPE arvo.census AS (
    queued bigint,
    parked bigint,
    deferred bigint,
    leased bigint
);
COMMENT ON TYPE arvo.census IS 'How many deliveries of a queue are at each place.';
COMMENT ON COLUMN arvo.census.queued IS 'In the log, not claimed, not withdrawn.';
COMMENT ON COLUMN arvo.census.parked IS 'Behind others of their key, not withdrawn.';
COMMENT ON COLUMN arvo.census.deferred IS 'Due later.';
COMMENT ON COLUMN arvo.census.leased IS 'In the hands of a worker.';

CREATE TYPE arvo_v1.switched AS (
    queue text,
    change text,
    paused_at timestamptz,
    paused_by text,
    draining boolean,
    waiting bigint
);
COMMENT ON TYPE arvo_v1.switched IS 'Whether a queue is claimed from, after a call that decides it.';
COMMENT ON COLUMN arvo_v1.switched.queue IS 'The queue.';
COMMENT ON COLUMN arvo_v1.switched.change IS 'paused, resumed, draining, or unchanged.';
COMMENT ON COLUMN arvo_v1.switched.paused_at IS 'Since when nothing is claimed; NULL: not paused.';
COMMENT ON COLUMN arvo_v1.switched.paused_by IS 'Which login role paused it.';
COMMENT ON COLUMN arvo_v1.switched.draining IS 'Whether only what waited at that time is claimed.';
COMMENT ON COLUMN arvo_v1.switched.waiting IS
'Draining: how many are left to work off, with those in hands; NULL otherwise.';

CREATE TYPE arvo_v1.purged AS (
    place text,
    removed bigint,
    kept bigint
);
COMMENT ON TYPE arvo_v1.purged IS 'What a call removed from one place of a queue.';
COMMENT ON COLUMN arvo_v1.purged.place IS 'queued, parked, deferred or leased.';
COMMENT ON COLUMN arvo_v1.purged.removed IS 'How many were cancelled; in a dry run: would be.';
COMMENT ON COLUMN arvo_v1.purged.kept IS
'How many were left alone; NULL when the limit left some, which are not counted.';

CREATE TYPE arvo_v1.intervention AS (
    delivery bigint,
    event_id text,
    queue text,
    place text,
    done text,
    successor bigint
);
COMMENT ON TYPE arvo_v1.intervention IS 'What an operator''s call did to one delivery.';
COMMENT ON COLUMN arvo_v1.intervention.delivery IS 'Number of the delivery.';
COMMENT ON COLUMN arvo_v1.intervention.event_id IS 'Id of the event.';
COMMENT ON COLUMN arvo_v1.intervention.queue IS 'The queue that it was in.';
COMMENT ON COLUMN arvo_v1.intervention.place IS 'Where it was: queued, parked, deferred, leased or dead.';
COMMENT ON COLUMN arvo_v1.intervention.done IS
'cancelled, due, moved, or left (alone); in a dry run: what would be done.';
COMMENT ON COLUMN arvo_v1.intervention.successor IS
'Moved: the delivery that takes its place, which is itself when it was deferred; NULL in a dry run.';

CREATE TYPE arvo_v1.operation AS (
    number bigint,
    at timestamptz,
    by text,
    verb text,
    queue text,
    details jsonb,
    touched bigint
);
COMMENT ON TYPE arvo_v1.operation IS 'One row of the audit of what operators do.';
COMMENT ON COLUMN arvo_v1.operation.number IS 'Running number.';
COMMENT ON COLUMN arvo_v1.operation.at IS 'When.';
COMMENT ON COLUMN arvo_v1.operation.by IS 'Login role.';
COMMENT ON COLUMN arvo_v1.operation.verb IS 'Name of the function.';
COMMENT ON COLUMN arvo_v1.operation.queue IS 'The queue, if it was about one.';
COMMENT ON COLUMN arvo_v1.operation.details IS 'Its arguments.';
COMMENT ON COLUMN arvo_v1.operation.touched IS 'How many deliveries, dead letters, queues or schedules it touched.';

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

--! function arvo.admit
-- arvo.admit(queue, batch) — which deliveries just read from the log may run, and which must wait.
CREATE OR REPLACE FUNCTION arvo.admit(p_queue arvo.queue, p_batch arvo.log[])
RETURNS arvo.taking
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $admit$
-- A delivery passes when its key has room and nobody stands in line before it; the holder of a key
-- passes always, and alone. The others are parked behind those who wait already. What its rate limit
-- stops is put off, except that an ordered key with a run under way must know first how that ends;
-- what has been withdrawn passes, uncounted, for it will be closed under the lease.
--
--   Reads    arvo.turn by (queue, key, number), arvo.tombstone, arvo.clock
--   Writes   arvo.parked; as arvo.put_turns and arvo.put_off
--   Locks    nothing; the caller holds the queue's home lane
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_taking arvo.taking := arvo.no_taking(NULL);
    v_line record;
    v_turn arvo.turn;
    v_turns arvo.turn[] := '{}'::arvo.turn[];
    v_keys bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(p_batch)]);
    v_places bigint[] := v_keys;
    v_at integer;
    v_holder bigint;
    v_room integer;
    v_rate integer;
    v_parked integer := 0;
BEGIN
    FOR v_line IN
        SELECT grouped.key, grouped.ordinals, grouped.deliveries, newest.turn
        FROM (
            SELECT
                keyed.key,
                array_agg(keyed.ordinal ORDER BY keyed.ordinal) AS ordinals,
                array_agg(keyed.delivery ORDER BY keyed.ordinal) AS deliveries
            FROM (
                SELECT
                    coalesce(
                        read.key,
                        CASE
                            WHEN p_queue.policy <> 'ordered' OR read.subject_key = 0 THEN 1
                            ELSE read.subject_key
                        END
                    ) AS key,
                    read.delivery,
                    row_number() OVER ()::integer AS ordinal
                FROM unnest(p_batch) AS read
            ) AS keyed
            GROUP BY keyed.key
        ) AS grouped
        LEFT JOIN LATERAL (
            SELECT state AS turn
            FROM arvo.turn AS state
            WHERE state.queue = p_queue.queue AND state.key = grouped.key
            ORDER BY state.number DESC
            LIMIT 1
        ) AS newest ON true
        ORDER BY grouped.ordinals[1]
    LOOP
        v_turn := v_line.turn;
        IF v_turn.key IS NULL THEN
            v_turn.queue := p_queue.queue;
            v_turn.key := v_line.key;
            v_turn.active := 0;
            v_turn.waiting := 0;
            v_turn.upto := 0;
            v_turn.ready := false;
            v_turn.tally := '{}';
        END IF;
        v_holder := v_turn.holder;
        v_room := CASE
            WHEN v_turn.waiting = 0 THEN arvo.key_room(p_queue, v_turn) ELSE 0
        END;
        v_rate := 2147483647;
        IF p_queue.key_rate_limit IS NOT NULL THEN
            v_rate := arvo.rate_room(
                v_turn.tally, p_queue.key_rate_limit, p_queue.key_rate_period, v_now
            );
        END IF;
        FOR v_in_line IN 1..cardinality(v_line.ordinals) LOOP
            v_at := v_line.ordinals[v_in_line];
            IF v_line.deliveries[v_in_line] IS DISTINCT FROM v_holder
                AND (
                    v_holder IS NOT NULL OR v_room = 0 OR v_turn.waiting > 0
                    OR (v_rate = 0 AND p_queue.policy = 'ordered' AND v_turn.active > 0)
                )
            THEN
                v_turn.waiting := v_turn.waiting + 1;
                v_parked := v_parked + 1;
                v_keys[v_at] := v_line.key;
                CONTINUE;
            END IF;

            -- The holder keeps its place before all who wait; it comes before what was taken last.
            v_places[v_at] := v_turn.upto;
            IF v_line.deliveries[v_in_line] IS DISTINCT FROM v_holder THEN
                v_places[v_at] := nextval('arvo.turn_number'::regclass);
                v_turn.upto := v_places[v_at];
            END IF;
            v_keys[v_at] := v_line.key;
            v_turn.holder := NULL;
            IF v_rate = 0 AND NOT EXISTS (
                SELECT
                FROM arvo.tombstone
                WHERE tombstone.lane = p_batch[v_at].lane
                AND tombstone.delivery = p_batch[v_at].delivery
            ) THEN
                v_turn.holder := arvo.put_off(p_queue, v_turn, p_batch[v_at]);
                v_holder := v_turn.holder;
                v_taking.put_off := v_taking.put_off || v_line.deliveries[v_in_line];
            ELSE
                v_room := v_room - 1;
                v_turn.active := v_turn.active + 1;
                v_taking.taken := v_taking.taken + 1;
                IF p_queue.key_rate_limit IS NOT NULL THEN
                    v_turn.tally := arvo.rate_count(
                        v_turn.tally, least(v_rate, 1), p_queue.key_rate_period, v_now
                    );
                    v_rate := greatest(v_rate - 1, 0);
                END IF;
            END IF;
        END LOOP;
        v_turns := v_turns || v_turn;
    END LOOP;

    IF v_parked = 0 THEN
        v_taking.batch := p_batch;
        v_taking.keys := v_keys;
        v_taking.places := v_places;
    ELSE
        INSERT INTO arvo.parked (queue, key, place, delivery, lane, xid, at)
        SELECT
            p_queue.queue, v_keys[entry.ordinal], nextval('arvo.turn_number'::regclass),
            entry.delivery, entry.lane, entry.xid, entry.at
        FROM (
            SELECT read.delivery, read.lane, read.xid, read.at, row_number() OVER () AS ordinal
            FROM unnest(p_batch) AS read
        ) AS entry
        WHERE v_places[entry.ordinal] IS NULL
        ORDER BY entry.ordinal;
        SELECT
            coalesce(array_agg(passed.entry ORDER BY passed.ordinal), '{}'),
            coalesce(array_agg(v_keys[passed.ordinal] ORDER BY passed.ordinal), '{}'),
            coalesce(array_agg(v_places[passed.ordinal] ORDER BY passed.ordinal), '{}')
        INTO v_taking.batch, v_taking.keys, v_taking.places
        FROM (
            SELECT read AS entry, row_number() OVER () AS ordinal
            FROM unnest(p_batch) AS read
        ) AS passed
        WHERE v_places[passed.ordinal] IS NOT NULL;
    END IF;
    -- After the parked rows have their places: whoever is ready now finds them.
    PERFORM arvo.put_turns(p_queue, v_turns);
    RETURN v_taking;
END;
$admit$;

COMMENT ON FUNCTION arvo.admit(arvo.queue, arvo.log[]) IS
'Lets deliveries pass whose keys have room, and parks the others.';

REVOKE ALL ON FUNCTION arvo.admit(arvo.queue, arvo.log[]) FROM PUBLIC;
--! end

--! function arvo.again
-- arvo.again(log row, attempt, after, cause) — deliver an event once more.
CREATE OR REPLACE FUNCTION arvo.again(
    p_entry arvo.log,
    p_attempt integer,
    p_after interval,
    p_cause jsonb
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $again$
-- Appends a new delivery of p_entry's event to the same lane: at once, or deferred by p_after. The
-- event itself is not written again, unless it stands in an older generation; the new row says where
-- it stands. Returns the new delivery.
-- A dead letter that is being consumed from its dead-letter queue follows its delivery.
--
--   Reads    arvo.clock, arvo.slot, arvo.lane, arvo.queue; as arvo.carried_body
--   Writes   arvo.log or arvo.deferred; arvo.dead
--   Locks    arvo.dead row, when the delivery is one of a dead-letter queue
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_delivery bigint := nextval('arvo.delivery_number'::regclass);
    v_at_once boolean := coalesce(p_after <= interval '0', true);
    v_origin bigint := coalesce(p_entry.origin_delivery, p_entry.delivery);
    v_lane integer := coalesce(p_entry.origin_lane, p_entry.lane);
    v_xid xid8 := coalesce(p_entry.origin_xid, p_entry.xid);
    v_cause jsonb := coalesce(p_cause, '{}'::jsonb)
        || jsonb_build_object('first', arvo.first_of(p_entry));
BEGIN
    IF v_at_once THEN
        INSERT INTO arvo.log (
            slot, lane, delivery, attempt, at, subject_key, event_key,
            origin_delivery, origin_lane, origin_xid, event, cause, key, options
        )
        SELECT
            arvo.slot(), p_entry.lane, v_delivery, p_attempt, v_now,
            p_entry.subject_key, p_entry.event_key,
            CASE WHEN carried.event IS NULL THEN v_origin END,
            CASE WHEN carried.event IS NULL THEN v_lane END,
            CASE WHEN carried.event IS NULL THEN v_xid END,
            carried.event,
            CASE WHEN carried.event IS NULL THEN p_cause ELSE v_cause END,
            p_entry.key,
            p_entry.options
        FROM arvo.carried_body(v_origin, v_lane, v_xid) AS carried (event);
    ELSE
        INSERT INTO arvo.deferred (
            due, lane, delivery, attempt, at, subject_key, event_key,
            origin_delivery, origin_lane, origin_xid, event, cause, key, options
        )
        SELECT
            v_now + p_after, p_entry.lane, v_delivery, p_attempt, v_now,
            p_entry.subject_key, p_entry.event_key,
            CASE WHEN carried.event IS NULL THEN v_origin END,
            CASE WHEN carried.event IS NULL THEN v_lane END,
            CASE WHEN carried.event IS NULL THEN v_xid END,
            carried.event,
            CASE WHEN carried.event IS NULL THEN p_cause ELSE v_cause END,
            p_entry.key,
            p_entry.options
        FROM arvo.carried_body(v_origin, v_lane, v_xid) AS carried (event);
    END IF;

    UPDATE arvo.dead
    SET dead_letter_delivery = v_delivery,
        dead_letter_xid = CASE WHEN v_at_once THEN pg_current_xact_id() END
    WHERE dead.dead_letter_lane = p_entry.lane
    AND dead.dead_letter_delivery = p_entry.delivery
    AND dead.resolution IS NULL;

    PERFORM arvo.wake(ARRAY[queue.name])
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = p_entry.lane;

    RETURN v_delivery;
END;
$again$;

COMMENT ON FUNCTION arvo.again(arvo.log, integer, interval, jsonb) IS
'Appends a further delivery of a logged event, at once or deferred.';

REVOKE ALL ON FUNCTION arvo.again(arvo.log, integer, interval, jsonb) FROM PUBLIC;
--! end

DROP FUNCTION arvo.append(jsonb[], interval, integer, boolean);
--! function arvo.append
-- arvo.append(events, options, ignore_domain, emitted, queues) — accept events: route them and write them down.
CREATE OR REPLACE FUNCTION arvo.append(
    p_events jsonb[],
    p_options jsonb DEFAULT NULL,
    p_ignore_domain boolean DEFAULT false,
    p_emitted boolean DEFAULT false,
    p_queues text[] DEFAULT NULL
)
RETURNS SETOF arvo_v1.dispatched
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $append$
-- The events have been checked by the caller. An event with a domain goes to that domain's queue,
-- any other to the queue that its "to" names (its type, when it has none); p_queues names the queue
-- of each event instead. One without a time gets this one. Order is kept. What goes to arvo.publish
-- goes to every queue that subscribes to its type instead, with one body for all copies.
--
-- Events that are dispatched are looked up first: the same source and id to the same queue is a
-- duplicate. Emitted ones are not, for a settlement happens once. What a policy or an interval of
-- singleton_for does not take is reported, and written down when nobody is there to be told.
--
--   Reads    arvo.queue, arvo.lane, arvo.subscription, arvo.clock, arvo.slot
--   Writes   arvo.log or arvo.deferred, arvo.omission; as arvo.mark_duplicates, arvo.mark_throttled
--            and arvo.notice_unroutable; arvo.queue, arvo.lane when they are missing
--   Locks    as arvo.lane_for, then as arvo.mark_duplicates and arvo.mark_throttled
--   Raises   RV002  as arvo.read_options and arvo.lane_for; an ordered queue is given a priority
--            RV201  a queue is not registered, and the options ask for it
--            RV902  as arvo.require_home
DECLARE
    v_now timestamptz := arvo.clock();
    v_slot smallint := arvo.slot();
    v_options arvo.options;
    v_events jsonb[] := p_events;
    v_names text[] := p_queues;
    v_name text;
    v_items arvo.arrival[];
    v_given integer[];
    v_numbers bigint[];
    v_at integer;
    v_unheard arvo_v1.dispatched[];
    v_deduplicating boolean;
    v_throttling boolean;
    v_deferring boolean;
    v_accepted arvo_v1.dispatched[];
    v_time text := to_char(v_now AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"+00:00"');
BEGIN
    PERFORM arvo.require_home();
    IF p_options IS NOT NULL THEN
        v_options := arvo.read_options(p_options);
    END IF;
    IF v_names IS NULL THEN
        SELECT array_agg(
            CASE
                WHEN NOT p_ignore_domain AND item.event ->> 'domain' IS NOT NULL
                    THEN 'arvo.domain.' || (item.event ->> 'domain')
                ELSE coalesce(item.event ->> 'to', item.event ->> 'type')
            END
            ORDER BY item.ordinal
        )
        INTO v_names
        FROM unnest(p_events) WITH ORDINALITY AS item (event, ordinal);
    END IF;

    IF 'arvo.publish' = ANY (v_names) THEN
        WITH copy AS (
            SELECT
                item.ordinal::integer AS ordinal, item.event, subscribed.name, subscribed.wanted
            FROM unnest(p_events, v_names) WITH ORDINALITY AS item (event, name, ordinal)
            CROSS JOIN LATERAL (
                SELECT item.name, true AS wanted
                WHERE item.name <> 'arvo.publish'
                UNION ALL
                SELECT DISTINCT subscription.queue, true
                FROM arvo.subscription
                WHERE item.name = 'arvo.publish'
                AND item.event ->> 'type' ~ subscription.expression
                UNION ALL
                SELECT item.name, false
                WHERE item.name = 'arvo.publish'
                AND NOT EXISTS (
                    SELECT
                    FROM arvo.subscription
                    WHERE item.event ->> 'type' ~ subscription.expression
                )
            ) AS subscribed
        )

        SELECT
            array_agg(copy.event ORDER BY copy.ordinal, copy.name) FILTER (WHERE copy.wanted),
            array_agg(copy.name ORDER BY copy.ordinal, copy.name) FILTER (WHERE copy.wanted),
            array_agg(copy.ordinal ORDER BY copy.ordinal, copy.name) FILTER (WHERE copy.wanted),
            array_agg(
                (copy.ordinal, copy.event ->> 'id', NULL, copy.name, 'unheard')::arvo_v1.dispatched
                ORDER BY copy.ordinal
            ) FILTER (WHERE NOT copy.wanted)
        INTO p_events, v_names, v_given, v_unheard
        FROM copy;
        IF p_emitted AND v_unheard IS NOT NULL THEN
            INSERT INTO arvo.omission (
                at, queue, outcome, event_id, subject_key, event_key, event
            )
            SELECT
                v_now, unheard.queue, unheard.outcome, unheard.event_id,
                hashtextextended(v_events[unheard.ordinal] ->> 'subject', 0),
                hashtextextended(unheard.event_id, 0), v_events[unheard.ordinal]
            FROM unnest(v_unheard) AS unheard;
        END IF;
        IF v_names IS NULL THEN
            RETURN QUERY SELECT unheard.* FROM unnest(v_unheard) AS unheard;
            RETURN;
        END IF;
    END IF;

    -- In order, whatever the plan of the join below.
    v_numbers := ARRAY(
        SELECT nextval('arvo.delivery_number'::regclass)
        FROM generate_series(1, cardinality(v_names))
    );

    PERFORM arvo.lane_for(missing.name, v_options.priority)
    FROM (
        SELECT DISTINCT named.name
        FROM unnest(v_names) AS named (name)
        WHERE NOT EXISTS (
            SELECT
            FROM arvo.queue
            INNER JOIN arvo.lane ON lane.queue = queue.queue
            WHERE queue.name = named.name
            AND lane.priority = coalesce(v_options.priority, queue.priority)
            AND NOT lane.retired
        )
        ORDER BY named.name
    ) AS missing;

    SELECT
        array_agg(
            (
                item.ordinal,
                CASE
                    WHEN item.event ? 'time' THEN item.event
                    ELSE item.event || jsonb_build_object('time', v_time)
                END,
                queue.queue,
                queue.name,
                queue.registered,
                coalesce(asked.lane, own.lane),
                coalesce(
                    arvo.key_of(v_options.key),
                    CASE
                        WHEN queue.key_from IS NOT NULL
                            THEN arvo.key_in(item.event, queue.key_from)
                    END
                ),
                coalesce(v_options.start_after, queue.start_after),
                v_numbers[item.ordinal],
                NULL,
                NULL,
                coalesce(v_given[item.ordinal], item.ordinal),
                NULL
            )::arvo.arrival
            ORDER BY item.ordinal
        ),
        NOT p_emitted AND bool_or(queue.deduplicate_for > interval '0'),
        v_options.singleton_for IS NOT NULL
        OR bool_or(queue.slotted OR queue.singleton_for IS NOT NULL),
        bool_or(coalesce(v_options.start_after, queue.start_after) > interval '0'),
        min(queue.name) FILTER (
            WHERE (v_options.must_be_registered AND NOT queue.registered)
            OR (queue.policy = 'ordered' AND v_options.priority <> queue.priority)
        )
    INTO v_items, v_deduplicating, v_throttling, v_deferring, v_name
    FROM unnest(p_events, v_names) WITH ORDINALITY AS item (event, name, ordinal)
    INNER JOIN arvo.queue ON queue.name = item.name
    INNER JOIN arvo.lane AS own
        ON own.queue = queue.queue AND own.priority = queue.priority AND NOT own.retired
    -- missing only while somebody else is making it: see arvo.lane_for
    LEFT JOIN arvo.lane AS asked
        ON asked.queue = queue.queue
        AND asked.priority = v_options.priority
        AND NOT asked.retired;

    IF v_name IS NOT NULL THEN
        IF v_options.must_be_registered
            AND EXISTS (SELECT FROM arvo.queue WHERE queue.name = v_name AND NOT queue.registered)
        THEN
            RAISE EXCEPTION 'Handler not registered'
            USING ERRCODE = 'RV201',
                  COLUMN = 'to',
                  DETAIL = format('queue: %s', left(to_json(v_name)::text, 80)),
                  HINT = 'Register a handler for it first, or dispatch without must_be_registered: then the event waits for its handler.';
        END IF;
        RAISE EXCEPTION 'option is not valid'
        USING ERRCODE = 'RV002',
              COLUMN = 'priority',
              DETAIL = format('queue: %s', left(to_json(v_name)::text, 80)),
              HINT = 'An ordered queue keeps the order of acceptance: leave the priority out.';
    END IF;

    IF v_deduplicating THEN
        v_items := arvo.mark_duplicates(v_items);
    END IF;
    IF v_throttling THEN
        v_items := arvo.mark_throttled(v_items, v_options);
        IF v_deduplicating THEN
            PERFORM arvo.forget_keys(v_items);
        END IF;
        v_deferring := v_deferring
            OR EXISTS (SELECT FROM unnest(v_items) AS item WHERE item.outcome = 'debounced');
    END IF;

    IF v_given IS NOT NULL THEN
        v_items := arvo.share_body(v_items);
        -- A place is known by the first delivery of the event that has it: that must be its own.
        FOR v_at IN
            SELECT item.ordinal
            FROM unnest(v_items) AS item
            INNER JOIN arvo.queue ON queue.queue = item.queue
            WHERE item.origin IS NOT NULL AND queue.slotted
        LOOP
            v_items[v_at].origin := NULL;
        END LOOP;
    END IF;
    INSERT INTO arvo.log (
        slot, lane, delivery, attempt, at, subject_key, event_key, event, key, options,
        origin_delivery, origin_lane, origin_xid
    )
    SELECT
        v_slot,
        item.lane,
        item.delivery,
        1,
        v_now,
        hashtextextended(item.event ->> 'subject', 0),
        hashtextextended(item.event ->> 'id', 0),
        CASE WHEN item.origin IS NULL THEN item.event END,
        item.key,
        v_options.kept,
        v_items[item.origin].delivery,
        v_items[item.origin].lane,
        CASE WHEN item.origin IS NOT NULL THEN pg_current_xact_id() END
    FROM unnest(v_items) AS item
    WHERE item.outcome IS NULL AND item.after <= interval '0'
    ORDER BY item.ordinal;

    IF v_deferring THEN
        INSERT INTO arvo.deferred (
            due, lane, delivery, attempt, at, subject_key, event_key, event, key, options,
            origin_delivery, origin_lane, origin_xid
        )
        SELECT
            v_now + item.after,
            item.lane,
            item.delivery,
            1,
            v_now,
            hashtextextended(item.event ->> 'subject', 0),
            hashtextextended(item.event ->> 'id', 0),
            CASE WHEN item.origin IS NULL THEN item.event END,
            item.key,
            v_options.kept,
            v_items[item.origin].delivery,
            v_items[item.origin].lane,
            CASE WHEN item.origin IS NOT NULL THEN pg_current_xact_id() END
        FROM unnest(v_items) AS item
        WHERE coalesce(item.outcome, 'debounced') = 'debounced' AND item.after > interval '0'
        ORDER BY item.ordinal;
    END IF;

    IF p_emitted AND v_throttling THEN
        INSERT INTO arvo.omission (
            at, queue, outcome, first_delivery, event_id, subject_key, event_key, event
        )
        SELECT
            v_now,
            item.name,
            item.outcome,
            item.first_delivery,
            item.event ->> 'id',
            hashtextextended(item.event ->> 'subject', 0),
            hashtextextended(item.event ->> 'id', 0),
            item.event
        FROM unnest(v_items) AS item
        WHERE item.outcome = 'throttled'
        ORDER BY item.ordinal;
    END IF;

    SELECT array_agg(
        (
            item.given,
            item.event ->> 'id',
            coalesce(item.first_delivery, item.delivery),
            item.name,
            CASE
                WHEN item.outcome IS NOT NULL THEN item.outcome
                WHEN p_queues IS NULL AND NOT p_ignore_domain
                    AND item.event ->> 'domain' IS NOT NULL THEN 'domained'
                WHEN NOT item.registered THEN 'unroutable'
                WHEN item.after > interval '0' THEN 'deferred'
                ELSE 'queued'
            END
        )::arvo_v1.dispatched
        ORDER BY item.ordinal
    )
    INTO v_accepted
    FROM unnest(v_items) AS item;

    -- Those that are put off get theirs when they are promoted.
    PERFORM arvo.notice_unroutable(array_agg(
        (item.ordinal, NULL, item.delivery, item.name, 'unroutable')::arvo_v1.dispatched
        ORDER BY item.ordinal
    ))
    FROM unnest(v_items) AS item
    WHERE NOT item.registered AND item.outcome IS NULL AND item.after <= interval '0'
    AND (
        p_ignore_domain OR p_queues IS NOT NULL OR item.event ->> 'domain' IS NULL
    )
    HAVING count(*) > 0;
    PERFORM arvo.wake(v_names);
    RETURN QUERY SELECT accepted.* FROM unnest(v_accepted || v_unheard) AS accepted;
END;
$append$;

COMMENT ON FUNCTION arvo.append(jsonb[], jsonb, boolean, boolean, text[]) IS
'Routes checked events and appends them, in order; reports what is a duplicate or throttled.';

REVOKE ALL ON FUNCTION arvo.append(jsonb[], jsonb, boolean, boolean, text[]) FROM PUBLIC;
--! end

--! function arvo.append_one
-- arvo.append_one(event, ignore_domain, emitted) — accept one plain event, or leave it to arvo.append.
CREATE OR REPLACE FUNCTION arvo.append_one(
    p_event jsonb,
    p_ignore_domain boolean DEFAULT false,
    p_emitted boolean DEFAULT false
)
RETURNS arvo_v1.dispatched
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $append_one$
-- What arvo.append does, in half of its time, for the event that most are: one, without options, to a
-- registered queue that neither defers nor limits what comes in, and not seen before. For any other it
-- has written nothing, and delivery is NULL: the caller calls arvo.append.
--
--   Reads    arvo.queue, arvo.lane, arvo.clock, arvo.slot, arvo.event_key_number,
--            arvo.event_key_generation
--   Writes   arvo.log; as arvo.note_key
--   Locks    as arvo.note_key
--   Raises   40001  as arvo.note_key
--            RV902  as arvo.require_home
DECLARE
    v_now timestamptz := arvo.clock();
    v_own xid8;
    v_domain text := p_event ->> 'domain';
    v_name text := coalesce(p_event ->> 'to', p_event ->> 'type');
    v_id text := p_event ->> 'id';
    v_queue integer;
    v_lane integer;
    v_window interval;
    v_key_from text;
    v_number bigint;
    v_delivery bigint;
    v_outcome text := 'queued';
BEGIN
    PERFORM arvo.require_home();
    IF v_domain IS NOT NULL AND NOT p_ignore_domain THEN
        v_name := 'arvo.domain.' || v_domain;
        v_outcome := 'domained';
    ELSIF v_name = 'arvo.publish' THEN
        RETURN NULL;
    END IF;

    SELECT queue.queue, queue.deduplicate_for, queue.key_from, lane.lane
    INTO v_queue, v_window, v_key_from, v_lane
    FROM arvo.queue
    INNER JOIN arvo.lane ON lane.queue = queue.queue AND lane.priority = queue.priority
    WHERE queue.name = v_name
    AND queue.registered
    AND NOT queue.slotted
    AND queue.singleton_for IS NULL
    AND queue.start_after <= interval '0'
    AND NOT lane.retired;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    IF v_window > interval '0' AND NOT p_emitted THEN
        -- First its own number, then which partition: see arvo.event_key_generation.
        v_own := pg_current_xact_id();
        SELECT current.last_value INTO v_number
        FROM arvo.event_key_number AS current
        INNER JOIN arvo.event_key_generation AS generation
            ON generation.number = current.last_value
        WHERE v_own IS NOT NULL
        AND pg_snapshot_xmin(pg_current_snapshot()) >= generation.horizon;
        v_delivery := nextval('arvo.delivery_number'::regclass);
        IF v_number IS NULL OR NOT arvo.note_key(
            v_number, v_queue, arvo.event_digest(p_event), v_window, v_delivery, v_now
        ) THEN
            RETURN NULL;
        END IF;
    ELSE
        v_delivery := nextval('arvo.delivery_number'::regclass);
    END IF;

    INSERT INTO arvo.log (slot, lane, delivery, attempt, at, subject_key, event_key, event, key)
    VALUES (
        arvo.slot(),
        v_lane,
        v_delivery,
        1,
        v_now,
        hashtextextended(p_event ->> 'subject', 0),
        hashtextextended(v_id, 0),
        CASE
            WHEN p_event ? 'time' THEN p_event
            ELSE p_event || jsonb_build_object('time', to_char(
                v_now AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"+00:00"'
            ))
        END,
        CASE WHEN v_key_from IS NOT NULL THEN arvo.key_in(p_event, v_key_from) END
    );
    PERFORM arvo.wake(ARRAY[v_name]);
    RETURN (1, v_id, v_delivery, v_name, v_outcome)::arvo_v1.dispatched;
END;
$append_one$;

COMMENT ON FUNCTION arvo.append_one(jsonb, boolean, boolean) IS
'Appends one plain event; answers no delivery when it takes more than that.';

REVOKE ALL ON FUNCTION arvo.append_one(jsonb, boolean, boolean) FROM PUBLIC;
--! end

--! function arvo.both
-- arvo.both(one, more) — two takings as one.
CREATE OR REPLACE FUNCTION arvo.both(p_one arvo.taking, p_more arvo.taking)
RETURNS arvo.taking
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $both$
-- Where arvo.ready has been read up to is what the second one says, if it says anything.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT (
    p_one.batch || p_more.batch, p_one.keys || p_more.keys, p_one.places || p_more.places,
    p_one.put_off || p_more.put_off, p_one.taken + p_more.taken,
    coalesce(p_more.ready_from, p_one.ready_from)
)::arvo.taking;
$both$;

COMMENT ON FUNCTION arvo.both(arvo.taking, arvo.taking) IS
'Two takings, one after the other.';

REVOKE ALL ON FUNCTION arvo.both(arvo.taking, arvo.taking) FROM PUBLIC;
--! end

--! function arvo.bring_forward
-- arvo.bring_forward(delivery) — move one deferred delivery into the log, due or not.
CREATE OR REPLACE FUNCTION arvo.bring_forward(p_delivery bigint)
RETURNS arvo.log
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $bring_forward$
-- The caller holds the promoter's lock. Returns the new row of the log; NULL when the delivery is not
-- deferred, or has been promoted.
--
--   Reads    arvo.promotion, arvo.clock, arvo.slot
--   Writes   arvo.deferred, arvo.log, arvo.dead
--   Locks    arvo.dead row, when the delivery is one of a dead-letter queue
--   Raises   nothing
DECLARE
    v_passed arvo.promotion;
    v_waiting arvo.deferred;
    v_entry arvo.log;
BEGIN
    SELECT head.* INTO STRICT v_passed
    FROM arvo.promotion AS head
    ORDER BY head.number DESC
    LIMIT 1;
    DELETE FROM arvo.deferred
    WHERE deferred.delivery = p_delivery
    AND NOT (
        (deferred.due, deferred.delivery) <= (v_passed.due, v_passed.delivery)
        AND pg_visible_in_snapshot(deferred.xid, v_passed.snapshot)
    )
    RETURNING deferred.* INTO v_waiting;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    INSERT INTO arvo.log (
        slot, lane, delivery, attempt, at, subject_key, event_key,
        origin_delivery, origin_lane, origin_xid, event, cause, key, options, deferred_xid
    )
    SELECT
        arvo.slot(), v_waiting.lane, v_waiting.delivery, v_waiting.attempt, arvo.clock(),
        v_waiting.subject_key, v_waiting.event_key,
        CASE WHEN carried.event IS NULL THEN v_waiting.origin_delivery END,
        CASE WHEN carried.event IS NULL THEN v_waiting.origin_lane END,
        CASE WHEN carried.event IS NULL THEN v_waiting.origin_xid END,
        coalesce(v_waiting.event, carried.event),
        CASE
            WHEN carried.event IS NULL THEN v_waiting.cause
            ELSE jsonb_build_object('first', v_waiting.origin_delivery)
                || coalesce(v_waiting.cause, '{}'::jsonb)
        END,
        v_waiting.key, v_waiting.options, v_waiting.xid
    FROM (
        SELECT CASE
                   WHEN v_waiting.origin_delivery IS NOT NULL THEN arvo.carried_body(
                       v_waiting.origin_delivery, v_waiting.origin_lane, v_waiting.origin_xid
                   )
               END AS event
    ) AS carried
    RETURNING log.* INTO v_entry;
    UPDATE arvo.dead
    SET dead_letter_xid = v_entry.xid
    WHERE dead.dead_letter_lane = v_entry.lane
    AND dead.dead_letter_delivery = v_entry.delivery
    AND dead.resolution IS NULL;
    RETURN v_entry;
END;
$bring_forward$;

COMMENT ON FUNCTION arvo.bring_forward(bigint) IS
'Moves one deferred delivery into the log, whenever it is due; NULL when it is not deferred.';

REVOKE ALL ON FUNCTION arvo.bring_forward(bigint) FROM PUBLIC;
--! end

--! function arvo.bury
-- arvo.bury(log row, queue, reason, error) — make a dead letter of a delivery.
CREATE OR REPLACE FUNCTION arvo.bury(
    p_entry arvo.log,
    p_queue arvo.queue,
    p_reason text,
    p_error jsonb
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $bury$
-- The dead letter keeps the event whole and says where it failed and why. When the queue names a
-- dead-letter queue, the event is delivered there too, with that story as its cause. A dead letter
-- that dies again in its dead-letter queue stays one: it keeps the queue and the reason of its first
-- death, and goes on to the dead-letter queue of that queue, if it has one; through five at most, so
-- that a ring of queues ends. Returns the number of the dead letter.
--
--   Reads    arvo.clock, arvo.slot, arvo.log; as arvo.carried_body
--   Writes   arvo.dead, arvo.log; arvo.queue, arvo.lane when the dead-letter queue is missing
--   Locks    as arvo.lane_for; arvo.dead row, when the delivery is one of a dead-letter queue
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_event jsonb := arvo.event_of(p_entry);
    v_redrives integer := coalesce((p_entry.cause ->> 'redrives')::integer, 0);
    v_hops integer := coalesce((p_entry.cause ->> 'hops')::integer, 0);
    v_dead bigint;
    v_lane integer;
    v_delivery bigint;
BEGIN
    IF p_queue.dead_letter IS NOT NULL AND v_hops < 5 THEN
        v_lane := arvo.lane_for(p_queue.dead_letter);
        v_delivery := nextval('arvo.delivery_number'::regclass);
    END IF;

    UPDATE arvo.dead
    SET dead_letter = CASE WHEN v_lane IS NOT NULL THEN p_queue.dead_letter END,
        dead_letter_lane = v_lane,
        dead_letter_xid = CASE WHEN v_lane IS NOT NULL THEN pg_current_xact_id() END,
        dead_letter_delivery = v_delivery
    WHERE dead.dead_letter_lane = p_entry.lane
    AND dead.dead_letter_delivery = p_entry.delivery
    AND dead.resolution IS NULL
    RETURNING dead.dead INTO v_dead;
    IF NOT FOUND THEN
        INSERT INTO arvo.dead (
            delivery, queue, dead_letter, dead_letter_lane, dead_letter_xid, dead_letter_delivery,
            event_id, subject_key, event_key, event, attempts, reason, error, died_at, redrives,
            key, options
        )
        VALUES (
            p_entry.delivery, p_queue.name,
            CASE WHEN v_lane IS NOT NULL THEN p_queue.dead_letter END, v_lane,
            CASE WHEN v_lane IS NOT NULL THEN pg_current_xact_id() END, v_delivery,
            v_event ->> 'id', p_entry.subject_key, p_entry.event_key, v_event, p_entry.attempt,
            p_reason, p_error, v_now, v_redrives, p_entry.key, p_entry.options
        )
        RETURNING dead.dead INTO v_dead;
    END IF;

    IF v_lane IS NOT NULL THEN
        INSERT INTO arvo.log (
            slot, lane, delivery, attempt, at, subject_key, event_key,
            origin_delivery, origin_lane, origin_xid, event, cause
        )
        SELECT
            arvo.slot(), v_lane, v_delivery, 1, v_now, p_entry.subject_key, p_entry.event_key,
            CASE WHEN carried.event IS NULL
                THEN coalesce(p_entry.origin_delivery, p_entry.delivery)
            END,
            CASE WHEN carried.event IS NULL THEN coalesce(p_entry.origin_lane, p_entry.lane) END,
            CASE WHEN carried.event IS NULL THEN coalesce(p_entry.origin_xid, p_entry.xid) END,
            carried.event,
            jsonb_build_object(
                'outcome', 'dead',
                'dead', v_dead,
                'queue', p_queue.name,
                'delivery', p_entry.delivery,
                'attempts', p_entry.attempt,
                'reason', p_reason,
                'error', p_error,
                'redrives', v_redrives,
                'hops', v_hops + 1
            ) || CASE
                WHEN carried.event IS NULL THEN '{}'::jsonb
                ELSE jsonb_build_object('first', arvo.first_of(p_entry))
            END
        FROM arvo.carried_body(
            coalesce(p_entry.origin_delivery, p_entry.delivery),
            coalesce(p_entry.origin_lane, p_entry.lane),
            coalesce(p_entry.origin_xid, p_entry.xid)
        ) AS carried (event);
        PERFORM arvo.wake(ARRAY[p_queue.dead_letter]);
    END IF;
    RETURN v_dead;
END;
$bury$;

COMMENT ON FUNCTION arvo.bury(arvo.log, arvo.queue, text, jsonb) IS
'Makes a dead letter of a delivery, and delivers it to the dead-letter queue when one is named.';

REVOKE ALL ON FUNCTION arvo.bury(arvo.log, arvo.queue, text, jsonb) FROM PUBLIC;
--! end

--! function arvo.carried_body
-- arvo.carried_body(delivery, lane, transaction) — an event that must be written again.
CREATE OR REPLACE FUNCTION arvo.carried_body(p_delivery bigint, p_lane integer, p_xid xid8)
RETURNS jsonb
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $carried_body$
-- A row may say where its event is written instead of holding it, but only within one generation:
-- then both disappear together, and a generation can be emptied without asking who refers to it.
-- Answers the event of the first delivery named when that stands in an older generation; NULL when
-- it stands in the one in use. To be asked in the very statement that writes the new row and stamps
-- it with arvo.slot(): one snapshot decides both. A row that gets the event names no origin, and its
-- cause gets "first", for arvo.first_of.
--
--   Reads    arvo.log by (lane, xid, delivery), arvo.slot
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT origin.event
FROM arvo.log AS origin
WHERE origin.lane = p_lane
AND origin.xid = p_xid
AND origin.delivery = p_delivery
AND origin.slot <> arvo.slot();
$carried_body$;

COMMENT ON FUNCTION arvo.carried_body(bigint, integer, xid8) IS
'The event of a first delivery that stands in an older generation; NULL when a reference will do.';

REVOKE ALL ON FUNCTION arvo.carried_body(bigint, integer, xid8) FROM PUBLIC;
--! end

--! function arvo.carry_deferred
-- arvo.carry_deferred(until, limit) — write events into deferred rows whose origin is to be emptied.
CREATE OR REPLACE FUNCTION arvo.carry_deferred(p_until timestamptz, p_limit integer)
RETURNS integer
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $carry_deferred$
-- A deferred row refers to an event of the generation in use when it was written, so everything that
-- was deferred up to p_until, when a generation was closed, may refer to it. Returns how many rows.
--
--   Reads    arvo.log, by (lane, xid, delivery)
--   Writes   arvo.deferred
--   Locks    arvo.deferred rows; those that somebody holds are left out
--   Raises   nothing
WITH old AS MATERIALIZED (
    SELECT
        deferred.delivery, deferred.origin_delivery, deferred.origin_lane, deferred.origin_xid
    FROM arvo.deferred
    WHERE deferred.origin_delivery IS NOT NULL AND deferred.at <= p_until
    ORDER BY deferred.at
    LIMIT p_limit
    FOR NO KEY UPDATE SKIP LOCKED
),

carried AS (
    UPDATE arvo.deferred
    SET event = origin.event,
        origin_delivery = NULL,
        origin_lane = NULL,
        origin_xid = NULL,
        cause = jsonb_build_object('first', old.origin_delivery)
            || coalesce(deferred.cause, '{}'::jsonb)
    FROM old
    INNER JOIN arvo.log AS origin
        ON origin.lane = old.origin_lane
        AND origin.xid = old.origin_xid
        AND origin.delivery = old.origin_delivery
    WHERE deferred.delivery = old.delivery
    RETURNING deferred.delivery
)

SELECT count(*)::integer FROM carried;
$carry_deferred$;

COMMENT ON FUNCTION arvo.carry_deferred(timestamptz, integer) IS
'Writes the event itself into old deferred rows; returns how many.';

REVOKE ALL ON FUNCTION arvo.carry_deferred(timestamptz, integer) FROM PUBLIC;
--! end

--! function arvo.census
-- arvo.census(queue, snapshot) — how many deliveries of a queue are at each place.
CREATE OR REPLACE FUNCTION arvo.census(p_queue integer, p_snapshot pg_snapshot DEFAULT NULL)
RETURNS arvo.census
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $census$
-- Counts exactly, as of the calling statement; the cost grows with what waits. With p_snapshot, of the
-- queued only those that it saw.
--
--   Reads    arvo.lane, arvo.lease, arvo.closure, arvo.log, arvo.parked, arvo.deferred,
--            arvo.promotion, arvo.tombstone
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_census arvo.census := (0::bigint, 0::bigint, 0::bigint, 0::bigint);
    v_lane integer;
    v_head arvo.lease;
    v_count bigint;
BEGIN
    SELECT count(*) INTO v_census.deferred
    FROM arvo.deferred
    CROSS JOIN (
        SELECT head.due, head.delivery, head.snapshot
        FROM arvo.promotion AS head
        ORDER BY head.number DESC
        LIMIT 1
    ) AS passed
    WHERE deferred.lane IN (SELECT own.lane FROM arvo.lanes_of(p_queue) AS own)
    AND NOT (
        (deferred.due, deferred.delivery) <= (passed.due, passed.delivery)
        AND pg_visible_in_snapshot(deferred.xid, passed.snapshot)
    );
    SELECT count(*) INTO v_census.parked
    FROM arvo.parked
    WHERE parked.queue = p_queue
    AND NOT EXISTS (
        SELECT
        FROM arvo.tombstone
        WHERE tombstone.lane = parked.lane AND tombstone.delivery = parked.delivery
        OFFSET 0  -- a look-up for each row
    );

    v_census.leased := arvo.count_leased(p_queue);

    FOR v_lane IN SELECT own.lane FROM arvo.lanes_of(p_queue) AS own LOOP
        v_head := arvo.head_of(v_lane);
        SELECT count(*) INTO v_count
        FROM arvo.log AS entry
        WHERE entry.lane = v_lane
        AND (entry.xid, entry.delivery) > (
            CASE
                WHEN v_head.exhausted OR v_head.last_xid >= pg_snapshot_xmin(v_head.snapshot)
                    THEN pg_snapshot_xmin(v_head.snapshot)
                ELSE v_head.last_xid
            END,
            CASE
                WHEN v_head.exhausted OR v_head.last_xid >= pg_snapshot_xmin(v_head.snapshot) THEN 0
                ELSE v_head.last_delivery
            END
        )
        AND (p_snapshot IS NULL OR pg_visible_in_snapshot(entry.xid, p_snapshot))
        AND NOT pg_visible_in_snapshot(entry.xid, v_head.previous_snapshot)
        AND NOT (
            pg_visible_in_snapshot(entry.xid, v_head.snapshot)
            AND (
                v_head.exhausted
                OR (entry.xid, entry.delivery) <= (v_head.last_xid, v_head.last_delivery)
            )
        )
        AND NOT EXISTS (
            SELECT
            FROM arvo.tombstone
            WHERE tombstone.lane = v_lane AND tombstone.delivery = entry.delivery
            OFFSET 0  -- a look-up for each row
        );
        v_census.queued := v_census.queued + v_count;
    END LOOP;
    RETURN v_census;
END;
$census$;

COMMENT ON FUNCTION arvo.census(integer, pg_snapshot) IS
'How many deliveries of a queue are queued, parked, deferred and leased.';

REVOKE ALL ON FUNCTION arvo.census(integer, pg_snapshot) FROM PUBLIC;
--! end

--! function arvo.claim_gated
-- arvo.claim_gated(lane, home, limit, worker, lease) — lease the next deliveries of a gated queue.
CREATE OR REPLACE FUNCTION arvo.claim_gated(
    p_lane integer,
    p_home integer,
    p_limit integer,
    p_worker text,
    p_lease interval
)
RETURNS SETOF arvo_v1.claimed
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $claim_gated$
-- The caller holds the lane and p_home, the home lane of the queue, which guards all its
-- keys. First the limits of the whole queue; then deliveries that have waited, in the claim of
-- p_home, and new ones from the log, mixed so that neither starves: of several places a quarter is
-- left to new ones, a single place goes to either by chance. What may not run yet is parked; a claim
-- that finds nothing else parks up to 256 batches before it gives up.
--
--   Reads    arvo.lease, arvo.queue; as arvo.read_window, arvo.take_waiting and arvo.hand_out
--   Writes   arvo.lease, arvo.closure; as arvo.heal, arvo.take_waiting, arvo.admit, arvo.put_turn,
--            arvo.withdraw and arvo.free_places
--   Locks    as arvo.sweep; other lanes of the queue: tried, never waited for
--   Raises   as arvo.read_window
DECLARE
    v_now timestamptz := arvo.clock();
    v_queue arvo.queue;
    v_head arvo.lease;
    v_open_from bigint;
    v_whole arvo.turn;
    v_room integer;
    v_share integer;
    v_serving boolean;
    v_moved boolean := false;
    v_reading arvo.reading;
    v_more arvo.taking;
    v_all arvo.taking;
    v_lane integer;
    v_lease arvo.lease;
    v_batch arvo.log[];
    v_keys bigint[];
    v_places bigint[];
    v_found boolean := false;
BEGIN
    SELECT queue.* INTO STRICT v_queue
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = p_lane;

    -- Asked again under the lock: its rules may have changed since.
    IF NOT v_queue.gated OR v_queue.paused_at IS NOT NULL THEN
        RETURN;
    END IF;

    -- Once, unless everything that was leased turns out to be withdrawn or put off.
    LOOP
        v_head := arvo.head_of(p_lane);
        v_open_from := v_head.open_from;
        v_head := arvo.heal(v_head);
        v_moved := v_head.open_from > v_open_from;
        v_whole := arvo.turn_of(v_queue.queue, 0);
        v_room := least(
            p_limit,
            coalesce(v_queue.max_active - v_whole.active, p_limit),
            arvo.rate_room(v_whole.tally, v_queue.rate_limit, v_queue.rate_period, v_now)
        );
        v_all := arvo.no_taking(v_head.ready_from);
        -- What waits may stand in any lane of the queue: then all of them must be held.
        v_serving := p_lane = p_home AND NOT EXISTS (
            SELECT
            FROM arvo.lane
            WHERE lane.queue = v_queue.queue AND lane.lane <> p_home AND NOT lane.retired
            AND NOT pg_try_advisory_xact_lock(hashtext('arvo'), lane.lane)
        );
        v_share := CASE
            WHEN v_room > 1 THEN v_room - v_room / 4 ELSE (random() < 0.5)::integer
        END;

        FOR v_round IN 1..256 LOOP
            EXIT WHEN v_all.taken >= v_room OR (v_round > 8 AND v_all.batch <> '{}');
            IF v_serving AND v_share > v_all.taken THEN
                v_more := arvo.take_waiting(v_queue, v_all.ready_from, v_share - v_all.taken);
                v_moved := v_moved OR v_more.ready_from > v_all.ready_from;
                v_all := arvo.both(v_all, v_more);
            END IF;
            EXIT WHEN v_all.taken >= v_room;
            v_reading := arvo.read_window(v_head, v_room - v_all.taken, v_queue.drained_to);
            IF v_reading.batch <> '{}' THEN
                v_moved := true;
                v_head := arvo.moved(v_head, v_reading);
                v_more := arvo.admit(v_queue, v_reading.batch);
                v_all := arvo.both(v_all, v_more);
            END IF;
            EXIT WHEN v_share >= v_room AND (v_reading.batch = '{}' OR v_head.exhausted);
            IF v_reading.batch = '{}' OR v_head.exhausted THEN
                v_share := v_room;
                EXIT WHEN NOT v_serving;
            END IF;
        END LOOP;
        v_head.ready_from := v_all.ready_from;

        IF v_all.batch = '{}' THEN
            IF v_moved THEN
                PERFORM arvo.move_cursor(v_head);
            END IF;
            RETURN;
        END IF;
        IF v_all.taken > 0 THEN
            v_whole.active := v_whole.active + v_all.taken;
            v_whole.tally := arvo.rate_count(
                v_whole.tally, v_all.taken, v_queue.rate_period, v_now
            );
            PERFORM arvo.put_turn(v_queue, v_whole);
        END IF;

        -- A lease belongs to one lane: those that waited may have come from others.
        FOR v_lane, v_batch, v_keys, v_places IN
            SELECT
                (taken.entry).lane,
                array_agg(taken.entry ORDER BY taken.ordinal),
                array_agg(v_all.keys[taken.ordinal] ORDER BY taken.ordinal),
                array_agg(v_all.places[taken.ordinal] ORDER BY taken.ordinal)
            FROM (
                SELECT listed AS entry, row_number() OVER () AS ordinal
                FROM unnest(v_all.batch) AS listed
            ) AS taken
            GROUP BY (taken.entry).lane
            ORDER BY (taken.entry).lane <> p_lane, (taken.entry).lane
        LOOP
            v_lease := arvo.write_lease(
                CASE WHEN v_lane = p_lane THEN v_head ELSE arvo.head_of(v_lane) END,
                p_worker, p_lease, v_batch, v_keys,
                CASE WHEN v_queue.policy = 'ordered' THEN v_places END
            );
            v_moved := v_moved AND v_lane <> p_lane;
            IF v_all.put_off <> '{}' THEN
                v_batch := arvo.close_put_off(v_lease, v_batch, v_all.put_off);
            END IF;
            IF EXISTS (SELECT FROM arvo.tombstone WHERE tombstone.lane = v_lane) THEN
                v_batch := arvo.withdraw(v_queue, v_lease, v_batch);
            END IF;
            IF v_queue.slotted THEN
                PERFORM arvo.leave_queued(v_queue, v_batch);
            END IF;
            v_found := v_found OR v_batch <> '{}';
            RETURN QUERY SELECT leased.* FROM arvo.hand_out(v_queue, v_lease, v_batch) AS leased;
        END LOOP;
        -- Only leases of other lanes were written: this one's cursor has moved all the same.
        IF v_moved THEN
            PERFORM arvo.move_cursor(v_head);
        END IF;
        EXIT WHEN v_found;
    END LOOP;
END;
$claim_gated$;

COMMENT ON FUNCTION arvo.claim_gated(integer, integer, integer, text, interval) IS
'Leases deliveries of a queue with keys or limits, and parks those that must wait.';

REVOKE ALL ON FUNCTION arvo.claim_gated(integer, integer, integer, text, interval) FROM PUBLIC;
--! end

--! function arvo.claim_lane
-- arvo.claim_lane(lane, limit, worker, lease) — lease the next deliveries of one lane.
CREATE OR REPLACE FUNCTION arvo.claim_lane(
    p_lane integer,
    p_limit integer,
    p_worker text,
    p_lease interval
)
RETURNS SETOF arvo_v1.claimed
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $claim_lane$
-- The caller holds the lane. The newest lease row is the cursor; the row that is written here is the
-- next one. A claim that finds nothing writes nothing; nor does one of a queue that has become gated
-- since the caller looked.
--
--   Reads    arvo.lease, arvo.queue; as arvo.read_window and arvo.hand_out
--   Writes   arvo.lease (one row); as arvo.heal, arvo.withdraw and arvo.free_places
--   Locks    as arvo.sweep
--   Raises   as arvo.read_window
DECLARE
    v_head arvo.lease;
    v_queue arvo.queue;
    v_open_from bigint;
    v_reading arvo.reading;
    v_batch arvo.log[];
BEGIN
    SELECT queue.* INTO STRICT v_queue
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = p_lane;
    -- Asked again under the lock: its rules may have changed since.
    IF v_queue.gated OR v_queue.paused_at IS NOT NULL THEN
        RETURN;
    END IF;

    -- Once, unless everything that was leased turns out to be withdrawn.
    LOOP
        v_head := arvo.head_of(p_lane);
        v_open_from := v_head.open_from;
        v_head := arvo.heal(v_head);
        v_reading := arvo.read_window(v_head, p_limit, v_queue.drained_to);
        v_batch := v_reading.batch;
        IF v_batch = '{}' THEN
            -- What the sweep found out is worth a row; the cursor stays where it is.
            IF v_head.open_from > v_open_from THEN
                PERFORM arvo.move_cursor(v_head);
            END IF;
            RETURN;
        END IF;

        v_head := arvo.write_lease(arvo.moved(v_head, v_reading), p_worker, p_lease, v_batch);
        IF EXISTS (SELECT FROM arvo.tombstone WHERE tombstone.lane = p_lane) THEN
            v_batch := arvo.withdraw(v_queue, v_head, v_batch);
        END IF;
        IF v_queue.slotted THEN
            PERFORM arvo.leave_queued(v_queue, v_batch);
        END IF;
        EXIT WHEN v_batch <> '{}';
    END LOOP;

    RETURN QUERY SELECT leased.* FROM arvo.hand_out(v_queue, v_head, v_batch) AS leased;
END;
$claim_lane$;

COMMENT ON FUNCTION arvo.claim_lane(integer, integer, text, interval) IS
'Leases the next deliveries of a lane whose lock the caller holds.';

REVOKE ALL ON FUNCTION arvo.claim_lane(integer, integer, text, interval) FROM PUBLIC;
--! end

--! function arvo.clock_change
-- arvo.clock_change(time_zone, from, until) — when the clocks of a zone change.
CREATE OR REPLACE FUNCTION arvo.clock_change(
    p_time_zone text,
    p_from timestamptz,
    p_until timestamptz
)
RETURNS timestamptz
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $clock_change$
-- The caller knows that there is one change after p_from and not after p_until. Halves the time
-- between them, to the second, at which the new offset holds for the first time.
--
--   Reads    the server's time zones
--   Writes   nothing
--   Locks    nothing
--   Raises   22023  the zone is not known
DECLARE
    v_low bigint := floor(extract(epoch FROM p_from))::bigint;
    v_high bigint := ceil(extract(epoch FROM p_until))::bigint;
    v_middle bigint;
    v_at timestamptz := to_timestamp(v_low);
    v_before interval := (v_at AT TIME ZONE p_time_zone) - (v_at AT TIME ZONE 'UTC');
BEGIN
    WHILE v_high - v_low > 1 LOOP
        v_middle := v_low + (v_high - v_low) / 2;
        v_at := to_timestamp(v_middle);
        IF (v_at AT TIME ZONE p_time_zone) - (v_at AT TIME ZONE 'UTC') = v_before THEN
            v_low := v_middle;
        ELSE
            v_high := v_middle;
        END IF;
    END LOOP;
    RETURN to_timestamp(v_high);
END;
$clock_change$;

COMMENT ON FUNCTION arvo.clock_change(text, timestamptz, timestamptz) IS
'The moment between two times at which the clocks of a time zone change.';

REVOKE ALL ON FUNCTION arvo.clock_change(text, timestamptz, timestamptz) FROM PUBLIC;
--! end

--! function arvo.close_lanes
-- arvo.close_lanes() — the last cursors of retired lanes.
CREATE OR REPLACE FUNCTION arvo.close_lanes()
RETURNS integer
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $close_lanes$
-- After them nothing in such a lane counts as unclaimed, as leased, or as worth a look, whoever asks.
-- Returns how many were closed.
--
--   Reads    arvo.lane, arvo.lease, arvo.clock, arvo.slot
--   Writes   arvo.lease
--   Locks    nothing
--   Raises   nothing
WITH closed AS (
    INSERT INTO arvo.lease (
        slot, lane, number, token, leased_at, expires_at, deliveries,
        previous_snapshot, snapshot, last_xid, last_delivery, exhausted, open_from, sweep_at
    )
    SELECT
        arvo.slot(), lane.lane, head.number + 1, 0, arvo.clock(), head.expires_at, '{}',
        '9223372036854775807:9223372036854775807:', '9223372036854775807:9223372036854775807:',
        '0', 0, true, head.number + 2, 'infinity'
    FROM arvo.lane
    CROSS JOIN LATERAL (
        SELECT newest.number, newest.expires_at, newest.snapshot
        FROM arvo.lease AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS head
    WHERE lane.retired
    AND pg_snapshot_xmax(head.snapshot) <> '9223372036854775807'
    RETURNING 1
)

SELECT count(*)::integer FROM closed;
$close_lanes$;

COMMENT ON FUNCTION arvo.close_lanes() IS
'Moves the cursors of retired lanes behind everything; returns how many.';

REVOKE ALL ON FUNCTION arvo.close_lanes() FROM PUBLIC;
--! end

--! function arvo.close_put_off
-- arvo.close_put_off(lease, batch, put_off) — close what a rate limit has put off.
CREATE OR REPLACE FUNCTION arvo.close_put_off(
    p_lease arvo.lease,
    p_batch arvo.log[],
    p_put_off bigint[]
)
RETURNS arvo.log[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $close_put_off$
-- Their further deliveries have been written; the journal calls these snoozed. Returns the others, in
-- their order (unnest keeps it).
--
--   Reads    arvo.clock, arvo.slot
--   Writes   arvo.closure
--   Locks    nothing
--   Raises   nothing
BEGIN
    INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
    SELECT
        arvo.slot(), p_lease.token, arvo.clock(), array_agg(entry.delivery), '{snoozed}',
        array_fill(NULL::integer, ARRAY[count(*)::integer])
    FROM unnest(p_batch) AS entry
    WHERE entry.delivery = ANY (p_put_off)
    HAVING count(*) > 0;
    RETURN ARRAY(
        SELECT entry FROM unnest(p_batch) AS entry WHERE entry.delivery <> ALL (p_put_off)
    );
END;
$close_put_off$;

COMMENT ON FUNCTION arvo.close_put_off(arvo.lease, arvo.log[], bigint[]) IS
'Closes deliveries of a fresh lease that a rate limit has put off; returns the others.';

REVOKE ALL ON FUNCTION arvo.close_put_off(arvo.lease, arvo.log[], bigint[]) FROM PUBLIC;
--! end

--! function arvo.count_lane
-- arvo.count_lane(head, tally, seen, most) — the figures of one lane, without scanning its backlog.
CREATE OR REPLACE FUNCTION arvo.count_lane(
    p_head arvo.lease,
    p_tally arvo.tally,
    p_seen pg_snapshot DEFAULT NULL,
    p_most integer DEFAULT 10000
)
RETURNS arvo.lane_count
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $count_lane$
-- p_head is the newest lease row of the lane, p_tally its newest tally, or NULL. What is few is
-- counted: up to p_most unread and as many deferred rows. Beyond that the tally is carried on: what
-- was appended since (there now, not seen by its snapshot) comes to it, what the cursor has passed
-- leaves it. A transaction that commits late is counted once, whatever its number: the windows of
-- claims. So the cost grows with the lesser of backlog and time since the tally; never an estimate.
-- With p_seen, only what that snapshot sees counts, for a new tally: p_head was read before it. With
-- p_most NULL everything is counted, parked ones in their room.
--
--   Reads    arvo.log by (lane, xid, delivery), arvo.lease by (lane, number), arvo.deferred by (lane,
--            xid), arvo.promotion, arvo.parked, arvo.lane, arvo.queue
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_count arvo.lane_count;
    v_since pg_snapshot := coalesce(p_tally.seen, '1:1:');
    v_promotion arvo.promotion;
    v_rows bigint;
    v_leased bigint;
    v_gated boolean;
    v_appended bigint;
    v_departed bigint;
    v_passed bigint;
BEGIN
    v_count := arvo.count_unread(p_head, p_most, p_seen);

    SELECT head.* INTO STRICT v_promotion
    FROM arvo.promotion AS head
    ORDER BY head.number DESC
    LIMIT 1;
    SELECT
        count(*),
        count(*) FILTER (
            WHERE NOT (
                (entry.due, entry.delivery) <= (v_promotion.due, v_promotion.delivery)
                AND pg_visible_in_snapshot(entry.xid, v_promotion.snapshot)
            )
            AND (p_seen IS NULL OR pg_visible_in_snapshot(entry.xid, p_seen))
        )
    INTO v_rows, v_count.deferred
    FROM (
        SELECT deferred.xid, deferred.due, deferred.delivery
        FROM arvo.deferred
        WHERE deferred.lane = p_head.lane
        LIMIT p_most + 1
    ) AS entry;

    SELECT coalesce(sum(cardinality(lease.deliveries)), 0) INTO v_leased
    FROM arvo.lease
    WHERE lease.lane = p_head.lane
    AND lease.number > coalesce(p_tally.lease, -1)
    AND lease.number <= p_head.number
    AND lease.token <> 0
    AND NOT lease.carried;
    v_gated := EXISTS (
        SELECT
        FROM arvo.lane
        INNER JOIN arvo.parked ON parked.queue = lane.queue
        WHERE lane.lane = p_head.lane
    );

    IF p_seen IS NOT NULL OR v_gated OR v_count.unread > p_most OR v_rows > p_most THEN
        SELECT
            count(*),
            count(*) FILTER (WHERE pg_visible_in_snapshot(entry.deferred_xid, v_since)),
            ARRAY[
                count(*) FILTER (WHERE entry.slot = 0),
                count(*) FILTER (WHERE entry.slot = 1),
                count(*) FILTER (WHERE entry.slot = 2),
                count(*) FILTER (WHERE entry.slot = 3)
            ]
        INTO v_appended, v_departed, v_count.slots
        FROM (
            SELECT found.xid, found.slot, found.deferred_xid
            FROM pg_snapshot_xip(v_since) AS gap (xid)
            CROSS JOIN LATERAL (
                SELECT log.xid, log.slot, log.deferred_xid
                FROM arvo.log
                WHERE log.lane = p_head.lane AND log.xid = gap.xid
                OFFSET 0
            ) AS found
            UNION ALL
            SELECT next.xid, next.slot, next.deferred_xid
            FROM (
                SELECT log.xid, log.slot, log.deferred_xid
                FROM arvo.log
                WHERE log.lane = p_head.lane
                AND (log.xid, log.delivery) > (pg_snapshot_xmax(v_since), 0)
                OFFSET 0
            ) AS next
        ) AS entry
        WHERE p_seen IS NULL OR pg_visible_in_snapshot(entry.xid, p_seen);
    END IF;

    IF v_count.unread > p_most THEN
        v_passed := arvo.count_passed(p_tally, p_head);
        v_count.unread := coalesce(p_tally.unread, 0) + v_appended - v_passed;
    ELSE
        v_passed := v_appended - (v_count.unread - coalesce(p_tally.unread, 0));
    END IF;

    -- What the cursor has passed has been leased, or stands parked.
    IF p_most IS NULL THEN
        SELECT count(*) INTO v_count.parked FROM arvo.parked WHERE parked.lane = p_head.lane;
    ELSIF p_seen IS NOT NULL OR v_gated THEN
        v_count.parked := coalesce(p_tally.parked, 0) + v_passed - v_leased;
    ELSE
        v_count.parked := 0;
        v_passed := v_leased - coalesce(p_tally.parked, 0);
    END IF;

    v_count.kept := coalesce(p_tally.kept[1] + p_tally.kept[2] + p_tally.kept[3] + p_tally.kept[4], 0)
        + coalesce(v_appended, v_passed + v_count.unread - coalesce(p_tally.unread, 0));

    IF v_rows > p_most THEN
        SELECT coalesce(p_tally.deferred, 0) + count(*) - v_departed INTO v_count.deferred
        FROM (
            SELECT found.xid, found.due, found.delivery
            FROM pg_snapshot_xip(v_since) AS gap (xid)
            CROSS JOIN LATERAL (
                SELECT deferred.xid, deferred.due, deferred.delivery
                FROM arvo.deferred
                WHERE deferred.lane = p_head.lane AND deferred.xid = gap.xid
                OFFSET 0
            ) AS found
            UNION ALL
            SELECT next.xid, next.due, next.delivery
            FROM (
                SELECT deferred.xid, deferred.due, deferred.delivery
                FROM arvo.deferred
                WHERE deferred.lane = p_head.lane AND deferred.xid >= pg_snapshot_xmax(v_since)
                OFFSET 0
            ) AS next
        ) AS entry
        WHERE NOT (
            (entry.due, entry.delivery) <= (v_promotion.due, v_promotion.delivery)
            AND pg_visible_in_snapshot(entry.xid, v_promotion.snapshot)
        )
        AND (p_seen IS NULL OR pg_visible_in_snapshot(entry.xid, p_seen));
    END IF;
    IF p_seen IS NOT NULL THEN
        -- What was promoted since, by this transaction or another, was still there.
        SELECT v_count.deferred + count(*) INTO v_count.deferred
        FROM (
            SELECT found.deferred_xid
            FROM pg_snapshot_xip(p_seen) AS gap (xid)
            CROSS JOIN LATERAL (
                SELECT log.deferred_xid
                FROM arvo.log
                WHERE log.lane = p_head.lane AND log.xid = gap.xid
                OFFSET 0
            ) AS found
            UNION ALL
            SELECT next.deferred_xid
            FROM (
                SELECT log.deferred_xid
                FROM arvo.log
                WHERE log.lane = p_head.lane
                AND (log.xid, log.delivery) > (pg_snapshot_xmax(p_seen), 0)
                OFFSET 0
            ) AS next
        ) AS entry
        WHERE pg_visible_in_snapshot(entry.deferred_xid, p_seen)
        AND (
            coalesce(v_rows <= p_most, true)
            OR NOT pg_visible_in_snapshot(entry.deferred_xid, v_since)
        );
    END IF;
    RETURN v_count;
END;
$count_lane$;

COMMENT ON FUNCTION arvo.count_lane(arvo.lease, arvo.tally, pg_snapshot, integer) IS
'Unread, parked, deferred and kept deliveries of a lane: counted while few, else carried on from its tally.';

REVOKE ALL ON FUNCTION arvo.count_lane(arvo.lease, arvo.tally, pg_snapshot, integer) FROM PUBLIC;
--! end

--! function arvo.count_leased
-- arvo.count_leased(queue) — how many deliveries of a queue are in the hands of workers.
CREATE OR REPLACE FUNCTION arvo.count_leased(p_queue integer)
RETURNS bigint
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $count_leased$
-- Those of a lapsed lease count until it has been taken back.
--
--   Reads    arvo.lane, arvo.lease, arvo.closure
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT coalesce(sum(cardinality(arvo.open_deliveries(held.token, held.deliveries))), 0)::bigint
FROM arvo.lanes_of(p_queue) AS own
CROSS JOIN LATERAL arvo.head_of(own.lane) AS head
INNER JOIN arvo.lease AS held
    ON held.lane = own.lane AND held.number >= head.open_from AND held.token <> 0
WHERE NOT EXISTS (
    SELECT
    FROM arvo.lease AS newer
    WHERE newer.token = held.token AND newer.number > held.number
);
$count_leased$;

COMMENT ON FUNCTION arvo.count_leased(integer) IS
'How many deliveries of a queue are leased and not closed.';

REVOKE ALL ON FUNCTION arvo.count_leased(integer) FROM PUBLIC;
--! end

--! function arvo.count_passed
-- arvo.count_passed(tally, head) — how many deliveries a lane's cursor has passed since a tally.
CREATE OR REPLACE FUNCTION arvo.count_passed(p_tally arvo.tally, p_head arvo.lease)
RETURNS bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $count_passed$
-- p_head is the newest lease row of the lane, p_tally its newest tally, or NULL. Reads the rows
-- between the two cursors.
--
--   Reads    arvo.log by (lane, xid, delivery)
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_after arvo.frontier := arvo.frontier_of(
        p_tally.previous_snapshot, coalesce(p_tally.snapshot, '1:1:'), p_tally.last_xid,
        p_tally.last_delivery, coalesce(p_tally.exhausted, true)
    );
    v_upto arvo.frontier := arvo.frontier_of(
        p_head.previous_snapshot, p_head.snapshot, p_head.last_xid, p_head.last_delivery,
        p_head.exhausted
    );
    v_passed bigint;
BEGIN
    SELECT count(*) INTO v_passed
    FROM (
        SELECT found.delivery
        FROM unnest(v_after.late) AS gap (xid)
        CROSS JOIN LATERAL (
            SELECT log.delivery
            FROM arvo.log
            WHERE log.lane = p_head.lane
            AND log.xid = gap.xid
            AND log.delivery
                > CASE WHEN gap.xid = v_after.last_xid THEN v_after.last_delivery ELSE 0 END
            AND log.delivery <= CASE
                WHEN pg_visible_in_snapshot(gap.xid, p_head.previous_snapshot)
                    THEN 9223372036854775807
                WHEN NOT pg_visible_in_snapshot(gap.xid, p_head.snapshot) THEN 0
                WHEN p_head.exhausted OR gap.xid < p_head.last_xid THEN 9223372036854775807
                WHEN gap.xid = p_head.last_xid THEN p_head.last_delivery
                ELSE 0
            END
            OFFSET 0
        ) AS found
        UNION ALL
        SELECT next.delivery
        FROM (
            SELECT log.xid, log.delivery
            FROM arvo.log
            WHERE log.lane = p_head.lane
            AND (log.xid, log.delivery) > (v_after.from_xid, v_after.from_delivery)
            AND (log.xid, log.delivery) <= (v_upto.from_xid, v_upto.from_delivery)
            OFFSET 0
        ) AS next
        WHERE pg_visible_in_snapshot(next.xid, p_head.previous_snapshot)
        OR (
            pg_visible_in_snapshot(next.xid, p_head.snapshot)
            AND (
                p_head.exhausted
                OR (next.xid, next.delivery) <= (p_head.last_xid, p_head.last_delivery)
            )
        )
    ) AS passed;
    RETURN v_passed;
END;
$count_passed$;

COMMENT ON FUNCTION arvo.count_passed(arvo.tally, arvo.lease) IS
'How many deliveries the cursor of a lane has passed since a tally of it.';

REVOKE ALL ON FUNCTION arvo.count_passed(arvo.tally, arvo.lease) FROM PUBLIC;
--! end

--! function arvo.count_unread
-- arvo.count_unread(head, most, seen) — what a lane's cursor has not reached, counted up to a bound.
CREATE OR REPLACE FUNCTION arvo.count_unread(
    p_head arvo.lease,
    p_most integer,
    p_seen pg_snapshot DEFAULT NULL
)
RETURNS arvo.lane_count
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $count_unread$
-- p_head is the newest lease row of the lane. Answers unread, at most p_most + 1, and the time of the
-- oldest of them that has not been withdrawn. With p_seen, only what that snapshot sees counts.
--
--   Reads    arvo.log by (lane, xid, delivery), arvo.tombstone
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_after arvo.frontier := arvo.frontier_of(
        p_head.previous_snapshot, p_head.snapshot, p_head.last_xid, p_head.last_delivery,
        p_head.exhausted
    );
    v_withdrawals boolean := EXISTS (
        SELECT FROM arvo.tombstone WHERE tombstone.lane = p_head.lane
    );
    v_count arvo.lane_count;
BEGIN
    SELECT
        count(*),
        min(entry.at) FILTER (
            WHERE NOT v_withdrawals OR NOT EXISTS (
                SELECT
                FROM arvo.tombstone
                WHERE tombstone.lane = p_head.lane AND tombstone.delivery = entry.delivery
            )
        )
    INTO v_count.unread, v_count.oldest_at
    FROM (
        SELECT unread.delivery, unread.at
        FROM (
            SELECT found.xid, found.delivery, found.at
            FROM unnest(v_after.late) AS gap (xid)
            CROSS JOIN LATERAL (
                SELECT log.xid, log.delivery, log.at
                FROM arvo.log
                WHERE log.lane = p_head.lane
                AND log.xid = gap.xid
                AND log.delivery
                    > CASE WHEN gap.xid = v_after.last_xid THEN v_after.last_delivery ELSE 0 END
                OFFSET 0
            ) AS found
            UNION ALL
            SELECT next.xid, next.delivery, next.at
            FROM (
                SELECT log.xid, log.delivery, log.at
                FROM arvo.log
                WHERE log.lane = p_head.lane
                AND (log.xid, log.delivery) > (v_after.from_xid, v_after.from_delivery)
                ORDER BY log.xid, log.delivery
            ) AS next
        ) AS unread
        WHERE p_seen IS NULL OR pg_visible_in_snapshot(unread.xid, p_seen)
        LIMIT p_most + 1
    ) AS entry;
    RETURN v_count;
END;
$count_unread$;

COMMENT ON FUNCTION arvo.count_unread(arvo.lease, integer, pg_snapshot) IS
'How many deliveries a lane''s cursor has not reached, up to a bound, and the oldest of them.';

REVOKE ALL ON FUNCTION arvo.count_unread(arvo.lease, integer, pg_snapshot) FROM PUBLIC;
--! end

--! function arvo.cron_field
-- arvo.cron_field(field, text, low, high, names) — the values that one field of a cron text names.
CREATE OR REPLACE FUNCTION arvo.cron_field(
    p_field text,
    p_text text,
    p_low integer,
    p_high integer,
    p_names text[]
)
RETURNS bit varying
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $cron_field$
-- A list of *, a value, a range a-b, each with a step /n; a/n runs from a to the end. The first bit
-- of the answer is p_low. p_names[1] is a name of p_low, and so on, three letters in any case. In
-- the day of the week 7 is Sunday, also as the end of a range.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   RV006  the field is not valid
DECLARE
    v_values bit varying := repeat('0', p_high - p_low + 1)::bit varying;
    v_last integer := p_high;
    v_item text;
    v_part text[];
    v_from integer;
    v_to integer;
    v_step integer;
    v_remedy text;
BEGIN
    IF p_field = 'day of week' THEN
        v_last := 7;
    END IF;
    FOREACH v_item IN ARRAY regexp_split_to_array(lower(p_text), ',') LOOP
        v_part := regexp_match(
            v_item, '^(?:(\*)|(\d{1,4}|[a-z]{3})(?:-(\d{1,4}|[a-z]{3}))?)(?:/(\d{1,4}))?$'
        );
        IF v_part IS NULL THEN
            v_remedy := CASE
                WHEN v_item = '' THEN 'A comma stands between two values.'
                WHEN v_item LIKE '%?%' THEN 'For any value write *.'
                WHEN v_item ~ '^[a-z]{4,}' THEN 'Names have three letters, such as jan or mon.'
                WHEN v_item ~ '[lw#]' THEN
                    'L, W and # are not supported: choose among the days in the handler.'
                ELSE 'Write *, a value, a range such as 1-5, or a step such as */15.'
            END;
            EXIT;
        END IF;
        IF v_part[1] = '*' THEN
            v_from := p_low;
            v_to := p_high;
        ELSE
            v_from := CASE
                WHEN v_part[2] ~ '^\d' THEN v_part[2]::integer
                ELSE p_low - 1 + array_position(p_names, v_part[2])
            END;
            v_to := CASE
                WHEN v_part[3] IS NULL AND v_part[4] IS NOT NULL THEN greatest(p_high, v_from)
                WHEN v_part[3] IS NULL THEN v_from
                WHEN v_part[3] = 'sun' AND v_from > 0 AND v_last = 7 THEN 7
                WHEN v_part[3] ~ '^\d' THEN v_part[3]::integer
                ELSE p_low - 1 + array_position(p_names, v_part[3])
            END;
        END IF;
        v_step := coalesce(v_part[4]::integer, 1);
        v_remedy := CASE
            WHEN v_from IS NULL OR v_to IS NULL THEN
                coalesce(
                    'Names here are ' || array_to_string(p_names, ', ') || '.',
                    format('Here stand numbers, %s to %s.', p_low, v_last)
                )
            WHEN v_from NOT BETWEEN p_low AND v_last OR v_to NOT BETWEEN p_low AND v_last THEN
                format('Values here are %s to %s.', p_low, v_last)
            WHEN v_from > v_to THEN
                format('A range goes upwards: write %s-%s,%s-%s.', v_from, p_high, p_low, v_to)
            WHEN v_step NOT BETWEEN 1 AND p_high - p_low THEN
                format('A step here is 1 to %s.', p_high - p_low)
        END;
        EXIT WHEN v_remedy IS NOT NULL;
        FOR v_value IN v_from .. v_to BY v_step LOOP
            v_values := set_bit(
                v_values,
                CASE WHEN v_value > p_high THEN 0 ELSE v_value - p_low END,
                1
            );
        END LOOP;
    END LOOP;
    IF v_remedy IS NOT NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'cron',
              DETAIL = format('%s: %s', p_field, left(to_json(v_item)::text, 80)),
              HINT = v_remedy;
    END IF;
    RETURN v_values;
END;
$cron_field$;

COMMENT ON FUNCTION arvo.cron_field(text, text, integer, integer, text[]) IS
'The values that one field of a cron text names, one bit each.';

REVOKE ALL ON FUNCTION arvo.cron_field(text, text, integer, integer, text[]) FROM PUBLIC;
--! end

--! function arvo.cron_last
-- arvo.cron_last(cron, time_zone, after, until, gap, overlap) — the last fire up to a time.
CREATE OR REPLACE FUNCTION arvo.cron_last(
    p_cron arvo.cron,
    p_time_zone text,
    p_after timestamptz,
    p_until timestamptz,
    p_gap text,
    p_overlap text
)
RETURNS timestamptz
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $cron_last$
-- After p_after and not after p_until; NULL when there is none. Halves the time between them, however
-- many fires there are.
--
--   Reads    the server's time zones
--   Writes   nothing
--   Locks    nothing
--   Raises   22023  the zone is not known
DECLARE
    v_found timestamptz := arvo.cron_next(p_cron, p_time_zone, p_after, p_gap, p_overlap);
    v_end timestamptz := date_trunc('second', p_until);
    v_middle timestamptz;
    v_next timestamptz;
BEGIN
    IF v_found > p_until THEN
        RETURN NULL;
    END IF;
    -- Fires are whole seconds: v_found is one, and none is after v_end and not after p_until.
    WHILE v_found < v_end LOOP
        v_middle := v_found
            + make_interval(secs => floor(extract(epoch FROM v_end - v_found) / 2)::double precision);
        v_next := arvo.cron_next(p_cron, p_time_zone, v_middle, p_gap, p_overlap);
        IF v_next <= v_end THEN
            v_found := v_next;
        ELSE
            v_end := v_middle;
        END IF;
    END LOOP;
    RETURN v_found;
END;
$cron_last$;

COMMENT ON FUNCTION
arvo.cron_last(arvo.cron, text, timestamptz, timestamptz, text, text) IS
'The last fire of a cron text between two times, in a time zone.';

REVOKE ALL ON FUNCTION
arvo.cron_last(arvo.cron, text, timestamptz, timestamptz, text, text) FROM PUBLIC;
--! end

--! function arvo.cron_match
-- arvo.cron_match(cron, from, until) — the first local time that fits, going by the calendar only.
CREATE OR REPLACE FUNCTION arvo.cron_match(
    p_cron arvo.cron,
    p_from timestamp,
    p_until timestamp
)
RETURNS timestamp
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $cron_match$
-- At or after p_from and before p_until, a whole second; NULL when there is none. Jumps from field to
-- field: whole months, then days, and straight to the next hour, minute and second.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_at timestamp := date_trunc('second', p_from + interval '999999 microseconds');
    v_day boolean;
    v_weekday boolean;
    v_step integer;
BEGIN
    WHILE v_at < p_until LOOP
        v_step := position(B'1' IN substring(p_cron.months FROM extract(month FROM v_at)::integer));
        IF v_step = 0 THEN
            v_at := date_trunc('year', v_at) + interval '1 year';
            CONTINUE;
        ELSIF v_step > 1 THEN
            v_at := date_trunc('month', v_at) + make_interval(months => v_step - 1);
        END IF;

        v_day := get_bit(p_cron.days, extract(day FROM v_at)::integer - 1) = 1;
        v_weekday := get_bit(p_cron.weekdays, extract(dow FROM v_at)::integer) = 1;
        IF NOT (v_day AND v_weekday OR p_cron.either_day AND (v_day OR v_weekday)) THEN
            v_at := date_trunc('day', v_at) + interval '1 day';
            CONTINUE;
        END IF;

        v_step := position(B'1' IN substring(p_cron.hours FROM extract(hour FROM v_at)::integer + 1));
        IF v_step = 0 THEN
            v_at := date_trunc('day', v_at) + interval '1 day';
            CONTINUE;
        ELSIF v_step > 1 THEN
            v_at := date_trunc('hour', v_at) + make_interval(hours => v_step - 1);
        END IF;

        v_step := position(
            B'1' IN substring(p_cron.minutes FROM extract(minute FROM v_at)::integer + 1)
        );
        IF v_step = 0 THEN
            v_at := date_trunc('hour', v_at) + interval '1 hour';
            CONTINUE;
        ELSIF v_step > 1 THEN
            v_at := date_trunc('minute', v_at) + make_interval(mins => v_step - 1);
        END IF;

        v_step := position(
            B'1' IN substring(p_cron.seconds FROM extract(second FROM v_at)::integer + 1)
        );
        IF v_step = 0 THEN
            v_at := date_trunc('minute', v_at) + interval '1 minute';
            CONTINUE;
        END IF;
        v_at := v_at + make_interval(secs => v_step - 1);
        RETURN CASE WHEN v_at < p_until THEN v_at END;
    END LOOP;
    RETURN NULL;
END;
$cron_match$;

COMMENT ON FUNCTION arvo.cron_match(arvo.cron, timestamp, timestamp) IS
'The first local time that a cron text fits, by the calendar only; NULL when there is none.';

REVOKE ALL ON FUNCTION arvo.cron_match(arvo.cron, timestamp, timestamp) FROM PUBLIC;
--! end

--! function arvo.cron_next
-- arvo.cron_next(cron, time_zone, after, gap, overlap) — the first fire after a time.
CREATE OR REPLACE FUNCTION arvo.cron_next(
    p_cron arvo.cron,
    p_time_zone text,
    p_after timestamptz,
    p_gap text,
    p_overlap text
)
RETURNS timestamptz
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $cron_next$
-- Goes through local times and asks which moment each one is. A local time that a clock change
-- leaves out is nothing (gap skip) or the moment of the change (shift): several of them are one fire
-- then, and one with a fire that stands there anyway. A local time that comes twice is the first or
-- the second moment, or both. Always after p_after; NULL when there is none within 48 years, after
-- which the calendar has shown every 29th of February on every day of the week.
--
-- PostgreSQL answers the second moment for a local time that comes twice. For one that is left
-- out it answers with the offset from before the change, so a moment behind it. No zone has changed
-- its clocks twice within a day.
--
--   Reads    the server's time zones
--   Writes   nothing
--   Locks    nothing
--   Raises   22023  the zone is not known
DECLARE
    v_local timestamp := p_after AT TIME ZONE p_time_zone;
    v_until timestamp := v_local + interval '48 years';
    v_moment timestamptz;
    v_change timestamptz;
    v_before interval;
    v_first timestamptz;
BEGIN
    IF p_overlap = 'both' THEN
        RETURN least(
            arvo.cron_next(p_cron, p_time_zone, p_after, p_gap, 'first'),
            arvo.cron_next(p_cron, p_time_zone, p_after, p_gap, 'second')
        );
    END IF;

    v_moment := v_local AT TIME ZONE p_time_zone;
    v_local := date_trunc('second', v_local) + interval '1 second';
    IF p_overlap = 'second' AND v_moment > p_after THEN
        -- This local time comes again, and local times before it do too.
        v_local := arvo.clock_change(p_time_zone, p_after, v_moment) AT TIME ZONE p_time_zone;
    END IF;

    v_local := arvo.cron_match(p_cron, v_local, v_until);
    WHILE v_local IS NOT NULL LOOP
        v_moment := v_local AT TIME ZONE p_time_zone;
        IF v_moment AT TIME ZONE p_time_zone <> v_local THEN
            v_change := arvo.clock_change(p_time_zone, v_moment - interval '1 day', v_moment);
            IF p_gap = 'shift' AND v_change > p_after THEN
                RETURN v_change;
            END IF;
            v_local := arvo.cron_match(
                p_cron,
                greatest(v_change AT TIME ZONE p_time_zone, v_local + interval '1 second'),
                v_until
            );
            CONTINUE;
        END IF;
        IF p_overlap = 'first' THEN
            v_before := ((v_moment - interval '1 day') AT TIME ZONE p_time_zone)
                - ((v_moment - interval '1 day') AT TIME ZONE 'UTC');
            v_first := (v_local - v_before) AT TIME ZONE 'UTC';
            IF v_first < v_moment AND v_first AT TIME ZONE p_time_zone = v_local THEN
                IF v_first > p_after THEN
                    RETURN v_first;
                END IF;
                -- The clocks have been put back already: go on where local times are new again.
                v_change := arvo.clock_change(p_time_zone, v_first, v_moment);
                v_local := arvo.cron_match(
                    p_cron, (v_change AT TIME ZONE 'UTC') + v_before, v_until
                );
                CONTINUE;
            END IF;
        END IF;
        IF v_moment > p_after THEN
            RETURN v_moment;
        END IF;
        v_local := arvo.cron_match(p_cron, v_local + interval '1 second', v_until);
    END LOOP;
    RETURN NULL;
END;
$cron_next$;

COMMENT ON FUNCTION arvo.cron_next(arvo.cron, text, timestamptz, text, text) IS
'The first fire of a cron text after a time, in a time zone, across clock changes.';

REVOKE ALL ON FUNCTION arvo.cron_next(arvo.cron, text, timestamptz, text, text) FROM PUBLIC;
--! end

--! function arvo.cron_parse
-- arvo.cron_parse(cron) — read a cron text.
CREATE OR REPLACE FUNCTION arvo.cron_parse(p_cron text)
RETURNS arvo.cron
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $cron_parse$
-- Five fields: minute, hour, day of month, month, day of week; or six, with the second before them.
-- Or a name: @yearly (@annually), @monthly, @weekly, @daily (@midnight), @hourly. Case does not matter.
-- When day of month and day of week are both restricted, one of them is enough; a field that begins
-- with * (also */2) does not count as restricted, and then both must fit: the rule of Vixie's cron.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   RV006  the text is not valid, by field
DECLARE
    v_text text := lower(btrim(p_cron, E' \t\n\r'));
    v_field text[];
    v_remedy text;
BEGIN
    v_text := CASE v_text
        WHEN '@yearly' THEN '0 0 1 1 *'
        WHEN '@annually' THEN '0 0 1 1 *'
        WHEN '@monthly' THEN '0 0 1 * *'
        WHEN '@weekly' THEN '0 0 * * 0'
        WHEN '@daily' THEN '0 0 * * *'
        WHEN '@midnight' THEN '0 0 * * *'
        WHEN '@hourly' THEN '0 * * * *'
        ELSE v_text
    END;
    v_field := regexp_split_to_array(v_text, '\s+');
    IF cardinality(v_field) = 5 THEN
        v_field := ARRAY['0'] || v_field;
    END IF;
    v_remedy := CASE
        WHEN v_text IS NULL OR v_text = '' THEN
            'Write five fields: minute, hour, day of month, month, day of week.'
        WHEN length(v_text) > 1000 THEN 'Write at most 1000 characters.'
        WHEN v_text LIKE '@%' THEN
            'Names are @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly.'
        WHEN cardinality(v_field) <> 6 THEN
            'Write five fields: minute, hour, day of month, month, day of week; or six, with the'
            ' second before them.'
    END;
    IF v_remedy IS NOT NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'cron',
              DETAIL = format('cron: %s', left(coalesce(to_json(p_cron)::text, 'null'), 80)),
              HINT = v_remedy;
    END IF;
    RETURN (
        arvo.cron_field('second', v_field[1], 0, 59, NULL),
        arvo.cron_field('minute', v_field[2], 0, 59, NULL),
        arvo.cron_field('hour', v_field[3], 0, 23, NULL),
        arvo.cron_field('day of month', v_field[4], 1, 31, NULL),
        arvo.cron_field(
            'month', v_field[5], 1, 12,
            ARRAY['jan', 'feb', 'mar', 'apr', 'may', 'jun',
                  'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
        ),
        arvo.cron_field(
            'day of week', v_field[6], 0, 6,
            ARRAY['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']
        ),
        v_field[4] NOT LIKE '*%' AND v_field[6] NOT LIKE '*%'
    )::arvo.cron;
END;
$cron_parse$;

COMMENT ON FUNCTION arvo.cron_parse(text) IS
'Reads a cron text of five or six fields, or one of the names such as @daily.';

REVOKE ALL ON FUNCTION arvo.cron_parse(text) FROM PUBLIC;
--! end

--! function arvo.cron_rules
-- arvo.cron_rules(cron, gap, overlap) — what a cron text does on the two nights of a clock change.
CREATE OR REPLACE FUNCTION arvo.cron_rules(p_cron arvo.cron, p_gap text, p_overlap text)
RETURNS text[]
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $cron_rules$
-- Answers gap and overlap; one that is NULL gets its default. A cron text that fires in every hour of
-- the day means "every so often" and goes by real time: nothing is made up for, nothing held back
-- (skip, both). Any other names hours of the day, which happen once in each: shift, first.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   RV006  gap or overlap is none of its values
DECLARE
    v_often boolean := position(B'0' IN p_cron.hours) = 0;
BEGIN
    IF p_gap NOT IN ('skip', 'shift') THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'gap',
              DETAIL = format('gap: %s', left(to_json(p_gap)::text, 80)),
              HINT = 'For gap use skip or shift: what becomes of a local time that a clock change'
                     ' leaves out.';
    ELSIF p_overlap NOT IN ('first', 'second', 'both') THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'overlap',
              DETAIL = format('overlap: %s', left(to_json(p_overlap)::text, 80)),
              HINT = 'For overlap use first, second or both: what becomes of a local time that a'
                     ' clock change brings twice.';
    END IF;
    RETURN ARRAY[
        coalesce(p_gap, CASE WHEN v_often THEN 'skip' ELSE 'shift' END),
        coalesce(p_overlap, CASE WHEN v_often THEN 'both' ELSE 'first' END)
    ];
END;
$cron_rules$;

COMMENT ON FUNCTION arvo.cron_rules(arvo.cron, text, text) IS
'Gap and overlap policy of a cron text, with the defaults that fit it.';

REVOKE ALL ON FUNCTION arvo.cron_rules(arvo.cron, text, text) FROM PUBLIC;
--! end

--! function arvo.dead_fits
-- arvo.dead_fits(dead letter, filter) — whether a dead letter is one of those that are meant.
CREATE OR REPLACE FUNCTION arvo.dead_fits(p_dead arvo.dead, p_filter arvo.dead_filter)
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $dead_fits$
-- Cheap conditions first. The path is asked of the original event: for a predicate (which answers
-- true, false or null whatever it is asked about) whether it holds, else whether it finds
-- something. The text is looked for as it stands, and as JSON writes it within a string.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_text text;
    v_escaped text;
BEGIN
    IF p_dead.dead <> ALL (p_filter.dead)
        OR (p_dead.queue <> p_filter.queue AND p_dead.dead_letter IS DISTINCT FROM p_filter.queue)
        OR p_dead.reason <> p_filter.reason
        OR p_dead.died_at < p_filter.since
        OR p_dead.died_at >= p_filter.before
        OR p_dead.event ->> 'type' <> p_filter.event_type
        OR p_dead.event ->> 'subject' <> p_filter.subject
    THEN
        RETURN false;
    END IF;
    IF p_filter.path IS NOT NULL AND NOT coalesce(
        CASE
            WHEN jsonb_path_query_array('{}', p_filter.path, '{}', true)
                IN ('[true]', '[false]', '[null]')
                THEN jsonb_path_match_tz(p_dead.event, p_filter.path, '{}', true)
            ELSE jsonb_path_exists_tz(p_dead.event, p_filter.path, '{}', true)
        END,
        false
    ) THEN
        RETURN false;
    END IF;
    IF p_filter.contains IS NOT NULL THEN
        v_text := lower(concat_ws(E'\n', p_dead.event, p_dead.error));
        v_escaped := to_json(p_filter.contains)::text;
        v_escaped := substr(v_escaped, 2, length(v_escaped) - 2);
        RETURN strpos(v_text, lower(p_filter.contains)) > 0
            OR strpos(v_text, lower(v_escaped)) > 0;
    END IF;
    RETURN true;
END;
$dead_fits$;

COMMENT ON FUNCTION arvo.dead_fits(arvo.dead, arvo.dead_filter) IS
'Whether a dead letter passes a filter.';

REVOKE ALL ON FUNCTION arvo.dead_fits(arvo.dead, arvo.dead_filter) FROM PUBLIC;
--! end

--! function arvo.delete_after
-- arvo.delete_after() — how long history is kept.
CREATE OR REPLACE FUNCTION arvo.delete_after()
RETURNS interval
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $delete_after$
-- A generation holds the history of all queues, so the longest delete_after counts.
--
--   Reads    arvo.queue
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT coalesce(max(queue.delete_after), interval '7 days')
FROM arvo.queue;
$delete_after$;

COMMENT ON FUNCTION arvo.delete_after() IS
'The longest delete_after of any queue: how long history is kept at least.';

REVOKE ALL ON FUNCTION arvo.delete_after() FROM PUBLIC;
--! end

--! function arvo.disagreements
-- arvo.disagreements(queue) — options that living processes have registered differently.
CREATE OR REPLACE FUNCTION arvo.disagreements(p_queue text DEFAULT NULL)
RETURNS SETOF arvo.disagreement
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $disagreements$
-- Of one queue, or of all. The last to register has its way; what the others asked for is not what
-- they have. A process that never checks in counts for a day after it registered. An option that a
-- process does not name is left as it is: no disagreement.
--
--   Reads    arvo.registration, arvo.worker, arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    registration.queue,
    asked.key,
    string_agg(
        format(
            '%s wants %s',
            left(to_json(registration.worker)::text, 80), left(asked.value::text, 80)
        ),
        ', ' ORDER BY registration.at, registration.worker
    )
FROM arvo.registration
CROSS JOIN LATERAL jsonb_each(registration.options) AS asked (key, value)
LEFT JOIN arvo.worker ON worker.worker = registration.worker
WHERE (p_queue IS NULL OR registration.queue = p_queue)
AND CASE
    WHEN worker.worker IS NULL THEN registration.at > arvo.clock() - interval '1 day'
    ELSE worker.seen_at + 3 * worker.rhythm > arvo.clock()
END
GROUP BY registration.queue, asked.key
HAVING count(DISTINCT asked.value) > 1
ORDER BY registration.queue, asked.key;
$disagreements$;

COMMENT ON FUNCTION arvo.disagreements(text) IS
'Options of queues that living processes have registered differently.';

REVOKE ALL ON FUNCTION arvo.disagreements(text) FROM PUBLIC;
--! end

--! function arvo.empty_event_keys
-- arvo.empty_event_keys(slot) — empty one partition of event_key.
CREATE OR REPLACE FUNCTION arvo.empty_event_keys(p_slot integer)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $empty_event_keys$
-- The partition that is neither in use nor looked at. Returns false when somebody has it locked for
-- a tenth of a second: then everything stays as it is.
--
--   Reads    nothing
--   Writes   arvo.event_key: one partition
--   Locks    that partition: ACCESS EXCLUSIVE, waited for a tenth of a second
--   Raises   nothing
BEGIN
    IF p_slot = 0 THEN
        TRUNCATE arvo.event_key_0;
    ELSIF p_slot = 1 THEN
        TRUNCATE arvo.event_key_1;
    ELSE
        TRUNCATE arvo.event_key_2;
    END IF;
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END;
$empty_event_keys$;

COMMENT ON FUNCTION arvo.empty_event_keys(integer) IS
'Empties a partition of event_key; false when its lock cannot be had.';

REVOKE ALL ON FUNCTION arvo.empty_event_keys(integer) FROM PUBLIC;
--! end

--! function arvo.empty_generation
-- arvo.empty_generation() — empty the oldest generation when its time has come.
CREATE OR REPLACE FUNCTION arvo.empty_generation()
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $empty_generation$
-- Its time has come when it has been finished for delete_after. First what is alive is taken out of
-- it, some thousand rows a call: deferred deliveries get their events, idle lanes a new cursor. Then
-- it is locked against writers, looked through again, and emptied. A lock that cannot be had leaves
-- everything as it is, for the next call. What turns up late makes it wait for delete_after again.
-- Returns 1 when one was emptied, else 0.
--
-- Transactions from long ago lose nothing. One that has written here holds its lock, and nothing
-- happens. One that only knows this slot by number, and writes after it was emptied or is in use
-- again, writes rows as good as any: claims go by lane and transaction, not by slot. One that has
-- looked into the log for an event holds all partitions. A snapshot from before, under REPEATABLE
-- READ, that looks here for the first time finds nothing: TRUNCATE is not undone for snapshots.
--
--   Reads    arvo.generation, arvo.clock, arvo.delete_after; as arvo.slot_pins
--   Writes   arvo.generation; as arvo.carry_deferred, arvo.move_idle, arvo.tally_lanes,
--            arvo.truncate_slot and arvo.forget_slot
--   Locks    as arvo.carry_deferred and arvo.move_idle; then as arvo.freeze_slot; last as
--            arvo.truncate_slot
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_old arvo.generation;
BEGIN
    SELECT old.* INTO v_old
    FROM arvo.generation AS old
    WHERE old.emptied_at IS NULL
    AND old.finished_at <= v_now - arvo.delete_after()
    ORDER BY old.number
    LIMIT 1;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    PERFORM arvo.carry_deferred(v_old.closed_at, 2000);
    PERFORM arvo.move_idle(v_old.slot, 256);

    BEGIN
        PERFORM arvo.freeze_slot(v_old.slot);
        IF EXISTS (SELECT FROM arvo.slot_pins(v_old.slot, v_old.closed_at, 1)) THEN
            UPDATE arvo.generation AS old
            SET finished_at = NULL
            WHERE old.number = v_old.number;
            RETURN 0;
        END IF;
        IF EXISTS (
            SELECT
            FROM arvo.deferred
            WHERE deferred.origin_delivery IS NOT NULL AND deferred.at <= v_old.closed_at
        ) OR EXISTS (
            SELECT
            FROM arvo.lane
            CROSS JOIN LATERAL (
                SELECT newest.slot
                FROM arvo.lease AS newest
                WHERE newest.lane = lane.lane
                ORDER BY newest.number DESC
                LIMIT 1
            ) AS head
            WHERE head.slot = v_old.slot
        ) THEN
            RETURN 0;
        END IF;
        PERFORM arvo.tally_lanes(2147483647);
        PERFORM arvo.truncate_slot(v_old.slot);
        PERFORM arvo.forget_slot(v_old.slot);
    EXCEPTION WHEN lock_not_available THEN
        RETURN 0;
    END;
    UPDATE arvo.generation AS old
    SET emptied_at = v_now
    WHERE old.number = v_old.number;
    RETURN 1;
END;
$empty_generation$;

COMMENT ON FUNCTION arvo.empty_generation() IS
'Empties the oldest generation when nothing in it is needed and it was kept for delete_after.';

REVOKE ALL ON FUNCTION arvo.empty_generation() FROM PUBLIC;
--! end

--! function arvo.empty_queue
-- arvo.empty_queue(queue, limit) — cancel everything in a queue that nobody holds.
CREATE OR REPLACE FUNCTION arvo.empty_queue(p_queue arvo.queue, p_limit bigint)
RETURNS SETOF arvo_v1.purged
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $empty_queue$
-- At most p_limit are read (NULL: all): those in line behind others, then those in the log, then those
-- that are due later. What is in the log is leased and closed in the same breath, so that it costs a
-- row for some hundred deliveries, and the journal tells. What is due later is moved into the log
-- under a tombstone. One row for each place, that of the leased with how many were left alone.
--
--   Reads    arvo.lane, arvo.lease, arvo.log, arvo.promotion, arvo.clock
--   Writes   arvo.parked, arvo.turn, arvo.deferred, arvo.queue; as arvo.lease_and_close,
--            arvo.bring_forward, arvo.entomb and arvo.let_go
--   Locks    all lanes of the queue, in order; the promoter's lock; as arvo.lease_and_close
--   Raises   RV902  the stored transaction numbers belong to another cluster
DECLARE
    v_left bigint := coalesce(p_limit, 9223372036854775807);
    -- Those that are made from now on are not locked, and not read.
    v_lanes integer[] := ARRAY(SELECT own.lane FROM arvo.lanes_of(p_queue.queue) AS own);
    v_lane integer;
    v_head arvo.lease;
    v_reading arvo.reading;
    v_entry arvo.log;
    v_delivery bigint;
    v_line arvo.parked[];
    v_queued bigint := 0::bigint;
    v_parked bigint := 0::bigint;
    v_deferred bigint := 0::bigint;
    v_passed arvo.promotion;
BEGIN
    PERFORM arvo.lock_lanes(v_lanes);
    PERFORM pg_advisory_xact_lock(hashtext('arvo'), 0);
    -- A queue that is being drained goes on from here: its lanes are about to be read further.
    UPDATE arvo.queue
    SET drained_to = arvo.window_snapshot()
    WHERE queue.queue = p_queue.queue AND queue.drained_to IS NOT NULL;

    LOOP
        EXIT WHEN v_left <= 0;
        -- The first of each line: places that have been taken only grow.
        WITH first AS (
            SELECT parked.queue, parked.key, parked.place
            FROM arvo.parked
            WHERE parked.queue = p_queue.queue
            ORDER BY parked.key, parked.place
            LIMIT least(v_left, 500)
        ),

        gone AS (
            DELETE FROM arvo.parked
            USING first
            WHERE parked.queue = first.queue
            AND parked.key = first.key
            AND parked.place = first.place
            RETURNING parked AS line
        )

        SELECT array_agg(gone.line) INTO v_line FROM gone;
        EXIT WHEN v_line IS NULL;
        v_left := v_left - cardinality(v_line);

        WITH taken AS (
            SELECT line.key, count(*)::integer AS places, max(line.place) AS upto
            FROM unnest(v_line) AS line
            GROUP BY line.key
        ),

        newest AS MATERIALIZED (
            SELECT head.*, taken.places, taken.upto AS taken_upto
            FROM taken
            CROSS JOIN LATERAL (
                SELECT turn.*
                FROM arvo.turn
                WHERE turn.queue = p_queue.queue AND turn.key = taken.key
                ORDER BY turn.number DESC
                LIMIT 1
            ) AS head
        ),

        gone AS (
            DELETE FROM arvo.turn
            USING newest
            WHERE turn.queue = newest.queue
            AND turn.key = newest.key
            AND turn.number = newest.number
        )

        INSERT INTO arvo.turn (
            queue, key, number, active, waiting, upto, holder, ready, tally, at
        )
        SELECT
            newest.queue, newest.key, nextval('arvo.turn_number'::regclass), newest.active,
            greatest(newest.waiting - newest.places, 0), greatest(newest.upto, newest.taken_upto),
            newest.holder, newest.ready, newest.tally, arvo.clock()
        FROM newest;

        FOR v_lane IN
            SELECT DISTINCT line.lane FROM unnest(v_line) AS line ORDER BY line.lane
        LOOP
            v_head := arvo.head_of(v_lane);
            v_reading := (
                ARRAY(
                    SELECT found.entry
                    FROM unnest(v_line) AS line
                    CROSS JOIN LATERAL (
                        SELECT log AS entry
                        FROM arvo.log
                        WHERE log.lane = line.lane
                        AND log.xid = line.xid
                        AND log.delivery = line.delivery
                    ) AS found
                    WHERE line.lane = v_lane
                    ORDER BY line.key, line.place
                ),
                v_head.previous_snapshot, v_head.snapshot, v_head.last_xid, v_head.last_delivery,
                v_head.exhausted
            )::arvo.reading;
            v_parked := v_parked + arvo.lease_and_close(v_head, v_reading);
        END LOOP;
    END LOOP;

    FOREACH v_lane IN ARRAY v_lanes LOOP
        LOOP
            EXIT WHEN v_left <= 0;
            v_head := arvo.head_of(v_lane);
            v_reading := arvo.read_window(v_head, least(v_left, 500)::integer);
            EXIT WHEN v_reading.batch = '{}';
            v_queued := v_queued + arvo.lease_and_close(v_head, v_reading);
            v_left := v_left - cardinality(v_reading.batch);
        END LOOP;
    END LOOP;

    SELECT head.* INTO STRICT v_passed
    FROM arvo.promotion AS head
    ORDER BY head.number DESC
    LIMIT 1;
    FOR v_delivery IN
        SELECT deferred.delivery
        FROM arvo.deferred
        WHERE deferred.lane = ANY (v_lanes)
        AND NOT (
            (deferred.due, deferred.delivery) <= (v_passed.due, v_passed.delivery)
            AND pg_visible_in_snapshot(deferred.xid, v_passed.snapshot)
        )
        ORDER BY deferred.due, deferred.delivery
        LIMIT v_left
    LOOP
        v_entry := arvo.bring_forward(v_delivery);
        PERFORM arvo.entomb(v_entry, 'cancelled');
        PERFORM arvo.let_go(v_entry);
        v_deferred := v_deferred + 1;
    END LOOP;
    v_left := v_left - v_deferred;

    UPDATE arvo.queue
    SET drained_to = arvo.window_snapshot()
    WHERE queue.queue = p_queue.queue AND queue.drained_to IS NOT NULL;

    RETURN QUERY
    SELECT removed.place, removed.number, CASE WHEN v_left > 0 THEN 0::bigint END
    FROM (
        VALUES (1, 'queued', v_queued), (2, 'parked', v_parked), (3, 'deferred', v_deferred)
    ) AS removed (ordinal, place, number)
    ORDER BY removed.ordinal;
    RETURN NEXT ('leased', 0, arvo.count_leased(p_queue.queue))::arvo_v1.purged;
END;
$empty_queue$;

COMMENT ON FUNCTION arvo.empty_queue(arvo.queue, bigint) IS
'Cancels everything in a queue that is not leased, up to a limit; says how many, by place.';

REVOKE ALL ON FUNCTION arvo.empty_queue(arvo.queue, bigint) FROM PUBLIC;
--! end

--! function arvo.entomb
-- arvo.entomb(log row, reason) — withdraw a delivery that nobody holds.
CREATE OR REPLACE FUNCTION arvo.entomb(p_entry arvo.log, p_reason text)
RETURNS void
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $entomb$
-- It is queued or parked, and the caller holds its lane; or the caller's transaction has appended it.
-- The claim that meets it closes it for this reason. A dead letter that is cancelled in its dead-letter
-- queue is discarded.
--
--   Reads    arvo.clock
--   Writes   arvo.tombstone, arvo.dead
--   Locks    arvo.dead row, when the delivery is one of a dead-letter queue
--   Raises   nothing
WITH discarded AS (
    UPDATE arvo.dead
    SET resolution = 'discarded', resolved_at = arvo.clock(), resolved_by = session_user
    WHERE p_reason = 'cancelled'
    AND dead.dead_letter_lane = p_entry.lane
    AND dead.dead_letter_delivery = p_entry.delivery
    AND dead.resolution IS NULL
)

INSERT INTO arvo.tombstone (lane, delivery, at, reason, by)
VALUES (p_entry.lane, p_entry.delivery, arvo.clock(), p_reason, session_user)
ON CONFLICT (lane, delivery) DO NOTHING;
$entomb$;

COMMENT ON FUNCTION arvo.entomb(arvo.log, text) IS
'Withdraws a queued or parked delivery, as cancelled or moved.';

REVOKE ALL ON FUNCTION arvo.entomb(arvo.log, text) FROM PUBLIC;
--! end

--! function arvo.event_digest
-- arvo.event_digest(event) — the deduplication key of an event.
CREATE OR REPLACE FUNCTION arvo.event_digest(p_event jsonb)
RETURNS bytea
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $event_digest$
-- CloudEvents: source and id together name an event. The length keeps the two apart.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT substr(
    sha256(convert_to(
        format(
            '%s:%s%s',
            length(p_event ->> 'source'), p_event ->> 'source', p_event ->> 'id'
        ),
        'UTF8'
    )),
    1, 16
);
$event_digest$;

COMMENT ON FUNCTION arvo.event_digest(jsonb) IS
'First 16 bytes of the SHA-256 of an event''s source and id.';

REVOKE ALL ON FUNCTION arvo.event_digest(jsonb) FROM PUBLIC;
--! end

--! function arvo.expire_parked
-- arvo.expire_parked(limit) — make dead letters of what stood in line longer than its queue's retention.
CREATE OR REPLACE FUNCTION arvo.expire_parked(p_limit integer)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $expire_parked$
-- A parked delivery leaves the line of its key, is leased to nobody in its lane, and closed under
-- that lease; the cursor of the lane stays where it is. Counted from when it was appended to the log.
-- Returns how many dead letters were made.
--
--   Reads    arvo.queue, arvo.lane, arvo.parked by (queue, at), arvo.log by (lane, xid, delivery),
--            arvo.clock
--   Writes   arvo.parked; as arvo.heal and arvo.retire
--   Locks    the queue's home lane, then the deliveries' lanes: tried, never waited
--            for; as arvo.sweep and arvo.retire
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_line record;
    v_queue arvo.queue;
    v_batch arvo.log[];
    v_keys bigint[];
    v_places bigint[];
    v_dead integer := 0;
BEGIN
    FOR v_line IN
        SELECT queue.queue, arvo.home_lane(queue.queue) AS home, waiting.lane
        FROM arvo.queue
        CROSS JOIN LATERAL (
            SELECT DISTINCT oldest.lane
            FROM (
                SELECT parked.lane
                FROM arvo.parked
                WHERE parked.queue = queue.queue AND parked.at <= v_now - queue.retention
                ORDER BY parked.at
                LIMIT p_limit
            ) AS oldest
        ) AS waiting
        ORDER BY waiting.lane
        LIMIT 32
    LOOP
        EXIT WHEN v_dead >= p_limit;
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_line.home);
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_line.lane);
        SELECT queue.* INTO STRICT v_queue
        FROM arvo.queue
        WHERE queue.queue = v_line.queue;
        SELECT
            array_agg(line.entry ORDER BY line.key, line.place),
            array_agg(line.key ORDER BY line.key, line.place),
            array_agg(line.place ORDER BY line.key, line.place)
        INTO v_batch, v_keys, v_places
        FROM (
            SELECT parked.key, parked.place, log AS entry
            FROM arvo.parked
            INNER JOIN arvo.log
                ON log.lane = parked.lane
                AND log.xid = parked.xid
                AND log.delivery = parked.delivery
            WHERE parked.queue = v_queue.queue
            AND parked.lane = v_line.lane
            AND parked.at <= v_now - v_queue.retention
            ORDER BY parked.at
            LIMIT p_limit - v_dead
        ) AS line;
        CONTINUE WHEN v_batch IS NULL;

        DELETE FROM arvo.parked
        USING unnest(v_keys, v_places) AS gone (key, place)
        WHERE parked.queue = v_queue.queue
        AND parked.key = gone.key
        AND parked.place = gone.place;
        v_dead := v_dead + arvo.retire(
            v_queue, arvo.heal(arvo.head_of(v_line.lane)), v_batch, true
        );
    END LOOP;
    RETURN v_dead;
END;
$expire_parked$;

COMMENT ON FUNCTION arvo.expire_parked(integer) IS
'Makes dead letters of parked deliveries that waited longer than their queue''s retention; returns how many.';

REVOKE ALL ON FUNCTION arvo.expire_parked(integer) FROM PUBLIC;
--! end

--! function arvo.explain_claimed
-- arvo.explain_claimed(log row) — who has a claimed delivery, or what became of it.
CREATE OR REPLACE FUNCTION arvo.explain_claimed(p_entry arvo.log)
RETURNS SETOF arvo_v1.explanation
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $explain_claimed$
-- Place, reasons, details, times and remedies; no row when it has not been claimed.
--
--   Reads    arvo.lease, arvo.closure by token, arvo.log and arvo.deferred by event, arvo.dead by
--            delivery, arvo.worker, arvo.clock; as arvo.lease_of
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_lease arvo.lease := arvo.lease_of(p_entry.lane, p_entry.xid, p_entry.delivery);
    v_worker text;
    v_expires_at timestamptz;
    v_outcome text;
    v_at timestamptz;
    v_run_time integer;
BEGIN
    IF v_lease.token IS NULL THEN
        RETURN;
    END IF;
    v_worker := coalesce(left(to_json(v_lease.worker)::text, 80), 'a worker without a name');
    SELECT
        closure.outcomes[least(gone.ordinal, cardinality(closure.outcomes))],
        closure.at,
        closure.run_times[gone.ordinal]
    INTO v_outcome, v_at, v_run_time
    FROM arvo.closure
    CROSS JOIN LATERAL
        unnest(closure.deliveries) WITH ORDINALITY AS gone (delivery, ordinal)
    WHERE closure.token = v_lease.token AND gone.delivery = p_entry.delivery
    LIMIT 1;

    IF v_outcome IS NULL THEN
        SELECT newest.expires_at INTO STRICT v_expires_at
        FROM arvo.lease AS newest
        WHERE newest.token = v_lease.token
        ORDER BY newest.number DESC
        LIMIT 1;
        RETURN NEXT (
            NULL, NULL, NULL, 'leased',
            CASE WHEN v_expires_at > v_now THEN 'leased' ELSE 'lapsed' END,
            format('Attempt %s, claimed by %s at %s under lease %s.', p_entry.attempt, v_worker,
                   v_lease.leased_at, v_lease.token),
            v_expires_at,
            CASE
                WHEN v_expires_at <= v_now
                    THEN 'The next claim from this queue, or maintain(), takes it back.'
            END
        )::arvo_v1.explanation;
        RETURN QUERY
        SELECT
            NULL::bigint, NULL::text, NULL::text, 'leased', 'worker',
            format('%s has not checked in since.', v_worker), worker.seen_at,
            'If it is dead, its lease lapses and the delivery is taken back.'
        FROM arvo.worker
        WHERE worker.worker = v_lease.worker
        AND worker.seen_at + 3 * worker.rhythm <= v_now;
        RETURN;
    END IF;

    RETURN NEXT (
        NULL, NULL, NULL, 'closed', 'closed',
        format('Attempt %s of %s: %s%s.', p_entry.attempt, v_worker, v_outcome,
               ', after ' || make_interval(secs => v_run_time / 1000000.0)::text),
        v_at, NULL
    )::arvo_v1.explanation;
    RETURN QUERY
    SELECT
        NULL::bigint, NULL::text, NULL::text, 'closed', 'dead',
        format('Dead letter %s: %s%s.', dead.dead, dead.reason,
               coalesce(', ' || dead.resolution, ', open')),
        dead.died_at,
        CASE WHEN dead.resolution IS NULL THEN 'Redrive it, or discard it.' END
    FROM arvo.dead
    WHERE dead.delivery = p_entry.delivery;
    RETURN QUERY
    SELECT
        NULL::bigint, NULL::text, NULL::text, 'closed', 'again',
        format('Its event went on as delivery %s, attempt %s.', later.delivery, later.attempt),
        later.at, 'Explain that delivery.'
    FROM (
        SELECT log.delivery, log.attempt, log.at, log.cause
        FROM arvo.log
        WHERE log.event_key = p_entry.event_key
        UNION
        SELECT deferred.delivery, deferred.attempt, deferred.at, deferred.cause
        FROM arvo.deferred
        WHERE deferred.subject_key = p_entry.subject_key
        AND deferred.event_key = p_entry.event_key
        AND NOT EXISTS (
            SELECT
            FROM arvo.log AS promoted
            WHERE promoted.event_key = p_entry.event_key
            AND promoted.delivery = deferred.delivery
        )
    ) AS later
    WHERE later.cause ->> 'delivery' = p_entry.delivery::text
    AND later.delivery <> p_entry.delivery;
END;
$explain_claimed$;

COMMENT ON FUNCTION arvo.explain_claimed(arvo.log) IS
'Who holds a claimed delivery and until when, or what became of it and what followed.';

REVOKE ALL ON FUNCTION arvo.explain_claimed(arvo.log) FROM PUBLIC;
--! end

--! function arvo.explain_place
-- arvo.explain_place(queue, log row) — what a delivery that nobody has claimed waits behind.
CREATE OR REPLACE FUNCTION arvo.explain_place(p_queue arvo.queue, p_entry arvo.log)
RETURNS SETOF arvo_v1.explanation
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $explain_place$
-- Reasons, details, times and remedies; the caller knows the delivery. It stands in the log, read by
-- a claim and parked, or not. Counts up to 10,000 before it.
--
--   Reads    arvo.parked, arvo.turn, arvo.tombstone, arvo.lane, arvo.lease, arvo.log, arvo.clock; as
--            arvo.count_unread
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_parked arvo.parked;
    v_turn arvo.turn;
    v_key bigint := arvo.key_for(p_queue, p_entry);
    v_most integer;
    v_head arvo.lease;
    v_after arvo.frontier;
    v_before bigint;
    v_priority integer;
    v_higher bigint;
BEGIN
    RETURN QUERY
    SELECT
        NULL::bigint, NULL::text, NULL::text, NULL::text, 'withdrawn',
        format('It was %s by %s; the claim that meets it closes it.', tombstone.reason,
               coalesce(left(to_json(tombstone.by)::text, 80), 'somebody')),
        tombstone.at, NULL::text
    FROM arvo.tombstone
    WHERE tombstone.lane = p_entry.lane AND tombstone.delivery = p_entry.delivery;

    SELECT parked.* INTO v_parked
    FROM arvo.parked
    WHERE parked.delivery = p_entry.delivery
    LIMIT 1;
    IF p_queue.gated OR v_parked.delivery IS NOT NULL THEN
        v_key := coalesce(v_parked.key, v_key);
        SELECT newest.* INTO v_turn
        FROM arvo.turn AS newest
        WHERE newest.queue = p_queue.queue AND newest.key = v_key
        ORDER BY newest.number DESC
        LIMIT 1;
        v_most := least(
            p_queue.key_max_active,
            CASE WHEN p_queue.policy IN ('ordered', 'singleton', 'stately') THEN 1 END
        );
        SELECT count(*) INTO v_before
        FROM (
            SELECT
            FROM arvo.parked
            WHERE parked.queue = p_queue.queue
            AND parked.key = v_key
            AND parked.place < coalesce(v_parked.place, 9223372036854775807)
            LIMIT 10001
        ) AS line;
        IF v_turn.holder IS NOT NULL AND v_turn.holder <> p_entry.delivery THEN
            RETURN NEXT (
                NULL, NULL, NULL, NULL, 'key',
                format('Delivery %s comes before all others of its key: it was given back or put off.',
                       v_turn.holder),
                (
                    SELECT deferred.due
                    FROM arvo.deferred
                    WHERE deferred.delivery = v_turn.holder
                ),
                'Explain that delivery; cancel it, or make it due now.'
            )::arvo_v1.explanation;
        END IF;
        IF v_turn.active >= v_most THEN
            RETURN NEXT (
                NULL, NULL, NULL, NULL,
                CASE WHEN p_queue.policy = 'ordered' THEN 'key' ELSE 'singleton' END,
                format('%s of its key run, and %s may.', v_turn.active, v_most), v_turn.at, NULL
            )::arvo_v1.explanation;
        END IF;
        IF v_before > 0 THEN
            RETURN NEXT (
                NULL, NULL, NULL, NULL, 'key',
                format('%s%s wait before it in the line of its key.',
                       CASE WHEN v_before > 10000 THEN 'More than ' ELSE '' END,
                       least(v_before, 10000)),
                NULL, NULL
            )::arvo_v1.explanation;
        END IF;
        IF p_queue.key_rate_limit IS NOT NULL AND arvo.rate_room(
            v_turn.tally, p_queue.key_rate_limit, p_queue.key_rate_period, v_now
        ) = 0 THEN
            RETURN NEXT (
                NULL, NULL, NULL, NULL, 'rate',
                format('%s of its key have started within %s.', p_queue.key_rate_limit,
                       p_queue.key_rate_period),
                v_now + arvo.rate_wait(v_turn.tally, p_queue.key_rate_period, v_now), NULL
            )::arvo_v1.explanation;
        END IF;
    END IF;
    IF v_parked.delivery IS NOT NULL THEN
        RETURN;
    END IF;

    IF NOT pg_visible_in_snapshot(p_entry.xid, p_queue.drained_to) THEN
        RETURN NEXT (
            NULL, NULL, NULL, NULL, 'draining',
            'The queue is drained: only what was there before is claimed.', NULL,
            'Resume the queue.'
        )::arvo_v1.explanation;
    END IF;

    SELECT head.* INTO STRICT v_head
    FROM arvo.lease AS head
    WHERE head.lane = p_entry.lane
    ORDER BY head.number DESC
    LIMIT 1;
    v_after := arvo.frontier_of(
        v_head.previous_snapshot, v_head.snapshot, v_head.last_xid, v_head.last_delivery,
        v_head.exhausted
    );
    -- Claims read the rest of the window first, then what has come since.
    SELECT count(*) FILTER (
        WHERE (NOT pg_visible_in_snapshot(unread.xid, v_head.snapshot), unread.xid, unread.delivery)
            < (NOT pg_visible_in_snapshot(p_entry.xid, v_head.snapshot), p_entry.xid,
               p_entry.delivery)
    )
    INTO v_before
    FROM (
        SELECT found.xid, found.delivery
        FROM unnest(v_after.late) AS gap (xid)
        CROSS JOIN LATERAL (
            SELECT log.xid, log.delivery
            FROM arvo.log
            WHERE log.lane = p_entry.lane
            AND log.xid = gap.xid
            AND log.delivery
                > CASE WHEN gap.xid = v_after.last_xid THEN v_after.last_delivery ELSE 0 END
            OFFSET 0
        ) AS found
        UNION ALL
        SELECT next.xid, next.delivery
        FROM (
            SELECT log.xid, log.delivery
            FROM arvo.log
            WHERE log.lane = p_entry.lane
            AND (log.xid, log.delivery) > (v_after.from_xid, v_after.from_delivery)
            ORDER BY log.xid, log.delivery
        ) AS next
        LIMIT 10001
    ) AS unread;
    IF v_before > 0 THEN
        RETURN NEXT (
            NULL, NULL, NULL, NULL, 'behind',
            format('%s%s of the same queue and priority come before it.',
                   CASE WHEN v_before > 10000 THEN 'More than ' ELSE '' END,
                   least(v_before, 10000)),
            NULL, NULL
        )::arvo_v1.explanation;
    END IF;

    SELECT lane.priority INTO STRICT v_priority
    FROM arvo.lane
    WHERE lane.lane = p_entry.lane;
    SELECT coalesce(sum((arvo.count_unread(head.lease, 1000)).unread), 0)::bigint INTO v_higher
    FROM arvo.lane
    CROSS JOIN LATERAL (
        SELECT newest AS lease
        FROM arvo.lease AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS head
    WHERE lane.queue = p_queue.queue AND lane.priority > v_priority;
    IF v_higher > 0 THEN
        RETURN NEXT (
            NULL, NULL, NULL, NULL, 'priority',
            format('%s of higher priority wait, counted up to 1000 of each.', v_higher), NULL, NULL
        )::arvo_v1.explanation;
    END IF;
END;
$explain_place$;

COMMENT ON FUNCTION arvo.explain_place(arvo.queue, arvo.log) IS
'What a logged or parked delivery waits behind: its key, limits, others, a drain, a withdrawal.';

REVOKE ALL ON FUNCTION arvo.explain_place(arvo.queue, arvo.log) FROM PUBLIC;
--! end

--! function arvo.explain_queue
-- arvo.explain_queue(queue) — what keeps a whole queue from running.
CREATE OR REPLACE FUNCTION arvo.explain_queue(p_queue arvo.queue)
RETURNS SETOF arvo_v1.explanation
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $explain_queue$
-- Reasons, details, times and remedies; the caller knows the delivery. What only workers that check
-- in can tell is left out when nobody does.
--
--   Reads    arvo.origin, arvo.lane, arvo.lease, arvo.worker, arvo.turn, arvo.clock, pg_locks; as
--            arvo.disagreements
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_home bigint;
    v_here bigint;
    v_claimed_at timestamptz;
    v_alive bigint;
    v_whole arvo.turn;
BEGIN
    SELECT origin.system_identifier INTO v_home
    FROM arvo.origin
    ORDER BY origin.number DESC
    LIMIT 1;
    SELECT control.system_identifier INTO v_here FROM pg_control_system() AS control;
    IF v_home IS DISTINCT FROM v_here THEN
        RETURN NEXT (
            NULL, NULL, NULL, NULL, 'cluster',
            format('The stored transaction numbers are of cluster %s; this is %s.', v_home, v_here),
            NULL, 'See the hint of RV902, which every claim is refused with.'
        )::arvo_v1.explanation;
    END IF;

    IF NOT p_queue.registered THEN
        RETURN NEXT (
            NULL, NULL, NULL, NULL,
            CASE
                WHEN starts_with(p_queue.name, 'arvo.domain.') THEN 'domained' ELSE 'unroutable'
            END,
            'Nobody has registered this queue.', NULL,
            'Start the process that handles it; what waits is delivered then.'
        )::arvo_v1.explanation;
    END IF;
    IF p_queue.paused_at IS NOT NULL THEN
        RETURN NEXT (
            NULL, NULL, NULL, NULL, 'paused',
            format('The queue was paused by %s.',
                   coalesce(left(to_json(p_queue.paused_by)::text, 80), 'somebody')),
            p_queue.paused_at, 'Resume the queue.'
        )::arvo_v1.explanation;
    END IF;

    SELECT max(newest.leased_at) INTO v_claimed_at
    FROM arvo.lane
    CROSS JOIN LATERAL (
        SELECT recent.leased_at
        FROM (
            SELECT lease.leased_at, lease.token
            FROM arvo.lease
            WHERE lease.lane = lane.lane
            ORDER BY lease.number DESC
            LIMIT 100
        ) AS recent
        WHERE recent.token <> 0
        LIMIT 1
    ) AS newest
    WHERE lane.queue = p_queue.queue;
    SELECT count(*) INTO v_alive
    FROM arvo.worker
    CROSS JOIN LATERAL unnest(worker.queues) AS worked (name)
    WHERE worker.seen_at + 3 * worker.rhythm > v_now
    AND (
        worked.name = p_queue.name
        OR (worked.name LIKE '%*' AND starts_with(p_queue.name, left(worked.name, -1)))
    );
    IF p_queue.registered
        AND v_alive = 0
        AND coalesce(v_claimed_at < v_now - interval '1 minute', true)
    THEN
        RETURN NEXT (
            NULL, NULL, NULL, NULL, 'worker',
            CASE
                WHEN v_claimed_at IS NULL THEN 'No claim from it is known, and no living worker names it.'
                ELSE 'No living worker names it; this was the last claim.'
            END,
            v_claimed_at, 'Start a worker for this queue.'
        )::arvo_v1.explanation;
    END IF;

    RETURN QUERY
    SELECT
        NULL::bigint, NULL::text, NULL::text, NULL::text, 'lane',
        format('Session %s holds lane %s at this moment.', holder.pid, lane.lane),
        activity.xact_start,
        'A claim holds it for moments; a transaction that stays open, until it ends.'
    FROM arvo.lane
    INNER JOIN pg_locks AS holder
        ON holder.locktype = 'advisory'
        AND holder.objsubid = 2
        AND holder.granted
        AND holder.database = (
            SELECT pg_database.oid FROM pg_database WHERE pg_database.datname = current_database()
        )
        AND holder.classid = (hashtext('arvo')::bigint & 4294967295)::oid
        AND holder.objid = lane.lane::oid
    LEFT JOIN pg_stat_activity AS activity ON activity.pid = holder.pid
    WHERE lane.queue = p_queue.queue AND holder.pid <> pg_backend_pid();

    SELECT newest.* INTO v_whole
    FROM arvo.turn AS newest
    WHERE newest.queue = p_queue.queue AND newest.key = 0
    ORDER BY newest.number DESC
    LIMIT 1;
    IF v_whole.active >= p_queue.max_active THEN
        RETURN NEXT (
            NULL, NULL, NULL, NULL, 'limit',
            format('%s of this queue run, and max_active is %s.', v_whole.active,
                   p_queue.max_active),
            NULL, NULL
        )::arvo_v1.explanation;
    END IF;
    IF p_queue.rate_limit IS NOT NULL AND arvo.rate_room(
        v_whole.tally, p_queue.rate_limit, p_queue.rate_period, v_now
    ) = 0 THEN
        RETURN NEXT (
            NULL, NULL, NULL, NULL, 'rate',
            format('%s have started within %s.', p_queue.rate_limit, p_queue.rate_period),
            v_now + arvo.rate_wait(v_whole.tally, p_queue.rate_period, v_now), NULL
        )::arvo_v1.explanation;
    END IF;

    RETURN QUERY
    SELECT
        NULL::bigint, NULL::text, NULL::text, NULL::text, 'registrations',
        format('Option %s: %s.', disagreement.option, disagreement.detail), NULL::timestamptz,
        'Let the processes agree; the last to register has its way.'
    FROM arvo.disagreements(p_queue.name) AS disagreement;
END;
$explain_queue$;

COMMENT ON FUNCTION arvo.explain_queue(arvo.queue) IS
'Every reason why nothing of a queue runs now: pause, workers, locks, limits, disagreements.';

REVOKE ALL ON FUNCTION arvo.explain_queue(arvo.queue) FROM PUBLIC;
--! end

--! function arvo.fail_schedule
-- arvo.fail_schedule(schedule, row, next_at, code, message, detail) — record that a schedule cannot fire.
CREATE OR REPLACE FUNCTION arvo.fail_schedule(
    p_schedule arvo.schedule,
    p_row tid,
    p_next_at timestamptz,
    p_code text,
    p_message text,
    p_detail text
)
RETURNS void
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $fail_schedule$
-- p_row is where the schedule's row is, which the caller holds: found without an index, that has an
-- entry for each version. The fire that was due is given up and stands in the error; p_next_at is tried next. NULL stops the
-- schedule until somebody schedules or resumes it.
--
--   Reads    arvo.clock
--   Writes   arvo.schedule
--   Locks    arvo.schedule row, held by the caller
--   Raises   nothing
UPDATE arvo.schedule
SET next_at = p_next_at,
    error = jsonb_build_object(
        'code', p_code, 'message', p_message, 'detail', p_detail, 'fire_at', p_schedule.next_at
    ),
    error_at = arvo.clock(),
    failures = schedule.failures + 1
WHERE schedule.ctid = p_row;
$fail_schedule$;

COMMENT ON FUNCTION arvo.fail_schedule(arvo.schedule, tid, timestamptz, text, text, text) IS
'Records why a schedule could not fire, and when it tries again.';

REVOKE ALL ON FUNCTION
arvo.fail_schedule(arvo.schedule, tid, timestamptz, text, text, text) FROM PUBLIC;
--! end

--! function arvo.find_dead
-- arvo.find_dead(filter, after, limit, resolved) — the next dead letters that pass a filter.
CREATE OR REPLACE FUNCTION arvo.find_dead(
    p_filter arvo.dead_filter,
    p_after bigint,
    p_limit integer,
    p_resolved boolean
)
RETURNS SETOF arvo.dead
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET jit = off
SET plan_cache_mode = force_custom_plan
AS $find_dead$
-- In the order of their numbers, from the first after p_after; with p_resolved the resolved ones
-- too. One branch runs: by number, else by subject, else by queue (the one they failed in and the
-- one that received them), else in order. Each asks for an order that only its own index has:
-- any other plan would walk over all that was ever resolved.
--
--   Reads    arvo.dead
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_by text := CASE
        WHEN p_filter.dead IS NOT NULL THEN 'number'
        WHEN p_filter.subject IS NOT NULL THEN 'subject'
        WHEN p_filter.queue IS NOT NULL THEN 'queue'
        ELSE 'order'
    END;
    -- Nothing but a queue is asked for: then its branches need not look at any letter.
    v_all boolean := num_nonnulls(
        p_filter.dead, p_filter.reason, p_filter.since, p_filter.before, p_filter.event_type,
        p_filter.subject, p_filter.path, p_filter.contains
    ) = 0;
BEGIN
    RETURN QUERY
    SELECT found.*
    FROM (
        (
            SELECT letter.*
            FROM arvo.dead AS letter
            WHERE v_by = 'number'
            AND letter.dead = ANY (p_filter.dead)
            AND letter.dead > p_after
            AND (p_resolved OR coalesce(letter.resolution, 'open') = 'open')
            AND arvo.dead_fits(letter, p_filter)
            OFFSET 0
        )
        UNION ALL
        (
            SELECT letter.*
            FROM arvo.dead AS letter
            WHERE v_by = 'subject'
            AND letter.subject_key = hashtextextended(p_filter.subject, 0)
            AND letter.dead > p_after
            AND (p_resolved OR coalesce(letter.resolution, 'open') = 'open')
            AND arvo.dead_fits(letter, p_filter)
            OFFSET 0
        )
        UNION ALL
        (
            SELECT letter.*
            FROM arvo.dead AS letter
            WHERE v_by = 'queue'
            AND letter.resolution IS NULL
            AND (letter.queue, letter.dead) > (p_filter.queue, p_after)
            AND letter.queue <= p_filter.queue
            AND (v_all OR arvo.dead_fits(letter, p_filter))
            ORDER BY letter.queue, letter.dead
            LIMIT p_limit
        )
        UNION ALL
        (
            SELECT letter.*
            FROM arvo.dead AS letter
            WHERE v_by = 'queue'
            AND letter.resolution IS NULL
            AND (letter.dead_letter, letter.dead) > (p_filter.queue, p_after)
            AND letter.dead_letter <= p_filter.queue
            AND letter.queue <> p_filter.queue
            AND (v_all OR arvo.dead_fits(letter, p_filter))
            ORDER BY letter.dead_letter, letter.dead
            LIMIT p_limit
        )
        UNION ALL
        (
            SELECT letter.*
            FROM arvo.dead AS letter
            WHERE v_by = 'queue'
            AND p_resolved
            AND letter.resolution IS NOT NULL
            AND (letter.queue, letter.dead) > (p_filter.queue, p_after)
            AND letter.queue <= p_filter.queue
            AND (v_all OR arvo.dead_fits(letter, p_filter))
            ORDER BY letter.queue, letter.dead
            LIMIT p_limit
        )
        UNION ALL
        (
            SELECT letter.*
            FROM arvo.dead AS letter
            WHERE v_by = 'queue'
            AND p_resolved
            AND letter.resolution IS NOT NULL
            AND (letter.dead_letter, letter.dead) > (p_filter.queue, p_after)
            AND letter.dead_letter <= p_filter.queue
            AND letter.queue <> p_filter.queue
            AND (v_all OR arvo.dead_fits(letter, p_filter))
            ORDER BY letter.dead_letter, letter.dead
            LIMIT p_limit
        )
        UNION ALL
        (
            SELECT letter.*
            FROM arvo.dead AS letter
            WHERE v_by = 'order'
            AND NOT p_resolved
            AND letter.resolution IS NULL
            AND letter.dead > p_after
            AND (v_all OR arvo.dead_fits(letter, p_filter))
            ORDER BY letter.resolution, letter.dead
            LIMIT p_limit
        )
        UNION ALL
        (
            SELECT letter.*
            FROM arvo.dead AS letter
            WHERE v_by = 'order'
            AND p_resolved
            AND letter.dead > p_after
            AND (v_all OR arvo.dead_fits(letter, p_filter))
            ORDER BY letter.dead
            LIMIT p_limit
        )
    ) AS found
    ORDER BY found.dead
    LIMIT p_limit;
END;
$find_dead$;

COMMENT ON FUNCTION arvo.find_dead(arvo.dead_filter, bigint, integer, boolean) IS
'The next dead letters that pass a filter, in order, by index.';

REVOKE ALL ON FUNCTION arvo.find_dead(arvo.dead_filter, bigint, integer, boolean) FROM PUBLIC;
--! end

--! function arvo.find_deliveries
-- arvo.find_deliveries(filter…, places, limit) — the live deliveries that an operator means.
CREATE OR REPLACE FUNCTION arvo.find_deliveries(
    p_delivery bigint[],
    p_queue text,
    p_event_id text,
    p_event_type text,
    p_subject text,
    p_tree text,
    p_before timestamptz,
    p_path jsonpath,
    p_text text,
    p_places text[],
    p_limit integer,
    p_but integer[] DEFAULT '{}'
)
RETURNS SETOF arvo.finding
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $find_deliveries$
-- Looks without any lock: what it says is to be looked at again under the locks. What is NULL does not
-- filter; at least one must be given. Dead letters come first, what is due later last. By event, subject or tree it looks only at their rows; otherwise
-- it reads what waits, from each lane's cursor on, in order, until it has p_limit: the cost grows with
-- the backlog, not with history. p_before is when the delivery was appended or put off. Dead letters
-- are meant by number, event and tree only. A dead letter that lies in a dead-letter queue is the
-- delivery there. What has been withdrawn is over, and not found. Lanes in p_but are passed over.
--
--   Reads    arvo.queue, arvo.lane, arvo.lease, arvo.closure, arvo.log, arvo.parked, arvo.deferred,
--            arvo.promotion, arvo.tombstone, arvo.dead, arvo.lineage
--   Writes   nothing
--   Locks    nothing
--   Raises   RV003  the queue is not known
--            RV006  nothing is given, or limit is not valid
DECLARE
    v_queue integer;
    v_subjects text[];
    v_wanted bigint[];
    v_content boolean := num_nonnulls(
        p_event_id, p_event_type, p_subject, p_tree, p_path, p_text
    ) > 0;
    v_left integer := p_limit;
    v_got integer;
    v_passed arvo.promotion;
    v_lane record;
    v_head arvo.lease;
    v_from_xid xid8;
    v_from_delivery bigint;
BEGIN
    IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'limit',
              DETAIL = format('limit: %s', p_limit),
              HINT = 'Use 1 to 10000, and call again for the rest.';
    ELSIF NOT v_content AND num_nonnulls(p_delivery, p_queue, p_before) = 0 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'delivery',
              DETAIL = 'Nothing says which deliveries are meant.',
              HINT = 'Give numbers of deliveries, an event, a queue, or another filter.';
    END IF;
    IF p_queue IS NOT NULL THEN
        v_queue := (arvo.known_queue(p_queue)).queue;
    END IF;
    IF p_tree IS NOT NULL THEN
        SELECT array_agg(DISTINCT kin.subject) INTO v_subjects
        FROM (
            SELECT p_tree AS subject
            UNION ALL
            SELECT relative.subject FROM arvo_v1.lineage(p_tree) AS relative
        ) AS kin
        WHERE p_subject IS NULL OR kin.subject = p_subject;
        v_subjects := coalesce(v_subjects, '{}');
    ELSIF p_subject IS NOT NULL THEN
        v_subjects := ARRAY[p_subject];
    END IF;
    IF p_delivery IS NOT NULL THEN
        v_wanted := p_delivery || ARRAY(
            SELECT dead.dead_letter_delivery
            FROM arvo.dead
            WHERE dead.resolution IS NULL
            AND dead.delivery = ANY (p_delivery)
            AND dead.dead_letter_delivery IS NOT NULL
        );
    END IF;

    IF 'dead' = ANY (p_places) AND num_nonnulls(p_delivery, p_event_id, p_tree) > 0 THEN
        RETURN QUERY
        SELECT
            dead.delivery, 'dead', NULL::integer, NULL::xid8, dead.event_key, NULL::bigint,
            dead.dead, dead.queue, dead.event_id
        FROM arvo.dead
        WHERE dead.resolution IS NULL
        AND dead.dead_letter_delivery IS NULL
        AND (p_queue IS NULL OR dead.queue = p_queue)
        AND (v_wanted IS NULL OR dead.delivery = ANY (v_wanted))
        AND (p_before IS NULL OR dead.died_at < p_before)
        AND (
            v_subjects IS NULL
            OR dead.subject_key = ANY (
                ARRAY(SELECT hashtextextended(named, 0) FROM unnest(v_subjects) AS named)
            )
        )
        AND arvo.is_wanted(dead.event, p_event_id, p_event_type, v_subjects, p_path, p_text)
        ORDER BY dead.dead
        LIMIT v_left;
        GET DIAGNOSTICS v_got = ROW_COUNT;
        v_left := v_left - v_got;
    END IF;

    IF (p_event_id IS NOT NULL OR v_subjects IS NOT NULL) AND p_places && '{queued,parked,leased}' THEN
        RETURN QUERY
        SELECT
            entry.delivery, stands.place, entry.lane, entry.xid, entry.event_key, stands.token,
            NULL::bigint, queue.name, whole.event ->> 'id'
        FROM (
            SELECT log.*
            FROM arvo.log
            WHERE log.event_key = hashtextextended(p_event_id, 0)
            UNION ALL
            SELECT found.*
            FROM unnest(v_subjects) AS named (subject)
            CROSS JOIN LATERAL (
                SELECT log.*
                FROM arvo.log
                WHERE log.subject_key = hashtextextended(named.subject, 0)
            ) AS found
            WHERE p_event_id IS NULL
        ) AS entry
        INNER JOIN arvo.lane ON lane.lane = entry.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        CROSS JOIN LATERAL (
            SELECT judged.place, judged.token
            FROM arvo.standing(entry.lane, entry.xid, entry.delivery) AS judged
            OFFSET 0
        ) AS stands
        CROSS JOIN LATERAL (
            SELECT coalesce(entry.event, (
                SELECT origin.event
                FROM arvo.log AS origin
                WHERE origin.lane = entry.origin_lane
                AND origin.xid = entry.origin_xid
                AND origin.delivery = entry.origin_delivery
            )) AS event
            OFFSET 0
        ) AS whole
        WHERE stands.place = ANY (p_places)
        AND (v_queue IS NULL OR lane.queue = v_queue)
        AND lane.lane <> ALL (p_but)
        AND (v_wanted IS NULL OR entry.delivery = ANY (v_wanted))
        AND (p_before IS NULL OR entry.at < p_before)
        AND arvo.is_wanted(whole.event, p_event_id, p_event_type, v_subjects, p_path, p_text)
        ORDER BY entry.delivery
        LIMIT v_left;
        GET DIAGNOSTICS v_got = ROW_COUNT;
        v_left := v_left - v_got;
    END IF;

    FOR v_lane IN
        SELECT lane.lane, queue.name
        FROM arvo.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        WHERE p_event_id IS NULL
        AND v_subjects IS NULL
        AND p_places && '{queued,parked,leased}'
        AND (v_queue IS NULL OR lane.queue = v_queue)
        AND lane.lane <> ALL (p_but)
        ORDER BY lane.lane
    LOOP
        EXIT WHEN v_left <= 0;
        v_head := arvo.head_of(v_lane.lane);

        IF 'leased' = ANY (p_places) THEN
            RETURN QUERY
            SELECT
                entry.delivery, 'leased', entry.lane, entry.xid, entry.event_key, held.token,
                NULL::bigint, v_lane.name, whole.event ->> 'id'
            FROM arvo.lease AS held
            CROSS JOIN LATERAL unnest(arvo.open_deliveries(held.token, held.deliveries))
                AS open (delivery)
            INNER JOIN arvo.log AS entry
                ON entry.lane = held.lane
                AND entry.xid >= held.low_xid
                AND entry.xid <= held.high_xid
                AND entry.delivery = open.delivery
            CROSS JOIN LATERAL (SELECT arvo.event_of(entry) AS event OFFSET 0) AS whole
            WHERE held.lane = v_lane.lane
            AND held.number >= v_head.open_from
            AND held.token <> 0
            AND NOT EXISTS (
                SELECT
                FROM arvo.lease AS newer
                WHERE newer.token = held.token AND newer.number > held.number
            )
            AND (v_wanted IS NULL OR open.delivery = ANY (v_wanted))
            AND (p_before IS NULL OR entry.at < p_before)
            AND (
                NOT v_content
                OR arvo.is_wanted(
                    whole.event, p_event_id, p_event_type, v_subjects, p_path, p_text
                )
            )
            ORDER BY entry.delivery
            LIMIT v_left;
            GET DIAGNOSTICS v_got = ROW_COUNT;
            v_left := v_left - v_got;
        END IF;

        IF 'parked' = ANY (p_places) THEN
            RETURN QUERY
            SELECT
                entry.delivery, 'parked', entry.lane, entry.xid, entry.event_key, NULL::bigint,
                NULL::bigint, v_lane.name, whole.event ->> 'id'
            FROM arvo.parked
            INNER JOIN arvo.log AS entry
                ON entry.lane = parked.lane
                AND entry.xid = parked.xid
                AND entry.delivery = parked.delivery
            CROSS JOIN LATERAL (SELECT arvo.event_of(entry) AS event OFFSET 0) AS whole
            WHERE parked.queue = (SELECT lane.queue FROM arvo.lane WHERE lane.lane = v_lane.lane)
            AND parked.lane = v_lane.lane
            AND (v_wanted IS NULL OR entry.delivery = ANY (v_wanted))
            AND (p_before IS NULL OR entry.at < p_before)
            AND NOT EXISTS (
                SELECT
                FROM arvo.tombstone
                WHERE tombstone.lane = entry.lane AND tombstone.delivery = entry.delivery
            OFFSET 0  -- a look-up for each row
            )
            AND (
                NOT v_content
                OR arvo.is_wanted(
                    whole.event, p_event_id, p_event_type, v_subjects, p_path, p_text
                )
            )
            ORDER BY entry.delivery
            LIMIT v_left;
            GET DIAGNOSTICS v_got = ROW_COUNT;
            v_left := v_left - v_got;
        END IF;

        CONTINUE WHEN NOT 'queued' = ANY (p_places);
        -- Nothing that is unclaimed stands before the position, but for transactions that were open.
        IF v_head.exhausted OR v_head.last_xid >= pg_snapshot_xmin(v_head.snapshot) THEN
            v_from_xid := pg_snapshot_xmin(v_head.snapshot);
            v_from_delivery := 0;
        ELSE
            v_from_xid := v_head.last_xid;
            v_from_delivery := v_head.last_delivery;
        END IF;
        RETURN QUERY
        SELECT
            entry.delivery, 'queued', entry.lane, entry.xid, entry.event_key, NULL::bigint,
            NULL::bigint, v_lane.name, whole.event ->> 'id'
        FROM arvo.log AS entry
        CROSS JOIN LATERAL (
            SELECT coalesce(entry.event, (
                SELECT origin.event
                FROM arvo.log AS origin
                WHERE origin.lane = entry.origin_lane
                AND origin.xid = entry.origin_xid
                AND origin.delivery = entry.origin_delivery
            )) AS event
        ) AS whole
        WHERE entry.lane = v_lane.lane
        AND (entry.xid, entry.delivery) > (v_from_xid, v_from_delivery)
        AND NOT pg_visible_in_snapshot(entry.xid, v_head.previous_snapshot)
        AND NOT (
            pg_visible_in_snapshot(entry.xid, v_head.snapshot)
            AND (
                v_head.exhausted
                OR (entry.xid, entry.delivery) <= (v_head.last_xid, v_head.last_delivery)
            )
        )
        AND (v_wanted IS NULL OR entry.delivery = ANY (v_wanted))
        AND (p_before IS NULL OR entry.at < p_before)
        AND NOT EXISTS (
            SELECT
            FROM arvo.tombstone
            WHERE tombstone.lane = entry.lane AND tombstone.delivery = entry.delivery
            OFFSET 0  -- a look-up for each row
        )
        AND (
            NOT v_content
            OR arvo.is_wanted(whole.event, p_event_id, p_event_type, v_subjects, p_path, p_text)
        )
        ORDER BY entry.xid, entry.delivery
        LIMIT v_left;
        GET DIAGNOSTICS v_got = ROW_COUNT;
        v_left := v_left - v_got;
    END LOOP;

    IF 'deferred' = ANY (p_places) AND v_left > 0 THEN
        SELECT head.* INTO STRICT v_passed
        FROM arvo.promotion AS head
        ORDER BY head.number DESC
        LIMIT 1;
        RETURN QUERY
        SELECT
            waiting.delivery, 'deferred', waiting.lane, NULL::xid8, waiting.event_key,
            NULL::bigint, NULL::bigint, queue.name, whole.event ->> 'id'
        FROM (
            SELECT found.*
            FROM unnest(v_wanted) AS named (delivery)
            CROSS JOIN LATERAL (
                SELECT deferred.* FROM arvo.deferred WHERE deferred.delivery = named.delivery
            ) AS found
            UNION ALL
            SELECT found.*
            FROM unnest(v_subjects) AS named (subject)
            CROSS JOIN LATERAL (
                SELECT deferred.*
                FROM arvo.deferred
                WHERE deferred.subject_key = hashtextextended(named.subject, 0)
            ) AS found
            WHERE v_wanted IS NULL
            UNION ALL
            SELECT deferred.*
            FROM arvo.deferred
            WHERE v_wanted IS NULL AND v_subjects IS NULL
        ) AS waiting
        INNER JOIN arvo.lane ON lane.lane = waiting.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        CROSS JOIN LATERAL (
            SELECT coalesce(waiting.event, (
                SELECT origin.event
                FROM arvo.log AS origin
                WHERE origin.lane = waiting.origin_lane
                AND origin.xid = waiting.origin_xid
                AND origin.delivery = waiting.origin_delivery
            )) AS event
            OFFSET 0
        ) AS whole
        WHERE NOT (
            (waiting.due, waiting.delivery) <= (v_passed.due, v_passed.delivery)
            AND pg_visible_in_snapshot(waiting.xid, v_passed.snapshot)
        )
        AND (v_queue IS NULL OR lane.queue = v_queue)
        AND lane.lane <> ALL (p_but)
        AND (p_before IS NULL OR waiting.at < p_before)
        AND (p_event_id IS NULL OR waiting.event_key = hashtextextended(p_event_id, 0))
        AND (
            NOT v_content
            OR arvo.is_wanted(
                whole.event, p_event_id, p_event_type, v_subjects, p_path, p_text
            )
        )
        ORDER BY waiting.delivery
        LIMIT v_left;
    END IF;
END;
$find_deliveries$;

COMMENT ON FUNCTION arvo.find_deliveries(
    bigint[], text, text, text, text, text, timestamptz, jsonpath, text, text[], integer,
    integer[]
) IS
'The live deliveries that an operator means, by number, event, tree or filter; looks without locks.';

REVOKE ALL ON FUNCTION arvo.find_deliveries(
    bigint[], text, text, text, text, text, timestamptz, jsonpath, text, text[], integer,
    integer[]
) FROM PUBLIC;
--! end

--! function arvo.find_logged
-- arvo.find_logged(delivery) — the log row of a delivery, by its number alone.
CREATE OR REPLACE FUNCTION arvo.find_logged(p_delivery bigint)
RETURNS arvo.log
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $find_logged$
-- By an index of ranges: reads the blocks that may hold it, and those too new to be summarized. For a
-- person who asks, not for the way of an event.
--
--   Reads    arvo.log by delivery
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_entry arvo.log;
BEGIN
    SELECT log.* INTO v_entry
    FROM arvo.log
    WHERE log.delivery = p_delivery
    LIMIT 1;
    RETURN v_entry;
END;
$find_logged$;

COMMENT ON FUNCTION arvo.find_logged(bigint) IS
'The log row of a delivery, found by its number; NULL when there is none.';

REVOKE ALL ON FUNCTION arvo.find_logged(bigint) FROM PUBLIC;
--! end

--! function arvo.finish
-- arvo.finish(queue, lease, deliveries) — leased deliveries are done with: their keys and places are free.
CREATE OR REPLACE FUNCTION arvo.finish(
    p_queue arvo.queue,
    p_lease arvo.lease,
    p_deliveries bigint[]
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $finish$
-- For what was closed without a settlement: cancelled, moved, dead by retention. Nothing of it comes
-- back, so the line of an ordered key goes on behind it. For a gated queue the caller holds the
-- queue's home lane.
--
--   Reads    arvo.log by (lane, xid, delivery)
--   Writes   as arvo.pass_turns and arvo.free_places
--   Locks    as arvo.free_places
--   Raises   nothing
DECLARE
    v_items arvo.result[];
BEGIN
    IF p_queue.gated THEN
        SELECT array_agg(
            arvo.lease_item(p_lease, leased.ordinal::integer, 'cancelled') ORDER BY leased.ordinal
        )
        INTO v_items
        FROM unnest(p_lease.deliveries) WITH ORDINALITY AS leased (delivery, ordinal)
        WHERE leased.delivery = ANY (p_deliveries);
        PERFORM arvo.pass_turns(p_queue, v_items);
    END IF;
    IF p_queue.slotted THEN
        PERFORM arvo.leave_places(p_queue, p_lease, p_deliveries);
    END IF;
END;
$finish$;

COMMENT ON FUNCTION arvo.finish(arvo.queue, arvo.lease, bigint[]) IS
'Frees keys and places of leased deliveries that were closed for good without a settlement.';

REVOKE ALL ON FUNCTION arvo.finish(arvo.queue, arvo.lease, bigint[]) FROM PUBLIC;
--! end

--! function arvo.finish_generations
-- arvo.finish_generations() — note which old generations are nothing but history.
CREATE OR REPLACE FUNCTION arvo.finish_generations()
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $finish_generations$
-- A generation is closed when the next one is seen in use, by another transaction than the one that
-- opened it: whoever stamps rows with it took his time before. It is finished when nothing pins it.
-- From then on it is kept for delete_after, so that also what was completed late keeps its history.
-- Returns how many became finished.
--
--   Reads    arvo.generation, arvo.clock; as arvo.slot_pins
--   Writes   arvo.generation
--   Locks    arvo.generation rows, which only maintain() changes
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_finished integer;
BEGIN
    UPDATE arvo.generation AS old
    SET closed_at = v_now
    WHERE old.closed_at IS NULL
    AND EXISTS (
        SELECT
        FROM arvo.generation AS later
        WHERE later.number > old.number
        AND later.opened_by IS DISTINCT FROM pg_current_xact_id_if_assigned()
    );
    UPDATE arvo.generation AS old
    SET finished_at = v_now
    WHERE old.closed_at IS NOT NULL
    AND old.finished_at IS NULL
    AND old.emptied_at IS NULL
    AND NOT EXISTS (SELECT FROM arvo.slot_pins(old.slot, old.closed_at, 1));
    GET DIAGNOSTICS v_finished = ROW_COUNT;
    RETURN v_finished;
END;
$finish_generations$;

COMMENT ON FUNCTION arvo.finish_generations() IS
'Notes which old generations are closed and which are finished; returns how many became finished.';

REVOKE ALL ON FUNCTION arvo.finish_generations() FROM PUBLIC;
--! end

--! function arvo.fire_event
-- arvo.fire_event(schedule, fire_at, missed_from) — the event of one fire.
CREATE OR REPLACE FUNCTION arvo.fire_event(
    p_schedule arvo.schedule,
    p_fire_at timestamptz,
    p_missed_from timestamptz
)
RETURNS jsonb
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $fire_event$
-- The schedule's event, and what a fire adds, all of it in plain sight:
--   id              schedule/NAME/KEY/TIME: the same fire is the same event, whoever dispatches it
--   to              the schedule's, else its type, as a client's factory has it
--   subject         the schedule's, with {firetime} replaced; without one, a new workflow
--   schedulename, schedulekey (when there is one), firetime: extensions, text
--   missedfrom      extension, only when fires before this one were left out: the first of those
-- "time" is when it was dispatched, as of every event; firetime is when it should have been.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_time text := to_char(p_fire_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');
    v_event jsonb := p_schedule.event;
    v_id text := format('schedule/%s/%s/%s', p_schedule.name, p_schedule.key, v_time);
BEGIN
    RETURN v_event || jsonb_strip_nulls(jsonb_build_object(
        'id', v_id,
        'subject', coalesce(
            replace(v_event ->> 'subject', '{firetime}', v_time),
            arvo.fresh_subject(
                v_id,
                v_event ->> 'type',
                v_event ->> 'source',
                v_event ->> 'domain',
                v_event ->> 'redirectto',
                v_event ->> 'dataschema'
            )
        ),
        'to', coalesce(v_event ->> 'to', v_event ->> 'type'),
        'schedulename', p_schedule.name,
        'schedulekey', nullif(p_schedule.key, ''),
        'firetime', v_time,
        'missedfrom', to_char(p_missed_from AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
    ));
END;
$fire_event$;

COMMENT ON FUNCTION arvo.fire_event(arvo.schedule, timestamptz, timestamptz) IS
'The event that one fire of a schedule dispatches.';

REVOKE ALL ON FUNCTION arvo.fire_event(arvo.schedule, timestamptz, timestamptz) FROM PUBLIC;
--! end

--! function arvo.fire_floor
-- arvo.fire_floor(now) — the time behind which to look for due fires.
CREATE OR REPLACE FUNCTION arvo.fire_floor(p_now timestamptz)
RETURNS timestamptz
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $fire_floor$
-- Where the last pass ended. Every ten seconds, and when the clock has been put back, the beginning of
-- time: somebody may have made a schedule in a transaction that was committed late.
--
--   Reads    arvo.fire_pass
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    CASE
        WHEN newest.swept_at > p_now - interval '10 seconds'
            AND newest.swept_at <= p_now
            AND newest.done_to <= p_now
            THEN newest.done_to
        ELSE '-infinity'
    END
FROM arvo.fire_pass AS newest
ORDER BY newest.number DESC
LIMIT 1;
$fire_floor$;

COMMENT ON FUNCTION arvo.fire_floor(timestamptz) IS
'The time behind which to look for due fires.';

REVOKE ALL ON FUNCTION arvo.fire_floor(timestamptz) FROM PUBLIC;
--! end

--! function arvo.fire_schedule
-- arvo.fire_schedule(schedule, row, now) — dispatch what one schedule has due, and move it on.
CREATE OR REPLACE FUNCTION arvo.fire_schedule(
    p_schedule arvo.schedule,
    p_row tid,
    p_now timestamptz
)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $fire_schedule$
-- The caller holds the schedule's row, p_row, just read and due. Fires that are not older than grace are
-- dispatched, each of them. Older ones are missed:
--   skip   none is dispatched
--   one    the last of them, unless a fire that is in time follows at once
--   all    each of them, the oldest first, up to missed_limit; the rest is left out
-- What is left out stands in missed_from and missed_to, and in the next event. At most 1000 events
-- that are in time at once: what is left of those is due at the next call. What would fail is
-- recorded instead. Returns how many events were appended.
--
--   Reads    as arvo.cron_next, arvo.event_fault
--   Writes   arvo.schedule, arvo.omission; as arvo.append
--   Locks    as arvo.append
--   Raises   as arvo.append
DECLARE
    v_fields arvo.cron := p_schedule.fields;
    v_zone text := p_schedule.time_zone;
    v_gap text := p_schedule.gap;
    v_overlap text := p_schedule.overlap;
    v_next timestamptz := p_schedule.next_at;
    v_in_time timestamptz := p_now - p_schedule.grace;
    v_last timestamptz;
    v_resume timestamptz;
    v_times timestamptz[] := ARRAY[]::timestamptz[];
    v_missed_from timestamptz;
    v_missed_to timestamptz;
    v_marked timestamptz;
    v_events jsonb[] := ARRAY[]::jsonb[];
    v_fault text;
    v_accepted arvo_v1.dispatched[];
    v_appended integer;
BEGIN
    IF NOT arvo.is_time_zone(v_zone) THEN
        PERFORM arvo.fail_schedule(
            p_schedule, p_row, NULL, 'RV006', 'time zone is not known any more', v_zone
        );
        RETURN 0;
    END IF;

    IF v_next < v_in_time THEN
        v_last := coalesce(
            arvo.cron_last(
                v_fields, v_zone, v_next, v_in_time - interval '1 microsecond', v_gap, v_overlap
            ),
            v_next
        );
        v_resume := arvo.cron_next(v_fields, v_zone, v_last, v_gap, v_overlap);
        IF p_schedule.missed = 'all' THEN
            WHILE v_next <= v_last AND cardinality(v_times) < p_schedule.missed_limit LOOP
                v_times := v_times || v_next;
                v_next := arvo.cron_next(v_fields, v_zone, v_next, v_gap, v_overlap);
            END LOOP;
            IF v_next <= v_last THEN
                v_missed_from := v_next;
                v_missed_to := coalesce(v_resume, p_now);
            END IF;
        ELSIF p_schedule.missed = 'one' AND (v_resume > p_now OR v_resume IS NULL) THEN
            v_times := ARRAY[v_last];
            IF v_next < v_last THEN
                v_missed_from := v_next;
                v_missed_to := v_last;
            END IF;
        ELSE
            v_missed_from := v_next;
            v_missed_to := coalesce(v_resume, p_now);
        END IF;
        v_next := v_resume;
    END IF;
    WHILE v_next <= p_now AND cardinality(v_times) < 1000 LOOP
        v_times := v_times || v_next;
        v_next := arvo.cron_next(v_fields, v_zone, v_next, v_gap, v_overlap);
    END LOOP;

    -- The first event behind what was left out says so; if none follows yet, the next call's does.
    IF p_schedule.missed_to = p_schedule.next_at
        AND coalesce(v_missed_from, p_schedule.next_at) = p_schedule.next_at
    THEN
        v_missed_from := p_schedule.missed_from;
        v_missed_to := coalesce(v_missed_to, p_schedule.missed_to);
    END IF;
    FOR v_place IN 1 .. cardinality(v_times) LOOP
        v_marked := CASE
            WHEN v_times[v_place] >= v_missed_to
                AND (v_place = 1 OR v_times[v_place - 1] < v_missed_to)
                THEN v_missed_from
        END;
        v_events := v_events || arvo.fire_event(p_schedule, v_times[v_place], v_marked);
        v_fault := arvo.event_fault(v_events[v_place]);
        IF v_fault IS NOT NULL THEN
            PERFORM arvo.fail_schedule(
                p_schedule, p_row, v_next, 'RV001', 'event is not valid', v_fault
            );
            RETURN 0;
        END IF;
    END LOOP;

    IF cardinality(v_events) > 0 THEN
        SELECT array_agg(accepted ORDER BY accepted.ordinal) INTO v_accepted
        FROM arvo.append(v_events, p_schedule.options) AS accepted;
        -- Nobody is there to be told that a policy of the queue did not let an event in.
        INSERT INTO arvo.omission (
            at, queue, outcome, first_delivery, event_id, subject_key, event_key, event
        )
        SELECT
            p_now,
            accepted.queue,
            accepted.outcome,
            accepted.delivery,
            accepted.event_id,
            hashtextextended(v_events[accepted.ordinal] ->> 'subject', 0),
            hashtextextended(accepted.event_id, 0),
            v_events[accepted.ordinal]
        FROM unnest(v_accepted) AS accepted
        WHERE accepted.outcome IN ('duplicate', 'throttled');
    END IF;
    v_appended := cardinality(v_times);

    UPDATE arvo.schedule
    SET next_at = v_next,
        last_at = coalesce(v_times[v_appended], schedule.last_at),
        last_delivery = coalesce((v_accepted[cardinality(v_accepted)]).delivery, schedule.last_delivery),
        last_outcome = coalesce((v_accepted[cardinality(v_accepted)]).outcome, schedule.last_outcome),
        fires = schedule.fires + v_appended,
        missed_from = coalesce(v_missed_from, schedule.missed_from),
        missed_to = coalesce(v_missed_to, schedule.missed_to),
        error = NULL
    WHERE schedule.ctid = p_row;
    RETURN v_appended;
END;
$fire_schedule$;

COMMENT ON FUNCTION arvo.fire_schedule(arvo.schedule, tid, timestamptz) IS
'Dispatches the due fires of one schedule and moves it on; returns how many.';

REVOKE ALL ON FUNCTION arvo.fire_schedule(arvo.schedule, tid, timestamptz) FROM PUBLIC;
--! end

--! function arvo.fire_schedules
-- arvo.fire_schedules() — dispatch every fire that is due.
CREATE OR REPLACE FUNCTION arvo.fire_schedules()
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
SET lock_timeout = '20ms'
AS $fire_schedules$
-- Any number of sessions may call it: each takes the schedules that nobody else holds, appends their
-- events and moves next_at past them, in the caller's transaction. So a fire is dispatched once, or,
-- when that transaction is undone, still due. Nearly always nothing is: two probes of an index. They
-- begin where the last pass ended (arvo.fire_floor), so that they do not walk over old versions of rows
-- while somebody holds an old snapshot; what was committed behind that is found within ten seconds.
--
-- At most 100 schedules at once, the longest due first; the next call goes on. They are fired
-- together in one block. Only if that fails, which what is checked before makes rare, is each fired
-- in a block of its own, and the one that fails is recorded and goes on with its next fire. Errors
-- that are the session's or the server's (resources, another cluster) are nobody's fault here: they
-- are raised, and the fires stay due. So does one whose place or interval somebody is taking in a
-- transaction that is still open: claims do not wait for that. Returns how many events were appended.
--
--   Reads    arvo.clock; as arvo.fire_floor, arvo.fire_schedule
--   Writes   arvo.schedule, arvo.fire_pass; as arvo.fire_schedule
--   Locks    arvo.schedule rows, tried; as arvo.append
--   Raises   RV902  the stored transaction numbers are of another cluster
DECLARE
    v_now timestamptz := arvo.clock();
    v_floor timestamptz := arvo.fire_floor(v_now);
    v_due arvo.schedule[];
    v_row tid[];
    v_left timestamptz;
    v_number bigint;
    v_fired integer := 0;
    v_together boolean := true;
    v_code text;
    v_message text;
    v_detail text;
BEGIN
    IF NOT EXISTS (
        SELECT FROM arvo.schedule WHERE schedule.next_at > v_floor AND schedule.next_at <= v_now
    ) THEN
        IF v_floor = '-infinity' AND EXISTS (
            SELECT FROM arvo.schedule WHERE schedule.next_at > v_now
        ) THEN
            INSERT INTO arvo.fire_pass (done_to, swept_at) VALUES (v_now, v_now);
        END IF;
        RETURN 0;
    END IF;
    PERFORM arvo.require_home();
    SELECT array_agg(taken.due), array_agg(taken.row) INTO v_due, v_row
    FROM (
        SELECT due, due.ctid AS row
        FROM arvo.schedule AS due
        WHERE due.next_at > v_floor AND due.next_at <= v_now
        ORDER BY due.next_at, due.schedule
        LIMIT 100
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS taken;
    IF v_due IS NULL THEN
        RETURN 0;
    END IF;

    BEGIN
        FOR v_place IN 1 .. cardinality(v_due) LOOP
            v_fired := v_fired + arvo.fire_schedule(v_due[v_place], v_row[v_place], v_now);
        END LOOP;
    EXCEPTION
        WHEN OTHERS THEN
            IF SQLSTATE <> '55P03' AND SQLSTATE ~ '^(25|40|53|54|55|57|58|F0|RV9|XX)' THEN
                RAISE;
            END IF;
            v_together := false;
    END;
    IF NOT v_together THEN
        v_fired := 0;
    END IF;
    FOR v_place IN 1 .. CASE WHEN v_together THEN 0 ELSE cardinality(v_due) END LOOP
        BEGIN
            v_fired := v_fired + arvo.fire_schedule(v_due[v_place], v_row[v_place], v_now);
        EXCEPTION
            WHEN lock_not_available THEN
                CONTINUE;
            WHEN OTHERS THEN
                IF SQLSTATE ~ '^(25|40|53|54|55|57|58|F0|RV9|XX)' THEN
                    RAISE;
                END IF;
                GET STACKED DIAGNOSTICS
                    v_code = RETURNED_SQLSTATE,
                    v_message = MESSAGE_TEXT,
                    v_detail = PG_EXCEPTION_DETAIL;
                PERFORM arvo.fail_schedule(
                    v_due[v_place],
                    v_row[v_place],
                    arvo.cron_next(
                        (v_due[v_place]).fields, (v_due[v_place]).time_zone, v_now,
                        (v_due[v_place]).gap, (v_due[v_place]).overlap
                    ),
                    v_code,
                    v_message,
                    left(v_detail, 1000)
                );
        END;
    END LOOP;

    -- What somebody else holds, and what was too much for this call, is due still.
    SELECT min(still.next_at) INTO v_left
    FROM arvo.schedule AS still
    WHERE still.next_at > v_floor AND still.next_at <= v_now;
    INSERT INTO arvo.fire_pass (done_to, swept_at)
    SELECT
        coalesce(v_left - interval '1 microsecond', v_now),
        CASE WHEN v_floor = '-infinity' THEN v_now ELSE newest.swept_at END
    FROM arvo.fire_pass AS newest
    ORDER BY newest.number DESC
    LIMIT 1
    RETURNING fire_pass.number INTO v_number;
    IF v_number % 100 = 0 THEN
        DELETE FROM arvo.fire_pass
        WHERE fire_pass.number IN (
            SELECT gone.number
            FROM arvo.fire_pass AS gone
            WHERE gone.number < v_number - 100
            ORDER BY gone.number DESC
            LIMIT 1000
            FOR UPDATE SKIP LOCKED
        );
    END IF;
    RETURN v_fired;
END;
$fire_schedules$;

COMMENT ON FUNCTION arvo.fire_schedules() IS
'Dispatches every fire that is due, once, whatever the number of sessions; returns how many.';

REVOKE ALL ON FUNCTION arvo.fire_schedules() FROM PUBLIC;
--! end

--! function arvo.first_of
-- arvo.first_of(log row) — the first delivery of an event.
CREATE OR REPLACE FUNCTION arvo.first_of(p_entry arvo.log)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $first_of$
-- Retries, redeliveries and notices of an event name its first delivery; once the event was written
-- again (see arvo.carried_body), their cause does.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT coalesce(
    (p_entry.cause ->> 'first')::bigint, p_entry.origin_delivery, p_entry.delivery
);
$first_of$;

COMMENT ON FUNCTION arvo.first_of(arvo.log) IS
'Number of the first delivery of the event that a delivery carries.';

REVOKE ALL ON FUNCTION arvo.first_of(arvo.log) FROM PUBLIC;
--! end

--! function arvo.first_unclaimed
-- arvo.first_unclaimed(head, low, high) — the oldest delivery that a lane's cursor has not reached.
CREATE OR REPLACE FUNCTION arvo.first_unclaimed(
    p_head arvo.lease,
    p_low_slot integer DEFAULT 0,
    p_high_slot integer DEFAULT 3
)
RETURNS SETOF arvo.log
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $first_unclaimed$
-- p_head is the newest lease row of the lane; only slots p_low_slot to p_high_slot are looked at. One
-- probe behind the cursor, and one for each transaction that was open when a snapshot of its window
-- was taken: what has been claimed is never walked over. Of these the one that was appended first;
-- no row when all has been claimed. Whoever asks without the lane's lock may get an old answer.
--
--   Reads    arvo.log, by (lane, xid, delivery)
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT entry.*
FROM (
    (
        SELECT log.*
        FROM arvo.log
        WHERE log.slot BETWEEN p_low_slot AND p_high_slot
        AND log.lane = p_head.lane
        AND (log.xid, log.delivery) > (
            CASE
                WHEN p_head.exhausted THEN pg_snapshot_xmax(p_head.snapshot)
                ELSE greatest(p_head.last_xid, pg_snapshot_xmax(p_head.previous_snapshot))
            END,
            CASE
                WHEN p_head.exhausted
                    OR p_head.last_xid < pg_snapshot_xmax(p_head.previous_snapshot) THEN 0
                ELSE p_head.last_delivery
            END
        )
        ORDER BY log.xid, log.delivery
        LIMIT 1
    )
    UNION ALL
    SELECT late.*
    FROM (
        SELECT listed.xid FROM pg_snapshot_xip(p_head.previous_snapshot) AS listed (xid)
        UNION
        SELECT listed.xid FROM pg_snapshot_xip(p_head.snapshot) AS listed (xid)
    ) AS open
    CROSS JOIN LATERAL (
        SELECT log.*
        FROM arvo.log
        WHERE log.slot BETWEEN p_low_slot AND p_high_slot
        AND log.lane = p_head.lane
        AND log.xid = open.xid
        AND log.delivery > CASE
            WHEN open.xid = p_head.last_xid AND NOT p_head.exhausted THEN p_head.last_delivery
            ELSE 0
        END
        ORDER BY log.delivery
        LIMIT 1
    ) AS late
    WHERE arvo.is_unclaimed(p_head, late.xid, late.delivery)
) AS entry
ORDER BY entry.at, entry.delivery
LIMIT 1;
$first_unclaimed$;

COMMENT ON FUNCTION arvo.first_unclaimed(arvo.lease, integer, integer) IS
'The oldest delivery in some slots that a lane''s cursor has not reached, if there is one.';

REVOKE ALL ON FUNCTION arvo.first_unclaimed(arvo.lease, integer, integer) FROM PUBLIC;
--! end

--! function arvo.forget_keys
-- arvo.forget_keys(items) — take back the keys of events that did not get in.
CREATE OR REPLACE FUNCTION arvo.forget_keys(p_items arvo.arrival[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $forget_keys$
-- An event that was new but was throttled is no duplicate when it comes again. One statement for
-- each partition, as in arvo.known_keys; this transaction wrote the rows, so it locks nothing new.
--
--   Reads    nothing
--   Writes   arvo.event_key
--   Locks    nothing that this transaction has not written
--   Raises   nothing
DECLARE
    v_queues integer[];
    v_keys bytea[];
    v_deliveries bigint[];
BEGIN
    SELECT
        array_agg(item.queue), array_agg(arvo.event_digest(item.event)), array_agg(item.delivery)
    INTO v_queues, v_keys, v_deliveries
    FROM unnest(p_items) AS item
    WHERE item.outcome = 'throttled';
    IF v_queues IS NULL THEN
        RETURN;
    END IF;
    DELETE FROM arvo.event_key_0 AS known
    USING unnest(v_queues, v_keys, v_deliveries) AS given (queue, key, delivery)
    WHERE known.slot = 0 AND known.queue = given.queue AND known.key = given.key
    AND known.delivery = given.delivery;
    DELETE FROM arvo.event_key_1 AS known
    USING unnest(v_queues, v_keys, v_deliveries) AS given (queue, key, delivery)
    WHERE known.slot = 1 AND known.queue = given.queue AND known.key = given.key
    AND known.delivery = given.delivery;
    DELETE FROM arvo.event_key_2 AS known
    USING unnest(v_queues, v_keys, v_deliveries) AS given (queue, key, delivery)
    WHERE known.slot = 2 AND known.queue = given.queue AND known.key = given.key
    AND known.delivery = given.delivery;
END;
$forget_keys$;

COMMENT ON FUNCTION arvo.forget_keys(arvo.arrival[]) IS
'Removes the deduplication keys of arriving events that were throttled.';

REVOKE ALL ON FUNCTION arvo.forget_keys(arvo.arrival[]) FROM PUBLIC;
--! end

--! function arvo.forget_slot
-- arvo.forget_slot(slot) — take an emptied slot of the log out of the tallies.
CREATE OR REPLACE FUNCTION arvo.forget_slot(p_slot smallint)
RETURNS void
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $forget_slot$
-- For whoever has emptied that slot in the same transaction, after arvo.tally_lanes.
--
--   Reads    nothing
--   Writes   arvo.tally
--   Locks    arvo.tally rows
--   Raises   nothing
UPDATE arvo.tally
SET kept[p_slot + 1] = 0
WHERE tally.kept[p_slot + 1] <> 0;
$forget_slot$;

COMMENT ON FUNCTION arvo.forget_slot(smallint) IS
'Sets what tallies keep for an emptied slot of the log to zero.';

REVOKE ALL ON FUNCTION arvo.forget_slot(smallint) FROM PUBLIC;
--! end

--! function arvo.forget_workers
-- arvo.forget_workers(after) — strike off processes that have long been silent.
CREATE OR REPLACE FUNCTION arvo.forget_workers(p_after interval DEFAULT interval '1 day')
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $forget_workers$
-- With them goes what they had registered; also what was registered that long ago by a process that
-- never checked in. Queues stay as they are. Returns how many rows went. For maintain().
--
--   Reads    arvo.clock
--   Writes   arvo.worker, arvo.registration
--   Locks    their rows
--   Raises   nothing
DECLARE
    v_before timestamptz := arvo.clock() - p_after;
    v_workers bigint;
    v_registrations bigint;
BEGIN
    DELETE FROM arvo.worker WHERE worker.seen_at < v_before;
    GET DIAGNOSTICS v_workers = ROW_COUNT;
    DELETE FROM arvo.registration
    WHERE registration.at < v_before
    AND NOT EXISTS (SELECT FROM arvo.worker WHERE worker.worker = registration.worker);
    GET DIAGNOSTICS v_registrations = ROW_COUNT;
    RETURN v_workers + v_registrations;
END;
$forget_workers$;

COMMENT ON FUNCTION arvo.forget_workers(interval) IS
'Deletes processes that have been silent for so long, and their registrations.';

REVOKE ALL ON FUNCTION arvo.forget_workers(interval) FROM PUBLIC;
--! end

--! function arvo.free_places
-- arvo.free_places(queue, kind, keys, deliveries) — give places back.
CREATE OR REPLACE FUNCTION arvo.free_places(
    p_queue integer,
    p_kind text,
    p_keys bigint[],
    p_deliveries bigint[]
)
RETURNS void
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $free_places$
-- p_deliveries are first deliveries: a place is freed only by the event that has it. A free place is
-- a row, too, of the next number; the row before is deleted, where no look-up meets
-- it; by its ctid, for rows are never updated, and no join may read all places.
--
--   Reads    arvo.singleton, arvo.clock
--   Writes   arvo.singleton
--   Locks    arvo.singleton rows of these places
--   Raises   nothing
WITH taken AS MATERIALIZED (
    SELECT newest.key, newest.number, newest.row
    FROM (
        SELECT given.key, given.delivery
        FROM unnest(p_keys, p_deliveries) AS given (key, delivery)
        ORDER BY given.key
    ) AS given
    CROSS JOIN LATERAL (
        SELECT place.key, place.number, place.delivery, place.ctid AS row
        FROM arvo.singleton AS place
        WHERE place.queue = p_queue AND place.kind = p_kind AND place.key = given.key
        ORDER BY place.number DESC
        LIMIT 1
    ) AS newest
    WHERE newest.delivery = given.delivery
),

freed AS (
    INSERT INTO arvo.singleton (queue, kind, key, number, delivery, at)
    SELECT p_queue, p_kind, taken.key, taken.number + 1, NULL, arvo.clock()
    FROM taken
    ORDER BY taken.key
)

DELETE FROM arvo.singleton AS gone
USING taken
WHERE gone.ctid = taken.row;
$free_places$;

COMMENT ON FUNCTION arvo.free_places(integer, text, bigint[], bigint[]) IS
'Frees the places that some events have.';

REVOKE ALL ON FUNCTION arvo.free_places(integer, text, bigint[], bigint[]) FROM PUBLIC;
--! end

--! function arvo.freeze_slot
-- arvo.freeze_slot(slot) — keep everybody from writing into an old generation.
CREATE OR REPLACE FUNCTION arvo.freeze_slot(p_slot smallint)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $freeze_slot$
-- Nobody writes there but a transaction from long ago; readers are not hindered. Once this is had, a
-- look at what is needed there stays true until the transaction ends.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    the slot's partitions of lease, closure and log: SHARE, tried, never waited for
--   Raises   55P03  somebody is writing there, or is vacuuming it
BEGIN
    IF p_slot = 0 THEN
        LOCK TABLE arvo.lease_0, arvo.closure_0, arvo.log_0 IN SHARE MODE NOWAIT;
    ELSIF p_slot = 1 THEN
        LOCK TABLE arvo.lease_1, arvo.closure_1, arvo.log_1 IN SHARE MODE NOWAIT;
    ELSIF p_slot = 2 THEN
        LOCK TABLE arvo.lease_2, arvo.closure_2, arvo.log_2 IN SHARE MODE NOWAIT;
    ELSE
        LOCK TABLE arvo.lease_3, arvo.closure_3, arvo.log_3 IN SHARE MODE NOWAIT;
    END IF;
END;
$freeze_slot$;

COMMENT ON FUNCTION arvo.freeze_slot(smallint) IS
'Locks the partitions of a slot against writers.';

REVOKE ALL ON FUNCTION arvo.freeze_slot(smallint) FROM PUBLIC;
--! end

--! function arvo.fresh_subject
-- arvo.fresh_subject(id, type, source, domain, redirectto, dataschema) — name a new workflow.
CREATE OR REPLACE FUNCTION arvo.fresh_subject(
    p_id text,
    p_type text,
    p_source text,
    p_domain text,
    p_redirectto text,
    p_dataschema text
)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $fresh_subject$
-- What a client's factory does for an event without a subject: the base64 of the zlib stream of a
-- small JSON text, which names the orchestrator (the type), its version (the end of dataschema, else
-- 0.0.0), the execution (p_id) and its initiator (p_source). The stream is stored, not
-- compressed: every reader takes that. A source that can be no initiator gets p_id for a subject.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_text bytea;
    v_size integer;
    v_low bigint := 1::bigint;
    v_high bigint := 0::bigint;
BEGIN
    IF p_source !~ '^[a-z0-9]+(\.[a-z0-9]+)+\.[a-z0-9]+$' THEN
        RETURN p_id;
    END IF;
    v_text := convert_to(
        format(
            '{"orchestrator":{"name":%s,"version":%s},'
            '"execution":{"id":%s,"initiator":%s,"domain":%s},"meta":{%s}}',
            to_json(p_type),
            to_json(coalesce(substring(p_dataschema FROM '/(\d+\.\d+\.\d+)$'), '0.0.0')),
            to_json(p_id),
            to_json(p_source),
            coalesce(to_json(p_domain)::text, 'null'),
            '"redirectto":' || to_json(p_redirectto)
        ),
        'UTF8'
    );
    v_size := length(v_text);
    IF v_size > 65535 THEN
        RETURN p_id;
    END IF;
    FOR v_place IN 0 .. v_size - 1 LOOP
        v_low := (v_low + get_byte(v_text, v_place)) % 65521;
        v_high := (v_high + v_low) % 65521;
    END LOOP;
    -- One block: header; last and stored; its size, and that inverted; the text; Adler-32.
    RETURN translate(
        encode(
            '\x780101'::bytea
            || set_byte(set_byte('\x0000'::bytea, 0, v_size % 256), 1, v_size / 256)
            || set_byte(set_byte('\x0000'::bytea, 0, 255 - v_size % 256), 1, 255 - v_size / 256)
            || v_text
            || substring(int8send(v_high * 65536 + v_low) FROM 5),
            'base64'
        ),
        E'\n', ''
    );
END;
$fresh_subject$;

COMMENT ON FUNCTION arvo.fresh_subject(text, text, text, text, text, text) IS
'The subject of a new workflow, as a client''s factory makes it.';

REVOKE ALL ON FUNCTION
arvo.fresh_subject(text, text, text, text, text, text) FROM PUBLIC;
--! end

--! function arvo.frontier_of
-- arvo.frontier_of(previous, snapshot, last, exhausted) — where the rows begin that a cursor has not passed.
CREATE OR REPLACE FUNCTION arvo.frontier_of(
    p_previous_snapshot pg_snapshot,
    p_snapshot pg_snapshot,
    p_last_xid xid8,
    p_last_delivery bigint,
    p_exhausted boolean
)
RETURNS arvo.frontier
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $frontier_of$
-- A cursor is a window between two snapshots and the position reached in it; see arvo.claim_lane.
-- Not passed are the rows behind a bound, and before it those of single transactions that its
-- snapshots list as open. So they are found by index, however far back an open transaction began.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_frontier arvo.frontier;
BEGIN
    v_frontier.from_delivery := 0;
    IF p_exhausted THEN
        v_frontier.last_xid := '0';
        v_frontier.last_delivery := 0;
        v_frontier.from_xid := pg_snapshot_xmax(p_snapshot);
        v_frontier.late := ARRAY(SELECT pg_snapshot_xip(p_snapshot));
        RETURN v_frontier;
    END IF;

    v_frontier.last_xid := p_last_xid;
    v_frontier.last_delivery := p_last_delivery;
    v_frontier.from_xid := pg_snapshot_xmax(p_previous_snapshot);
    IF p_last_xid >= v_frontier.from_xid THEN
        v_frontier.from_xid := p_last_xid;
        v_frontier.from_delivery := p_last_delivery;
    END IF;
    v_frontier.late := ARRAY(
        SELECT listed.xid
        FROM pg_snapshot_xip(p_snapshot) AS listed (xid)
        WHERE listed.xid < v_frontier.from_xid
        UNION
        SELECT listed.xid
        FROM pg_snapshot_xip(p_previous_snapshot) AS listed (xid)
        WHERE listed.xid >= p_last_xid
        AND listed.xid < v_frontier.from_xid
        AND pg_visible_in_snapshot(listed.xid, p_snapshot)
    );
    RETURN v_frontier;
END;
$frontier_of$;

COMMENT ON FUNCTION arvo.frontier_of(pg_snapshot, pg_snapshot, xid8, bigint, boolean) IS
'Where the rows of a lane''s log begin that a cursor has not passed.';

REVOKE ALL ON FUNCTION
arvo.frontier_of(pg_snapshot, pg_snapshot, xid8, bigint, boolean) FROM PUBLIC;
--! end

--! function arvo.generation_pins
-- arvo.generation_pins(limit) — what keeps history from being emptied.
CREATE OR REPLACE FUNCTION arvo.generation_pins(p_limit integer DEFAULT 100)
RETURNS SETOF arvo.pin
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $generation_pins$
-- Of every generation that is not in use any more and not finished yet; no rows when all is well.
--
--   Reads    arvo.generation, arvo.clock; as arvo.slot_pins
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT old.number, pin.kind, pin.queue, pin.lane, pin.delivery, pin.at
FROM arvo.generation AS old
CROSS JOIN LATERAL arvo.slot_pins(
    old.slot, coalesce(old.closed_at, arvo.clock()), p_limit
) AS pin
WHERE old.emptied_at IS NULL
AND old.finished_at IS NULL
AND old.number < (SELECT max(newest.number) FROM arvo.generation AS newest)
ORDER BY old.number
LIMIT p_limit;
$generation_pins$;

COMMENT ON FUNCTION arvo.generation_pins(integer) IS
'What keeps old generations from being emptied: queue, lane, kind and an example.';

REVOKE ALL ON FUNCTION arvo.generation_pins(integer) FROM PUBLIC;
--! end

DROP FUNCTION arvo.give_back(integer, xid8, xid8, bigint, text, jsonb, interval);
--! function arvo.give_back
-- arvo.give_back(item, queue) — what becomes of a delivery that did not complete.
CREATE OR REPLACE FUNCTION arvo.give_back(p_item arvo.result, p_queue arvo.queue)
RETURNS arvo.result
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $give_back$
-- One place decides: retry with back-off, dead letter, or back without charging the attempt. What
-- happened is p_item.asked, or conflict when that is its verdict:
--
--   failed      the handler raised              retried while attempts are left, else dead; or as the
--                                               queue's error_rules say for the error's name
--   expired     the lease lapsed                retried or dead; dead with reason lease_expired
--   rejected    the handler says: never again   dead
--   released    the worker could not run it     again, same attempt
--   snoozed     the handler says: later         again after p_item.after, same attempt
--   conflict    the state had moved on          again, same attempt; charged from the 100th on
--
-- Options of the delivery come before those of its queue. In a stately queue a retry needs the place
-- that its key has for retries; when it is taken, the delivery is dead. Returns p_item with its
-- verdict for the journal (retried, dead, released, snoozed or conflict) and the further delivery.
--
--   Reads    arvo.log by (lane, xid, delivery), arvo.clock
--   Writes   arvo.log or arvo.deferred or arvo.dead; as arvo.take_place
--   Locks    as arvo.bury; as arvo.take_place
--   Raises   RV901  the delivery is not in the log
DECLARE
    v_entry arvo.log;
    v_outcome text := coalesce(nullif(p_item.verdict, 'refused'), p_item.asked);
    v_rule jsonb;
    v_cause jsonb;
    v_count integer;
    v_after interval := p_item.after;
    v_error jsonb := p_item.error;
BEGIN
    SELECT entry.* INTO v_entry
    FROM arvo.log AS entry
    WHERE entry.lane = p_item.lane
    AND entry.xid >= coalesce(p_item.xid, p_item.low_xid)
    AND entry.xid <= coalesce(p_item.xid, p_item.high_xid)
    AND entry.delivery = p_item.delivery;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a leased delivery is not in the log'
        USING ERRCODE = 'RV901',
              DETAIL = format('lane %s, delivery %s', p_item.lane, p_item.delivery),
              HINT = 'Please report this: it should be impossible.';
    END IF;

    IF v_outcome = 'failed' AND v_after IS NULL THEN
        v_rule := p_queue.error_rules -> (v_error ->> 'name');
        IF v_rule = '"dead"' THEN
            v_outcome := 'rejected';
        ELSIF v_rule ? 'snooze' THEN
            v_outcome := 'snoozed';
            v_after := make_interval(secs => (v_rule ->> 'snooze')::double precision);
        ELSIF v_rule ? 'retry_after' THEN
            v_after := make_interval(secs => (v_rule ->> 'retry_after')::double precision);
        END IF;
    END IF;

    v_cause := coalesce(v_entry.cause, '{}'::jsonb) || jsonb_build_object(
        'delivery', v_entry.delivery,
        'outcome', v_outcome,
        'error', v_error
    );

    IF v_outcome = 'released' THEN
        p_item.next := arvo.again(v_entry, v_entry.attempt, NULL, v_cause);
        p_item.verdict := 'released';
        RETURN p_item;
    ELSIF v_outcome = 'snoozed' THEN
        p_item.next := arvo.again(v_entry, v_entry.attempt, v_after, v_cause);
        p_item.verdict := 'snoozed';
        RETURN p_item;
    ELSIF v_outcome = 'conflict' THEN
        v_count := coalesce((v_cause ->> 'conflicts')::integer, 0) + 1;
        IF v_count < 100 THEN
            p_item.next := arvo.again(
                v_entry, v_entry.attempt, NULL,
                v_cause || jsonb_build_object('conflicts', v_count)
            );
            p_item.verdict := 'conflict';
            RETURN p_item;
        END IF;
    ELSIF v_outcome = 'rejected' THEN
        PERFORM arvo.bury(
            v_entry, p_queue,
            CASE WHEN p_item.asked = 'rejected' THEN 'rejected' ELSE 'failed' END, v_error
        );
        p_item.verdict := 'dead';
        RETURN p_item;
    ELSIF v_outcome = 'expired' THEN
        v_count := coalesce((v_cause ->> 'expiries')::integer, 0) + 1;
        v_cause := v_cause || jsonb_build_object('expiries', v_count);
        v_error := v_error || jsonb_build_object(
            'message', format('lease_expired ×%s: %s', v_count, v_error ->> 'message')
        );
    END IF;

    IF v_entry.attempt > coalesce(
        (v_entry.options ->> 'retry_limit')::integer, p_queue.retry_limit
    ) OR (
        p_queue.policy = 'stately'
        AND arvo.take_place(
            p_queue.queue, 'retry', arvo.key_for(p_queue, v_entry),
            arvo.first_of(v_entry)
        ) IS NOT NULL
    ) THEN
        PERFORM arvo.bury(
            v_entry,
            p_queue,
            CASE WHEN v_outcome = 'expired' THEN 'lease_expired' ELSE 'failed' END,
            v_error
        );
        p_item.verdict := 'dead';
        RETURN p_item;
    END IF;

    v_after := coalesce(
        v_after,
        arvo.retry_delay(
            coalesce((v_entry.options ->> 'retry_delay')::interval, p_queue.retry_delay),
            coalesce((v_entry.options ->> 'retry_backoff')::boolean, p_queue.retry_backoff),
            coalesce((v_entry.options ->> 'retry_delay_max')::interval, p_queue.retry_delay_max),
            v_entry.attempt, random()
        )
    );
    p_item.next := arvo.again(v_entry, v_entry.attempt + 1, v_after, v_cause - 'conflicts');
    p_item.verdict := 'retried';
    RETURN p_item;
END;
$give_back$;

COMMENT ON FUNCTION arvo.give_back(arvo.result, arvo.queue) IS
'Decides what becomes of a delivery that did not complete: retry, dead letter, or back uncharged.';

REVOKE ALL ON FUNCTION arvo.give_back(arvo.result, arvo.queue) FROM PUBLIC;
--! end

--! function arvo.grasp_dead
-- arvo.grasp_dead(dead, wait) — lock dead letters; answer those that may be moved.
CREATE OR REPLACE FUNCTION arvo.grasp_dead(p_dead bigint[], p_wait boolean)
RETURNS bigint[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $grasp_dead$
-- That is: open, not held by somebody else's transaction, and their delivery in a dead-letter queue
-- (if there is one) in nobody's hands: not claimed yet, or parked behind another. Only the first
-- call of a statement may wait for lanes (p_wait): whoever holds a lane may wait for a row that is
-- locked here. The rows are had by number: asked as "resolution IS NULL", they could be had by an
-- index of all open letters too.
--
--   Reads    arvo.dead, arvo.lane, arvo.queue, arvo.lease, arvo.parked
--   Writes   nothing
--   Locks    lanes of the dead-letter queues (of a gated one its home lane too), in order, or tried;
--            then arvo.dead rows (those that somebody else holds are skipped)
--   Raises   nothing
DECLARE
    v_dead record;
    v_head arvo.lease;
    v_free bigint[] := '{}'::bigint[];
BEGIN
    IF p_wait THEN
        PERFORM pg_advisory_xact_lock(hashtext('arvo'), received.lane)
        FROM (
            SELECT DISTINCT needed.lane
            FROM arvo.dead
            LEFT JOIN arvo.lane ON lane.lane = dead.dead_letter_lane
            LEFT JOIN arvo.queue ON queue.queue = lane.queue AND queue.gated
            CROSS JOIN LATERAL
                unnest(ARRAY[dead.dead_letter_lane, arvo.home_lane(queue.queue)]) AS needed (lane)
            WHERE dead.dead = ANY (p_dead)
            AND coalesce(dead.resolution, 'open') = 'open'
            AND needed.lane IS NOT NULL
            ORDER BY needed.lane
        ) AS received;
    END IF;

    -- A statement of its own: it must see what the last holder of these locks committed.
    FOR v_dead IN
        SELECT
            dead.dead,
            dead.dead_letter_lane AS lane,
            dead.dead_letter_xid AS xid,
            dead.dead_letter_delivery AS delivery
        FROM arvo.dead
        WHERE dead.dead = ANY (p_dead)
        AND coalesce(dead.resolution, 'open') = 'open'
        ORDER BY dead.dead
        FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        IF v_dead.lane IS NOT NULL THEN
            -- A lane that came up since the locks were taken is left to the next call.
            CONTINUE WHEN v_dead.xid IS NULL OR NOT pg_try_advisory_xact_lock(
                hashtext('arvo'), v_dead.lane
            );
            CONTINUE WHEN EXISTS (
                SELECT
                FROM arvo.lane
                INNER JOIN arvo.queue ON queue.queue = lane.queue
                WHERE lane.lane = v_dead.lane
                AND queue.gated
                AND NOT pg_try_advisory_xact_lock(
                    hashtext('arvo'), arvo.home_lane(queue.queue)
                )
            );
            SELECT head.* INTO v_head
            FROM arvo.lease AS head
            WHERE head.lane = v_dead.lane
            ORDER BY head.number DESC
            LIMIT 1;
            -- Of a lane that is no more, nobody has anything in hand.
            CONTINUE WHEN FOUND
                AND NOT arvo.is_unclaimed(v_head, v_dead.xid, v_dead.delivery)
                AND NOT EXISTS (SELECT FROM arvo.parked WHERE parked.delivery = v_dead.delivery);
        END IF;
        v_free := v_free || v_dead.dead;
    END LOOP;
    RETURN v_free;
END;
$grasp_dead$;

COMMENT ON FUNCTION arvo.grasp_dead(bigint[], boolean) IS
'Locks dead letters and their lanes; returns the numbers of those that may be moved.';

REVOKE ALL ON FUNCTION arvo.grasp_dead(bigint[], boolean) FROM PUBLIC;
--! end

--! function arvo.hand_out
-- arvo.hand_out(queue, lease, batch) — leased deliveries, as a worker gets them.
CREATE OR REPLACE FUNCTION arvo.hand_out(
    p_queue arvo.queue,
    p_lease arvo.lease,
    p_batch arvo.log[]
)
RETURNS SETOF arvo_v1.claimed
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $hand_out$
-- In the order of the batch. Deliveries of a stateful queue come with the state of their subject.
--
--   Reads    arvo.state, by subject; as arvo.event_of
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    IF p_queue.stateful OR p_queue.policy = 'ordered' THEN
        RETURN QUERY
        SELECT
            p_lease.token, taken.delivery, p_queue.name, taken.attempt, p_lease.expires_at,
            coalesce((taken.options ->> 'expire_in')::interval, p_queue.expire_in),
            whole.event, taken.cause,
            state.data,
            CASE WHEN p_queue.stateful THEN coalesce(state.version, 0) END,
            CASE WHEN p_queue.policy = 'ordered' THEN arvo.key_for(p_queue, taken) END
        FROM unnest(p_batch) AS taken
        CROSS JOIN LATERAL (SELECT arvo.event_of(taken) AS event) AS whole
        LEFT JOIN arvo.state
            ON p_queue.stateful
            AND state.subject_digest = arvo.subject_digest(whole.event ->> 'subject');
    ELSE
        RETURN QUERY
        SELECT
            p_lease.token, taken.delivery, p_queue.name, taken.attempt, p_lease.expires_at,
            coalesce((taken.options ->> 'expire_in')::interval, p_queue.expire_in),
            CASE WHEN taken.event IS NULL THEN arvo.event_of(taken) ELSE taken.event END,
            taken.cause, NULL::jsonb, NULL::bigint, NULL::bigint
        FROM unnest(p_batch) AS taken;
    END IF;
END;
$hand_out$;

COMMENT ON FUNCTION arvo.hand_out(arvo.queue, arvo.lease, arvo.log[]) IS
'Leased deliveries with events, and states where the queue is stateful.';

REVOKE ALL ON FUNCTION arvo.hand_out(arvo.queue, arvo.lease, arvo.log[]) FROM PUBLIC;
--! end

--! function arvo.has_new_rules
-- arvo.has_new_rules(before, after) — whether what stands in line of a queue must meet new rules.
CREATE OR REPLACE FUNCTION arvo.has_new_rules(p_before arvo.queue, p_after arvo.queue)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $has_new_rules$
-- By another policy, or because claims go through arvo.turn now, or no longer do. What a delivery's key
-- is was decided when it was dispatched, and limits are looked at whenever something is claimed: these
-- are no new rules.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT p_before.policy IS DISTINCT FROM p_after.policy
    OR (
        p_before.policy NOT IN ('ordered', 'singleton', 'stately')
        AND num_nonnulls(
            p_before.max_active, p_before.key_max_active, p_before.rate_limit,
            p_before.key_rate_limit
        ) > 0 IS DISTINCT FROM num_nonnulls(
            p_after.max_active, p_after.key_max_active, p_after.rate_limit, p_after.key_rate_limit
        ) > 0
    );
$has_new_rules$;

COMMENT ON FUNCTION arvo.has_new_rules(arvo.queue, arvo.queue) IS
'Whether the policy of a queue has changed, or whether claims go through its keys.';

REVOKE ALL ON FUNCTION arvo.has_new_rules(arvo.queue, arvo.queue) FROM PUBLIC;
--! end

--! function arvo.has_own
-- arvo.has_own(queues) — whether this transaction has appended to some queues.
CREATE OR REPLACE FUNCTION arvo.has_own(p_queues text[])
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $has_own$
-- A claim cannot hand out what its own transaction has promoted, taken back or emitted: to its
-- window those rows are still open. The next claim can. A name that ends in * stands for every queue
-- that begins so.
--
--   Reads    arvo.queue, arvo.lane, arvo.log by (lane, xid)
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_own xid8 := pg_current_xact_id_if_assigned();
BEGIN
    RETURN v_own IS NOT NULL AND EXISTS (
        SELECT
        FROM unnest(p_queues) AS asked (name)
        INNER JOIN arvo.queue
            ON queue.name = asked.name
            OR (asked.name LIKE '%*' AND starts_with(queue.name, left(asked.name, -1)))
        INNER JOIN arvo.lane ON lane.queue = queue.queue AND NOT lane.retired
        INNER JOIN arvo.log ON log.lane = lane.lane AND log.xid = v_own
    );
END;
$has_own$;

COMMENT ON FUNCTION arvo.has_own(text[]) IS
'Whether this transaction has appended deliveries to the named queues.';

REVOKE ALL ON FUNCTION arvo.has_own(text[]) FROM PUBLIC;
--! end

--! function arvo.head_of
-- arvo.head_of(lane) — the newest lease row of a lane: its cursor.
CREATE OR REPLACE FUNCTION arvo.head_of(p_lane integer)
RETURNS arvo.lease
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $head_of$
-- Asked in a statement of its own, it sees what the last holder of the lane's lock committed.
--
--   Reads    arvo.lease by (lane, number)
--   Writes   nothing
--   Locks    nothing
--   Raises   P0002  the lane has no lease row at all
DECLARE
    v_head arvo.lease;
BEGIN
    SELECT head.* INTO STRICT v_head
    FROM arvo.lease AS head
    WHERE head.lane = p_lane
    ORDER BY head.number DESC
    LIMIT 1;
    RETURN v_head;
END;
$head_of$;

COMMENT ON FUNCTION arvo.head_of(integer) IS
'The newest lease row of a lane.';

REVOKE ALL ON FUNCTION arvo.head_of(integer) FROM PUBLIC;
--! end

--! function arvo.heal
-- arvo.heal(head) — sweep a lane when that can find something.
CREATE OR REPLACE FUNCTION arvo.heal(p_head arvo.lease)
RETURNS arvo.lease
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $heal$
-- p_head is the newest row of a lane that the caller holds; so is its queue's home lane, when the
-- queue is gated. Returns it with open_from and sweep_at as the next row is to have them. The sweep
-- itself writes no lease row, so the head stays the head.
--
--   Reads    arvo.lease by (lane, number), arvo.clock
--   Writes   as arvo.sweep
--   Locks    as arvo.sweep
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
BEGIN
    IF p_head.sweep_at <= v_now THEN
        p_head.open_from := arvo.sweep(p_head, 4096);
        -- Twice a second at most: in a busy lane some lease is always about to lapse.
        p_head.sweep_at := 'infinity';
        SELECT greatest(oldest.expires_at, v_now + interval '0.5 seconds') INTO p_head.sweep_at
        FROM arvo.lease AS oldest
        WHERE oldest.lane = p_head.lane AND oldest.number = p_head.open_from;
        p_head.sweep_at := coalesce(p_head.sweep_at, 'infinity');
    END IF;
    RETURN p_head;
END;
$heal$;

COMMENT ON FUNCTION arvo.heal(arvo.lease) IS
'Takes back expired leases of a lane, and returns its head with the bounds that follow.';

REVOKE ALL ON FUNCTION arvo.heal(arvo.lease) FROM PUBLIC;
--! end

--! function arvo.heal_lanes
-- arvo.heal_lanes(limit) — take back expired leases also in lanes that nobody claims from.
CREATE OR REPLACE FUNCTION arvo.heal_lanes(p_limit integer)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $heal_lanes$
-- Only lanes where something can have lapsed are locked, and not many at a time: they are held until
-- the end of the transaction. A gated queue's lanes go with its home lane.
-- Returns how many lease rows were passed.
--
--   Reads    arvo.lane, arvo.queue, arvo.lease by (lane, number), arvo.clock
--   Writes   as arvo.heal and arvo.move_cursor
--   Locks    each such lane, after the home lane of a gated queue: tried, never waited for; as arvo.sweep
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_lane record;
    v_head arvo.lease;
    v_healed arvo.lease;
    v_passed integer := 0;
BEGIN
    FOR v_lane IN
        SELECT
            lane.lane,
            CASE WHEN queue.gated THEN arvo.home_lane(queue.queue) ELSE lane.lane END AS home
        FROM arvo.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        CROSS JOIN LATERAL (
            SELECT newest.sweep_at
            FROM arvo.lease AS newest
            WHERE newest.lane = lane.lane
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS head
        WHERE head.sweep_at <= v_now
        ORDER BY head.sweep_at
        LIMIT p_limit
    LOOP
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_lane.home);
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_lane.lane);
        v_head := arvo.head_of(v_lane.lane);
        v_healed := arvo.heal(v_head);
        CONTINUE WHEN v_healed.open_from = v_head.open_from;
        PERFORM arvo.move_cursor(v_healed);
        v_passed := v_passed + (v_healed.open_from - v_head.open_from)::integer;
    END LOOP;
    RETURN v_passed;
END;
$heal_lanes$;

COMMENT ON FUNCTION arvo.heal_lanes(integer) IS
'Takes back expired leases of lanes that nobody claims from; returns how many lease rows were passed.';

REVOKE ALL ON FUNCTION arvo.heal_lanes(integer) FROM PUBLIC;
--! end

--! function arvo.hold
-- arvo.hold(findings) — take the locks for what was found, and look again.
CREATE OR REPLACE FUNCTION arvo.hold(p_found arvo.finding[])
RETURNS arvo.finding[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $hold$
-- What is in more than 256 lanes is left to the next call: locks are few. A gated queue's keys are
-- guarded by its home lane. Those that are over by now are left out.
--
--   Reads    arvo.lane, arvo.queue; as arvo.recheck
--   Writes   nothing
--   Locks    the lanes, in order; then the promoter's lock, if something is deferred
--   Raises   nothing
DECLARE
    v_lanes integer[];
    v_found arvo.finding[];
BEGIN
    v_lanes := ARRAY(
        SELECT DISTINCT seen.lane
        FROM unnest(p_found) AS seen
        WHERE seen.lane IS NOT NULL
        ORDER BY seen.lane
        LIMIT 256
    );
    PERFORM arvo.lock_lanes(
        v_lanes || ARRAY(
            SELECT arvo.home_lane(queue.queue)
            FROM arvo.lane
            INNER JOIN arvo.queue ON queue.queue = lane.queue
            WHERE lane.lane = ANY (v_lanes) AND queue.gated
        )
    );
    IF EXISTS (SELECT FROM unnest(p_found) AS seen WHERE seen.place = 'deferred') THEN
        PERFORM pg_advisory_xact_lock(hashtext('arvo'), 0);
    END IF;

    -- A statement of its own: it must see what the last holders of these locks committed.
    SELECT array_agg(again.finding ORDER BY seen.delivery) INTO v_found
    FROM unnest(p_found) AS seen
    CROSS JOIN LATERAL (SELECT arvo.recheck(seen) AS finding OFFSET 0) AS again
    WHERE (seen.lane IS NULL OR seen.lane = ANY (v_lanes))
    AND (again.finding).place NOT IN ('withdrawn', 'closed');
    RETURN coalesce(v_found, '{}');
END;
$hold$;

COMMENT ON FUNCTION arvo.hold(arvo.finding[]) IS
'Locks the lanes of deliveries that were found, and the promotion if it matters; says where they stand then.';

REVOKE ALL ON FUNCTION arvo.hold(arvo.finding[]) FROM PUBLIC;
--! end

--! function arvo.hold_queue
-- arvo.hold_queue(queue) — lock everything of a queue that claims and settlements move.
CREATE OR REPLACE FUNCTION arvo.hold_queue(p_queue integer)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $hold_queue$
-- For new rules: what is leased is counted anew, so nobody may be closing any of it unseen. The leases
-- come first; one that was taken between them and the lanes, and is being settled, lets everything go
-- and begins again.
--
--   Reads    arvo.lane, arvo.lease, arvo.closure
--   Writes   nothing
--   Locks    the queue's open leases, in order of their tokens; then its lanes, in order
--   Raises   RV901  leases were taken and settled all the time, a hundred times over
BEGIN
    FOR v_try IN 1..100 LOOP
        BEGIN
            PERFORM pg_advisory_xact_lock(arvo.lease_key(open.token))
            FROM (SELECT listed.token FROM arvo.open_leases(p_queue) AS listed (token)) AS open
            ORDER BY open.token;
            PERFORM pg_advisory_xact_lock(hashtext('arvo'), held.lane)
            FROM (
                SELECT lane.lane
                FROM arvo.lane
                WHERE lane.queue = p_queue AND NOT lane.retired
                ORDER BY lane.lane
            ) AS held;
            IF NOT EXISTS (
                SELECT
                FROM arvo.open_leases(p_queue) AS listed (token)
                WHERE NOT pg_try_advisory_xact_lock(arvo.lease_key(listed.token))
            ) THEN
                RETURN;
            END IF;
            RAISE EXCEPTION 'a lease is being settled' USING ERRCODE = 'RV901';
        EXCEPTION
            WHEN SQLSTATE 'RV901' THEN
                CONTINUE;
        END;
    END LOOP;
    RAISE EXCEPTION 'queue cannot be held'
    USING ERRCODE = 'RV901',
          DETAIL = format('queue %s', p_queue),
          HINT = 'Its leases are taken and settled all the time: call again, or pause it first.';
END;
$hold_queue$;

COMMENT ON FUNCTION arvo.hold_queue(integer) IS
'Locks the open leases of a queue and all its lanes.';

REVOKE ALL ON FUNCTION arvo.hold_queue(integer) FROM PUBLIC;
--! end

--! function arvo.home_lane
-- arvo.home_lane(queue) — the lane whose lock guards the keys of a gated queue.
CREATE OR REPLACE FUNCTION arvo.home_lane(p_queue integer)
RETURNS integer
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $home_lane$
-- The queue's first one: which lane that is never changes, whatever priority the queue is given.
--
--   Reads    arvo.lane
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT min(lane.lane)
FROM arvo.lane
WHERE lane.queue = p_queue AND NOT lane.retired;
$home_lane$;

COMMENT ON FUNCTION arvo.home_lane(integer) IS
'The first lane of a queue, whose lock guards the queue''s keys.';

REVOKE ALL ON FUNCTION arvo.home_lane(integer) FROM PUBLIC;
--! end

--! function arvo.is_time_zone
-- arvo.is_time_zone(time_zone) — whether the server can still tell the time of a zone.
CREATE OR REPLACE FUNCTION arvo.is_time_zone(p_time_zone text)
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $is_time_zone$
-- Some microseconds, where the list of all zones takes milliseconds: for each fire of a schedule.
-- The zone of a schedule was on the list once; another server's list may not have it. Writes
-- nothing, so the exception block takes no transaction number.
--
--   Reads    the server's time zones
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    RETURN (timestamp '2000-01-01 00:00' AT TIME ZONE p_time_zone) IS NOT NULL;
EXCEPTION
    WHEN invalid_parameter_value THEN
        RETURN false;
END;
$is_time_zone$;

COMMENT ON FUNCTION arvo.is_time_zone(text) IS
'Whether the server can tell the time of a zone.';

REVOKE ALL ON FUNCTION arvo.is_time_zone(text) FROM PUBLIC;
--! end

--! function arvo.is_wanted
-- arvo.is_wanted(event, event_id, event_type, subjects, path, text) — whether an event passes a filter.
CREATE OR REPLACE FUNCTION arvo.is_wanted(
    p_event jsonb,
    p_event_id text DEFAULT NULL,
    p_event_type text DEFAULT NULL,
    p_subjects text[] DEFAULT NULL,
    p_path jsonpath DEFAULT NULL,
    p_text text DEFAULT NULL
)
RETURNS boolean
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $is_wanted$
-- What is NULL does not filter. A type that ends in * stands for all that begin so. A path passes
-- what it finds, unless that is false or null: so a condition and a search both do what they say.
-- The text is looked for as it is in the event's JSON text.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    RETURN (p_event_id IS NULL OR p_event ->> 'id' = p_event_id)
        AND (
            p_event_type IS NULL
            OR p_event ->> 'type' = p_event_type
            OR (
                p_event_type LIKE '%*' AND starts_with(p_event ->> 'type', left(p_event_type, -1))
            )
        )
        AND (p_subjects IS NULL OR p_event ->> 'subject' = ANY (p_subjects))
        AND (
            p_path IS NULL
            OR coalesce(
                jsonb_path_query_first(p_event, p_path, '{}', true) NOT IN ('false', 'null'), false
            )
        )
        AND (p_text IS NULL OR strpos(p_event::text, p_text) > 0);
END;
$is_wanted$;

COMMENT ON FUNCTION arvo.is_wanted(jsonb, text, text, text[], jsonpath, text) IS
'Whether an event passes an operator''s filter; what is NULL does not filter.';

REVOKE ALL ON FUNCTION arvo.is_wanted(jsonb, text, text, text[], jsonpath, text) FROM PUBLIC;
--! end

--! function arvo.is_worth_claiming
-- arvo.is_worth_claiming(lane) — whether a claim of a lane can find something to do.
CREATE OR REPLACE FUNCTION arvo.is_worth_claiming(p_lane integer)
RETURNS boolean
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $is_worth_claiming$
-- Looks without the lane's lock, so that a claim over very many lanes need not lock the idle ones.
-- False only when the newest window has been read to its end, nothing has been committed since, no
-- lease can have lapsed, and no key of a gated queue is to be served there; or when as many run as the
-- queue allows, and no lease can have lapsed. Rows of the caller's own
-- transaction may answer true for nothing.
--
--   Reads    arvo.lease by (lane, number), arvo.log by (lane, xid), arvo.ready, arvo.turn,
--            arvo.lane, arvo.queue, arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    head.sweep_at <= arvo.clock()
    OR NOT EXISTS (
        SELECT
        FROM arvo.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        CROSS JOIN LATERAL (
            SELECT newest.active
            FROM arvo.turn AS newest
            WHERE newest.queue = queue.queue AND newest.key = 0
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS whole
        WHERE lane.lane = p_lane AND whole.active >= queue.max_active
    ) AND (
        NOT head.exhausted
        OR EXISTS (
            SELECT
            FROM arvo.log AS entry
            WHERE entry.lane = p_lane AND entry.xid >= pg_snapshot_xmax(head.snapshot)
        )
        OR EXISTS (
            SELECT
            FROM pg_snapshot_xip(head.snapshot) AS late (xid)
            INNER JOIN arvo.log AS entry ON entry.lane = p_lane AND entry.xid = late.xid
        )
        OR EXISTS (
            SELECT
            FROM arvo.lane
            INNER JOIN arvo.ready ON ready.queue = lane.queue AND ready.number > head.ready_from
            WHERE lane.lane = p_lane AND arvo.home_lane(lane.queue) = p_lane
        )
    )
FROM (
    SELECT newest.exhausted, newest.sweep_at, newest.snapshot, newest.ready_from
    FROM arvo.lease AS newest
    WHERE newest.lane = p_lane
    ORDER BY newest.number DESC
    LIMIT 1
) AS head;
$is_worth_claiming$;

COMMENT ON FUNCTION arvo.is_worth_claiming(integer) IS
'Whether a lane has unread deliveries or a lease that may have lapsed; looks without its lock.';

REVOKE ALL ON FUNCTION arvo.is_worth_claiming(integer) FROM PUBLIC;
--! end

--! function arvo.judge_results
-- arvo.judge_results(items) — which results are the holder's to report.
CREATE OR REPLACE FUNCTION arvo.judge_results(p_items arvo.result[])
RETURNS arvo.result[]
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $judge_results$
-- Fills in where each lease's deliveries stand, and refuses (RV301) or answers "already" what is not
-- open under the lease named. What ended in a conflict took no effect, also when it is asked about
-- again: "already", with code RV101. What was released, or went back with the rest of its run, runs
-- elsewhere: any other result of it is refused. The caller holds the leases' locks.
--
--   Reads    arvo.lease and arvo.closure, by token
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
WITH item AS MATERIALIZED (
    SELECT listed.* FROM unnest(p_items) AS listed
),

held AS MATERIALIZED (
    SELECT newest.*
    FROM (SELECT DISTINCT item.lease FROM item WHERE item.verdict IS NULL) AS named
    CROSS JOIN LATERAL (
        SELECT
            lease.token, lease.lane, lease.low_xid, lease.high_xid, lease.deliveries,
            lease.xids, lease.keys, lease.places
        FROM arvo.lease
        WHERE lease.token = named.lease AND lease.token <> 0
        ORDER BY lease.number DESC
        LIMIT 1
    ) AS newest
),

closed AS MATERIALIZED (
    SELECT
        held.token,
        gone.delivery,
        closure.outcomes[least(gone.ordinal, cardinality(closure.outcomes))] AS outcome
    FROM held
    INNER JOIN arvo.closure ON closure.token = held.token
    CROSS JOIN LATERAL
        unnest(closure.deliveries) WITH ORDINALITY AS gone (delivery, ordinal)
),

judged AS (
    SELECT
        item.*,
        held.lane AS held_lane,
        held.low_xid AS held_low_xid,
        held.high_xid AS held_high_xid,
        held.xids AS held_xids,
        held.keys AS held_keys,
        held.places AS held_places,
        array_position(held.deliveries, item.delivery) AS held_at,
        closed.outcome AS closed_outcome,
        CASE
            WHEN item.verdict IS NOT NULL THEN item.verdict
            WHEN closed.outcome = 'released' AND item.asked <> 'released' THEN 'refused'
            WHEN closed.outcome NOT IN ('expired', 'cancelled', 'moved') THEN 'already'
            WHEN closed.outcome IS NOT NULL OR held.token IS NULL
                OR item.delivery <> ALL (held.deliveries) THEN 'refused'
        END AS judgement
    FROM item
    LEFT JOIN held ON held.token = item.lease AND item.verdict IS NULL
    LEFT JOIN closed
        ON closed.token = item.lease AND closed.delivery = item.delivery AND item.verdict IS NULL
)

SELECT array_agg(
    (
        judged.ordinal,
        judged.lease,
        judged.delivery,
        judged.asked,
        judged.events,
        judged.state,
        judged.error,
        judged.after,
        judged.run_time,
        judged.held_lane,
        judged.held_low_xid,
        judged.held_high_xid,
        judged.judgement,
        CASE
            WHEN judged.judgement = 'refused' THEN coalesce(judged.code, 'RV301')
            WHEN judged.closed_outcome = 'conflict' THEN 'RV101'
        END,
        CASE
            WHEN judged.judgement = 'refused' THEN coalesce(
                judged.detail,
                format('delivery %s is not held under lease %s', judged.delivery, judged.lease)
            )
            WHEN judged.closed_outcome = 'conflict' THEN
                'version mismatch: the state had moved on when this was settled before'
        END,
        NULL,
        judged.held_xids[least(judged.held_at, cardinality(judged.held_xids))],
        judged.held_keys[judged.held_at],
        judged.held_places[judged.held_at],
        NULL
    )::arvo.result
    ORDER BY judged.ordinal
)
FROM judged;
$judge_results$;

COMMENT ON FUNCTION arvo.judge_results(arvo.result[]) IS
'Refuses results whose delivery is not open under the lease that they name.';

REVOKE ALL ON FUNCTION arvo.judge_results(arvo.result[]) FROM PUBLIC;
--! end

--! function arvo.keeps_place
-- arvo.keeps_place(finding) — whether a delivery cannot be moved within its queue.
CREATE OR REPLACE FUNCTION arvo.keeps_place(p_found arvo.finding)
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $keeps_place$
-- Somebody holds it, or its queue is ordered, which knows no priorities.
--
--   Reads    arvo.queue
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_queue arvo.queue;
BEGIN
    SELECT queue.* INTO STRICT v_queue FROM arvo.queue WHERE queue.name = p_found.queue;
    RETURN p_found.place = 'leased' OR v_queue.policy = 'ordered';
END;
$keeps_place$;

COMMENT ON FUNCTION arvo.keeps_place(arvo.finding) IS
'Whether a delivery is held, or its queue is ordered.';

REVOKE ALL ON FUNCTION arvo.keeps_place(arvo.finding) FROM PUBLIC;
--! end

--! function arvo.key_for
-- arvo.key_for(queue, log row) — the key under which a delivery stands in line.
CREATE OR REPLACE FUNCTION arvo.key_for(p_queue arvo.queue, p_entry arvo.log)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $key_for$
-- Its own; else its subject in an ordered queue; else the one key that all share. 0 is left to the
-- queue as a whole.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT coalesce(
    p_entry.key,
    CASE
        WHEN p_queue.policy <> 'ordered' OR p_entry.subject_key = 0 THEN 1
        ELSE p_entry.subject_key
    END
);
$key_for$;

COMMENT ON FUNCTION arvo.key_for(arvo.queue, arvo.log) IS
'Key of a delivery: its own, or the default of its queue''s policy.';

REVOKE ALL ON FUNCTION arvo.key_for(arvo.queue, arvo.log) FROM PUBLIC;
--! end

--! function arvo.key_in
-- arvo.key_in(event, key_from) — the key that an event carries.
CREATE OR REPLACE FUNCTION arvo.key_in(p_event jsonb, p_key_from text)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $key_in$
-- p_key_from names an attribute, or data.a.b: a path into the data. An event that has nothing there
-- has the key of the empty text. NULL when p_key_from is NULL.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT CASE
           WHEN p_key_from IS NOT NULL
               THEN arvo.key_of(coalesce(p_event #>> string_to_array(p_key_from, '.'), ''))
       END;
$key_in$;

COMMENT ON FUNCTION arvo.key_in(jsonb, text) IS
'Key of an event, read from the place that its queue names; NULL when it names none.';

REVOKE ALL ON FUNCTION arvo.key_in(jsonb, text) FROM PUBLIC;
--! end

--! function arvo.key_of
-- arvo.key_of(text) — the number under which a key is stored.
CREATE OR REPLACE FUNCTION arvo.key_of(p_key text)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $key_of$
-- The first 8 bytes of its SHA-256, so that nobody can find a second text for a given number. 0 is
-- left to the queue as a whole.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT CASE folded.key WHEN 0 THEN 1 ELSE folded.key END
FROM (
    SELECT ('x' || encode(substr(sha256(convert_to(p_key, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint
) AS folded (key);
$key_of$;

COMMENT ON FUNCTION arvo.key_of(text) IS
'Number of a key: 64 bits of its SHA-256, never 0.';

REVOKE ALL ON FUNCTION arvo.key_of(text) FROM PUBLIC;
--! end

--! function arvo.key_room
-- arvo.key_room(queue, turn) — how many more of a key may run now, rates aside.
CREATE OR REPLACE FUNCTION arvo.key_room(p_queue arvo.queue, p_turn arvo.turn)
RETURNS integer
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $key_room$
-- An ordered key is given to one worker at a time, up to 16 deliveries at once, which it runs one
-- after the other; one that is stateful with keys other than subjects one by one, because states are
-- written in the order of subjects. While a key has a holder, nobody else passes.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT CASE
           WHEN p_turn.holder IS NOT NULL THEN 0
           WHEN p_queue.policy = 'ordered' AND p_turn.active > 0 THEN 0
           WHEN p_queue.policy = 'ordered' AND p_queue.stateful AND p_queue.key_from IS NOT NULL
               THEN 1
           WHEN p_queue.policy = 'ordered' THEN 16
           WHEN p_queue.policy IN ('singleton', 'stately') THEN greatest(1 - p_turn.active, 0)
           ELSE greatest(coalesce(p_queue.key_max_active, 2147483647) - p_turn.active, 0)
       END;
$key_room$;

COMMENT ON FUNCTION arvo.key_room(arvo.queue, arvo.turn) IS
'How many more deliveries of a key may be leased, by policy and key_max_active.';

REVOKE ALL ON FUNCTION arvo.key_room(arvo.queue, arvo.turn) FROM PUBLIC;
--! end

--! function arvo.known_keys
-- arvo.known_keys(slot, queues, keys) — which deliveries one partition of event_key has for some keys.
CREATE OR REPLACE FUNCTION arvo.known_keys(p_slot integer, p_queues integer[], p_keys bytea[])
RETURNS bigint[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $known_keys$
-- One element for each key asked for: the delivery that was first within the queue's window, or NULL.
-- One statement for each partition: asked by its own name, only that one is locked, and the others
-- can be emptied while a dispatcher's transaction stays open.
--
--   Reads    arvo.event_key, one partition, by (queue, key); arvo.queue, arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_deliveries bigint[];
BEGIN
    IF p_slot = 0 THEN
        SELECT array_agg(known.delivery ORDER BY asked.ordinal) INTO v_deliveries
        FROM unnest(p_queues, p_keys) WITH ORDINALITY AS asked (queue, key, ordinal)
        INNER JOIN arvo.queue ON queue.queue = asked.queue
        LEFT JOIN LATERAL (
            SELECT listed.delivery
            FROM arvo.event_key_0 AS listed
            WHERE listed.slot = 0 AND listed.queue = asked.queue AND listed.key = asked.key
            AND listed.at > v_now - queue.deduplicate_for
            LIMIT 1  -- one look-up for each key, also when the plan is made on an empty table
        ) AS known ON true;
    ELSIF p_slot = 1 THEN
        SELECT array_agg(known.delivery ORDER BY asked.ordinal) INTO v_deliveries
        FROM unnest(p_queues, p_keys) WITH ORDINALITY AS asked (queue, key, ordinal)
        INNER JOIN arvo.queue ON queue.queue = asked.queue
        LEFT JOIN LATERAL (
            SELECT listed.delivery
            FROM arvo.event_key_1 AS listed
            WHERE listed.slot = 1 AND listed.queue = asked.queue AND listed.key = asked.key
            AND listed.at > v_now - queue.deduplicate_for
            LIMIT 1  -- one look-up for each key, also when the plan is made on an empty table
        ) AS known ON true;
    ELSE
        SELECT array_agg(known.delivery ORDER BY asked.ordinal) INTO v_deliveries
        FROM unnest(p_queues, p_keys) WITH ORDINALITY AS asked (queue, key, ordinal)
        INNER JOIN arvo.queue ON queue.queue = asked.queue
        LEFT JOIN LATERAL (
            SELECT listed.delivery
            FROM arvo.event_key_2 AS listed
            WHERE listed.slot = 2 AND listed.queue = asked.queue AND listed.key = asked.key
            AND listed.at > v_now - queue.deduplicate_for
            LIMIT 1  -- one look-up for each key, also when the plan is made on an empty table
        ) AS known ON true;
    END IF;
    RETURN v_deliveries;
END;
$known_keys$;

COMMENT ON FUNCTION arvo.known_keys(integer, integer[], bytea[]) IS
'First deliveries that one partition of event_key has for some deduplication keys.';

REVOKE ALL ON FUNCTION arvo.known_keys(integer, integer[], bytea[]) FROM PUBLIC;
--! end

--! function arvo.known_queue
-- arvo.known_queue(name, parameter) — the queue of that name, or a refusal.
CREATE OR REPLACE FUNCTION arvo.known_queue(p_name text, p_parameter text DEFAULT 'queue')
RETURNS arvo.queue
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $known_queue$
--   Reads    arvo.queue
--   Writes   nothing
--   Locks    nothing
--   Raises   RV003  nobody has named that queue yet
DECLARE
    v_queue arvo.queue;
BEGIN
    SELECT queue.* INTO v_queue FROM arvo.queue WHERE queue.name = p_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'queue is not known'
        USING ERRCODE = 'RV003',
              COLUMN = p_parameter,
              DETAIL = format('queue: %s', left(to_json(p_name)::text, 80)),
              HINT = 'Register the queue first, or correct its name.';
    END IF;
    RETURN v_queue;
END;
$known_queue$;

COMMENT ON FUNCTION arvo.known_queue(text, text) IS
'The queue of a name; raises RV003 when there is none.';

REVOKE ALL ON FUNCTION arvo.known_queue(text, text) FROM PUBLIC;
--! end

--! function arvo.lane_for
-- arvo.lane_for(queue, priority) — the lane of a queue, made when it is missing.
CREATE OR REPLACE FUNCTION arvo.lane_for(p_queue text, p_priority integer DEFAULT NULL)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $lane_for$
-- A queue that nobody has registered is made unregistered: its events wait there, counted as
-- unroutable, until a handler is registered under that name. p_priority NULL takes the queue's own.
--
--   Reads    arvo.queue, arvo.lane, arvo.clock, arvo.slot
--   Writes   arvo.queue, arvo.lane, arvo.lease (the first cursor)
--   Locks    arvo.queue row (only while it is being made); arvo.lane row: of the queue's own
--            priority, while it is being made; of others tried, never waited for
--   Raises   RV002  the text may not name a queue, or the queue has 100 priorities
DECLARE
    v_queue integer;
    v_own integer;
    v_priority integer;
    v_lane integer;
BEGIN
    SELECT queue.queue, queue.priority, coalesce(p_priority, queue.priority)
    INTO v_queue, v_own, v_priority
    FROM arvo.queue
    WHERE queue.name = p_queue;

    IF NOT FOUND THEN
        IF NOT arvo.is_queue_name(p_queue) THEN
            RAISE EXCEPTION 'queue name is not valid'
            USING ERRCODE = 'RV002',
                  COLUMN = 'queue',
                  DETAIL = format('queue: %s', left(to_json(p_queue)::text, 80)),
                  HINT = 'Use 1 to 512 characters of a URI, without quotes.';
        END IF;
        INSERT INTO arvo.queue (name, created_at, changed_at)
        VALUES (p_queue, arvo.clock(), arvo.clock())
        ON CONFLICT (name) DO NOTHING;
        SELECT queue.queue, queue.priority, coalesce(p_priority, queue.priority)
        INTO STRICT v_queue, v_own, v_priority
        FROM arvo.queue
        WHERE queue.name = p_queue;
        -- Every queue has a lane of its own priority.
        IF v_priority <> v_own THEN
            PERFORM arvo.lane_for(p_queue);
        END IF;
    END IF;

    SELECT lane.lane INTO v_lane
    FROM arvo.lane
    WHERE lane.queue = v_queue AND lane.priority = v_priority AND NOT lane.retired;

    IF NOT FOUND THEN
        -- Every lane costs each claim a look: a queue has a handful of priorities, not a thousand.
        -- Its own priority is always there to be had: else whoever may dispatch could use up a name
        -- before it is registered.
        IF v_priority <> v_own
            AND (
                SELECT count(*)
                FROM arvo.lane
                WHERE lane.queue = v_queue AND lane.priority <> v_own AND NOT lane.retired
            ) >= 99
        THEN
            RAISE EXCEPTION 'queue has too many priorities'
            USING ERRCODE = 'RV002',
                  COLUMN = 'priority',
                  DETAIL = format('queue %s has 100 priorities; %s would be one more', p_queue,
                                  v_priority),
                  HINT = 'Use one of the priorities that the queue has.';
        END IF;
        -- While somebody else is making this very lane, the delivery goes by the queue's own priority:
        -- waiting could close a circle with another new lane, for as long as transactions are open.
        IF v_priority <> v_own AND NOT pg_try_advisory_xact_lock(
            hashtextextended(format('%s/%s', v_queue, v_priority), hashtextextended('arvo', 2))
        ) THEN
            SELECT lane.lane INTO STRICT v_lane
            FROM arvo.lane
            WHERE lane.queue = v_queue AND lane.priority = v_own AND NOT lane.retired;
            RETURN v_lane;
        END IF;
        INSERT INTO arvo.lane (queue, priority)
        VALUES (v_queue, v_priority)
        ON CONFLICT (queue, priority) WHERE NOT retired DO NOTHING
        RETURNING lane.lane INTO v_lane;
        IF FOUND THEN
            INSERT INTO arvo.lease (
                slot, lane, number, token, leased_at, expires_at, deliveries,
                previous_snapshot, snapshot, last_xid, last_delivery, exhausted,
                open_from, sweep_at
            )
            VALUES (
                arvo.slot(), v_lane, 0, 0, arvo.clock(), '-infinity', '{}',
                '1:1:', '1:1:', '0', 0, true,
                1, 'infinity'
            );
        ELSE
            SELECT lane.lane INTO STRICT v_lane
            FROM arvo.lane
            WHERE lane.queue = v_queue AND lane.priority = v_priority AND NOT lane.retired;
        END IF;
    END IF;
    RETURN v_lane;
END;
$lane_for$;

COMMENT ON FUNCTION arvo.lane_for(text, integer) IS
'Number of the lane for a queue and priority; makes queue and lane when they are missing.';

REVOKE ALL ON FUNCTION arvo.lane_for(text, integer) FROM PUBLIC;
--! end

--! function arvo.lanes_named
-- arvo.lanes_named(name) — the lanes of the queues that a name stands for, few enough to be locked.
CREATE OR REPLACE FUNCTION arvo.lanes_named(p_name text)
RETURNS integer[]
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $lanes_named$
--   Reads    arvo.queue, arvo.lane
--   Writes   nothing
--   Locks    nothing
--   Raises   RV003  the queue is not known
--            RV006  the name stands for queues with more than 512 lanes
DECLARE
    v_lanes integer[] := ARRAY(
        SELECT own.lane
        FROM arvo.queues_named(p_name) AS named
        CROSS JOIN LATERAL arvo.lanes_of(named.queue) AS own
        ORDER BY own.lane
    );
BEGIN
    IF cardinality(v_lanes) > 512 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'queue',
              DETAIL = format('%s stands for %s lanes', left(to_json(p_name)::text, 80),
                              cardinality(v_lanes)),
              HINT = 'A call locks 512 lanes at most: name fewer queues at a time.';
    END IF;
    RETURN v_lanes;
END;
$lanes_named$;

COMMENT ON FUNCTION arvo.lanes_named(text) IS
'The lanes of the queues that a name stands for; raises RV006 for more than 512.';

REVOKE ALL ON FUNCTION arvo.lanes_named(text) FROM PUBLIC;
--! end

--! function arvo.lanes_of
-- arvo.lanes_of(queue) — the lanes of a queue.
CREATE OR REPLACE FUNCTION arvo.lanes_of(p_queue integer)
RETURNS SETOF arvo.lane
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $lanes_of$
-- In the order in which they are locked.
--
--   Reads    arvo.lane
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT lane.*
FROM arvo.lane
WHERE lane.queue = p_queue AND NOT lane.retired
ORDER BY lane.lane;
$lanes_of$;

COMMENT ON FUNCTION arvo.lanes_of(integer) IS
'The lanes of a queue that are in use, in the order in which they are locked.';

REVOKE ALL ON FUNCTION arvo.lanes_of(integer) FROM PUBLIC;
--! end

--! function arvo.lease_and_close
-- arvo.lease_and_close(head, reading) — a claim whose every delivery is cancelled at once.
CREATE OR REPLACE FUNCTION arvo.lease_and_close(p_head arvo.lease, p_reading arvo.reading)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $lease_and_close$
-- p_head is the newest row of the lane, p_reading what was read after it; the caller holds the lane.
-- Those that were withdrawn before are closed for that reason and not counted. Dead letters that lie
-- there as deliveries of a dead-letter queue are discarded. Returns how many were cancelled.
--
--   Reads    arvo.clock, arvo.slot, arvo.queue, arvo.lane
--   Writes   arvo.lease (one row), arvo.closure, arvo.tombstone, arvo.dead; as
--            arvo.let_go
--   Locks    arvo.tombstone rows, arvo.dead rows
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_token bigint := (nextval('arvo.lease_number'::regclass) << 12)
        | floor(random() * 4096)::bigint;
    v_batch arvo.log[] := p_reading.batch;
    v_closed bigint[];
    v_all bigint[];
    v_outcomes text[];
BEGIN
    INSERT INTO arvo.lease (
        slot, lane, number, token, leased_at, expires_at, deliveries,
        low_xid, high_xid, xids, previous_snapshot, snapshot, last_xid, last_delivery,
        exhausted, open_from, sweep_at, ready_from
    )
    SELECT
        arvo.slot(), p_head.lane, p_head.number + 1, v_token, v_now,
        greatest(v_now, p_head.expires_at), array_agg(taken.delivery ORDER BY taken.ordinal),
        min(taken.xid::text::bigint)::text::xid8, max(taken.xid::text::bigint)::text::xid8,
        array_agg(taken.xid ORDER BY taken.ordinal), p_reading.previous_snapshot,
        p_reading.snapshot, p_reading.last_xid, p_reading.last_delivery, p_reading.exhausted,
        p_head.open_from, p_head.sweep_at, p_head.ready_from
    FROM (
        SELECT entry.delivery, entry.xid, row_number() OVER () AS ordinal
        FROM unnest(v_batch) AS entry
    ) AS taken;

    WITH met AS (
        DELETE FROM arvo.tombstone
        WHERE tombstone.lane = p_head.lane
        AND tombstone.delivery IN (SELECT entry.delivery FROM unnest(v_batch) AS entry)
        RETURNING tombstone.delivery, tombstone.reason
    )

    SELECT
        array_agg(entry.delivery ORDER BY entry.delivery),
        array_agg(coalesce(met.reason, 'cancelled') ORDER BY entry.delivery),
        array_agg(entry.delivery) FILTER (WHERE met.delivery IS NULL)
    INTO v_all, v_outcomes, v_closed
    FROM unnest(v_batch) AS entry
    LEFT JOIN met ON met.delivery = entry.delivery;
    INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
    VALUES (
        arvo.slot(), v_token, v_now, v_all,
        CASE WHEN 'moved' = ANY (v_outcomes) THEN v_outcomes ELSE '{cancelled}' END,
        array_fill(NULL::integer, ARRAY[cardinality(v_all)])
    );
    IF v_closed IS NULL THEN
        RETURN 0::bigint;
    END IF;
    UPDATE arvo.dead
    SET resolution = 'discarded', resolved_at = v_now, resolved_by = session_user
    WHERE dead.dead_letter_lane = p_head.lane
    AND dead.dead_letter_delivery = ANY (v_closed)
    AND dead.resolution IS NULL;
    IF EXISTS (
        SELECT
        FROM arvo.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        WHERE lane.lane = p_head.lane AND (queue.gated OR queue.slotted)
    ) THEN
        PERFORM arvo.let_go(entry)
        FROM unnest(v_batch) AS entry
        WHERE entry.delivery = ANY (v_closed);
    END IF;
    RETURN cardinality(v_closed)::bigint;
END;
$lease_and_close$;

COMMENT ON FUNCTION arvo.lease_and_close(arvo.lease, arvo.reading) IS
'Leases what was read from a lane and closes it at once as cancelled; returns how many.';

REVOKE ALL ON FUNCTION arvo.lease_and_close(arvo.lease, arvo.reading) FROM PUBLIC;
--! end

--! function arvo.lease_item
-- arvo.lease_item(lease, ordinal, verdict) — one delivery of a lease, as settle() sees it.
CREATE OR REPLACE FUNCTION arvo.lease_item(
    p_lease arvo.lease,
    p_ordinal integer,
    p_verdict text
)
RETURNS arvo.result
LANGUAGE plpgsql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $lease_item$
-- For those who close deliveries themselves: sweeps, withdrawals, operators.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_item arvo.result;
BEGIN
    v_item.ordinal := p_ordinal;
    v_item.lease := p_lease.token;
    v_item.delivery := p_lease.deliveries[p_ordinal];
    v_item.lane := p_lease.lane;
    v_item.low_xid := p_lease.low_xid;
    v_item.high_xid := p_lease.high_xid;
    v_item.xid := p_lease.xids[least(p_ordinal, cardinality(p_lease.xids))];
    v_item.key := p_lease.keys[p_ordinal];
    v_item.place := p_lease.places[p_ordinal];
    v_item.verdict := p_verdict;
    RETURN v_item;
END;
$lease_item$;

COMMENT ON FUNCTION arvo.lease_item(arvo.lease, integer, text) IS
'The n-th delivery of a lease as an item of a settlement.';

REVOKE ALL ON FUNCTION arvo.lease_item(arvo.lease, integer, text) FROM PUBLIC;
--! end

--! function arvo.lease_of
-- arvo.lease_of(lane, xid, delivery) — the lease that a logged delivery was handed out under.
CREATE OR REPLACE FUNCTION arvo.lease_of(p_lane integer, p_xid xid8, p_delivery bigint)
RETURNS arvo.lease
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = on
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $lease_of$
-- NULL when it has not been claimed. In a plain queue leases follow the order of the log, so it is
-- the first whose position is not before it. In a gated queue it may have been parked, and is looked
-- up by its number. What is left are leases that were not made by a claim: the first whose range of
-- transactions holds it. Heartbeats continue a lease in new rows; this is the first. The index of
-- deliveries can be read as a bitmap only, which callers may have turned off.
--
--   Reads    arvo.lease by (lane, number), deliveries and (lane, high_xid, last_delivery), arvo.parked
--            by delivery
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_lease arvo.lease;
BEGIN
    SELECT head.* INTO v_lease
    FROM arvo.lease AS head
    WHERE head.lane = p_lane
    ORDER BY head.number DESC
    LIMIT 1;
    IF arvo.is_unclaimed(v_lease, p_xid, p_delivery)
        OR EXISTS (SELECT FROM arvo.parked WHERE parked.delivery = p_delivery)
    THEN
        RETURN NULL;
    END IF;

    SELECT found.* INTO v_lease
    FROM (
        SELECT lease.*
        FROM arvo.lease
        WHERE lease.keys IS NOT NULL AND lease.deliveries @> ARRAY[p_delivery]
        OFFSET 0
    ) AS found
    WHERE found.lane = p_lane AND found.token <> 0 AND NOT found.carried
    LIMIT 1;
    IF FOUND THEN
        RETURN v_lease;
    END IF;

    SELECT lease.* INTO v_lease
    FROM arvo.lease
    WHERE lease.lane = p_lane
    AND (lease.high_xid, lease.last_delivery) >= (p_xid, p_delivery)
    AND lease.low_xid <= p_xid
    AND lease.token <> 0
    AND NOT lease.carried
    AND p_delivery = ANY (lease.deliveries)
    ORDER BY lease.high_xid, lease.last_delivery
    LIMIT 1;
    IF FOUND THEN
        RETURN v_lease;
    END IF;

    SELECT lease.* INTO v_lease
    FROM arvo.lease
    WHERE lease.lane = p_lane
    AND lease.high_xid >= p_xid
    AND lease.low_xid <= p_xid
    AND lease.token <> 0
    AND NOT lease.carried
    AND p_delivery = ANY (lease.deliveries)
    ORDER BY lease.high_xid, lease.number
    LIMIT 1;
    RETURN v_lease;
END;
$lease_of$;

COMMENT ON FUNCTION arvo.lease_of(integer, xid8, bigint) IS
'The first row of the lease that a logged delivery was handed out under; NULL when it was not.';

REVOKE ALL ON FUNCTION arvo.lease_of(integer, xid8, bigint) FROM PUBLIC;
--! end

--! function arvo.leave_places
-- arvo.leave_places(queue, lease, deliveries) — finished deliveries no longer have their places.
CREATE OR REPLACE FUNCTION arvo.leave_places(
    p_queue arvo.queue,
    p_lease arvo.lease,
    p_deliveries bigint[]
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $leave_places$
-- An exclusive queue gives a place to an event until it is finished; it is freed here. A place is
-- freed only by the event that has it.
--
--   Reads    arvo.log by (lane, xid, delivery)
--   Writes   as arvo.free_places
--   Locks    as arvo.free_places
--   Raises   nothing
DECLARE
    v_keys bigint[];
    v_firsts bigint[];
BEGIN
    IF p_queue.policy <> 'exclusive' THEN
        RETURN;
    END IF;
    SELECT
        array_agg(arvo.key_for(p_queue, found.entry)),
        array_agg(arvo.first_of(found.entry))
    INTO v_keys, v_firsts
    FROM unnest(p_deliveries) AS closed (delivery)
    CROSS JOIN LATERAL (
        SELECT log AS entry
        FROM arvo.log
        WHERE log.lane = p_lease.lane
        AND log.xid >= p_lease.low_xid
        AND log.xid <= p_lease.high_xid
        AND log.delivery = closed.delivery
        LIMIT 1
    ) AS found;
    PERFORM arvo.free_places(p_queue.queue, 'any', v_keys, v_firsts);
END;
$leave_places$;

COMMENT ON FUNCTION arvo.leave_places(arvo.queue, arvo.lease, bigint[]) IS
'Frees the places of an exclusive queue when its deliveries are finished.';

REVOKE ALL ON FUNCTION arvo.leave_places(arvo.queue, arvo.lease, bigint[]) FROM PUBLIC;
--! end

--! function arvo.leave_queued
-- arvo.leave_queued(queue, batch) — claimed deliveries no longer have the place of those that wait.
CREATE OR REPLACE FUNCTION arvo.leave_queued(p_queue arvo.queue, p_batch arvo.log[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $leave_queued$
-- short and stately give a place to one that waits, stately also to one that is to be retried. The
-- place of an exclusive queue is kept until the event is finished.
--
--   Reads    nothing
--   Writes   as arvo.free_places
--   Locks    as arvo.free_places
--   Raises   nothing
DECLARE
    v_keys bigint[];
    v_deliveries bigint[];
BEGIN
    IF p_queue.policy NOT IN ('short', 'stately') THEN
        RETURN;
    END IF;
    SELECT
        array_agg(arvo.key_for(p_queue, entry)),
        array_agg(arvo.first_of(entry))
    INTO v_keys, v_deliveries
    FROM unnest(p_batch) AS entry;
    PERFORM arvo.free_places(p_queue.queue, 'queued', v_keys, v_deliveries);
    IF p_queue.policy = 'stately' THEN
        PERFORM arvo.free_places(p_queue.queue, 'retry', v_keys, v_deliveries);
    END IF;
END;
$leave_queued$;

COMMENT ON FUNCTION arvo.leave_queued(arvo.queue, arvo.log[]) IS
'Frees the places of short and stately queues when their deliveries are claimed.';

REVOKE ALL ON FUNCTION arvo.leave_queued(arvo.queue, arvo.log[]) FROM PUBLIC;
--! end

--! function arvo.let_go
-- arvo.let_go(log row) — what others of its key may wait for, when a delivery is taken out of its queue.
CREATE OR REPLACE FUNCTION arvo.let_go(p_entry arvo.log)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $let_go$
-- Its key goes on, if it stood at its head, and the place that a policy had given it is free. The
-- caller holds the queue's home lane.
--
--   Reads    arvo.queue, arvo.lane
--   Writes   as arvo.release_key and arvo.free_places
--   Locks    as arvo.release_key and arvo.free_places
--   Raises   nothing
DECLARE
    v_queue arvo.queue;
    v_key bigint;
BEGIN
    SELECT queue.* INTO STRICT v_queue
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = p_entry.lane;
    IF NOT v_queue.gated AND NOT v_queue.slotted THEN
        RETURN;
    END IF;

    v_key := arvo.key_for(v_queue, p_entry);
    IF v_queue.gated THEN
        PERFORM arvo.release_key(v_queue.queue, v_key, p_entry.delivery);
    END IF;
    IF v_queue.slotted THEN
        PERFORM arvo.free_places(
            v_queue.queue, place.kind, ARRAY[v_key],
            ARRAY[arvo.first_of(p_entry)]
        )
        FROM (VALUES ('queued'), ('retry'), ('any')) AS place (kind);
    END IF;
    PERFORM arvo.wake(ARRAY[v_queue.name]);
END;
$let_go$;

COMMENT ON FUNCTION arvo.let_go(arvo.log) IS
'Frees the key and the place that a delivery had, when an operator takes it out of its queue.';

REVOKE ALL ON FUNCTION arvo.let_go(arvo.log) FROM PUBLIC;
--! end

--! function arvo.lock_lanes
-- arvo.lock_lanes(lanes) — hold lanes, so that nobody claims from them meanwhile.
CREATE OR REPLACE FUNCTION arvo.lock_lanes(p_lanes integer[])
RETURNS void
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $lock_lanes$
-- Claims go on with other lanes, heartbeats wait: whoever holds lanes ends its transaction soon.
-- What the last holder wrote is seen by the caller's next statement, not by this one.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    the lanes, in order
--   Raises   nothing
SELECT pg_advisory_xact_lock(hashtext('arvo'), named.lane)
FROM (
    SELECT DISTINCT listed.lane
    FROM unnest(p_lanes) AS listed (lane)
    WHERE listed.lane IS NOT NULL
    ORDER BY listed.lane
) AS named;
$lock_lanes$;

COMMENT ON FUNCTION arvo.lock_lanes(integer[]) IS
'Waits for the locks of lanes, in order, and holds them to the end of the transaction.';

REVOKE ALL ON FUNCTION arvo.lock_lanes(integer[]) FROM PUBLIC;
--! end

--! function arvo.mark_duplicates
-- arvo.mark_duplicates(items) — which arriving events have been dispatched before.
CREATE OR REPLACE FUNCTION arvo.mark_duplicates(p_items arvo.arrival[])
RETURNS arvo.arrival[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $mark_duplicates$
-- The same source and id, again to the same queue within its window, is a duplicate; also the second
-- of two in one call. A dispatch of the same event that is still open is waited for: nobody can
-- know yet whether it will be there.
--
-- Keys are kept in three partitions, in use one after the other. A sequence names the one in use, so
-- that every snapshot sees the newest. While a transaction that may know only the one before can be
-- running, keys go into both; afterwards the one before is only looked at.
--
--   Reads    arvo.event_key_number, arvo.event_key_generation, arvo.event_key, arvo.queue, arvo.clock
--   Writes   arvo.event_key
--   Locks    arvo.event_key rows, by (queue, key)
--   Raises   40001  under REPEATABLE READ: somebody dispatched the same event meanwhile
DECLARE
    v_now timestamptz := arvo.clock();
    v_number bigint;
    v_own xid8;
    v_written integer;
    v_turning boolean;
    v_slot integer;
    v_ordinals integer[];
    v_queues integer[];
    v_keys bytea[];
    v_deliveries bigint[];
    v_first bigint[];
BEGIN
    SELECT
        array_agg(arrived.ordinal ORDER BY arrived.ordinal),
        array_agg(arrived.queue ORDER BY arrived.ordinal),
        array_agg(arvo.event_digest(arrived.event) ORDER BY arrived.ordinal),
        array_agg(arrived.delivery ORDER BY arrived.ordinal)
    INTO v_ordinals, v_queues, v_keys, v_deliveries
    FROM unnest(p_items) AS arrived
    INNER JOIN arvo.queue ON queue.queue = arrived.queue
    WHERE queue.deduplicate_for > interval '0';
    IF v_ordinals IS NULL THEN
        RETURN p_items;
    END IF;

    -- First its own number, then which partition: see arvo.event_key_generation.
    v_own := pg_current_xact_id();
    SELECT
        current.last_value,
        generation.horizon IS NULL
        OR pg_snapshot_xmin(pg_current_snapshot()) < generation.horizon
    INTO v_number, v_turning
    FROM arvo.event_key_number AS current
    LEFT JOIN arvo.event_key_generation AS generation ON generation.number = current.last_value
    WHERE v_own IS NOT NULL;

    v_first := array_fill(NULL::bigint, ARRAY[cardinality(v_ordinals)]);
    FOREACH v_slot IN ARRAY CASE
        WHEN v_number = 0 THEN '{0}'
        ELSE ARRAY[(v_number - 1) % 3, v_number % 3]::integer[]
    END LOOP
        v_written := 0;
        IF v_turning OR v_slot = v_number % 3 THEN
            INSERT INTO arvo.event_key AS known (slot, queue, key, delivery, at)
            SELECT DISTINCT ON (item.queue, item.key)
                v_slot, item.queue, item.key, item.delivery, v_now
            FROM unnest(v_queues, v_keys, v_deliveries, v_first) WITH ORDINALITY
                AS item (queue, key, delivery, first, ordinal)
            WHERE item.first IS NULL
            ORDER BY item.queue, item.key, item.ordinal
            ON CONFLICT (slot, queue, key) DO UPDATE
            SET delivery = excluded.delivery, at = excluded.at
            WHERE known.at <= (
                SELECT v_now - queue.deduplicate_for
                FROM arvo.queue
                WHERE queue.queue = excluded.queue
            );
            GET DIAGNOSTICS v_written = ROW_COUNT;
        END IF;
        -- As a rule every key was new.
        CONTINUE WHEN v_written = cardinality(v_ordinals);
        SELECT array_agg(
            coalesce(item.first, nullif(item.known, item.delivery)) ORDER BY item.ordinal
        )
        INTO v_first
        FROM unnest(v_deliveries, v_first, arvo.known_keys(v_slot, v_queues, v_keys))
            WITH ORDINALITY AS item (delivery, first, known, ordinal);
    END LOOP;

    FOR v_at IN 1..cardinality(v_ordinals) LOOP
        IF v_first[v_at] IS NOT NULL THEN
            p_items[v_ordinals[v_at]].outcome := 'duplicate';
            p_items[v_ordinals[v_at]].first_delivery := v_first[v_at];
        END IF;
    END LOOP;
    RETURN p_items;
END;
$mark_duplicates$;

COMMENT ON FUNCTION arvo.mark_duplicates(arvo.arrival[]) IS
'Marks arriving events whose source and id have been dispatched to the same queue within its window.';

REVOKE ALL ON FUNCTION arvo.mark_duplicates(arvo.arrival[]) FROM PUBLIC;
--! end

--! function arvo.mark_throttled
-- arvo.mark_throttled(items, options) — which arriving events their queue's policy does not take.
CREATE OR REPLACE FUNCTION arvo.mark_throttled(p_items arvo.arrival[], p_options arvo.options)
RETURNS arvo.arrival[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $mark_throttled$
-- singleton_for takes one event per key and interval; a further one goes to the next interval when
-- singleton_next_slot says so and that one is free. The policies short, stately and exclusive have
-- one place per key, where keys are as in arvo.key_for. Each event that gets in has taken its places.
--
--   Reads    arvo.queue, arvo.clock
--   Writes   arvo.throttle; as arvo.take_place
--   Locks    arvo.throttle rows, by (queue, key); as arvo.take_place
--   Raises   as arvo.take_place
DECLARE
    v_now timestamptz := arvo.clock();
    v_at integer;
    v_queue arvo.queue;
    v_key bigint;
    v_for interval;
    v_slot_at timestamptz;
    v_in_the_way bigint;
BEGIN
    FOR v_at, v_key IN
        SELECT
            arrived.ordinal,
            coalesce(
                arrived.key,
                CASE
                    WHEN queue.policy = 'ordered'
                        THEN nullif(hashtextextended(arrived.event ->> 'subject', 0), 0)
                END,
                1
            ) AS key
        FROM unnest(p_items) AS arrived
        INNER JOIN arvo.queue ON queue.queue = arrived.queue
        WHERE arrived.outcome IS NULL
        AND (
            queue.slotted OR queue.singleton_for IS NOT NULL OR p_options.singleton_for IS NOT NULL
        )
        ORDER BY arrived.queue, key, arrived.ordinal
    LOOP
        SELECT queue.* INTO STRICT v_queue
        FROM arvo.queue
        WHERE queue.queue = p_items[v_at].queue;
        v_for := coalesce(p_options.singleton_for, v_queue.singleton_for);
        IF v_for IS NOT NULL THEN
            v_for := make_interval(secs => extract(epoch FROM v_for)::double precision);
            v_slot_at := date_bin(
                v_for, v_now + greatest(p_items[v_at].after, interval '0'), '1970-01-01 00:00:00+00'
            );
            INSERT INTO arvo.throttle (queue, key, slot_at, until, delivery)
            VALUES (v_queue.queue, v_key, v_slot_at, v_slot_at + v_for, p_items[v_at].delivery)
            ON CONFLICT (queue, key, slot_at) DO NOTHING;
            IF NOT FOUND
                AND coalesce(p_options.singleton_next_slot, v_queue.singleton_next_slot)
            THEN
                v_slot_at := v_slot_at + v_for;
                INSERT INTO arvo.throttle (queue, key, slot_at, until, delivery)
                VALUES (v_queue.queue, v_key, v_slot_at, v_slot_at + v_for, p_items[v_at].delivery)
                ON CONFLICT (queue, key, slot_at) DO NOTHING;
                IF FOUND THEN
                    p_items[v_at].outcome := 'debounced';
                    p_items[v_at].after := v_slot_at - v_now;
                END IF;
            END IF;
            IF NOT FOUND THEN
                SELECT throttle.delivery INTO v_in_the_way
                FROM arvo.throttle
                WHERE throttle.queue = v_queue.queue
                AND throttle.key = v_key
                AND throttle.slot_at = v_slot_at;
                p_items[v_at].outcome := 'throttled';
                p_items[v_at].first_delivery := v_in_the_way;
                CONTINUE;
            END IF;
        END IF;

        IF v_queue.slotted THEN
            v_in_the_way := arvo.take_place(
                v_queue.queue,
                CASE WHEN v_queue.policy = 'exclusive' THEN 'any' ELSE 'queued' END,
                v_key, p_items[v_at].delivery
            );
            IF v_in_the_way IS NOT NULL THEN
                p_items[v_at].outcome := 'throttled';
                p_items[v_at].first_delivery := v_in_the_way;
                DELETE FROM arvo.throttle
                WHERE throttle.queue = v_queue.queue
                AND throttle.key = v_key
                AND throttle.slot_at = v_slot_at
                AND throttle.delivery = p_items[v_at].delivery;
            END IF;
        END IF;
    END LOOP;

    -- A duplicate of one in this very call that was not let in was not let in either.
    FOR v_at, v_in_the_way IN
        SELECT later.ordinal, kept_out.first_delivery
        FROM unnest(p_items) AS later
        INNER JOIN unnest(p_items) AS kept_out ON kept_out.delivery = later.first_delivery
        WHERE later.outcome = 'duplicate' AND kept_out.outcome = 'throttled'
    LOOP
        p_items[v_at].outcome := 'throttled';
        p_items[v_at].first_delivery := v_in_the_way;
    END LOOP;
    RETURN p_items;
END;
$mark_throttled$;

COMMENT ON FUNCTION arvo.mark_throttled(arvo.arrival[], arvo.options) IS
'Marks arriving events that singleton_for or the policy of their queue keeps out or puts off.';

REVOKE ALL ON FUNCTION arvo.mark_throttled(arvo.arrival[], arvo.options) FROM PUBLIC;
--! end

--! function arvo.merge_patch
-- arvo.merge_patch(target, patch) — a JSON document, changed as RFC 7396 says.
CREATE OR REPLACE FUNCTION arvo.merge_patch(p_target jsonb, p_patch jsonb)
RETURNS jsonb
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $merge_patch$
-- Members of the patch replace those of the target, objects are merged member by member, null
-- takes a member away. Anything but an object replaces the target whole.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_target jsonb := CASE WHEN jsonb_typeof(p_target) = 'object' THEN p_target ELSE '{}' END;
BEGIN
    IF p_patch IS NULL OR jsonb_typeof(p_patch) <> 'object' THEN
        RETURN p_patch;
    END IF;
    RETURN (
        SELECT
            v_target
            - coalesce(array_agg(member.key) FILTER (WHERE member.value = 'null'), '{}')
            || coalesce(
                jsonb_object_agg(
                    member.key, arvo.merge_patch(v_target -> member.key, member.value)
                ) FILTER (WHERE member.value <> 'null'),
                '{}'
            )
        FROM jsonb_each(p_patch) AS member
    );
END;
$merge_patch$;

COMMENT ON FUNCTION arvo.merge_patch(jsonb, jsonb) IS
'A JSON document after a JSON Merge Patch (RFC 7396).';

REVOKE ALL ON FUNCTION arvo.merge_patch(jsonb, jsonb) FROM PUBLIC;
--! end

--! function arvo.move_cursor
-- arvo.move_cursor(head, open_from, sweep_at) — write a lease row that leases nothing.
CREATE OR REPLACE FUNCTION arvo.move_cursor(
    p_head arvo.lease,
    p_open_from bigint DEFAULT NULL,
    p_sweep_at timestamptz DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $move_cursor$
-- p_head is the newest row of a lane that the caller holds, its window and position possibly moved
-- on by the caller. What a sweep found out, or a read, is worth a row; so is a cursor that is to
-- leave an old generation. NULL keeps what p_head says.
--
--   Reads    arvo.clock, arvo.slot
--   Writes   arvo.lease (one row)
--   Locks    nothing
--   Raises   nothing
BEGIN
    INSERT INTO arvo.lease (
        slot, lane, number, token, worker, leased_at, expires_at, deliveries,
        previous_snapshot, snapshot, last_xid, last_delivery, exhausted,
        open_from, sweep_at, ready_from
    )
    VALUES (
        arvo.slot(), p_head.lane, p_head.number + 1, 0, NULL, arvo.clock(), p_head.expires_at, '{}',
        p_head.previous_snapshot, p_head.snapshot, p_head.last_xid, p_head.last_delivery,
        p_head.exhausted, coalesce(p_open_from, p_head.open_from),
        coalesce(p_sweep_at, p_head.sweep_at), p_head.ready_from
    );
END;
$move_cursor$;

COMMENT ON FUNCTION arvo.move_cursor(arvo.lease, bigint, timestamptz) IS
'Appends a lease row that holds nothing but a lane''s cursor.';

REVOKE ALL ON FUNCTION arvo.move_cursor(arvo.lease, bigint, timestamptz) FROM PUBLIC;
--! end

--! function arvo.move_idle
-- arvo.move_idle(slot, limit) — take the cursors of idle lanes out of an old generation.
CREATE OR REPLACE FUNCTION arvo.move_idle(p_slot smallint, p_limit integer)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $move_idle$
-- The newest lease row of a lane is its cursor, however old. Where it stands in p_slot a new one is
-- appended. A lane that somebody holds is left out; he is about to write one. Returns how many.
--
--   Reads    arvo.lane, arvo.lease by (lane, number)
--   Writes   arvo.lease
--   Locks    each such lane: tried, never waited for
--   Raises   nothing
DECLARE
    v_lane integer;
    v_head arvo.lease;
    v_moved integer := 0;
BEGIN
    FOR v_lane IN
        SELECT lane.lane
        FROM arvo.lane
        CROSS JOIN LATERAL (
            SELECT newest.slot
            FROM arvo.lease AS newest
            WHERE newest.lane = lane.lane
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS head
        WHERE head.slot = p_slot
        ORDER BY lane.lane
        LIMIT p_limit
    LOOP
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_lane);
        v_head := arvo.head_of(v_lane);
        CONTINUE WHEN v_head.slot <> p_slot;
        PERFORM arvo.move_cursor(v_head);
        v_moved := v_moved + 1;
    END LOOP;
    RETURN v_moved;
END;
$move_idle$;

COMMENT ON FUNCTION arvo.move_idle(smallint, integer) IS
'Appends a cursor for each idle lane whose newest lease row stands in a slot; returns how many.';

REVOKE ALL ON FUNCTION arvo.move_idle(smallint, integer) FROM PUBLIC;
--! end

--! function arvo.moved
-- arvo.moved(head, reading) — a lane's head, its cursor moved on by what was read.
CREATE OR REPLACE FUNCTION arvo.moved(p_head arvo.lease, p_reading arvo.reading)
RETURNS arvo.lease
LANGUAGE plpgsql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $moved$
-- An empty reading moves nothing.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    IF p_reading.batch <> '{}' THEN
        p_head.previous_snapshot := p_reading.previous_snapshot;
        p_head.snapshot := p_reading.snapshot;
        p_head.last_xid := p_reading.last_xid;
        p_head.last_delivery := p_reading.last_delivery;
        p_head.exhausted := p_reading.exhausted;
    END IF;
    RETURN p_head;
END;
$moved$;

COMMENT ON FUNCTION arvo.moved(arvo.lease, arvo.reading) IS
'A lane''s newest lease row with the cursor as it stands after a reading.';

REVOKE ALL ON FUNCTION arvo.moved(arvo.lease, arvo.reading) FROM PUBLIC;
--! end

--! function arvo.next_due
-- arvo.next_due() — how long until something deferred becomes due, or a schedule fires.
CREATE OR REPLACE FUNCTION arvo.next_due()
RETURNS interval
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $next_due$
-- For a worker that has nothing to do: it need not poll before then. Never negative; NULL when
-- nothing is deferred and no schedule waits. Rows that the promotion has passed are not looked at. A
-- fire that is due although the caller has just promoted is held by somebody: no hurry.
--
--   Reads    arvo.promotion, arvo.deferred by due time, arvo.clock; as arvo.next_fire
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT least(
    (
        SELECT greatest(waiting.due - arvo.clock(), interval '0')
        FROM (
            SELECT head.due, head.delivery
            FROM arvo.promotion AS head
            ORDER BY head.number DESC
            LIMIT 1
        ) AS passed
        CROSS JOIN LATERAL (
            SELECT deferred.due
            FROM arvo.deferred
            WHERE (deferred.due, deferred.delivery) > (passed.due, passed.delivery)
            ORDER BY deferred.due, deferred.delivery
            LIMIT 1
        ) AS waiting
    ),
    (
        SELECT
            CASE
                WHEN fire.wait > interval '0' THEN fire.wait
                ELSE interval '250 milliseconds'
            END
        FROM (SELECT arvo.next_fire() - arvo.clock() AS wait) AS fire
        WHERE fire.wait IS NOT NULL
    )
);
$next_due$;

COMMENT ON FUNCTION arvo.next_due() IS
'How long until a deferred delivery becomes due or a schedule fires; NULL when there is none.';

REVOKE ALL ON FUNCTION arvo.next_due() FROM PUBLIC;
--! end

--! function arvo.next_fire
-- arvo.next_fire() — when the next schedule fires.
CREATE OR REPLACE FUNCTION arvo.next_fire()
RETURNS timestamptz
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $next_fire$
-- NULL when no schedule is waiting for its time. In the past when one is due, and somebody holds it.
--
--   Reads    arvo.schedule by next_at, arvo.clock; as arvo.fire_floor
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT schedule.next_at
FROM arvo.schedule
WHERE schedule.next_at > (SELECT arvo.fire_floor(arvo.clock()))
ORDER BY schedule.next_at
LIMIT 1;
$next_fire$;

COMMENT ON FUNCTION arvo.next_fire() IS
'When the next schedule fires; NULL when none will.';

REVOKE ALL ON FUNCTION arvo.next_fire() FROM PUBLIC;
--! end

--! function arvo.next_room
-- arvo.next_room(queues) — how long until a rate limit has room again.
CREATE OR REPLACE FUNCTION arvo.next_room(p_queues text[])
RETURNS interval
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $next_room$
-- For a worker that was given nothing: the soonest of those of the named queues that have used up
-- their rate_limit. NULL when there is none. A name that ends in * stands for every queue that begins
-- so.
--
--   Reads    arvo.queue, arvo.turn by (queue, key, number), arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT min(arvo.rate_wait(whole.tally, queue.rate_period, arvo.clock()))
FROM unnest(p_queues) AS asked (name)
INNER JOIN arvo.queue
    ON queue.name = asked.name
    OR (asked.name LIKE '%*' AND starts_with(queue.name, left(asked.name, -1)))
CROSS JOIN LATERAL (
    SELECT newest.tally
    FROM arvo.turn AS newest
    WHERE newest.queue = queue.queue AND newest.key = 0
    ORDER BY newest.number DESC
    LIMIT 1
) AS whole
WHERE queue.rate_limit IS NOT NULL
AND arvo.rate_room(whole.tally, queue.rate_limit, queue.rate_period, arvo.clock()) = 0;
$next_room$;

COMMENT ON FUNCTION arvo.next_room(text[]) IS
'How long until a used-up rate limit of one of some queues has room again.';

REVOKE ALL ON FUNCTION arvo.next_room(text[]) FROM PUBLIC;
--! end

--! function arvo.no_taking
-- arvo.no_taking(ready_from) — nothing taken yet.
CREATE OR REPLACE FUNCTION arvo.no_taking(p_ready_from bigint)
RETURNS arvo.taking
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $no_taking$
-- Where a claim of a gated queue begins.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT (
    '{}'::arvo.log[], '{}'::bigint[], '{}'::bigint[], '{}'::bigint[], 0, p_ready_from
)::arvo.taking;
$no_taking$;

COMMENT ON FUNCTION arvo.no_taking(bigint) IS
'An empty arvo.taking.';

REVOKE ALL ON FUNCTION arvo.no_taking(bigint) FROM PUBLIC;
--! end

--! function arvo.note_key
-- arvo.note_key(number, queue, key, window, delivery, now) — remember the deduplication key of one event.
CREATE OR REPLACE FUNCTION arvo.note_key(
    p_number bigint,
    p_queue integer,
    p_key bytea,
    p_window interval,
    p_delivery bigint,
    p_now timestamptz
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $note_key$
-- As arvo.mark_duplicates, for one event, outside of a turn of the partitions: p_number names the one
-- in use, the one before is looked at by its own name, so that the third can be emptied. False: the
-- key was there within the window, and nothing has been written.
--
--   Reads    arvo.event_key, the partition before, by (queue, key)
--   Writes   arvo.event_key, the partition in use
--   Locks    arvo.event_key row
--   Raises   40001  under REPEATABLE READ: somebody dispatched the same event meanwhile
BEGIN
    IF p_number % 3 = 0 THEN
        INSERT INTO arvo.event_key_0 AS known (slot, queue, key, delivery, at)
        SELECT 0, p_queue, p_key, p_delivery, p_now
        WHERE NOT EXISTS (
            SELECT
            FROM arvo.event_key_2 AS former
            WHERE former.slot = 2 AND former.queue = p_queue AND former.key = p_key
            AND former.at > p_now - p_window
        )
        ON CONFLICT (slot, queue, key) DO UPDATE
        SET delivery = excluded.delivery, at = excluded.at
        WHERE known.at <= p_now - p_window;
    ELSIF p_number % 3 = 1 THEN
        INSERT INTO arvo.event_key_1 AS known (slot, queue, key, delivery, at)
        SELECT 1, p_queue, p_key, p_delivery, p_now
        WHERE NOT EXISTS (
            SELECT
            FROM arvo.event_key_0 AS former
            WHERE former.slot = 0 AND former.queue = p_queue AND former.key = p_key
            AND former.at > p_now - p_window
        )
        ON CONFLICT (slot, queue, key) DO UPDATE
        SET delivery = excluded.delivery, at = excluded.at
        WHERE known.at <= p_now - p_window;
    ELSE
        INSERT INTO arvo.event_key_2 AS known (slot, queue, key, delivery, at)
        SELECT 2, p_queue, p_key, p_delivery, p_now
        WHERE NOT EXISTS (
            SELECT
            FROM arvo.event_key_1 AS former
            WHERE former.slot = 1 AND former.queue = p_queue AND former.key = p_key
            AND former.at > p_now - p_window
        )
        ON CONFLICT (slot, queue, key) DO UPDATE
        SET delivery = excluded.delivery, at = excluded.at
        WHERE known.at <= p_now - p_window;
    END IF;
    RETURN FOUND;
END;
$note_key$;

COMMENT ON FUNCTION arvo.note_key(bigint, integer, bytea, interval, bigint, timestamptz) IS
'Remembers the deduplication key of one event; false when it is known already.';

REVOKE ALL ON FUNCTION arvo.note_key(bigint, integer, bytea, interval, bigint, timestamptz)
FROM PUBLIC;
--! end

--! function arvo.note_operation
-- arvo.note_operation(verb, queue, details, touched) — write down what an operator did.
CREATE OR REPLACE FUNCTION arvo.note_operation(
    p_verb text,
    p_queue text,
    p_details jsonb,
    p_touched bigint
)
RETURNS void
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $note_operation$
-- A call that touched nothing is written down as well; a dry run is not, its caller does not call.
-- Arguments that are NULL are left out.
--
--   Reads    arvo.clock
--   Writes   arvo.operation
--   Locks    nothing
--   Raises   nothing
INSERT INTO arvo.operation (at, by, verb, queue, details, touched)
VALUES (arvo.clock(), session_user, p_verb, p_queue, jsonb_strip_nulls(p_details), p_touched);
$note_operation$;

COMMENT ON FUNCTION arvo.note_operation(text, text, jsonb, bigint) IS
'Writes one row of the audit of what operators do.';

REVOKE ALL ON FUNCTION arvo.note_operation(text, text, jsonb, bigint) FROM PUBLIC;
--! end

--! function arvo.notice_unroutable
-- arvo.notice_unroutable(accepted) — tell the listener for unroutable events, if there is one.
CREATE OR REPLACE FUNCTION arvo.notice_unroutable(p_accepted arvo_v1.dispatched[])
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $notice_unroutable$
-- An event whose destination nobody has registered waits in that destination's own queue. When the
-- queue arvo.unroutable is registered, the event is delivered there too, as a notice: the body is
-- not written again. Returns how many notices were written. The events have just been appended or
-- promoted by this transaction; p_accepted needs their deliveries and queues only.
--
--   Reads    arvo.queue, arvo.lane, arvo.log by (lane, xid, delivery), arvo.clock, arvo.slot
--   Writes   arvo.log
--   Locks    as arvo.lane_for
--   Raises   nothing
DECLARE
    v_notices integer := 0;
    v_lane integer;
BEGIN
    IF NOT EXISTS (
        SELECT FROM unnest(p_accepted) AS accepted WHERE accepted.outcome = 'unroutable'
    ) OR NOT EXISTS (
        SELECT FROM arvo.queue WHERE queue.name = 'arvo.unroutable' AND queue.registered
    ) THEN
        RETURN 0;
    END IF;
    v_lane := arvo.lane_for('arvo.unroutable');

    INSERT INTO arvo.log (
        slot, lane, delivery, attempt, at, subject_key, event_key,
        origin_delivery, origin_lane, origin_xid, event, cause
    )
    SELECT
        arvo.slot(),
        v_lane,
        nextval('arvo.delivery_number'::regclass),
        1,
        arvo.clock(),
        entry.subject_key,
        entry.event_key,
        CASE WHEN entry.slot = arvo.slot() THEN entry.delivery END,
        CASE WHEN entry.slot = arvo.slot() THEN entry.lane END,
        CASE WHEN entry.slot = arvo.slot() THEN entry.xid END,
        -- as in arvo.carried_body
        CASE WHEN entry.slot <> arvo.slot() THEN entry.event END,
        jsonb_build_object(
            'outcome', 'unroutable',
            'queue', accepted.queue,
            'delivery', accepted.delivery
        )
    FROM unnest(p_accepted) AS accepted
    INNER JOIN arvo.queue ON queue.name = accepted.queue
    INNER JOIN arvo.lane ON lane.queue = queue.queue AND NOT lane.retired
    INNER JOIN arvo.log AS entry
        ON entry.lane = lane.lane
        AND entry.xid = pg_current_xact_id()
        AND entry.delivery = accepted.delivery
    WHERE accepted.outcome = 'unroutable'
    ORDER BY accepted.ordinal;
    GET DIAGNOSTICS v_notices = ROW_COUNT;
    PERFORM arvo.wake(ARRAY['arvo.unroutable']);
    RETURN v_notices;
END;
$notice_unroutable$;

COMMENT ON FUNCTION arvo.notice_unroutable(arvo_v1.dispatched[]) IS
'Delivers notices of unroutable events to the queue arvo.unroutable, when it is registered.';

REVOKE ALL ON FUNCTION arvo.notice_unroutable(arvo_v1.dispatched[]) FROM PUBLIC;
--! end

--! function arvo.numbers_end
-- arvo.numbers_end() — the transaction number below which all stored ones lie.
CREATE OR REPLACE FUNCTION arvo.numbers_end()
RETURNS xid8
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $numbers_end$
-- Of those that a decision still depends on: the windows of lanes in use and what stands in their
-- logs, what is deferred and the promotion's cursor, drained queues, generations of event_key. By
-- index only.
--
--   Reads    arvo.lane, arvo.lease, arvo.log by (lane, xid), arvo.deferred, arvo.promotion,
--            arvo.queue, arvo.event_key_generation
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT coalesce(max(stored.number), 0)::text::xid8
FROM (
    SELECT greatest(
        pg_snapshot_xmax(head.snapshot)::text::bigint, last_entry.xid::text::bigint + 1
    ) AS number
    FROM arvo.lane
    CROSS JOIN LATERAL (
        SELECT newest.snapshot
        FROM arvo.lease AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS head
    LEFT JOIN LATERAL (
        SELECT entry.xid
        FROM arvo.log AS entry
        WHERE entry.lane = lane.lane
        ORDER BY entry.xid DESC
        LIMIT 1
    ) AS last_entry ON true
    WHERE NOT lane.retired
    UNION ALL
    SELECT postponed.xid::text::bigint + 1
    FROM (
        SELECT deferred.xid FROM arvo.deferred ORDER BY deferred.xid DESC LIMIT 1
    ) AS postponed
    UNION ALL
    SELECT pg_snapshot_xmax(passed.snapshot)::text::bigint
    FROM (
        SELECT head.snapshot FROM arvo.promotion AS head ORDER BY head.number DESC LIMIT 1
    ) AS passed
    UNION ALL
    SELECT pg_snapshot_xmax(queue.drained_to)::text::bigint
    FROM arvo.queue
    WHERE queue.drained_to IS NOT NULL
    UNION ALL
    SELECT event_key_generation.horizon::text::bigint FROM arvo.event_key_generation
) AS stored;
$numbers_end$;

COMMENT ON FUNCTION arvo.numbers_end() IS
'The transaction number below which all stored ones lie that a decision depends on.';

REVOKE ALL ON FUNCTION arvo.numbers_end() FROM PUBLIC;
--! end

--! function arvo.open_event_keys
-- arvo.open_event_keys(number) — say from which transaction on everybody knows a generation of event_key.
CREATE OR REPLACE FUNCTION arvo.open_event_keys(p_number bigint)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $open_event_keys$
-- Called after arvo.event_key_number has been set to p_number. Whoever may still write by the number
-- before has taken his transaction number before he read the sequence, so the horizon must be above
-- every transaction number handed out so far. pg_snapshot_xmax is not: it is one past the last that
-- has ended, and those that run may be above it. The number of a subtransaction that begins here is:
-- numbers are handed out in order. A row of it shows that number, in 32 bits; the upper ones are
-- those of this transaction, at most one wrap before.
--
--   Reads    arvo.clock
--   Writes   arvo.event_key_generation
--   Locks    nothing
--   Raises   23505  the generation is there already
DECLARE
    v_own bigint := pg_current_xact_id()::text::bigint;
    v_low bigint;
BEGIN
    -- A block with an exception clause is a subtransaction; its first write takes the number.
    BEGIN
        INSERT INTO arvo.event_key_generation AS opened (number, horizon, opened_at)
        VALUES (p_number, '18446744073709551615', arvo.clock())
        RETURNING opened.xmin::text::bigint INTO v_low;
    EXCEPTION WHEN lock_not_available THEN
        RAISE;
    END;
    UPDATE arvo.event_key_generation AS opened
    SET horizon = (v_own + (v_low - v_own % 4294967296 + 4294967296) % 4294967296)::text::xid8
    WHERE opened.number = p_number;
END;
$open_event_keys$;

COMMENT ON FUNCTION arvo.open_event_keys(bigint) IS
'Notes a new generation of event_key, with a horizon above every transaction number so far.';

REVOKE ALL ON FUNCTION arvo.open_event_keys(bigint) FROM PUBLIC;
--! end

--! function arvo.open_generation
-- arvo.open_generation() — begin a new generation of history when the newest is old enough.
CREATE OR REPLACE FUNCTION arvo.open_generation()
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $open_generation$
-- Four slots: one in use, three that are kept; so one is in use for a third of delete_after, but for
-- five minutes at least. The next slot must have been emptied; while it is pinned the newest one
-- grows. One that nothing has been written to stays: an idle house does not turn. Returns 1 or 0.
--
--   Reads    arvo.generation, arvo.log, arvo.lease, arvo.closure, arvo.clock, arvo.delete_after
--   Writes   arvo.generation
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_newest arvo.generation;
BEGIN
    SELECT newest.* INTO STRICT v_newest
    FROM arvo.generation AS newest
    ORDER BY newest.number DESC
    LIMIT 1;
    IF v_newest.opened_at > v_now - greatest(arvo.delete_after() / 3, interval '5 minutes')
        OR EXISTS (
            SELECT
            FROM arvo.generation AS old
            WHERE old.slot = (v_newest.slot + 1) % 4 AND old.emptied_at IS NULL
        )
        OR NOT (
            EXISTS (SELECT FROM arvo.log WHERE log.slot = v_newest.slot)
            OR EXISTS (SELECT FROM arvo.lease WHERE lease.slot = v_newest.slot AND lease.token > 0)
            OR EXISTS (SELECT FROM arvo.closure WHERE closure.slot = v_newest.slot)
        )
    THEN
        RETURN 0;
    END IF;
    INSERT INTO arvo.generation (slot, opened_at)
    VALUES ((v_newest.slot + 1) % 4, v_now);
    RETURN 1;
END;
$open_generation$;

COMMENT ON FUNCTION arvo.open_generation() IS
'Opens the next generation when the newest is old enough and the next slot is empty.';

REVOKE ALL ON FUNCTION arvo.open_generation() FROM PUBLIC;
--! end

--! function arvo.open_leases
-- arvo.open_leases(queue) — tokens of a queue's leases that hold something open.
CREATE OR REPLACE FUNCTION arvo.open_leases(p_queue integer)
RETURNS SETOF bigint
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $open_leases$
-- In order.
--
--   Reads    arvo.lane, arvo.lease by (lane, number), arvo.closure by token
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT DISTINCT held.token
FROM arvo.lane
CROSS JOIN LATERAL (
    SELECT newest.open_from
    FROM arvo.lease AS newest
    WHERE newest.lane = lane.lane
    ORDER BY newest.number DESC
    LIMIT 1
) AS head
INNER JOIN arvo.lease AS held
    ON held.lane = lane.lane AND held.number >= head.open_from AND held.token <> 0
WHERE lane.queue = p_queue AND NOT lane.retired
AND arvo.open_deliveries(held.token, held.deliveries) <> '{}'
ORDER BY held.token;
$open_leases$;

COMMENT ON FUNCTION arvo.open_leases(integer) IS
'Tokens of a queue''s leases that have not been closed wholly.';

REVOKE ALL ON FUNCTION arvo.open_leases(integer) FROM PUBLIC;
--! end

--! function arvo.option_fault
-- arvo.option_fault(queue) — the first rule that a queue's options break, or NULL.
CREATE OR REPLACE FUNCTION arvo.option_fault(p_queue arvo.queue)
RETURNS text
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $option_fault$
-- Answers 'option: rule', the option first.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT faulty.option || ': ' || faulty.rule
FROM (
    VALUES
    (1, 'queue', arvo.is_queue_name(p_queue.name), 'use 1 to 512 characters of a URI, without quotes'),
    (2, 'queue',
     NOT starts_with(p_queue.name, 'arvo.domain.') OR p_queue.name ~ '^arvo\.domain\.[a-z0-9.]+$',
     'after arvo.domain. use lower-case letters, digits and dots'),
    (2, 'queue', p_queue.name <> 'arvo.publish', 'name another queue: what goes there is published'),
    (3, 'policy',
     p_queue.policy IN ('standard', 'short', 'singleton', 'stately', 'exclusive', 'ordered'),
     'use standard, short, singleton, stately, exclusive or ordered'),
    (4, 'key_from',
     p_queue.key_from ~ '^([a-z0-9]+|data(\.[^.{}",\s]{1,100}){1,8})$' AND p_queue.key_from <> 'data',
     'name an attribute of the event, or a path such as data.customer.id'),
    (5, 'on_failure', p_queue.on_failure IN ('block', 'step_aside'), 'use block or step_aside'),
    (6, 'on_failure', p_queue.on_failure = 'block' OR p_queue.policy = 'ordered',
     'only an ordered queue steps aside: set policy to ordered'),
    (7, 'start_after', p_queue.start_after BETWEEN interval '0' AND interval '3650 days',
     'use between 0 and 3650 days'),
    (8, 'retention', p_queue.retention BETWEEN interval '1 second' AND interval '3650 days',
     'use between 1 second and 3650 days'),
    (9, 'delete_after', p_queue.delete_after BETWEEN interval '1 second' AND interval '3650 days',
     'use between 1 second and 3650 days'),
    (10, 'deduplicate_for', p_queue.deduplicate_for BETWEEN interval '0' AND interval '3650 days',
     'use between 0 (off) and 3650 days'),
    (11, 'singleton_for', p_queue.singleton_for BETWEEN interval '1 second' AND interval '3650 days',
     'use between 1 second and 3650 days'),
    (12, 'singleton_next_slot', NOT p_queue.singleton_next_slot OR p_queue.singleton_for IS NOT NULL,
     'set singleton_for as well'),
    (13, 'max_active', p_queue.max_active >= 1, 'use 1 or more'),
    (14, 'key_max_active', p_queue.key_max_active >= 1, 'use 1 or more'),
    (15, 'key_max_active',
     p_queue.key_max_active IS NULL OR p_queue.policy NOT IN ('ordered', 'singleton', 'stately'),
     'the policy allows one at a time already: leave it out'),
    (16, 'rate_limit', p_queue.rate_limit >= 1, 'use 1 or more'),
    (17, 'rate_period', (p_queue.rate_limit IS NULL) = (p_queue.rate_period IS NULL),
     'give rate_limit and rate_period together'),
    (18, 'rate_period', p_queue.rate_period BETWEEN interval '0.1 seconds' AND interval '31 days',
     'use between 0.1 seconds and 31 days'),
    (19, 'key_rate_limit', p_queue.key_rate_limit >= 1, 'use 1 or more'),
    (20, 'key_rate_period', (p_queue.key_rate_limit IS NULL) = (p_queue.key_rate_period IS NULL),
     'give key_rate_limit and key_rate_period together'),
    (21, 'key_rate_period',
     p_queue.key_rate_period BETWEEN interval '0.1 seconds' AND interval '31 days',
     'use between 0.1 seconds and 31 days'),
    (22, 'retry_limit', p_queue.retry_limit >= 0, 'use 0 or more'),
    -- Without a bound, a retry would be due behind the end of time, and fail with its whole batch.
    (23, 'retry_delay', p_queue.retry_delay BETWEEN interval '0' AND interval '3650 days',
     'use between 0 and 3650 days'),
    (24, 'retry_delay_max', p_queue.retry_delay_max BETWEEN interval '0' AND interval '3650 days',
     'use between 0 and 3650 days'),
    (25, 'expire_in', p_queue.expire_in BETWEEN interval '1 second' AND interval '1 day',
     'use between 1 second and 1 day'),
    (26, 'dead_letter', p_queue.dead_letter IS NULL OR arvo.is_queue_name(p_queue.dead_letter),
     'use 1 to 512 characters of a URI, without quotes'),
    (27, 'dead_letter', p_queue.dead_letter <> p_queue.name, 'name another queue'),
    (28, 'warning_queue_size', p_queue.warning_queue_size >= 1, 'use 1 or more'),
    (29, 'max_redrives', p_queue.max_redrives >= 0, 'use 0 or more'),
    (30, 'error_rules',
     coalesce(jsonb_typeof(p_queue.error_rules), 'null') = 'object' AND NOT EXISTS (
         SELECT
         FROM jsonb_each(
             CASE jsonb_typeof(p_queue.error_rules) WHEN 'object' THEN p_queue.error_rules END
         ) AS rule
         WHERE NOT (
             rule.value = '"dead"'
             OR coalesce(
                 jsonb_typeof(rule.value) = 'object'
                 AND (rule.value - 'retry_after' - 'snooze') = '{}'
                 AND ((rule.value ? 'retry_after') <> (rule.value ? 'snooze'))
                 AND jsonb_path_exists(rule.value, 'strict $.* ? (@ >= 0 && @ <= 315360000)'),
                 false
             )
         )
     ),
     'use an object of error names, each with "dead", {"retry_after": seconds} or {"snooze": seconds}')
) AS faulty (ordinal, option, kept, rule)
WHERE NOT faulty.kept
ORDER BY faulty.ordinal
LIMIT 1;
$option_fault$;

COMMENT ON FUNCTION arvo.option_fault(arvo.queue) IS
'The first rule that a queue''s options break, as "option: rule"; NULL when they break none.';

REVOKE ALL ON FUNCTION arvo.option_fault(arvo.queue) FROM PUBLIC;
--! end

--! function arvo.options_with
-- arvo.options_with(options, start_after, priority) — options of a dispatch, with two given apart.
CREATE OR REPLACE FUNCTION arvo.options_with(
    p_options jsonb,
    p_start_after interval,
    p_priority integer
)
RETURNS jsonb
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $options_with$
-- NULL when there is nothing to say. What is no object is left for arvo.read_options to refuse.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT CASE
           WHEN p_start_after IS NULL AND p_priority IS NULL THEN p_options
           WHEN jsonb_typeof(p_options) NOT IN ('object', 'null') THEN p_options
           ELSE coalesce(nullif(p_options, 'null'), '{}') || jsonb_strip_nulls(jsonb_build_object(
               'start_after', extract(epoch FROM p_start_after), 'priority', p_priority
           ))
       END;
$options_with$;

COMMENT ON FUNCTION arvo.options_with(jsonb, interval, integer) IS
'Options of a dispatch together with start_after and priority; NULL for none.';

REVOKE ALL ON FUNCTION arvo.options_with(jsonb, interval, integer) FROM PUBLIC;
--! end

--! function arvo.order_results
-- arvo.order_results(items) — which results of ordered keys come out of order.
CREATE OR REPLACE FUNCTION arvo.order_results(p_items arvo.result[])
RETURNS arvo.result[]
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $order_results$
-- The deliveries of one key in one lease are a run, to be worked through in order. A result is
-- refused when an earlier delivery of its run is still open (RV303: settle that one first), or is not
-- completed in this very call (RV301: the rest of the run goes back). A queue that is not ordered any
-- more has no runs: its results lose their places. The caller holds the leases.
--
--   Reads    arvo.lease and arvo.closure, by token; arvo.lane, arvo.queue
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_lease bigint;
    v_key bigint;
    v_at integer;
    v_delivery bigint;
    v_blocked text;
    v_earlier bigint;
BEGIN
    FOR v_at IN
        SELECT item.ordinal
        FROM unnest(p_items) AS item
        INNER JOIN arvo.lane ON lane.lane = item.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        WHERE item.place IS NOT NULL AND queue.policy <> 'ordered'
    LOOP
        p_items[v_at].place := NULL;
    END LOOP;

    FOR v_lease, v_key IN
        SELECT DISTINCT item.lease, item.key
        FROM unnest(p_items) AS item
        WHERE item.place IS NOT NULL AND item.verdict IS NULL
    LOOP
        v_blocked := NULL;
        FOR v_at, v_delivery IN
            SELECT item.ordinal, leased.delivery
            FROM (
                SELECT newest.deliveries, newest.keys, newest.places
                FROM arvo.lease AS newest
                WHERE newest.token = v_lease
                ORDER BY newest.number DESC
                LIMIT 1
            ) AS held
            CROSS JOIN LATERAL
                unnest(held.deliveries, held.keys, held.places) AS leased (delivery, key, place)
            INNER JOIN unnest(arvo.open_deliveries(v_lease, held.deliveries)) AS open (delivery)
                ON open.delivery = leased.delivery
            LEFT JOIN unnest(p_items) AS item
                ON item.lease = v_lease AND item.delivery = leased.delivery
                AND item.code IS DISTINCT FROM 'RV006'
            WHERE leased.key = v_key
            ORDER BY leased.place
        LOOP
            IF v_at IS NULL OR p_items[v_at].verdict IS NOT NULL THEN
                v_blocked := coalesce(v_blocked, 'RV303');
                v_earlier := coalesce(v_earlier, v_delivery);
            ELSIF v_blocked IS NOT NULL THEN
                p_items[v_at].verdict := 'refused';
                p_items[v_at].code := v_blocked;
                p_items[v_at].detail := format(
                    'delivery %s is not completed, and comes before it', v_earlier
                );
            ELSIF p_items[v_at].asked <> 'completed' THEN
                v_blocked := 'RV301';
                v_earlier := v_delivery;
            END IF;
        END LOOP;
        v_earlier := NULL;
    END LOOP;
    RETURN p_items;
END;
$order_results$;

COMMENT ON FUNCTION arvo.order_results(arvo.result[]) IS
'Refuses results of ordered keys whose predecessor in the lease is not completed.';

REVOKE ALL ON FUNCTION arvo.order_results(arvo.result[]) FROM PUBLIC;
--! end

--! function arvo.pace_of
-- arvo.pace_of(queue) — rates and times of a queue, from its newest claims.
CREATE OR REPLACE FUNCTION arvo.pace_of(p_queue integer)
RETURNS arvo.pace
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $pace_of$
-- A sample, bounded whatever the load: of each lane the newest 200 claims of the last five minutes. A
-- rate is per minute of the time that they cover. Run times are those that workers report; waits are
-- looked up in the log for the newest 200 deliveries of each lane (without those leased before
-- revision 3, whose transactions are not known one by one).
--
--   Reads    arvo.lane, arvo.lease by (lane, number), arvo.closure by token, arvo.log by (lane, xid,
--            delivery), arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
WITH now AS MATERIALIZED (
    SELECT arvo.clock() AS at
),

claim AS MATERIALIZED (
    SELECT newest.*
    FROM now
    CROSS JOIN arvo.lane
    CROSS JOIN LATERAL (
        SELECT recent.*
        FROM (
            SELECT
                lease.lane, lease.number, lease.token, lease.carried, lease.leased_at,
                lease.deliveries, lease.xids, lease.low_xid, lease.high_xid
            FROM arvo.lease
            WHERE lease.lane = lane.lane
            ORDER BY lease.number DESC
            LIMIT 200
        ) AS recent
        WHERE recent.token <> 0
        AND NOT recent.carried
        AND recent.leased_at > now.at - interval '5 minutes'
    ) AS newest
    WHERE lane.queue = p_queue
),

-- Where less than 200 rows reach back five minutes, the whole five minutes are covered.
covered AS MATERIALIZED (
    SELECT
        lane.lane,
        CASE
            WHEN oldest.leased_at > now.at - interval '5 minutes'
                THEN greatest(extract(epoch FROM now.at - oldest.leased_at), 1) / 60.0
            ELSE 5.0
        END AS minutes
    FROM now
    CROSS JOIN arvo.lane
    LEFT JOIN LATERAL (
        SELECT lease.leased_at
        FROM arvo.lease
        WHERE lease.lane = lane.lane
        ORDER BY lease.number DESC
        OFFSET 199
        LIMIT 1
    ) AS oldest ON true
    WHERE lane.queue = p_queue
),

run AS MATERIALIZED (
    SELECT
        claim.lane,
        closure.outcomes[least(done.ordinal, cardinality(closure.outcomes))] AS outcome,
        done.run_time
    FROM claim
    INNER JOIN arvo.closure ON closure.token = claim.token
    CROSS JOIN LATERAL
        unnest(closure.deliveries, closure.run_times) WITH ORDINALITY
            AS done (delivery, run_time, ordinal)
),

wait AS MATERIALIZED (
    SELECT extract(epoch FROM taken.leased_at - entry.at) AS seconds
    FROM arvo.lane
    CROSS JOIN LATERAL (
        SELECT
            claim.leased_at,
            leased.delivery,
            coalesce(
                claim.xids[least(leased.ordinal, cardinality(claim.xids))],
                CASE WHEN claim.low_xid = claim.high_xid THEN claim.low_xid END
            ) AS xid
        FROM claim
        CROSS JOIN LATERAL
            unnest(claim.deliveries) WITH ORDINALITY AS leased (delivery, ordinal)
        WHERE claim.lane = lane.lane
        ORDER BY claim.number DESC, leased.ordinal
        LIMIT 200
    ) AS taken
    CROSS JOIN LATERAL (
        SELECT log.at
        FROM arvo.log
        WHERE log.lane = lane.lane AND log.xid = taken.xid AND log.delivery = taken.delivery
        OFFSET 0
    ) AS entry
    WHERE lane.queue = p_queue
)

SELECT
    coalesce((
        SELECT sum(rate.completed)
        FROM (
            SELECT count(*) FILTER (WHERE run.outcome = 'completed')::double precision
                / max(covered.minutes)::double precision AS completed
            FROM covered
            INNER JOIN run ON run.lane = covered.lane
            GROUP BY covered.lane
        ) AS rate
    ), 0),
    coalesce((
        SELECT sum(rate.failed)
        FROM (
            SELECT
                count(*) FILTER (
                    WHERE run.outcome IN ('retried', 'dead', 'expired')
                )::double precision / max(covered.minutes)::double precision AS failed
            FROM covered
            INNER JOIN run ON run.lane = covered.lane
            GROUP BY covered.lane
        ) AS rate
    ), 0),
    (SELECT make_interval(secs => avg(wait.seconds)::double precision) FROM wait),
    (
        SELECT make_interval(
            secs => percentile_disc(0.95) WITHIN GROUP (ORDER BY wait.seconds)::double precision
        )
        FROM wait
    ),
    (SELECT make_interval(secs => avg(run.run_time)::double precision / 1000000) FROM run),
    (
        SELECT make_interval(
            secs => percentile_disc(0.95) WITHIN GROUP (ORDER BY run.run_time)
                ::double precision / 1000000
        )
        FROM run
        WHERE run.run_time IS NOT NULL
    );
$pace_of$;

COMMENT ON FUNCTION arvo.pace_of(integer) IS
'Completed and failed per minute, waits and run times of a queue, from its newest claims.';

REVOKE ALL ON FUNCTION arvo.pace_of(integer) FROM PUBLIC;
--! end

--! function arvo.pass_numbers
-- arvo.pass_numbers(number) — use up transaction numbers of this cluster.
CREATE OR REPLACE FUNCTION arvo.pass_numbers(p_number bigint)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $pass_numbers$
-- For arvo_v1.rebase, in a cluster so young that it has not given as many numbers as the order of a
-- backlog needs. Each subtransaction that writes takes one; what it writes is undone. Nearly always
-- there is nothing to do. Returns how many were used up.
--
--   Reads    pg_current_snapshot, arvo.clock
--   Writes   nothing that stays
--   Locks    nothing
--   Raises   nothing (RV901, and catches it)
DECLARE
    v_passed bigint := 0::bigint;
BEGIN
    WHILE pg_snapshot_xmax(pg_current_snapshot())::text::bigint <= p_number LOOP
        BEGIN
            INSERT INTO arvo.tombstone (lane, delivery, at) VALUES (0, 0, arvo.clock());
            RAISE EXCEPTION 'undone' USING ERRCODE = 'RV901';
        EXCEPTION
            WHEN SQLSTATE 'RV901' THEN
                v_passed := v_passed + 1;
        END;
    END LOOP;
    RETURN v_passed;
END;
$pass_numbers$;

COMMENT ON FUNCTION arvo.pass_numbers(bigint) IS
'Uses up transaction numbers until this cluster is past a number; returns how many.';

REVOKE ALL ON FUNCTION arvo.pass_numbers(bigint) FROM PUBLIC;
--! end

--! function arvo.pass_on
-- arvo.pass_on(items) — settled deliveries free their keys and places.
CREATE OR REPLACE FUNCTION arvo.pass_on(p_items arvo.result[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $pass_on$
-- After their closures have been written. Only queues that are gated or slotted have anything to do.
--
--   Reads    arvo.lane, arvo.queue, arvo.lease by token
--   Writes   as arvo.pass_turns and arvo.leave_places
--   Locks    as arvo.leave_places; the caller holds the home lanes of the gated queues
--   Raises   nothing
DECLARE
    v_queue arvo.queue;
    v_items arvo.result[];
    v_lease arvo.lease;
    v_token bigint;
    v_deliveries bigint[];
BEGIN
    FOR v_queue IN
        SELECT queue.*
        FROM (
            SELECT DISTINCT lane.queue
            FROM unnest(p_items) AS item
            INNER JOIN arvo.lane ON lane.lane = item.lane
        ) AS met
        INNER JOIN arvo.queue ON queue.queue = met.queue
        WHERE queue.gated OR queue.slotted
    LOOP
        SELECT array_agg(item ORDER BY item.ordinal) INTO v_items
        FROM unnest(p_items) AS item
        INNER JOIN arvo.lane ON lane.lane = item.lane AND lane.queue = v_queue.queue
        WHERE item.verdict IS NULL OR item.verdict NOT IN ('refused', 'already');
        CONTINUE WHEN v_items IS NULL;
        IF v_queue.gated THEN
            PERFORM arvo.pass_turns(v_queue, v_items);
        END IF;
        CONTINUE WHEN NOT v_queue.slotted;
        FOR v_token, v_deliveries IN
            SELECT item.lease, array_agg(item.delivery)
            FROM unnest(v_items) AS item
            WHERE item.verdict IS NULL OR item.verdict = 'dead'
            GROUP BY item.lease
        LOOP
            SELECT newest.* INTO STRICT v_lease
            FROM arvo.lease AS newest
            WHERE newest.token = v_token
            ORDER BY newest.number DESC
            LIMIT 1;
            PERFORM arvo.leave_places(v_queue, v_lease, v_deliveries);
        END LOOP;
    END LOOP;
END;
$pass_on$;

COMMENT ON FUNCTION arvo.pass_on(arvo.result[]) IS
'Frees keys and places of deliveries that a settlement has closed.';

REVOKE ALL ON FUNCTION arvo.pass_on(arvo.result[]) FROM PUBLIC;
--! end

--! function arvo.pass_turns
-- arvo.pass_turns(queue, items) — deliveries of a gated queue have been closed: who is next.
CREATE OR REPLACE FUNCTION arvo.pass_turns(p_queue arvo.queue, p_items arvo.result[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $pass_turns$
-- p_items were closed: completed (verdict NULL), dead, cancelled, or given back (retried, released,
-- snoozed, conflict; then next is the further delivery). Each frees its key. In an ordered queue one
-- that did not complete ends the run of its key: the rest of the run goes back to its places, and a
-- further delivery becomes the holder, so that nobody passes it. Where on_failure is step_aside, a
-- retry goes to the end instead.
--
--   Reads    arvo.turn by (queue, key, number), arvo.lease and arvo.closure by token, arvo.log by
--            (lane, xid, delivery), arvo.clock, arvo.slot
--   Writes   arvo.closure, arvo.parked; as arvo.put_turns and arvo.wake
--   Locks    nothing; the caller holds the leases, and the queue's home lane
--   Raises   nothing
DECLARE
    v_key record;
    v_turn arvo.turn;
    v_turns arvo.turn[] := '{}'::arvo.turn[];
    v_lease arvo.lease;
    v_back arvo.result;
    v_rest bigint[];
    v_freed integer := 0;
    v_full boolean;
BEGIN
    FOR v_key IN
        SELECT
            grouped.*,
            newest.turn,
            row_number() OVER (PARTITION BY grouped.key ORDER BY grouped.lease) > 1 AS again
        FROM (
            SELECT
                item.key,
                item.lease,
                count(*)::integer AS closed,
                (
                    array_agg(item.ordinal ORDER BY item.place) FILTER (
                        WHERE item.place IS NOT NULL
                        AND item.verdict IN ('retried', 'dead', 'released', 'snoozed', 'conflict')
                    )
                )[1] AS back
            FROM unnest(p_items) AS item
            WHERE item.key IS NOT NULL
            GROUP BY item.key, item.lease
        ) AS grouped
        LEFT JOIN LATERAL (
            SELECT state AS turn
            FROM arvo.turn AS state
            WHERE state.queue = p_queue.queue AND state.key = grouped.key
            ORDER BY state.number DESC
            LIMIT 1
        ) AS newest ON true
        ORDER BY grouped.key, grouped.lease
    LOOP
        -- A key is met twice when deliveries of two leases were closed: the first time is written by then.
        IF v_key.again THEN
            PERFORM arvo.put_turns(p_queue, v_turns);
            v_turns := '{}'::arvo.turn[];
            v_turn := arvo.turn_of(p_queue.queue, v_key.key);
        ELSE
            v_turn := coalesce(v_key.turn, arvo.turn_of(p_queue.queue, v_key.key));
        END IF;
        v_freed := v_freed + v_key.closed;
        v_turn.active := greatest(v_turn.active - v_key.closed, 0);
        IF v_key.back IS NOT NULL THEN
            SELECT item.* INTO STRICT v_back
            FROM unnest(p_items) AS item
            WHERE item.ordinal = v_key.back AND item.lease = v_key.lease;
            SELECT newest.* INTO STRICT v_lease
            FROM arvo.lease AS newest
            WHERE newest.token = v_key.lease
            ORDER BY newest.number DESC
            LIMIT 1;
            SELECT array_agg(open.delivery ORDER BY leased.ordinal) INTO v_rest
            FROM unnest(v_lease.deliveries) WITH ORDINALITY AS leased (delivery, ordinal)
            INNER JOIN unnest(arvo.open_deliveries(v_lease.token, v_lease.deliveries))
                AS open (delivery) ON open.delivery = leased.delivery
            WHERE v_lease.keys[leased.ordinal] = v_key.key
            AND v_lease.places[leased.ordinal] > v_back.place;
            IF v_rest IS NOT NULL THEN
                INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
                VALUES (
                    arvo.slot(), v_lease.token, arvo.clock(), v_rest, '{released}',
                    array_fill(NULL::integer, ARRAY[cardinality(v_rest)])
                );
                INSERT INTO arvo.parked (queue, key, place, delivery, lane, xid, at)
                SELECT
                    p_queue.queue, v_key.key, v_lease.places[leased.ordinal], leased.delivery,
                    entry.lane, entry.xid, entry.at
                FROM unnest(v_lease.deliveries) WITH ORDINALITY AS leased (delivery, ordinal)
                CROSS JOIN LATERAL (
                    SELECT log.lane, log.xid, log.at
                    FROM arvo.log
                    WHERE log.lane = v_lease.lane
                    AND log.xid >= v_lease.low_xid
                    AND log.xid <= v_lease.high_xid
                    AND log.delivery = leased.delivery
                    LIMIT 1
                ) AS entry
                WHERE leased.delivery = ANY (v_rest);
                v_turn.active := greatest(v_turn.active - cardinality(v_rest), 0);
                v_turn.waiting := v_turn.waiting + cardinality(v_rest);
                v_freed := v_freed + cardinality(v_rest);
            END IF;
            v_turn.upto := least(v_turn.upto, v_back.place);
            IF v_back.next IS NOT NULL
                AND (v_back.verdict <> 'retried' OR p_queue.on_failure = 'block')
            THEN
                v_turn.holder := v_back.next;
            END IF;
        END IF;
        v_turns := v_turns || v_turn;
    END LOOP;

    -- The queue as a whole; also for what was leased before it had keys.
    v_turn := arvo.turn_of(p_queue.queue, 0);
    v_freed := v_freed + (
        SELECT count(*)::integer FROM unnest(p_items) AS item WHERE item.key IS NULL
    );
    v_full := v_turn.active >= p_queue.max_active;
    v_turn.active := greatest(v_turn.active - v_freed, 0);
    PERFORM arvo.put_turns(p_queue, v_turns || v_turn);
    IF v_full THEN
        PERFORM arvo.wake(ARRAY[p_queue.name]);
    END IF;
END;
$pass_turns$;

COMMENT ON FUNCTION arvo.pass_turns(arvo.queue, arvo.result[]) IS
'Frees the keys of closed deliveries, and puts the rest of a failed run back in line.';

REVOKE ALL ON FUNCTION arvo.pass_turns(arvo.queue, arvo.result[]) FROM PUBLIC;
--! end

--! function arvo.place_holder
-- arvo.place_holder(queue, kind, key) — the delivery that has a place.
CREATE OR REPLACE FUNCTION arvo.place_holder(p_queue integer, p_kind text, p_key bigint)
RETURNS bigint
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $place_holder$
-- NULL when it is free. Takes nothing: for dry runs.
--
--   Reads    arvo.singleton by (queue, kind, key, number)
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT newest.delivery
FROM arvo.singleton AS newest
WHERE newest.queue = p_queue AND newest.kind = p_kind AND newest.key = p_key
ORDER BY newest.number DESC
LIMIT 1;
$place_holder$;

COMMENT ON FUNCTION arvo.place_holder(integer, text, bigint) IS
'The delivery that has the place of a key, or NULL.';

REVOKE ALL ON FUNCTION arvo.place_holder(integer, text, bigint) FROM PUBLIC;
--! end

--! function arvo.promote
-- arvo.promote(limit) — move what has become due into the log.
CREATE OR REPLACE FUNCTION arvo.promote(p_limit integer DEFAULT 1000)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $promote$
-- One promoter at a time, for all lanes; whoever finds it busy goes on without. A cursor remembers a
-- due time and a snapshot. Due now are: rows behind the cursor's time, and rows before it that were
-- not yet visible to its snapshot (they were written late, or into the past). Nothing is deleted
-- here, so no scan ever walks over dead rows. Returns how many were promoted. Schedules that are due
-- are fired as well.
--
--   Reads    arvo.promotion, arvo.deferred, arvo.clock, arvo.slot; as arvo.carried_body
--   Writes   arvo.log, arvo.promotion, arvo.dead; as arvo.notice_unroutable and arvo.fire_schedules
--   Locks    the promoter's lock, tried, never waited for; as arvo.fire_schedules
--   Raises   nothing
DECLARE
    v_now timestamptz;
    v_head arvo.promotion;
    v_snapshot pg_snapshot;
    v_late xid8[];
    v_unseen boolean;
    v_due timestamptz;
    v_delivery bigint;
    v_promoted integer;
    v_lanes integer[];
    v_unroutable arvo_v1.dispatched[];
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('arvo'), 0) THEN
        RETURN 0;
    END IF;
    PERFORM arvo.fire_schedules();
    v_now := arvo.clock();
    v_snapshot := arvo.window_snapshot();
    SELECT head.* INTO STRICT v_head
    FROM arvo.promotion AS head
    ORDER BY head.number DESC
    LIMIT 1;
    IF pg_snapshot_xmin(v_head.snapshot) < pg_snapshot_xmax(v_head.snapshot) THEN
        SELECT array_agg(listed.xid) INTO v_late
        FROM pg_snapshot_xip(v_head.snapshot) AS listed (xid)
        WHERE pg_visible_in_snapshot(listed.xid, v_snapshot);
    END IF;

    -- Nearly always there is nothing to do: find that out by three probes of an index.
    v_unseen := EXISTS (
        SELECT
        FROM arvo.deferred
        WHERE (deferred.xid, deferred.delivery) >= (pg_snapshot_xmax(v_head.snapshot), 0)
        AND deferred.xid < pg_snapshot_xmax(v_snapshot)
        AND pg_visible_in_snapshot(deferred.xid, v_snapshot)
    );
    IF v_late IS NOT NULL AND NOT v_unseen THEN
        v_unseen := EXISTS (
            SELECT
            FROM unnest(v_late) AS listed (xid)
            CROSS JOIN LATERAL (
                SELECT FROM arvo.deferred WHERE deferred.xid = listed.xid LIMIT 1
            ) AS entry
        );
    END IF;
    IF NOT v_unseen AND NOT EXISTS (
        SELECT
        FROM arvo.deferred
        WHERE (deferred.due, deferred.delivery) > (v_head.due, v_head.delivery)
        AND deferred.due <= v_now
    ) THEN
        -- The range of unseen transactions must not grow for ever.
        IF pg_snapshot_xmax(v_snapshot)::text::bigint
            - pg_snapshot_xmax(v_head.snapshot)::text::bigint > 1000
        THEN
            INSERT INTO arvo.promotion (number, due, delivery, snapshot, promoted, at)
            VALUES (v_head.number + 1, v_head.due, v_head.delivery, v_snapshot, 0, v_now);
        END IF;
        RETURN 0;
    END IF;

    SELECT deferred.due, deferred.delivery INTO v_due, v_delivery
    FROM arvo.deferred
    WHERE (deferred.due, deferred.delivery) > (v_head.due, v_head.delivery)
    AND deferred.due <= v_now
    ORDER BY deferred.due, deferred.delivery
    OFFSET p_limit - 1
    LIMIT 1;
    IF NOT FOUND THEN
        v_due := greatest(v_now, v_head.due);
        v_delivery := CASE WHEN v_due = v_head.due THEN v_head.delivery ELSE 0 END;
        IF v_due = v_now THEN
            v_delivery := 9223372036854775807;
        END IF;
    END IF;

    WITH newly_due AS (
        SELECT deferred.*
        FROM arvo.deferred
        WHERE (deferred.due, deferred.delivery) > (v_head.due, v_head.delivery)
        AND (deferred.due, deferred.delivery) <= (v_due, v_delivery)
        AND pg_visible_in_snapshot(deferred.xid, v_snapshot)
    ),

    newly_seen AS MATERIALIZED (
        SELECT deferred.*
        FROM arvo.deferred
        WHERE (deferred.xid, deferred.delivery) >= (pg_snapshot_xmax(v_head.snapshot), 0)
        AND deferred.xid < pg_snapshot_xmax(v_snapshot)
        AND pg_visible_in_snapshot(deferred.xid, v_snapshot)
    ),

    late AS MATERIALIZED (
        SELECT entry.*
        FROM unnest(v_late) AS listed (xid)
        CROSS JOIN LATERAL (
            SELECT deferred.* FROM arvo.deferred WHERE deferred.xid = listed.xid
        ) AS entry
    ),

    due AS MATERIALIZED (
        SELECT newly_due.* FROM newly_due
        UNION ALL
        SELECT newly_seen.* FROM newly_seen
        WHERE (newly_seen.due, newly_seen.delivery) <= (v_head.due, v_head.delivery)
        UNION ALL
        SELECT late.* FROM late
        WHERE (late.due, late.delivery) <= (v_head.due, v_head.delivery)
    ),

    logged AS (
        INSERT INTO arvo.log (
            slot, lane, delivery, attempt, at, subject_key, event_key,
            origin_delivery, origin_lane, origin_xid, event, cause, key, options,
            deferred_xid
        )
        SELECT
            arvo.slot(), due.lane, due.delivery, due.attempt, v_now, due.subject_key,
            due.event_key,
            CASE WHEN carried.event IS NULL THEN due.origin_delivery END,
            CASE WHEN carried.event IS NULL THEN due.origin_lane END,
            CASE WHEN carried.event IS NULL THEN due.origin_xid END,
            coalesce(due.event, carried.event),
            CASE
                WHEN carried.event IS NULL THEN due.cause
                ELSE jsonb_build_object('first', due.origin_delivery)
                    || coalesce(due.cause, '{}'::jsonb)
            END,
            due.key, due.options, due.xid
        FROM due
        -- an event of an older generation is written again
        LEFT JOIN LATERAL (
            SELECT arvo.carried_body(due.origin_delivery, due.origin_lane, due.origin_xid) AS event
            WHERE due.origin_delivery IS NOT NULL
        ) AS carried ON true
        ORDER BY due.due, due.delivery
        RETURNING log.lane, log.delivery, log.cause
    ),

    dead_letters AS (
        UPDATE arvo.dead
        SET dead_letter_xid = pg_current_xact_id()
        FROM due
        WHERE dead.dead_letter_lane = due.lane
        AND dead.dead_letter_delivery = due.delivery
        AND dead.resolution IS NULL
    )

    SELECT
        count(*)::integer,
        array_agg(DISTINCT logged.lane),
        array_agg(
            (0, NULL, logged.delivery, queue.name, 'unroutable')::arvo_v1.dispatched
            ORDER BY logged.delivery
        ) FILTER (WHERE logged.cause IS NULL AND NOT queue.registered)
    INTO v_promoted, v_lanes, v_unroutable
    FROM logged
    INNER JOIN arvo.lane ON lane.lane = logged.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue;
    PERFORM arvo.notice_unroutable(v_unroutable);

    PERFORM arvo.wake(array_agg(queue.name))
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = ANY (v_lanes);

    INSERT INTO arvo.promotion (number, due, delivery, snapshot, promoted, at)
    VALUES (v_head.number + 1, v_due, v_delivery, v_snapshot, v_promoted, v_now);
    RETURN v_promoted;
END;
$promote$;

COMMENT ON FUNCTION arvo.promote(integer) IS
'Moves due deliveries from deferred into the log; returns how many.';

REVOKE ALL ON FUNCTION arvo.promote(integer) FROM PUBLIC;
--! end

--! function arvo.put_off
-- arvo.put_off(queue, turn, log row) — put the head of a key off until its rate limit has room.
CREATE OR REPLACE FUNCTION arvo.put_off(
    p_queue arvo.queue,
    p_turn arvo.turn,
    p_entry arvo.log
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $put_off$
-- A further delivery of it, deferred, with the same attempt. It is to become the holder of the key:
-- the others stay in line behind it, and one timer serves them all. Returns its number.
--
--   Reads    arvo.clock
--   Writes   as arvo.again
--   Locks    as arvo.again
--   Raises   nothing
BEGIN
    RETURN arvo.again(
        p_entry,
        p_entry.attempt,
        arvo.rate_wait(p_turn.tally, p_queue.key_rate_period, arvo.clock()),
        coalesce(p_entry.cause, '{}'::jsonb) || jsonb_build_object(
            'delivery', p_entry.delivery, 'outcome', 'snoozed', 'reason', 'key_rate_limit'
        )
    );
END;
$put_off$;

COMMENT ON FUNCTION arvo.put_off(arvo.queue, arvo.turn, arvo.log) IS
'Defers the head of a key until its rate limit has room; returns the further delivery.';

REVOKE ALL ON FUNCTION arvo.put_off(arvo.queue, arvo.turn, arvo.log) FROM PUBLIC;
--! end

--! function arvo.put_turn
-- arvo.put_turn(queue, turn) — write the new state of a key.
CREATE OR REPLACE FUNCTION arvo.put_turn(p_queue arvo.queue, p_turn arvo.turn)
RETURNS void
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $put_turn$
-- As arvo.put_turns, for one.
--
--   Reads    as arvo.put_turns
--   Writes   as arvo.put_turns
--   Locks    nothing; the caller holds the queue's home lane
--   Raises   nothing
SELECT arvo.put_turns(p_queue, ARRAY[p_turn]);
$put_turn$;

COMMENT ON FUNCTION arvo.put_turn(arvo.queue, arvo.turn) IS
'Replaces the state of a key, and has it served when somebody waits and there is room.';

REVOKE ALL ON FUNCTION arvo.put_turn(arvo.queue, arvo.turn) FROM PUBLIC;
--! end

--! function arvo.put_turns
-- arvo.put_turns(queue, turns) — write the new states of some keys.
CREATE OR REPLACE FUNCTION arvo.put_turns(p_queue arvo.queue, p_turns arvo.turn[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $put_turns$
-- The number of each is that of the row which it replaces; NULL for none. The row before is deleted at
-- once: it has a lower number, and look-ups begin at the highest. A key that has somebody waiting and
-- room for them goes to the end of the line of keys to be served.
--
--   Reads    arvo.clock
--   Writes   arvo.turn, arvo.ready; as arvo.wake
--   Locks    nothing; the caller holds the queue's home lane
--   Raises   nothing
DECLARE
    v_readied bigint;
BEGIN
    WITH given AS MATERIALIZED (
        SELECT
            turn.*,
            nextval('arvo.turn_number'::regclass) AS next_number,
            CASE
                WHEN turn.waiting > 0 AND NOT turn.ready
                    THEN arvo.key_room(p_queue, turn) > 0
                ELSE false
            END AS readied
        FROM unnest(p_turns) AS turn
    ),

    written AS (
        INSERT INTO arvo.turn (
            queue, key, number, active, waiting, upto, holder, ready, tally, at
        )
        SELECT
            given.queue, given.key, given.next_number, given.active, given.waiting, given.upto,
            given.holder, given.ready OR given.readied, given.tally, arvo.clock()
        FROM given
    ),

    served AS (
        INSERT INTO arvo.ready (queue, number, key)
        SELECT given.queue, given.next_number, given.key
        FROM given
        WHERE given.readied
        ORDER BY given.next_number
        RETURNING ready.key
    ),

    replaced AS (
        DELETE FROM arvo.turn AS gone
        USING given
        WHERE gone.queue = given.queue AND gone.key = given.key AND gone.number = given.number
    )

    SELECT count(*) INTO v_readied FROM served;
    IF v_readied > 0 THEN
        PERFORM arvo.wake(ARRAY[p_queue.name]);
    END IF;
END;
$put_turns$;

COMMENT ON FUNCTION arvo.put_turns(arvo.queue, arvo.turn[]) IS
'Replaces the states of some keys, and has those served that somebody waits for and that have room.';

REVOKE ALL ON FUNCTION arvo.put_turns(arvo.queue, arvo.turn[]) FROM PUBLIC;
--! end

--! function arvo.queues_named
-- arvo.queues_named(name) — the queue of a name, or all that begin so.
CREATE OR REPLACE FUNCTION arvo.queues_named(p_name text)
RETURNS SETOF arvo.queue
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $queues_named$
-- A name that ends in * stands for every queue that begins so, also for none.
--
--   Reads    arvo.queue
--   Writes   nothing
--   Locks    nothing
--   Raises   RV003  the queue is not known
BEGIN
    IF p_name LIKE '%*' THEN
        RETURN QUERY
        SELECT queue.*
        FROM arvo.queue
        WHERE starts_with(queue.name, left(p_name, -1))
        ORDER BY queue.name COLLATE "C";
    ELSE
        RETURN NEXT arvo.known_queue(p_name);
    END IF;
END;
$queues_named$;

COMMENT ON FUNCTION arvo.queues_named(text) IS
'The queue of a name, or all queues that begin like a name that ends in a star.';

REVOKE ALL ON FUNCTION arvo.queues_named(text) FROM PUBLIC;
--! end

--! function arvo.rate_count
-- arvo.rate_count(tally, count, period, now) — a tally, with some more that start now.
CREATE OR REPLACE FUNCTION arvo.rate_count(
    p_tally bigint[],
    p_count integer,
    p_period interval,
    p_now timestamptz
)
RETURNS bigint[]
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $rate_count$
-- Pieces that no longer count are dropped. Empty when there is no limit.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
WITH present AS (
    SELECT floor(extract(epoch FROM p_now) * 20 / extract(epoch FROM p_period))::bigint AS piece
),

counted AS (
    SELECT p_tally[entry.ordinal] AS piece, p_tally[entry.ordinal + 1] AS started
    FROM generate_series(1, cardinality(p_tally), 2) AS entry (ordinal)
    UNION ALL
    SELECT present.piece, p_count FROM present
),

kept AS (
    SELECT counted.piece, sum(counted.started)::bigint AS started
    FROM counted
    CROSS JOIN present
    WHERE counted.piece BETWEEN present.piece - 20 AND present.piece + 20
    GROUP BY counted.piece
)

SELECT CASE
           WHEN p_period IS NULL THEN '{}'
           ELSE (
               SELECT array_agg(pair.value ORDER BY kept.piece, pair.ordinal)
               FROM kept
               CROSS JOIN LATERAL
                   unnest(ARRAY[kept.piece, kept.started]) WITH ORDINALITY AS pair (value, ordinal)
           )
       END;
$rate_count$;

COMMENT ON FUNCTION arvo.rate_count(bigint[], integer, interval, timestamptz) IS
'Counts starts into the tally of a rate limit.';

REVOKE ALL ON FUNCTION arvo.rate_count(bigint[], integer, interval, timestamptz) FROM PUBLIC;
--! end

--! function arvo.rate_room
-- arvo.rate_room(tally, limit, period, now) — how many may still start in this period.
CREATE OR REPLACE FUNCTION arvo.rate_room(
    p_tally bigint[],
    p_limit integer,
    p_period interval,
    p_now timestamptz
)
RETURNS integer
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $rate_room$
-- The tally has pairs: the number of a twentieth of the period, and how many started in it. What
-- counts are this piece and the twenty before it, more than a whole period: so no period, wherever it
-- begins, has more than p_limit. Pieces far ahead are of a shorter period that the queue had before.
-- A large number when there is no limit.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT CASE
           WHEN p_limit IS NULL THEN 2147483647
           ELSE greatest(
               p_limit - (
                   SELECT coalesce(sum(p_tally[entry.ordinal + 1]), 0)
                   FROM generate_series(1, cardinality(p_tally), 2) AS entry (ordinal)
                   CROSS JOIN LATERAL (
                       SELECT floor(extract(epoch FROM p_now) * 20 / extract(epoch FROM p_period))
                   ) AS present (piece)
                   WHERE p_tally[entry.ordinal] BETWEEN present.piece - 20 AND present.piece + 20
               ),
               0
           )::integer
       END;
$rate_room$;

COMMENT ON FUNCTION arvo.rate_room(bigint[], integer, interval, timestamptz) IS
'How many more may start now under a rate limit.';

REVOKE ALL ON FUNCTION arvo.rate_room(bigint[], integer, interval, timestamptz) FROM PUBLIC;
--! end

--! function arvo.rate_wait
-- arvo.rate_wait(tally, period, now) — how long until a rate limit lets one more start.
CREATE OR REPLACE FUNCTION arvo.rate_wait(p_tally bigint[], p_period interval, p_now timestamptz)
RETURNS interval
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $rate_wait$
-- Until the oldest piece that counts no longer does. Asked when there is no room.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT make_interval(secs => greatest(
    (
        (
            SELECT min(p_tally[entry.ordinal])
            FROM generate_series(1, cardinality(p_tally), 2) AS entry (ordinal)
            CROSS JOIN LATERAL (
                SELECT floor(extract(epoch FROM p_now) * 20 / extract(epoch FROM p_period))
            ) AS present (piece)
            WHERE p_tally[entry.ordinal] BETWEEN present.piece - 20 AND present.piece + 20
        ) + 21
    ) * extract(epoch FROM p_period) / 20 - extract(epoch FROM p_now),
    0.001
)::double precision);
$rate_wait$;

COMMENT ON FUNCTION arvo.rate_wait(bigint[], interval, timestamptz) IS
'How long until a full rate limit has room again.';

REVOKE ALL ON FUNCTION arvo.rate_wait(bigint[], interval, timestamptz) FROM PUBLIC;
--! end

--! function arvo.read_dead_filter
-- arvo.read_dead_filter(dead, queue, …, limit, required) — which dead letters a call means.
CREATE OR REPLACE FUNCTION arvo.read_dead_filter(
    p_dead bigint[],
    p_queue text,
    p_reason text,
    p_since timestamptz,
    p_before timestamptz,
    p_event_type text,
    p_subject text,
    p_path jsonpath,
    p_text text,
    p_limit integer,
    p_required boolean
)
RETURNS arvo.dead_filter
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $read_dead_filter$
-- An empty text is one that was left out. p_limit is checked only. p_required: whoever moves dead
-- letters must say which.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   RV006  there is no such reason; limit is not 1 to 10000; no filter is given
DECLARE
    v_filter arvo.dead_filter;
BEGIN
    IF p_reason NOT IN ('failed', 'rejected', 'lease_expired', 'retention') THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'reason',
              DETAIL = format('reason: %s', left(to_json(p_reason)::text, 80)),
              HINT = 'Use failed, rejected, lease_expired or retention.';
    END IF;
    IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'limit',
              DETAIL = format('limit: %s', coalesce(p_limit::text, 'null')),
              HINT = 'Ask for 1 to 10000 in one call.';
    END IF;
    v_filter := (
        p_dead, p_queue, p_reason, p_since, p_before, p_event_type, p_subject, p_path,
        nullif(p_text, '')
    )::arvo.dead_filter;
    IF p_required AND v_filter IS NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'queue',
              DETAIL = 'No filter is given.',
              HINT = 'Name a queue, the numbers of dead letters, or another filter.';
    END IF;
    RETURN v_filter;
END;
$read_dead_filter$;

COMMENT ON FUNCTION
arvo.read_dead_filter(
    bigint[], text, text, timestamptz, timestamptz, text, text, jsonpath, text, integer,
    boolean
) IS
'Checks and gathers the arguments that say which dead letters are meant.';

REVOKE ALL ON FUNCTION
arvo.read_dead_filter(
    bigint[], text, text, timestamptz, timestamptz, text, text, jsonpath, text, integer,
    boolean
) FROM PUBLIC;
--! end

--! function arvo.read_options
-- arvo.read_options(options) — the options of a dispatch.
CREATE OR REPLACE FUNCTION arvo.read_options(p_options jsonb)
RETURNS arvo.options
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $read_options$
-- p_options is an object. Durations are seconds or texts of intervals:
--
--   start_after          seconds, an ISO 8601 time with its offset, or an interval
--   priority             integer
--   singleton_key        text: the key, instead of the one that the queue reads from the event
--   singleton_for        one per key and interval of this length
--   singleton_next_slot  whether a throttled one goes to the next interval
--   must_be_registered   whether a queue that nobody has registered is an error
--   retry_limit, retry_delay, retry_backoff, retry_delay_max, expire_in   as of the queue
--
-- All NULL for NULL.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   RV002  an option is unknown or not valid
DECLARE
    v_read arvo.options;
    v_name text;
    v_value jsonb;
    v_kept jsonb := '{}'::jsonb;
    v_after interval;
    v_valid boolean := true;
BEGIN
    IF p_options IS NULL OR p_options = 'null' THEN
        RETURN v_read;
    END IF;
    FOR v_name, v_value IN
        SELECT field.key, field.value
        FROM jsonb_each(
            CASE jsonb_typeof(p_options)
                WHEN 'object' THEN p_options ELSE jsonb_build_object('options', p_options)
            END
        ) AS field
    LOOP
        CONTINUE WHEN v_value = 'null';
        CASE
            WHEN v_name IN ('start_after', 'singleton_for', 'retry_delay', 'retry_delay_max',
                            'expire_in') THEN
                v_after := arvo.when_of(v_value);
                IF v_after > interval '3650 days'
                    OR (v_name IN ('retry_delay', 'retry_delay_max') AND v_after < interval '0')
                    OR (v_name IN ('singleton_for', 'expire_in') AND v_after < interval '1 second')
                    OR (v_name = 'expire_in' AND v_after > interval '1 day')
                THEN
                    v_valid := false;
                END IF;
                IF v_name = 'start_after' THEN
                    v_read.start_after := v_after;
                ELSIF v_name = 'singleton_for' THEN
                    v_read.singleton_for := v_after;
                ELSE
                    v_kept := v_kept || jsonb_build_object(v_name, v_after::text);
                END IF;
            WHEN v_name IN ('priority', 'retry_limit') THEN
                IF jsonb_typeof(v_value) <> 'number' OR (v_value #>> '{}') !~ '^-?\d{1,10}$' THEN
                    v_valid := false;
                END IF;
                IF v_name = 'priority' THEN
                    v_read.priority := v_value::integer;
                ELSIF v_value::integer < 0 THEN
                    v_valid := false;
                ELSE
                    v_kept := v_kept || jsonb_build_object(v_name, v_value::integer);
                END IF;
            WHEN v_name IN ('singleton_next_slot', 'must_be_registered', 'retry_backoff') THEN
                IF v_name = 'singleton_next_slot' THEN
                    v_read.singleton_next_slot := v_value::boolean;
                ELSIF v_name = 'must_be_registered' THEN
                    v_read.must_be_registered := v_value::boolean;
                ELSE
                    v_kept := v_kept || jsonb_build_object(v_name, v_value::boolean);
                END IF;
            WHEN v_name = 'singleton_key' THEN
                IF jsonb_typeof(v_value) <> 'string' OR length(v_value #>> '{}') > 1000 THEN
                    v_valid := false;
                END IF;
                v_read.key := v_value #>> '{}'::text[];
            ELSE
                v_valid := false;
        END CASE;
        EXIT WHEN NOT v_valid;
    END LOOP;
    v_read.kept := nullif(v_kept, '{}'::jsonb);
    IF v_valid THEN
        RETURN v_read;
    END IF;
    RAISE EXCEPTION 'option is not valid' USING ERRCODE = 'RV002';
EXCEPTION
    WHEN data_exception OR cannot_coerce OR SQLSTATE 'RV002' OR SQLSTATE 'RV006' THEN
        RAISE EXCEPTION 'option is not valid'
        USING ERRCODE = 'RV002',
              COLUMN = left(v_name, 60),
              DETAIL = format('%s: %s', left(to_json(v_name)::text, 60),
                              left(coalesce(v_value, p_options)::text, 80)),
              HINT = CASE
                  WHEN v_name = 'start_after'
                      THEN 'Give seconds, an ISO 8601 time with its offset, or an interval; at most'
                           ' 3650 days.'
                  WHEN v_name IN ('retry_delay', 'retry_delay_max')
                      THEN 'Give seconds or an interval, between 0 and 3650 days.'
                  WHEN v_name = 'singleton_for'
                      THEN 'Give seconds or an interval, between 1 second and 3650 days.'
                  WHEN v_name = 'expire_in'
                      THEN 'Give seconds or an interval, between 1 second and 1 day.'
                  WHEN v_name = 'priority' THEN 'Give an integer of 32 bits.'
                  WHEN v_name = 'retry_limit' THEN 'Give an integer, 0 or more.'
                  WHEN v_name = 'singleton_key' THEN 'Give a text of at most 1000 characters.'
                  WHEN v_name IN ('singleton_next_slot', 'must_be_registered', 'retry_backoff')
                      THEN 'Give true or false.'
                  ELSE 'A dispatch has the options start_after, priority, singleton_key,'
                       ' singleton_for, singleton_next_slot, must_be_registered, retry_limit,'
                       ' retry_delay, retry_backoff, retry_delay_max and expire_in.'
              END;
END;
$read_options$;

COMMENT ON FUNCTION arvo.read_options(jsonb) IS
'Options of a dispatch, read from an object; refuses what is unknown or not valid.';

REVOKE ALL ON FUNCTION arvo.read_options(jsonb) FROM PUBLIC;
--! end

--! function arvo.read_results
-- arvo.read_results(results) — the results of a settlement as rows, malformed ones refused.
CREATE OR REPLACE FUNCTION arvo.read_results(p_results jsonb)
RETURNS SETOF arvo.result
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $read_results$
-- Nothing is cast before it has been looked at: a malformed item is refused (RV006) by itself, and
-- spoils no other. The form of an item is described in arvo_v1.settle.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
WITH item AS MATERIALIZED (
    SELECT
        listed.ordinal::integer AS ordinal,
        CASE
            WHEN given.lease ~ '^[0-9]{1,18}$' THEN given.lease::bigint
            ELSE arvo.as_bigint(listed.item -> 'lease')
        END AS lease,
        CASE
            WHEN given.delivery ~ '^[0-9]{1,18}$' THEN given.delivery::bigint
            ELSE arvo.as_bigint(listed.item -> 'delivery')
        END AS delivery,
        given.outcome AS asked,
        given.events,
        given.state,
        given.error,
        given.after,
        CASE WHEN given.run_time ~ '^[0-9]{1,10}$' THEN given.run_time::bigint END AS run_time
    FROM jsonb_array_elements(p_results) WITH ORDINALITY AS listed (item, ordinal)
    CROSS JOIN LATERAL jsonb_to_record(
        CASE WHEN jsonb_typeof(listed.item) = 'object' THEN listed.item ELSE '{}' END
    ) AS given (
        lease text, delivery text, outcome text, events jsonb, state jsonb, error jsonb,
        after jsonb, run_time text
    )
),

checked AS (
    SELECT
        item.*,
        CASE
            WHEN item.lease IS NULL THEN 'lease: must be a number'
            WHEN item.delivery IS NULL THEN 'delivery: must be a number'
            WHEN item.asked IS NULL
                OR item.asked NOT IN ('completed', 'failed', 'released', 'snoozed', 'rejected')
                THEN 'outcome: must be completed, failed, released, snoozed or rejected'
            WHEN row_number() OVER (
                PARTITION BY item.lease, item.delivery ORDER BY item.ordinal
            ) > 1 THEN 'delivery: is named twice in one call'
            WHEN item.events IS NOT NULL AND jsonb_typeof(item.events) <> 'array'
                THEN 'events: must be an array'
            WHEN item.asked <> 'completed'
                AND (item.state IS NOT NULL OR item.events <> '[]')
                THEN 'outcome: only a completed delivery emits events or writes a state'
            WHEN item.state IS NOT NULL AND jsonb_typeof(item.state) <> 'object'
                THEN 'state: must be an object'
            WHEN item.state IS NOT NULL AND (
                jsonb_typeof(item.state -> 'subject') IS DISTINCT FROM 'string'
                OR item.state ->> 'subject' = ''
            ) THEN 'state.subject: must be a text that is not empty'
            WHEN item.state IS NOT NULL
                AND jsonb_typeof(item.state -> 'data') IS DISTINCT FROM 'object'
                THEN 'state.data: must be an object'
            WHEN item.state IS NOT NULL
                AND arvo.as_bigint(item.state -> 'expected_version') IS NULL
                THEN 'state.expected_version: must be a number'
            WHEN item.after IS NOT NULL AND (
                jsonb_typeof(item.after) <> 'number'
                OR (item.after #>> '{}')::numeric NOT BETWEEN 0 AND 315360000
            ) THEN 'after: must be seconds, 0 to 315360000'
            WHEN item.asked = 'snoozed' AND item.after IS NULL THEN 'after: is missing'
        END AS fault
    FROM item
)

SELECT
    checked.ordinal,
    checked.lease,
    checked.delivery,
    checked.asked,
    checked.events,
    checked.state,
    CASE
        WHEN pg_column_size(checked.error) > 65536 THEN jsonb_build_object(
            'name', left(checked.error ->> 'name', 200),
            'message', left(checked.error ->> 'message', 2000),
            'stack', left(checked.error ->> 'stack', 20000),
            'truncated', true
        )
        ELSE checked.error
    END,
    CASE
        WHEN checked.fault IS NULL
            THEN make_interval(secs => (checked.after #>> '{}')::double precision)
    END,
    CASE
        WHEN checked.run_time IS NOT NULL THEN least(checked.run_time, 2147483647)::integer
    END,
    NULL::integer,
    NULL::xid8,
    NULL::xid8,
    CASE WHEN checked.fault IS NOT NULL THEN 'refused' END,
    CASE WHEN checked.fault IS NOT NULL THEN 'RV006' END,
    checked.fault,
    NULL::bigint,
    NULL::xid8,
    NULL::bigint,
    NULL::bigint,
    NULL::bigint
FROM checked
ORDER BY checked.ordinal;
$read_results$;

COMMENT ON FUNCTION arvo.read_results(jsonb) IS
'The results of a settlement as rows; malformed ones are refused one by one.';

REVOKE ALL ON FUNCTION arvo.read_results(jsonb) FROM PUBLIC;
--! end

--! function arvo.read_window
-- arvo.read_window(head, limit, upto) — the next rows of a lane's log.
CREATE OR REPLACE FUNCTION arvo.read_window(
    p_head arvo.lease,
    p_limit integer,
    p_upto pg_snapshot DEFAULT NULL
)
RETURNS arvo.reading
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $read_window$
-- p_head is the newest lease row of a lane that the caller holds: a window between two snapshots, and
-- the position reached in it. A row belongs to the window if its transaction is visible in the newer
-- snapshot and not in the older one, so a transaction that commits late is found, exactly once,
-- whatever its number; one that stays open blocks nobody; one that rolls back leaves no trace. When
-- the window has been read to its end, the next one is opened: up to now, or up to p_upto. Order is
-- by window, then transaction, then delivery. An empty batch means that the cursor stays where it is.
--
--   Reads    arvo.log by (lane, xid, delivery)
--   Writes   nothing
--   Locks    nothing
--   Raises   RV902  the stored transaction numbers belong to another cluster
DECLARE
    v_reading arvo.reading;
    v_from_xid xid8;
    v_from_delivery bigint;
    v_late xid8[];
    v_count integer;
BEGIN
    FOR v_try IN 1..2 LOOP
        IF p_head.exhausted OR v_try = 2 THEN
            v_reading.previous_snapshot := p_head.snapshot;
            v_reading.snapshot := coalesce(p_upto, arvo.window_snapshot());
            v_reading.last_xid := '0';
            v_reading.last_delivery := 0;
            -- It may be older than a window that was opened while it was on its way.
            IF p_upto::text = p_head.snapshot::text
                OR pg_snapshot_xmax(p_upto) < pg_snapshot_xmax(p_head.snapshot)
            THEN
                v_reading.batch := '{}';
                RETURN v_reading;
            END IF;
            IF pg_snapshot_xmax(v_reading.snapshot) < pg_snapshot_xmax(v_reading.previous_snapshot)
            THEN
                RAISE EXCEPTION 'transaction numbers are of another cluster'
                USING ERRCODE = 'RV902',
                      DETAIL = format(
                          'lane %s was read up to transaction %s; this cluster is at %s.',
                          p_head.lane, pg_snapshot_xmax(v_reading.previous_snapshot),
                          pg_snapshot_xmax(v_reading.snapshot)
                      ),
                      HINT = 'The database was restored into another cluster: see rebase().';
            END IF;
        ELSE
            v_reading.previous_snapshot := p_head.previous_snapshot;
            v_reading.snapshot := p_head.snapshot;
            v_reading.last_xid := p_head.last_xid;
            v_reading.last_delivery := p_head.last_delivery;
        END IF;

        -- Late transactions of the older snapshot come first, then everything that is newer.
        v_from_xid := pg_snapshot_xmax(v_reading.previous_snapshot);
        v_from_delivery := 0;
        v_late := '{}';
        IF v_reading.last_xid >= v_from_xid THEN
            v_from_xid := v_reading.last_xid;
            v_from_delivery := v_reading.last_delivery;
        ELSIF pg_snapshot_xmin(v_reading.previous_snapshot) < v_from_xid THEN
            SELECT coalesce(array_agg(listed.xid), '{}') INTO v_late
            FROM pg_snapshot_xip(v_reading.previous_snapshot) AS listed (xid)
            WHERE pg_visible_in_snapshot(listed.xid, v_reading.snapshot)
            AND listed.xid >= v_reading.last_xid;
        END IF;

        v_reading.batch := '{}';
        IF v_late <> '{}' THEN
            SELECT coalesce(array_agg(taken.entry ORDER BY taken.xid, taken.delivery), '{}')
            INTO v_reading.batch
            FROM (
                SELECT found.entry, found.xid, found.delivery
                FROM unnest(v_late) AS listed (xid)
                CROSS JOIN LATERAL (
                    SELECT log AS entry, log.xid, log.delivery
                    FROM arvo.log
                    WHERE log.lane = p_head.lane
                    AND log.xid = listed.xid
                    AND log.delivery > CASE
                        WHEN listed.xid = v_reading.last_xid THEN v_reading.last_delivery ELSE 0
                    END
                    ORDER BY log.delivery
                    LIMIT p_limit
                ) AS found
                ORDER BY found.xid, found.delivery
                LIMIT p_limit
            ) AS taken;
        END IF;
        IF cardinality(v_reading.batch) < p_limit THEN
            SELECT v_reading.batch || coalesce(
                array_agg(taken.entry ORDER BY taken.xid, taken.delivery), '{}'
            )
            INTO v_reading.batch
            FROM (
                SELECT log AS entry, log.xid, log.delivery
                FROM arvo.log
                WHERE log.lane = p_head.lane
                AND (log.xid, log.delivery) > (v_from_xid, v_from_delivery)
                AND log.xid < pg_snapshot_xmax(v_reading.snapshot)
                AND pg_visible_in_snapshot(log.xid, v_reading.snapshot)
                ORDER BY log.xid, log.delivery
                LIMIT p_limit - cardinality(v_reading.batch)
            ) AS taken;
        END IF;
        -- A window that ended exactly at the limit leaves nothing: then open the next one now.
        EXIT WHEN v_reading.batch <> '{}' OR p_head.exhausted;
    END LOOP;

    v_count := cardinality(v_reading.batch);
    IF v_count > 0 THEN
        v_reading.last_xid := v_reading.batch[v_count].xid;
        v_reading.last_delivery := v_reading.batch[v_count].delivery;
        v_reading.exhausted := v_count < p_limit;
    END IF;
    RETURN v_reading;
END;
$read_window$;

COMMENT ON FUNCTION arvo.read_window(arvo.lease, integer, pg_snapshot) IS
'The next rows of a lane''s log after its cursor, and where the cursor stands then.';

REVOKE ALL ON FUNCTION arvo.read_window(arvo.lease, integer, pg_snapshot) FROM PUBLIC;
--! end

--! function arvo.rebase_deferred
-- arvo.rebase_deferred(own) — give deferred deliveries numbers of this cluster.
CREATE OR REPLACE FUNCTION arvo.rebase_deferred(p_own bigint)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $rebase_deferred$
-- For arvo_v1.rebase, after arvo.retire_lanes. What had been promoted and not swept yet is swept now;
-- the rest stays deferred, for the new lanes, and the promotion begins from the front. Deliveries above
-- p_own are this transaction's. Returns how many others are deferred.
--
--   Reads    arvo.promotion, arvo.lane, arvo.clock
--   Writes   arvo.deferred, arvo.promotion, arvo.dead
--   Locks    arvo.deferred rows, arvo.dead rows
--   Raises   nothing
DECLARE
    v_passed arvo.promotion;
    v_count bigint;
BEGIN
    SELECT head.* INTO STRICT v_passed
    FROM arvo.promotion AS head
    ORDER BY head.number DESC
    LIMIT 1;
    DELETE FROM arvo.deferred
    WHERE deferred.delivery <= p_own
    AND (deferred.due, deferred.delivery) <= (v_passed.due, v_passed.delivery)
    AND pg_visible_in_snapshot(deferred.xid, v_passed.snapshot);

    WITH moved AS (
        UPDATE arvo.deferred
        SET lane = lane.successor, xid = '3'
        FROM arvo.lane
        WHERE lane.lane = deferred.lane AND lane.retired
        RETURNING deferred.delivery
    )

    SELECT count(*) INTO v_count FROM moved WHERE moved.delivery <= p_own;
    INSERT INTO arvo.promotion (number, due, delivery, snapshot, promoted, at)
    VALUES (v_passed.number + 1, '-infinity', 0, '4:4:', 0, arvo.clock());

    -- Those in the log of a new lane have been pointed to it already.
    UPDATE arvo.dead
    SET dead_letter_lane = lane.successor
    FROM arvo.lane
    WHERE lane.lane = dead.dead_letter_lane
    AND lane.retired
    AND dead.dead_letter_xid IS NULL
    AND dead.resolution IS NULL;
    RETURN v_count;
END;
$rebase_deferred$;

COMMENT ON FUNCTION arvo.rebase_deferred(bigint) IS
'Gives deferred deliveries to the new lanes, with numbers of this cluster; returns how many.';

REVOKE ALL ON FUNCTION arvo.rebase_deferred(bigint) FROM PUBLIC;
--! end

--! function arvo.rebase_leased
-- arvo.rebase_leased() — take back what was leased when the dump was made.
CREATE OR REPLACE FUNCTION arvo.rebase_leased()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $rebase_leased$
-- For arvo_v1.rebase, before arvo.retire_lanes: every lease counts as expired. Returns how many
-- deliveries were leased.
--
--   Reads    arvo.lane, arvo.lease, arvo.closure
--   Writes   as arvo.sweep
--   Locks    as arvo.sweep, but no leases
--   Raises   as arvo.sweep
DECLARE
    v_head arvo.lease;
    v_end bigint;
    v_count bigint;
BEGIN
    SELECT coalesce(sum(cardinality(arvo.open_deliveries(held.token, held.deliveries))), 0)
    INTO v_count
    FROM arvo.lane
    CROSS JOIN LATERAL (
        SELECT newest.open_from
        FROM arvo.lease AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS head
    INNER JOIN arvo.lease AS held
        ON held.lane = lane.lane AND held.number >= head.open_from AND held.token <> 0
    WHERE NOT lane.retired
    AND NOT EXISTS (
        SELECT
        FROM arvo.lease AS newer
        WHERE newer.token = held.token AND newer.number > held.number
    );

    FOR v_head IN
        SELECT head.*
        FROM arvo.lane
        CROSS JOIN LATERAL (
            SELECT newest.*
            FROM arvo.lease AS newest
            WHERE newest.lane = lane.lane
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS head
        WHERE NOT lane.retired
        ORDER BY lane.lane
    LOOP
        v_end := v_head.number;
        WHILE v_head.open_from <= v_end LOOP
            v_head.open_from := arvo.sweep(v_head, 4096, true);
        END LOOP;
    END LOOP;
    RETURN v_count;
END;
$rebase_leased$;

COMMENT ON FUNCTION arvo.rebase_leased() IS
'Takes back what was leased when the dump was made, as if every lease had expired; returns how many.';

REVOKE ALL ON FUNCTION arvo.rebase_leased() FROM PUBLIC;
--! end

--! function arvo.rebase_parked
-- arvo.rebase_parked() — move the log rows of parked deliveries into the new lanes.
CREATE OR REPLACE FUNCTION arvo.rebase_parked()
RETURNS bigint
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $rebase_parked$
-- For arvo_v1.rebase, after arvo.retire_lanes. They keep their numbers and their places, and stand at
-- transaction 2 of the new lanes, where their cursors have passed: they have been read. Returns how
-- many.
--
--   Reads    arvo.lane, arvo.log, arvo.slot
--   Writes   arvo.log, arvo.parked, arvo.dead
--   Locks    arvo.parked rows, arvo.dead rows
--   Raises   nothing
WITH standing AS MATERIALIZED (
    SELECT
        lane.successor,
        entry.*,
        -- A row refers to a body in its own generation; one from an older one it carries.
        (
            SELECT origin.event
            FROM arvo.log AS origin
            WHERE origin.lane = coalesce(entry.origin_lane, entry.lane)
            AND origin.xid = coalesce(entry.origin_xid, entry.xid)
            AND origin.delivery = coalesce(entry.origin_delivery, entry.delivery)
            AND origin.slot <> arvo.slot()
        ) AS body
    FROM arvo.parked
    INNER JOIN arvo.lane ON lane.lane = parked.lane
    INNER JOIN arvo.log AS entry
        ON entry.lane = parked.lane
        AND entry.xid = parked.xid
        AND entry.delivery = parked.delivery
    WHERE lane.retired
),

logged AS (
    INSERT INTO arvo.log (
        slot, lane, xid, delivery, attempt, at, subject_key, event_key,
        origin_delivery, origin_lane, origin_xid, event, cause, key, options
    )
    SELECT
        arvo.slot(), standing.successor, '2', standing.delivery, standing.attempt, standing.at,
        standing.subject_key, standing.event_key,
        CASE
            WHEN standing.body IS NULL THEN coalesce(standing.origin_delivery, standing.delivery)
        END,
        CASE WHEN standing.body IS NULL THEN coalesce(standing.origin_lane, standing.lane) END,
        CASE WHEN standing.body IS NULL THEN coalesce(standing.origin_xid, standing.xid) END,
        standing.body,
        CASE
            WHEN standing.body IS NULL OR standing.origin_delivery IS NULL THEN standing.cause
            ELSE standing.cause || jsonb_build_object('first', standing.origin_delivery)
        END,
        standing.key, standing.options
    FROM standing
    ORDER BY standing.delivery
    RETURNING log.lane, log.xid, log.delivery
),

pointed AS (
    UPDATE arvo.dead
    SET dead_letter_lane = logged.lane, dead_letter_xid = logged.xid
    FROM logged
    INNER JOIN arvo.lane ON lane.successor = logged.lane
    WHERE dead.dead_letter_lane = lane.lane
    AND dead.dead_letter_delivery = logged.delivery
    AND dead.resolution IS NULL
),

moved AS (
    UPDATE arvo.parked
    SET lane = logged.lane, xid = logged.xid
    FROM logged
    INNER JOIN arvo.lane ON lane.successor = logged.lane
    WHERE parked.lane = lane.lane AND parked.delivery = logged.delivery
    RETURNING 1
)

SELECT count(*) FROM moved;
$rebase_parked$;

COMMENT ON FUNCTION arvo.rebase_parked() IS
'Moves the log rows of parked deliveries into the new lanes; returns how many.';

REVOKE ALL ON FUNCTION arvo.rebase_parked() FROM PUBLIC;
--! end

--! function arvo.rebase_queued
-- arvo.rebase_queued(own, drained, first) — move what nobody has claimed into the new lanes.
CREATE OR REPLACE FUNCTION arvo.rebase_queued(
    p_own bigint,
    p_drained boolean,
    p_first bigint
)
RETURNS bigint[]
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $rebase_queued$
-- For arvo_v1.rebase, after arvo.retire_lanes and before arvo.close_lanes. What waits is judged by the
-- stored snapshots alone, which is plain arithmetic: of a dump, all rows are committed. Deliveries
-- above p_own are this transaction's and come last. Deliveries keep their numbers, and their order: a
-- new lane is read by transaction, then by delivery, so the transaction, p_first at the beginning,
-- goes one up wherever the old order goes down in deliveries, and each 10000 rows, so that a row is
-- found again among few. p_drained: those that a draining queue is still to hand out, rather than all
-- others. Returns how many up to p_own, and the next free transaction.
--
--   Reads    arvo.lane, arvo.queue, arvo.lease, arvo.log, arvo.slot
--   Writes   arvo.log, arvo.dead
--   Locks    arvo.dead rows
--   Raises   nothing
WITH head AS MATERIALIZED (
    SELECT
        lane.lane, lane.successor, queue.drained_to, newest.previous_snapshot, newest.snapshot,
        newest.last_xid, newest.last_delivery, newest.exhausted
    FROM arvo.lane
    INNER JOIN arvo.lane AS fresh ON fresh.lane = lane.successor AND NOT fresh.retired
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    CROSS JOIN LATERAL (
        SELECT latest.*
        FROM arvo.lease AS latest
        WHERE latest.lane = lane.lane
        ORDER BY latest.number DESC
        LIMIT 1
    ) AS newest
),

slot AS MATERIALIZED (
    SELECT arvo.slot() AS now
),

waiting AS (
    SELECT
        head.successor,
        CASE WHEN pg_visible_in_snapshot(entry.xid, head.snapshot) THEN 1 ELSE 2 END AS part,
        entry.slot, entry.lane, entry.xid, entry.delivery
    FROM head
    INNER JOIN arvo.log AS entry
        ON entry.lane = head.lane AND entry.xid >= pg_snapshot_xmin(head.previous_snapshot)
    WHERE NOT pg_visible_in_snapshot(entry.xid, head.previous_snapshot)
    AND NOT (
        pg_visible_in_snapshot(entry.xid, head.snapshot)
        AND (
            head.exhausted
            OR (entry.xid, entry.delivery) <= (head.last_xid, head.last_delivery)
        )
    )
    AND coalesce(pg_visible_in_snapshot(entry.xid, head.drained_to), false) = p_drained
    AND entry.delivery <= p_own
    UNION ALL
    SELECT head.successor, 3, entry.slot, entry.lane, entry.xid, entry.delivery
    FROM head
    INNER JOIN arvo.log AS entry ON entry.lane = head.lane AND entry.xid = pg_current_xact_id()
    WHERE entry.delivery > p_own AND NOT p_drained
),

ranked AS (
    SELECT
        waiting.*,
        row_number() OVER in_order AS rank,
        waiting.delivery < lag(waiting.delivery) OVER in_order AS descends
    FROM waiting
    WINDOW in_order AS (
        PARTITION BY waiting.successor ORDER BY waiting.part, waiting.xid, waiting.delivery
    )
),

numbered AS (
    SELECT
        ranked.*,
        p_first + (ranked.rank - 1) / 10000 + count(*) FILTER (WHERE ranked.descends) OVER (
            PARTITION BY ranked.successor ORDER BY ranked.rank ROWS UNBOUNDED PRECEDING
        ) AS number
    FROM ranked
),

logged AS (
    INSERT INTO arvo.log (
        slot, lane, xid, delivery, attempt, at, subject_key, event_key,
        origin_delivery, origin_lane, origin_xid, event, cause, key, options
    )
    SELECT
        slot.now, numbered.successor, numbered.number::text::xid8, entry.delivery,
        entry.attempt, entry.at, entry.subject_key, entry.event_key,
        CASE WHEN old.body IS NULL THEN coalesce(entry.origin_delivery, entry.delivery) END,
        CASE WHEN old.body IS NULL THEN coalesce(entry.origin_lane, entry.lane) END,
        CASE WHEN old.body IS NULL THEN coalesce(entry.origin_xid, entry.xid) END,
        old.body,
        CASE
            WHEN old.body IS NULL OR entry.origin_delivery IS NULL THEN entry.cause
            ELSE entry.cause || jsonb_build_object('first', entry.origin_delivery)
        END,
        entry.key, entry.options
    FROM numbered
    CROSS JOIN slot
    INNER JOIN arvo.log AS entry
        ON entry.lane = numbered.lane
        AND entry.xid = numbered.xid
        AND entry.delivery = numbered.delivery
    -- A row refers to a body in its own generation; one from an older one it carries.
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN entry.event IS NOT NULL THEN
                CASE WHEN entry.slot <> slot.now THEN entry.event END
            ELSE (
                SELECT origin.event
                FROM arvo.log AS origin
                WHERE origin.lane = entry.origin_lane
                AND origin.xid = entry.origin_xid
                AND origin.delivery = entry.origin_delivery
                AND origin.slot <> slot.now
            )
        END AS body
    ) AS old
    RETURNING log.lane, log.xid, log.delivery
),

pointed AS (
    UPDATE arvo.dead
    SET dead_letter_lane = logged.lane, dead_letter_xid = logged.xid
    FROM logged
    INNER JOIN arvo.lane ON lane.successor = logged.lane
    WHERE dead.dead_letter_lane = lane.lane
    AND dead.dead_letter_delivery = logged.delivery
    AND dead.resolution IS NULL
)

SELECT ARRAY[
    count(*) FILTER (WHERE logged.delivery <= p_own),
    coalesce(max(logged.xid::text::bigint) + 1, p_first)
]
FROM logged;
$rebase_queued$;

COMMENT ON FUNCTION arvo.rebase_queued(bigint, boolean, bigint) IS
'Moves what nobody has claimed into the new lanes, in order; returns how many, and the next free transaction.';

REVOKE ALL ON FUNCTION arvo.rebase_queued(bigint, boolean, bigint) FROM PUBLIC;
--! end

--! function arvo.rebuild_turns
-- arvo.rebuild_turns(queue) — start the keys of a queue anew, from what is leased.
CREATE OR REPLACE FUNCTION arvo.rebuild_turns(p_queue arvo.queue)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $rebuild_turns$
-- When a queue's policy, keys or limits change. What was parked is delivered again, in order, so that
-- it meets the new rules; nothing is charged. What of it was withdrawn is closed. Places that the new
-- policy does not give are forgotten. p_queue is the row with the new rules. Returns how many were
-- delivered again.
--
--   Reads    arvo.lane, arvo.lease, arvo.closure, arvo.log, arvo.clock, arvo.slot
--   Writes   arvo.parked, arvo.ready, arvo.turn, arvo.singleton, arvo.closure; as arvo.write_lease,
--            arvo.withdraw and arvo.again
--   Locks    as arvo.again; the caller holds all lanes of the queue
--   Raises   nothing
DECLARE
    v_lane integer;
    v_batch arvo.log[];
    v_entry arvo.log;
    v_lease arvo.lease;
    v_parked bigint := 0::bigint;
BEGIN
    FOR v_lane, v_batch IN
        SELECT parked.lane, array_agg(entry.entry ORDER BY parked.place)
        FROM (
            -- Small leases: settlements and histories look through all of one.
            SELECT line.*, (row_number() OVER (PARTITION BY line.lane ORDER BY line.place) - 1) / 500 AS chunk
            FROM arvo.parked AS line
            WHERE line.queue = p_queue.queue
        ) AS parked
        CROSS JOIN LATERAL (
            SELECT log AS entry
            FROM arvo.log
            WHERE log.lane = parked.lane
            AND log.xid = parked.xid
            AND log.delivery = parked.delivery
            LIMIT 1
        ) AS entry
        GROUP BY parked.lane, parked.chunk
        ORDER BY parked.lane, parked.chunk
    LOOP
        v_lease := arvo.write_lease(arvo.head_of(v_lane), NULL, interval '1 second', v_batch);
        IF EXISTS (SELECT FROM arvo.tombstone WHERE tombstone.lane = v_lane) THEN
            v_batch := arvo.withdraw(p_queue, v_lease, v_batch);
            CONTINUE WHEN v_batch = '{}';
        END IF;
        INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
        VALUES (
            arvo.slot(), v_lease.token, arvo.clock(),
            ARRAY(SELECT entry.delivery FROM unnest(v_batch) AS entry), '{released}',
            array_fill(NULL::integer, ARRAY[cardinality(v_batch)])
        );
        FOREACH v_entry IN ARRAY v_batch LOOP
            PERFORM arvo.again(
                v_entry, v_entry.attempt, NULL,
                coalesce(v_entry.cause, '{}'::jsonb) || jsonb_build_object(
                    'delivery', v_entry.delivery, 'outcome', 'released', 'reason', 'new_options'
                )
            );
        END LOOP;
        v_parked := v_parked + cardinality(v_batch)::bigint;
    END LOOP;
    DELETE FROM arvo.parked WHERE parked.queue = p_queue.queue;
    DELETE FROM arvo.ready WHERE ready.queue = p_queue.queue;
    DELETE FROM arvo.turn WHERE turn.queue = p_queue.queue;
    DELETE FROM arvo.singleton
    WHERE singleton.queue = p_queue.queue
    AND singleton.kind <> ALL (
        CASE p_queue.policy
            WHEN 'short' THEN '{queued}'::text[]
            WHEN 'stately' THEN '{queued,retry}'
            WHEN 'exclusive' THEN '{any}'
            ELSE '{}'
        END
    );
    IF NOT p_queue.gated THEN
        RETURN v_parked;
    END IF;

    WITH open AS MATERIALIZED (
        SELECT held.keys[array_position(held.deliveries, leased.delivery)] AS key
        FROM arvo.lane
        CROSS JOIN LATERAL (
            SELECT newest.open_from
            FROM arvo.lease AS newest
            WHERE newest.lane = lane.lane
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS head
        INNER JOIN arvo.lease AS held
            ON held.lane = lane.lane AND held.number >= head.open_from AND held.token <> 0
        CROSS JOIN LATERAL
            unnest(arvo.open_deliveries(held.token, held.deliveries)) AS leased (delivery)
        WHERE lane.queue = p_queue.queue
        AND NOT EXISTS (
            SELECT
            FROM arvo.lease AS newer
            WHERE newer.token = held.token AND newer.number > held.number
        )
    )

    INSERT INTO arvo.turn (queue, key, number, active, waiting, upto, ready, tally, at)
    SELECT
        p_queue.queue, counted.key, nextval('arvo.turn_number'::regclass), counted.active, 0, 0,
        false, '{}', arvo.clock()
    FROM (
        SELECT open.key, count(*)::integer AS active
        FROM open
        WHERE open.key IS NOT NULL
        GROUP BY open.key
        UNION ALL
        SELECT 0, count(*)::integer FROM open
    ) AS counted;
    RETURN v_parked;
END;
$rebuild_turns$;

COMMENT ON FUNCTION arvo.rebuild_turns(arvo.queue) IS
'Starts the keys of a queue anew when its rules change: counts what is leased, delivers again what was parked.';

REVOKE ALL ON FUNCTION arvo.rebuild_turns(arvo.queue) FROM PUBLIC;
--! end

--! function arvo.recheck
-- arvo.recheck(finding) — where a delivery stands now.
CREATE OR REPLACE FUNCTION arvo.recheck(p_found arvo.finding)
RETURNS arvo.finding
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $recheck$
-- For a caller that has taken the locks since it looked. The place may also be withdrawn or closed.
--
--   Reads    arvo.deferred, arvo.promotion, arvo.log by event; as arvo.standing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_found arvo.finding := p_found;
    v_now arvo.standing;
BEGIN
    IF v_found.place = 'dead' THEN
        RETURN v_found;
    ELSIF v_found.place = 'deferred' THEN
        IF EXISTS (
            SELECT
            FROM arvo.deferred
            CROSS JOIN (
                SELECT head.due, head.delivery, head.snapshot
                FROM arvo.promotion AS head
                ORDER BY head.number DESC
                LIMIT 1
            ) AS passed
            WHERE deferred.delivery = v_found.delivery
            AND NOT (
                (deferred.due, deferred.delivery) <= (passed.due, passed.delivery)
                AND pg_visible_in_snapshot(deferred.xid, passed.snapshot)
            )
        ) THEN
            RETURN v_found;
        END IF;
        SELECT log.lane, log.xid INTO v_found.lane, v_found.xid
        FROM arvo.log
        WHERE log.event_key = v_found.event_key AND log.delivery = v_found.delivery;
    END IF;

    v_now := arvo.standing(v_found.lane, v_found.xid, v_found.delivery);
    v_found.place := v_now.place;
    v_found.token := v_now.token;
    RETURN v_found;
END;
$recheck$;

COMMENT ON FUNCTION arvo.recheck(arvo.finding) IS
'Where a delivery that was found before stands as of the calling statement.';

REVOKE ALL ON FUNCTION arvo.recheck(arvo.finding) FROM PUBLIC;
--! end

--! function arvo.relay
-- arvo.relay(finding, lane) — put a delivery that waits into another lane.
CREATE OR REPLACE FUNCTION arvo.relay(p_found arvo.finding, p_lane integer)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $relay$
-- The caller holds what guards its place (arvo.hold). Within its queue a delivery remains the attempt
-- that it is; in another queue it begins with the first, under the key that it has there. Returns the
-- delivery that takes its place: itself, if it is deferred.
--
--   Reads    arvo.queue, arvo.lane, arvo.log, arvo.clock
--   Writes   arvo.deferred, arvo.dead; as arvo.entomb, arvo.again and arvo.let_go
--   Locks    arvo.dead row, when the delivery is one of a dead-letter queue
--   Raises   nothing
DECLARE
    v_from arvo.queue;
    v_to arvo.queue;
    v_same boolean;
    v_waiting arvo.deferred;
    v_entry arvo.log;
    v_moved arvo.log;
    v_successor bigint := p_found.delivery;
BEGIN
    SELECT queue.* INTO STRICT v_from FROM arvo.queue WHERE queue.name = p_found.queue;
    SELECT queue.* INTO STRICT v_to
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = p_lane;
    v_same := v_from.queue = v_to.queue;

    IF p_found.place = 'deferred' THEN
        SELECT deferred.* INTO STRICT v_waiting
        FROM arvo.deferred
        WHERE deferred.delivery = p_found.delivery;
        v_entry.lane := v_waiting.lane;
        v_entry.delivery := v_waiting.delivery;
        v_entry.attempt := v_waiting.attempt;
        v_entry.subject_key := v_waiting.subject_key;
        v_entry.origin_delivery := v_waiting.origin_delivery;
        v_entry.origin_lane := v_waiting.origin_lane;
        v_entry.origin_xid := v_waiting.origin_xid;
        v_entry.event := v_waiting.event;
        v_entry.cause := v_waiting.cause;
        v_entry.key := v_waiting.key;
    ELSE
        SELECT entry.* INTO STRICT v_entry
        FROM arvo.log AS entry
        WHERE entry.lane = p_found.lane
        AND entry.xid = p_found.xid
        AND entry.delivery = p_found.delivery;
    END IF;

    v_moved := v_entry;
    v_moved.lane := p_lane;
    IF NOT v_same THEN
        v_moved.attempt := 1;
        v_moved.key := arvo.key_in(arvo.event_of(v_entry), v_to.key_from);
    END IF;

    IF p_found.place = 'deferred' THEN
        UPDATE arvo.deferred
        SET lane = v_moved.lane,
            attempt = v_moved.attempt,
            key = v_moved.key,
            cause = CASE
                WHEN v_same THEN deferred.cause
                ELSE coalesce(deferred.cause, '{}')
                    || jsonb_build_object('moved_from', v_from.name)
            END
        WHERE deferred.delivery = p_found.delivery;
    ELSE
        PERFORM arvo.entomb(v_entry, 'moved');
        v_moved.origin_delivery := coalesce(v_entry.origin_delivery, v_entry.delivery);
        v_moved.origin_lane := coalesce(v_entry.origin_lane, v_entry.lane);
        v_moved.origin_xid := coalesce(v_entry.origin_xid, v_entry.xid);
        v_moved.event := NULL;
        v_successor := arvo.again(
            v_moved, v_moved.attempt, NULL,
            (coalesce(v_entry.cause, '{}') - 'error') || jsonb_build_object(
                'outcome', 'moved', 'delivery', v_entry.delivery, 'queue', v_from.name
            )
        );
    END IF;

    UPDATE arvo.dead
    SET dead_letter = v_to.name,
        dead_letter_lane = p_lane,
        dead_letter_delivery = v_successor,
        dead_letter_xid = CASE WHEN p_found.place <> 'deferred' THEN pg_current_xact_id() END
    WHERE dead.dead_letter_lane = v_entry.lane
    AND dead.dead_letter_delivery = v_entry.delivery
    AND dead.resolution IS NULL;
    IF NOT v_same THEN
        PERFORM arvo.let_go(v_entry);
    END IF;
    RETURN v_successor;
END;
$relay$;

COMMENT ON FUNCTION arvo.relay(arvo.finding, integer) IS
'Puts a waiting delivery into another lane, of its queue or another; returns the delivery that it is there.';

REVOKE ALL ON FUNCTION arvo.relay(arvo.finding, integer) FROM PUBLIC;
--! end

--! function arvo.release_key
-- arvo.release_key(queue, key, delivery) — a key's holder is gone: the others go on.
CREATE OR REPLACE FUNCTION arvo.release_key(p_queue integer, p_key bigint, p_delivery bigint)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $release_key$
-- For operators who withdraw a delivery that is deferred, or in the log and unclaimed, while its key
-- waits for it. Returns whether it was the holder.
--
--   Reads    arvo.queue, arvo.turn
--   Writes   as arvo.put_turn
--   Locks    nothing; the caller holds the queue's home lane
--   Raises   nothing
DECLARE
    v_queue arvo.queue;
    v_turn arvo.turn := arvo.turn_of(p_queue, p_key);
BEGIN
    IF v_turn.holder IS DISTINCT FROM p_delivery THEN
        RETURN false;
    END IF;
    SELECT queue.* INTO STRICT v_queue
    FROM arvo.queue
    WHERE queue.queue = p_queue;
    v_turn.holder := NULL;
    PERFORM arvo.put_turn(v_queue, v_turn);
    RETURN true;
END;
$release_key$;

COMMENT ON FUNCTION arvo.release_key(integer, bigint, bigint) IS
'Lets a key go on whose holder was withdrawn.';

REVOKE ALL ON FUNCTION arvo.release_key(integer, bigint, bigint) FROM PUBLIC;
--! end

--! function arvo.require_home
-- arvo.require_home() — refuse to work on another cluster's transaction numbers.
CREATE OR REPLACE FUNCTION arvo.require_home()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $require_home$
-- Windows and cursors are made of transaction numbers, which mean nothing in another cluster: after a
-- dump was restored there, deliveries would be passed over without a word. A dump that was restored
-- into the cluster it came from, or into a copy of that cluster, is told by the oid of arvo.origin.
--
--   Reads    arvo.origin, pg_control_system; as arvo.whereabouts, before it refuses
--   Writes   nothing
--   Locks    nothing
--   Raises   RV902  the newest origin is another cluster, or this is a restored dump
DECLARE
    v_here bigint := (SELECT control.system_identifier FROM pg_control_system() AS control);
    v_home bigint;
    v_relation oid;
    v_whereabouts text;
BEGIN
    SELECT origin.system_identifier, origin.relation INTO v_home, v_relation
    FROM arvo.origin
    ORDER BY origin.number DESC
    LIMIT 1;
    IF v_home = v_here AND coalesce(v_relation = 'arvo.origin'::regclass::oid, true) THEN
        RETURN;
    END IF;
    v_whereabouts := arvo.whereabouts();
    RAISE EXCEPTION 'transaction numbers are of another cluster'
    USING ERRCODE = 'RV902',
          DETAIL = format(
              'They are of cluster %s, up to %s; %s is %s, at %s.',
              v_home, arvo.numbers_end(),
              CASE WHEN v_home = v_here THEN 'this restored dump' ELSE 'this' END,
              v_here, pg_snapshot_xmin(pg_current_snapshot())
          ),
          HINT = CASE v_whereabouts
              WHEN 'upgraded' THEN
                  'This looks like pg_upgrade, which keeps the numbers: call accept_cluster() as'
                  ' operator, once. After a dump was restored it would be rebase().'
              ELSE
                  'This looks like a restored dump: call rebase() as operator, once; it takes over'
                  ' what waits here, so the original must no longer run. After pg_upgrade it'
                  ' would be accept_cluster().'
          END;
END;
$require_home$;

COMMENT ON FUNCTION arvo.require_home() IS
'Raises RV902 unless the stored transaction numbers are of this cluster.';

REVOKE ALL ON FUNCTION arvo.require_home() FROM PUBLIC;
--! end

--! function arvo.require_time_zone
-- arvo.require_time_zone(time_zone) — refuse a time zone that is not one of the server's by name.
CREATE OR REPLACE FUNCTION arvo.require_time_zone(p_time_zone text)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $require_time_zone$
-- Reads the whole list, some milliseconds: for calls that people make. AT TIME ZONE takes much more
-- for a zone ('Berlin1' is one hour behind UTC), so a typing error would go unnoticed.
--
--   Reads    pg_timezone_names
--   Writes   nothing
--   Locks    nothing
--   Raises   RV006  there is no such zone
DECLARE
    v_meant text;
BEGIN
    IF EXISTS (SELECT FROM pg_timezone_names AS zone WHERE zone.name = p_time_zone) THEN
        RETURN;
    END IF;
    SELECT zone.name INTO v_meant
    FROM pg_timezone_names AS zone
    WHERE lower(zone.name) = lower(replace(btrim(p_time_zone), ' ', '_'))
    OR lower(split_part(zone.name, '/', -1)) = lower(replace(btrim(p_time_zone), ' ', '_'))
    ORDER BY zone.name COLLATE "C"
    LIMIT 1;
    RAISE EXCEPTION 'argument is not valid'
    USING ERRCODE = 'RV006',
          COLUMN = 'time_zone',
          DETAIL = format('time_zone: %s', left(coalesce(to_json(p_time_zone)::text, 'null'), 80)),
          HINT = format('Use a name of pg_timezone_names as it is written there, such as %s.',
                        coalesce(v_meant, 'Europe/Berlin'));
END;
$require_time_zone$;

COMMENT ON FUNCTION arvo.require_time_zone(text) IS
'Refuses a name that is no time zone of the server, and says which one may be meant.';

REVOKE ALL ON FUNCTION arvo.require_time_zone(text) FROM PUBLIC;
--! end

--! function arvo.reset_queue
-- arvo.reset_queue(queue, registered) — put the options of a queue back to their defaults.
CREATE OR REPLACE FUNCTION arvo.reset_queue(p_queue arvo.queue, p_registered boolean)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $reset_queue$
-- Neither paused nor draining, either. Its name, number and history stay.
--
--   Reads    arvo.clock
--   Writes   arvo.queue, arvo.registration; arvo.lane, when the default priority has none
--   Locks    arvo.queue row; as arvo.lane_for
--   Raises   nothing
DECLARE
    v_after arvo.queue;
BEGIN
    UPDATE arvo.queue
    SET registered = p_registered,
        stateful = DEFAULT,
        priority = DEFAULT,
        retry_limit = DEFAULT,
        retry_delay = DEFAULT,
        retry_backoff = DEFAULT,
        retry_delay_max = DEFAULT,
        expire_in = DEFAULT,
        dead_letter = DEFAULT,
        warning_queue_size = DEFAULT,
        policy = DEFAULT,
        key_from = DEFAULT,
        on_failure = DEFAULT,
        start_after = DEFAULT,
        retention = DEFAULT,
        delete_after = DEFAULT,
        deduplicate_for = DEFAULT,
        singleton_for = DEFAULT,
        singleton_next_slot = DEFAULT,
        max_active = DEFAULT,
        key_max_active = DEFAULT,
        rate_limit = DEFAULT,
        rate_period = DEFAULT,
        key_rate_limit = DEFAULT,
        key_rate_period = DEFAULT,
        max_redrives = DEFAULT,
        error_rules = DEFAULT,
        paused_at = NULL,
        paused_by = NULL,
        drained_to = NULL,
        changed_at = arvo.clock()
    WHERE queue.queue = p_queue.queue
    RETURNING queue.* INTO v_after;
    IF arvo.has_new_rules(p_queue, v_after) THEN
        PERFORM arvo.rebuild_turns(v_after);
    END IF;
    DELETE FROM arvo.registration WHERE registration.queue = p_queue.name;
    PERFORM arvo.lane_for(p_queue.name);
END;
$reset_queue$;

COMMENT ON FUNCTION arvo.reset_queue(arvo.queue, boolean) IS
'Puts the options of a queue back to their defaults, registered or not.';

REVOKE ALL ON FUNCTION arvo.reset_queue(arvo.queue, boolean) FROM PUBLIC;
--! end

--! function arvo.retire
-- arvo.retire(queue, head, batch, parked) — make dead letters of deliveries that waited too long.
CREATE OR REPLACE FUNCTION arvo.retire(
    p_queue arvo.queue,
    p_head arvo.lease,
    p_batch arvo.log[],
    p_parked boolean
)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $retire$
-- p_head is the newest row of a lane that the caller holds (with the home lane of a gated queue), its
-- cursor moved on behind p_batch, unless that stood in line. The batch is leased to nobody and closed
-- at once: what was withdrawn as that says, of all others a dead letter is made, with the attempts
-- that were really charged. Keys count them as running for that moment, so that they are freed as
-- after any run. Returns how many dead letters.
--
--   Reads    arvo.tombstone, arvo.clock, arvo.slot; as arvo.turn_of
--   Writes   arvo.closure; as arvo.put_turn, arvo.write_lease, arvo.leave_queued, arvo.withdraw,
--            arvo.bury and arvo.finish
--   Locks    as arvo.withdraw, arvo.bury and arvo.finish
--   Raises   nothing
DECLARE
    v_batch arvo.log[] := p_batch;
    v_deliveries bigint[];
    v_keys bigint[];
    v_key bigint;
    v_turn arvo.turn;
    v_lease arvo.lease;
    v_entry arvo.log;
BEGIN
    IF p_queue.gated THEN
        v_keys := ARRAY(SELECT arvo.key_for(p_queue, entry) FROM unnest(p_batch) AS entry);
        FOR v_key, v_deliveries IN
            SELECT arvo.key_for(p_queue, entry), array_agg(entry.delivery)
            FROM unnest(p_batch) AS entry
            GROUP BY arvo.key_for(p_queue, entry)
            UNION ALL
            SELECT 0, array_agg(entry.delivery)
            FROM unnest(p_batch) AS entry
            ORDER BY 1
        LOOP
            v_turn := arvo.turn_of(p_queue.queue, v_key);
            v_turn.active := v_turn.active + cardinality(v_deliveries);
            IF p_parked AND v_key <> 0 THEN
                v_turn.waiting := greatest(v_turn.waiting - cardinality(v_deliveries), 0);
            END IF;
            IF v_turn.holder = ANY (v_deliveries) THEN
                v_turn.holder := NULL;
            END IF;
            PERFORM arvo.put_turn(p_queue, v_turn);
        END LOOP;
    END IF;

    v_lease := arvo.write_lease(p_head, 'arvo.maintain', interval '0', p_batch, v_keys);
    IF EXISTS (SELECT FROM arvo.tombstone WHERE tombstone.lane = v_lease.lane) THEN
        v_batch := arvo.withdraw(p_queue, v_lease, p_batch);
    END IF;
    IF p_queue.slotted THEN
        PERFORM arvo.leave_queued(p_queue, v_batch);
    END IF;
    IF v_batch = '{}' THEN
        RETURN 0;
    END IF;
    v_deliveries := ARRAY(SELECT entry.delivery FROM unnest(v_batch) AS entry);
    INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
    VALUES (
        arvo.slot(), v_lease.token, arvo.clock(), v_deliveries, '{dead}',
        array_fill(NULL::integer, ARRAY[cardinality(v_deliveries)])
    );
    FOREACH v_entry IN ARRAY v_batch LOOP
        v_entry.attempt := v_entry.attempt - 1;
        PERFORM arvo.bury(
            v_entry, p_queue, 'retention',
            jsonb_build_object(
                'name', 'RetentionExpired',
                'message', format('not run within %s of being ready', p_queue.retention),
                'stack', NULL
            )
        );
    END LOOP;
    PERFORM arvo.finish(p_queue, v_lease, v_deliveries);
    RETURN cardinality(v_batch);
END;
$retire$;

COMMENT ON FUNCTION arvo.retire(arvo.queue, arvo.lease, arvo.log[], boolean) IS
'Leases deliveries that waited too long to nobody and makes dead letters of them; returns how many.';

REVOKE ALL ON FUNCTION arvo.retire(arvo.queue, arvo.lease, arvo.log[], boolean) FROM PUBLIC;
--! end

--! function arvo.retire_lanes
-- arvo.retire_lanes() — put a new lane in the place of each one in use.
CREATE OR REPLACE FUNCTION arvo.retire_lanes()
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $retire_lanes$
-- For arvo_v1.rebase, which then moves what is live into the new lanes. They have the order of the
-- old ones, so that a queue's first lane stays its first. Their first cursors stand at transaction 3:
-- in a new lane, what has a lower number counts as claimed. What a cursor says of arvo.ready goes on.
-- The old lanes' cursors stay, to judge their rows by, until arvo.close_lanes. Returns how many lanes
-- were retired.
--
--   Reads    arvo.lease, arvo.clock, arvo.slot
--   Writes   arvo.lane, arvo.lease
--   Locks    arvo.lane rows
--   Raises   nothing
DECLARE
    v_made integer[];
BEGIN
    WITH retired AS (
        UPDATE arvo.lane
        SET successor = numbered.successor
        FROM (
            SELECT ordered.lane, nextval('arvo.lane_lane_seq'::regclass) AS successor
            FROM (
                SELECT lane.lane FROM arvo.lane WHERE lane.successor IS NULL ORDER BY lane.lane
            ) AS ordered
        ) AS numbered
        WHERE lane.lane = numbered.lane
        RETURNING lane.successor
    )

    SELECT coalesce(array_agg(retired.successor), '{}') INTO v_made FROM retired;

    WITH made AS (
        INSERT INTO arvo.lane (lane, queue, priority)
        OVERRIDING SYSTEM VALUE
        SELECT lane.successor, lane.queue, lane.priority
        FROM arvo.lane
        WHERE lane.successor = ANY (v_made)
        RETURNING lane.lane
    )

    INSERT INTO arvo.lease (
        slot, lane, number, token, leased_at, expires_at, deliveries,
        previous_snapshot, snapshot, last_xid, last_delivery, exhausted, open_from, sweep_at,
        ready_from
    )
    SELECT
        arvo.slot(), made.lane, 0, 0, arvo.clock(), '-infinity', '{}',
        '3:3:', '3:3:', '0', 0, true, 1, 'infinity',
        head.ready_from
    FROM made
    INNER JOIN arvo.lane AS old ON old.successor = made.lane
    CROSS JOIN LATERAL (
        SELECT newest.ready_from
        FROM arvo.lease AS newest
        WHERE newest.lane = old.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS head;
    RETURN cardinality(v_made);
END;
$retire_lanes$;

COMMENT ON FUNCTION arvo.retire_lanes() IS
'Puts a new, empty lane in the place of each one in use; returns how many.';

REVOKE ALL ON FUNCTION arvo.retire_lanes() FROM PUBLIC;
--! end

--! function arvo.retire_unclaimed
-- arvo.retire_unclaimed(limit) — make dead letters of what nobody claimed within its queue's retention.
CREATE OR REPLACE FUNCTION arvo.retire_unclaimed(p_limit integer)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $retire_unclaimed$
-- Of every queue, registered or not, paused or not. A lane's deliveries are read as a claim reads
-- them, and leased to nobody: those at its head that are too old are closed under that lease. One
-- that stands behind a younger one has its turn when that is gone. A deferred delivery is appended to
-- the log when it is due, and counts from then. Returns how many dead letters were made.
--
--   Reads    arvo.queue, arvo.lane, arvo.lease by (lane, number), arvo.clock; as
--            arvo.first_unclaimed and arvo.read_window
--   Writes   as arvo.heal and arvo.retire
--   Locks    each such lane, after the home lane of a gated queue: tried, never waited
--            for; as arvo.sweep and arvo.retire
--   Raises   RV902  as arvo.read_window
DECLARE
    v_now timestamptz := arvo.clock();
    v_lane record;
    v_queue arvo.queue;
    v_head arvo.lease;
    v_reading arvo.reading;
    v_count integer;
    v_left integer := p_limit;
    v_dead integer := 0;
BEGIN
    FOR v_lane IN
        SELECT
            lane.lane,
            CASE WHEN queue.gated THEN arvo.home_lane(queue.queue) ELSE lane.lane END AS home,
            queue.queue
        FROM arvo.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        CROSS JOIN LATERAL (
            SELECT lease AS head
            FROM arvo.lease
            WHERE lease.lane = lane.lane
            ORDER BY lease.number DESC
            LIMIT 1
        ) AS newest
        CROSS JOIN LATERAL arvo.first_unclaimed(newest.head) AS entry
        WHERE entry.at <= v_now - queue.retention AND NOT lane.retired
        ORDER BY entry.at, lane.lane
        LIMIT 32
    LOOP
        EXIT WHEN v_left <= 0;
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_lane.home);
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_lane.lane);
        SELECT queue.* INTO STRICT v_queue
        FROM arvo.queue
        WHERE queue.queue = v_lane.queue;
        v_head := arvo.heal(arvo.head_of(v_lane.lane));
        v_reading := arvo.read_window(v_head, v_left);
        -- How many at its head are too old; unnest keeps the order.
        SELECT coalesce(min(entry.ordinal)::integer - 1, cardinality(v_reading.batch))
        INTO v_count
        FROM (
            SELECT taken.at, row_number() OVER () AS ordinal
            FROM unnest(v_reading.batch) AS taken
        ) AS entry
        WHERE entry.at > v_now - v_queue.retention;
        CONTINUE WHEN v_count = 0;
        IF v_count < cardinality(v_reading.batch) THEN
            v_reading.batch := v_reading.batch[1:v_count];
            v_reading.last_xid := v_reading.batch[v_count].xid;
            v_reading.last_delivery := v_reading.batch[v_count].delivery;
            v_reading.exhausted := false;
        END IF;
        v_dead := v_dead
            + arvo.retire(v_queue, arvo.moved(v_head, v_reading), v_reading.batch, false);
        v_left := v_left - v_count;
    END LOOP;
    RETURN v_dead;
END;
$retire_unclaimed$;

COMMENT ON FUNCTION arvo.retire_unclaimed(integer) IS
'Makes dead letters of deliveries that nobody claimed within their queue''s retention; returns how many.';

REVOKE ALL ON FUNCTION arvo.retire_unclaimed(integer) FROM PUBLIC;
--! end

--! function arvo.root_digest
-- arvo.root_digest(digest) — the root of the tree that a workflow belongs to.
CREATE OR REPLACE FUNCTION arvo.root_digest(p_digest bytea)
RETURNS bytea
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $root_digest$
-- Walks up, so it does not matter in which order parents and children were stored. A loop in the
-- parents (impossible by way of events, possible by hand) ends the walk. NULL when unknown.
--
--   Reads    arvo.lineage
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
WITH RECURSIVE ancestor AS (
    SELECT lineage.subject_digest, lineage.parent_digest, 0 AS height
    FROM arvo.lineage
    WHERE lineage.subject_digest = p_digest
    UNION ALL
    SELECT lineage.subject_digest, lineage.parent_digest, ancestor.height + 1
    FROM ancestor
    CROSS JOIN LATERAL (
        SELECT known.subject_digest, known.parent_digest
        FROM arvo.lineage AS known
        WHERE known.subject_digest = ancestor.parent_digest
        LIMIT 1  -- by index, whatever the plan
    ) AS lineage
) CYCLE subject_digest SET looped USING path

SELECT ancestor.subject_digest
FROM ancestor
WHERE NOT ancestor.looped
ORDER BY ancestor.height DESC
LIMIT 1;
$root_digest$;

COMMENT ON FUNCTION arvo.root_digest(bytea) IS
'Digest of the root of a workflow''s tree; NULL when the workflow is unknown.';

REVOKE ALL ON FUNCTION arvo.root_digest(bytea) FROM PUBLIC;
--! end

--! function arvo.schedule_row
-- arvo.schedule_row(schedule, change) — a schedule as the contract shows it.
CREATE OR REPLACE FUNCTION arvo.schedule_row(p_schedule arvo.schedule, p_change text)
RETURNS arvo_v1.schedule
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $schedule_row$
-- The one place that knows the order of both rows.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT (
    p_schedule.name,
    p_schedule.key,
    p_change,
    p_schedule.cron,
    p_schedule.time_zone,
    p_schedule.event,
    p_schedule.options,
    p_schedule.missed,
    p_schedule.missed_limit,
    p_schedule.grace,
    p_schedule.gap,
    p_schedule.overlap,
    p_schedule.paused_at,
    p_schedule.paused_by,
    p_schedule.next_at,
    p_schedule.last_at,
    p_schedule.last_delivery,
    p_schedule.last_outcome,
    p_schedule.fires,
    p_schedule.missed_from,
    p_schedule.missed_to,
    p_schedule.error,
    p_schedule.error_at,
    p_schedule.failures,
    p_schedule.created_at,
    p_schedule.created_by,
    p_schedule.changed_at,
    p_schedule.changed_by
)::arvo_v1.schedule;
$schedule_row$;

COMMENT ON FUNCTION arvo.schedule_row(arvo.schedule, text) IS
'A schedule as the contract shows it, with what a call did to it.';

REVOKE ALL ON FUNCTION arvo.schedule_row(arvo.schedule, text) FROM PUBLIC;
--! end

--! function arvo.share_body
-- arvo.share_body(items) — which copies of a published event refer to the first one.
CREATE OR REPLACE FUNCTION arvo.share_body(p_items arvo.arrival[])
RETURNS arvo.arrival[]
LANGUAGE plpgsql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $share_body$
-- The first copy that goes into the log at once carries the event; later copies name it as their
-- origin. Copies before it, and all when none goes in at once, carry the event themselves.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_at integer;
    v_first integer;
BEGIN
    FOR v_at, v_first IN
        SELECT later.ordinal, first.ordinal
        FROM (
            SELECT item.given, min(item.ordinal) AS ordinal
            FROM unnest(p_items) AS item
            WHERE item.outcome IS NULL AND item.after <= interval '0'
            GROUP BY item.given
        ) AS first
        INNER JOIN unnest(p_items) AS later
            ON later.given = first.given AND later.ordinal > first.ordinal
    LOOP
        p_items[v_at].origin := v_first;
    END LOOP;
    RETURN p_items;
END;
$share_body$;

COMMENT ON FUNCTION arvo.share_body(arvo.arrival[]) IS
'Names the copy that carries the event for the further copies of it.';

REVOKE ALL ON FUNCTION arvo.share_body(arvo.arrival[]) FROM PUBLIC;
--! end

--! function arvo.shown
-- arvo.shown(queue, change) — a queue, as the contract shows it.
CREATE OR REPLACE FUNCTION arvo.shown(p_queue arvo.queue, p_change text)
RETURNS arvo_v1.queue
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $shown$
-- p_change says what the call that answers it has done.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT (
    p_queue.name, p_change, p_queue.registered, p_queue.stateful, p_queue.priority,
    p_queue.retry_limit, p_queue.retry_delay, p_queue.retry_backoff, p_queue.retry_delay_max,
    p_queue.expire_in, p_queue.dead_letter, p_queue.warning_queue_size,
    p_queue.policy, p_queue.key_from, p_queue.on_failure, p_queue.start_after, p_queue.retention,
    p_queue.delete_after, p_queue.deduplicate_for, p_queue.singleton_for,
    p_queue.singleton_next_slot, p_queue.max_active, p_queue.key_max_active, p_queue.rate_limit,
    p_queue.rate_period, p_queue.key_rate_limit, p_queue.key_rate_period, p_queue.max_redrives,
    p_queue.error_rules, p_queue.paused_at
)::arvo_v1.queue;
$shown$;

COMMENT ON FUNCTION arvo.shown(arvo.queue, text) IS
'Row of a queue in the form of the contract.';

REVOKE ALL ON FUNCTION arvo.shown(arvo.queue, text) FROM PUBLIC;
--! end

--! function arvo.slot_pins
-- arvo.slot_pins(slot, until, limit) — what in a generation slot is still needed.
CREATE OR REPLACE FUNCTION arvo.slot_pins(p_slot smallint, p_until timestamptz, p_limit integer)
RETURNS SETOF arvo.pin
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $slot_pins$
-- p_until is when the generation was closed: none of its rows names a later time. Needed are
-- deliveries that nobody has claimed, those that are leased (the delivery or its lease row stands
-- here) and those that are parked. At most one of each kind per lane or queue, by index: cost grows
-- with the lanes, not with what is in them. A lease counts until it has lapsed and the lane was
-- swept, also when it is settled.
--
-- Not named here, because maintain() sees to them: deferred deliveries, which get the event itself
-- (arvo.carry_deferred), and idle lanes whose cursor stands here (arvo.move_idle). Dead letters hold
-- their events; a delivery that they point to is unclaimed, leased or deferred, or done.
--
--   Reads    arvo.lane, arvo.queue, arvo.lease by (lane, number), arvo.log by (lane, xid), arvo.parked
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
(
    SELECT NULL::bigint, found.kind, queue.name, lane.lane, found.delivery, found.at
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    CROSS JOIN LATERAL (
        SELECT lease AS head, lease.open_from
        FROM arvo.lease
        WHERE lease.lane = lane.lane
        ORDER BY lease.number DESC
        LIMIT 1
    ) AS newest
    CROSS JOIN LATERAL (
        SELECT 'unclaimed' AS kind, entry.delivery, entry.at
        FROM arvo.first_unclaimed(newest.head, p_slot, p_slot) AS entry
        UNION ALL
        (
            SELECT 'leased', held.deliveries[1], held.leased_at
            FROM arvo.lease AS held
            WHERE held.lane = lane.lane
            AND held.number >= newest.open_from
            AND held.token <> 0
            AND (
                held.slot = p_slot
                OR held.low_xid <= (
                    SELECT last.xid
                    FROM arvo.log AS last
                    WHERE last.slot = p_slot AND last.lane = lane.lane
                    ORDER BY last.xid DESC, last.delivery DESC
                    LIMIT 1
                )
            )
            ORDER BY held.number
            LIMIT 1
        )
    ) AS found
    WHERE NOT lane.retired
    LIMIT p_limit
)
UNION ALL
(
    SELECT NULL, 'parked', queue.name, first.lane, first.delivery, first.at
    FROM arvo.queue
    CROSS JOIN LATERAL (
        SELECT parked.lane, parked.delivery, parked.at
        FROM arvo.parked
        WHERE parked.queue = queue.queue AND parked.at <= p_until
        ORDER BY parked.at
        LIMIT 1
    ) AS first
    LIMIT p_limit
)
LIMIT p_limit;
$slot_pins$;

COMMENT ON FUNCTION arvo.slot_pins(smallint, timestamptz, integer) IS
'What in a generation slot is still needed, one example per kind and lane.';

REVOKE ALL ON FUNCTION arvo.slot_pins(smallint, timestamptz, integer) FROM PUBLIC;
--! end

--! function arvo.standing
-- arvo.standing(lane, xid, delivery) — where a row of the log stands.
CREATE OR REPLACE FUNCTION arvo.standing(p_lane integer, p_xid xid8, p_delivery bigint)
RETURNS arvo.standing
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $standing$
-- As of the calling statement. It stays true while the caller holds the lane, and what is leased also
-- while the caller holds the lease.
--
--   Reads    arvo.lease, arvo.tombstone, arvo.parked, arvo.closure
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_unclaimed boolean := arvo.is_unclaimed(arvo.head_of(p_lane), p_xid, p_delivery);
    v_token bigint;
BEGIN
    IF v_unclaimed OR EXISTS (SELECT FROM arvo.parked WHERE parked.delivery = p_delivery) THEN
        IF EXISTS (
            SELECT
            FROM arvo.tombstone
            WHERE tombstone.lane = p_lane AND tombstone.delivery = p_delivery
        ) THEN
            RETURN ('withdrawn', NULL)::arvo.standing;
        END IF;
        RETURN (CASE WHEN v_unclaimed THEN 'queued' ELSE 'parked' END, NULL)::arvo.standing;
    END IF;

    SELECT lease.token INTO v_token
    FROM arvo.lease
    WHERE lease.lane = p_lane
    AND lease.high_xid >= p_xid
    AND lease.low_xid <= p_xid
    AND lease.token <> 0
    AND NOT lease.carried
    AND p_delivery = ANY (lease.deliveries)
    ORDER BY lease.high_xid
    LIMIT 1;
    IF v_token IS NULL OR arvo.open_deliveries(v_token, ARRAY[p_delivery]) = '{}' THEN
        RETURN ('closed', NULL)::arvo.standing;
    END IF;
    RETURN ('leased', v_token)::arvo.standing;
END;
$standing$;

COMMENT ON FUNCTION arvo.standing(integer, xid8, bigint) IS
'Where a row of the log stands: queued, parked, leased, withdrawn or closed.';

REVOKE ALL ON FUNCTION arvo.standing(integer, xid8, bigint) FROM PUBLIC;
--! end

DROP FUNCTION arvo.sweep(arvo.lease, integer);
--! function arvo.sweep
-- arvo.sweep(head, most, all) — take back what expired leases of a lane still hold.
CREATE OR REPLACE FUNCTION arvo.sweep(
    p_head arvo.lease,
    p_most integer,
    p_all boolean DEFAULT false
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $sweep$
-- p_head is the newest row of the lane; its caller holds the lane. Reads at most p_most rows of the
-- ledger, by their number: looking by expiry would walk every live lease behind the last expired
-- one. An expired lease that somebody is settling or extending at this moment is left to the next
-- sweep, and so is a gated queue whose home lane somebody else holds. Of a run of an ordered key only
-- the first can have been running: the others go back uncharged. p_all takes back what has not
-- expired as well, and asks for no lock: for arvo_v1.rebase, when nobody can be settling. Returns the
-- new lower bound: no older row holds an open delivery.
--
--   Reads    arvo.lease, arvo.closure, arvo.lane, arvo.queue, arvo.clock
--   Writes   arvo.closure; as arvo.give_back, arvo.pass_turns and arvo.leave_places
--   Locks    the home lane of a gated queue, each expired lease: tried, never waited for
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_open_from bigint;
    v_blocked bigint;
    v_queue arvo.queue;
    v_lease arvo.lease;
    v_open bigint[];
    v_items arvo.result[];
    v_item arvo.result;
    v_done arvo.result[];
BEGIN
    SELECT queue.* INTO STRICT v_queue
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = p_head.lane;
    IF v_queue.gated AND NOT p_all AND NOT pg_try_advisory_xact_lock(
        hashtext('arvo'), arvo.home_lane(v_queue.queue)
    ) THEN
        RETURN p_head.open_from;
    END IF;

    SELECT coalesce(max(expired.number), p_head.open_from - 1) + 1
    INTO v_open_from
    FROM arvo.lease AS expired
    WHERE expired.lane = p_head.lane
    AND expired.number >= p_head.open_from
    AND expired.number < p_head.open_from + p_most
    AND (p_all OR expired.expires_at <= v_now);

    FOR v_lease IN
        SELECT expired.*
        FROM arvo.lease AS expired
        WHERE expired.lane = p_head.lane
        AND expired.number >= p_head.open_from
        AND expired.number < v_open_from
        AND expired.token <> 0
        AND (
            expired.carried
            OR cardinality(expired.deliveries) > (
                SELECT coalesce(sum(cardinality(closure.deliveries)), 0)
                FROM arvo.closure
                WHERE closure.token = expired.token
            )
        )
        ORDER BY expired.number
    LOOP
        IF NOT p_all AND NOT pg_try_advisory_xact_lock(arvo.lease_key(v_lease.token)) THEN
            v_blocked := coalesce(v_blocked, v_lease.number);
            CONTINUE;
        END IF;
        -- A heartbeat may have carried it forward since: then the newer row answers for it.
        CONTINUE WHEN EXISTS (
            SELECT
            FROM arvo.lease AS newer
            WHERE newer.token = v_lease.token AND newer.number > v_lease.number
        );
        -- Asked again under the lock: a settlement may have committed since.
        v_open := arvo.open_deliveries(v_lease.token, v_lease.deliveries);
        CONTINUE WHEN v_open = '{}';

        IF v_queue.policy <> 'ordered' THEN
            v_lease.places := NULL;  -- it was ordered when this was leased
        END IF;
        SELECT
            array_agg(
                arvo.lease_item(v_lease, leased.ordinal, NULL) ORDER BY leased.ordinal
            ),
            array_agg(v_lease.deliveries[leased.ordinal] ORDER BY leased.ordinal)
        INTO v_items, v_open
        FROM (
            SELECT
                held.ordinal::integer AS ordinal,
                row_number() OVER (
                    PARTITION BY
                        CASE
                            WHEN v_lease.places IS NULL THEN held.delivery
                            ELSE v_lease.keys[held.ordinal]
                        END
                    ORDER BY v_lease.places[held.ordinal]
                ) AS turn
            FROM unnest(v_lease.deliveries) WITH ORDINALITY AS held (delivery, ordinal)
            WHERE held.delivery = ANY (v_open)
        ) AS leased
        WHERE leased.turn = 1;

        INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
        VALUES (
            arvo.slot(), v_lease.token, v_now, v_open, '{expired}',
            array_fill(NULL::integer, ARRAY[cardinality(v_open)])
        );
        v_done := '{}';
        FOREACH v_item IN ARRAY v_items LOOP
            v_item.asked := 'expired';
            v_item.error := jsonb_build_object(
                'name', 'LeaseExpired',
                'message', 'the worker did not report back before its lease expired',
                'stack', NULL
            );
            v_done := v_done || arvo.give_back(v_item, v_queue);
        END LOOP;
        IF v_queue.gated THEN
            PERFORM arvo.pass_turns(v_queue, v_done);
        END IF;
        IF v_queue.slotted THEN
            PERFORM arvo.leave_places(v_queue, v_lease, ARRAY(
                SELECT item.delivery FROM unnest(v_done) AS item WHERE item.verdict = 'dead'
            ));
        END IF;
    END LOOP;
    RETURN coalesce(v_blocked, v_open_from);
END;
$sweep$;

COMMENT ON FUNCTION arvo.sweep(arvo.lease, integer, boolean) IS
'Takes back the open deliveries of a lane''s expired leases; returns the new lower bound.';

REVOKE ALL ON FUNCTION arvo.sweep(arvo.lease, integer, boolean) FROM PUBLIC;
--! end

--! function arvo.sweep_deferred
-- arvo.sweep_deferred(limit) — remove deferred rows that have been promoted.
CREATE OR REPLACE FUNCTION arvo.sweep_deferred(p_limit integer)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $sweep_deferred$
-- Promotion only appends and moves its cursor on; what the cursor has passed is deleted here, and so
-- are older rows of the cursor. Returns how many deferred rows.
--
--   Reads    arvo.promotion
--   Writes   arvo.deferred, arvo.promotion
--   Locks    the rows deleted
--   Raises   nothing
DECLARE
    v_passed arvo.promotion;
    v_swept integer;
BEGIN
    SELECT head.* INTO STRICT v_passed
    FROM arvo.promotion AS head
    ORDER BY head.number DESC
    LIMIT 1;
    DELETE FROM arvo.deferred
    WHERE deferred.delivery IN (
        SELECT gone.delivery
        FROM arvo.deferred AS gone
        WHERE (gone.due, gone.delivery) <= (v_passed.due, v_passed.delivery)
        AND pg_visible_in_snapshot(gone.xid, v_passed.snapshot)
        ORDER BY gone.due, gone.delivery
        LIMIT p_limit
    );
    GET DIAGNOSTICS v_swept = ROW_COUNT;
    DELETE FROM arvo.promotion WHERE promotion.number < v_passed.number;
    RETURN v_swept;
END;
$sweep_deferred$;

COMMENT ON FUNCTION arvo.sweep_deferred(integer) IS
'Removes deferred rows that have been promoted, and old cursors; returns how many rows.';

REVOKE ALL ON FUNCTION arvo.sweep_deferred(integer) FROM PUBLIC;
--! end

--! function arvo.sweep_keys
-- arvo.sweep_keys(limit) — remove what is no longer known about keys.
CREATE OR REPLACE FUNCTION arvo.sweep_keys(p_limit integer)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $sweep_keys$
-- Up to p_limit rows of each kind:
--
--   turn       the newest row of a key, when it has been idle for an hour and for its queue's longest
--              period of a rate; under the lock of the queue's home lane, as whoever appends one
--   ready      rows that the cursor of the queue's home lane has passed
--   singleton  the row of a place that has been free for an hour; taking a place removes the row that
--              it found, and begins again when that is gone: see arvo.take_place
--   throttle   intervals that ended a day ago
--
-- Returns how many rows.
--
--   Reads    arvo.queue, arvo.lane, arvo.lease by (lane, number), arvo.clock
--   Writes   arvo.turn, arvo.ready, arvo.singleton, arvo.throttle
--   Locks    home lanes of gated queues: tried, never waited for; the rows deleted, those
--            of arvo.singleton and arvo.throttle unless somebody holds them
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_queue record;
    v_count integer;
    v_swept integer := 0;
BEGIN
    FOR v_queue IN
        SELECT DISTINCT
            idle.queue,
            arvo.home_lane(idle.queue) AS lane,
            v_now - greatest(
                interval '1 hour', queue.rate_period, queue.key_rate_period
            ) AS before
        FROM (
            SELECT turn.queue
            FROM arvo.turn
            WHERE turn.active = 0 AND turn.waiting = 0 AND turn.holder IS NULL
            AND turn.at <= v_now - interval '1 hour'
            ORDER BY turn.at
            LIMIT p_limit
        ) AS idle
        INNER JOIN arvo.queue ON queue.queue = idle.queue
        ORDER BY lane
        LIMIT 32
    LOOP
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_queue.lane);
        DELETE FROM arvo.turn
        USING (
            SELECT idle.key, idle.number
            FROM arvo.turn AS idle
            WHERE idle.queue = v_queue.queue
            AND idle.active = 0 AND idle.waiting = 0 AND idle.holder IS NULL AND NOT idle.ready
            AND idle.at <= v_queue.before
            AND NOT EXISTS (
                SELECT
                FROM arvo.turn AS newer
                WHERE newer.queue = idle.queue AND newer.key = idle.key
                AND newer.number > idle.number
            )
            ORDER BY idle.at
            LIMIT p_limit
        ) AS gone
        WHERE turn.queue = v_queue.queue
        AND turn.key = gone.key
        AND turn.number = gone.number;
        GET DIAGNOSTICS v_count = ROW_COUNT;
        v_swept := v_swept + v_count;
    END LOOP;

    DELETE FROM arvo.ready
    USING (
        SELECT passed.queue, passed.number
        FROM arvo.queue
        CROSS JOIN LATERAL (
            SELECT newest.ready_from
            FROM arvo.lease AS newest
            WHERE newest.lane = arvo.home_lane(queue.queue)
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS head
        CROSS JOIN LATERAL (
            SELECT ready.queue, ready.number
            FROM arvo.ready
            WHERE ready.queue = queue.queue AND ready.number <= head.ready_from
            ORDER BY ready.number
            LIMIT p_limit
        ) AS passed
        WHERE queue.gated
        LIMIT p_limit
    ) AS gone
    WHERE ready.queue = gone.queue AND ready.number = gone.number;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_swept := v_swept + v_count;

    WITH free AS MATERIALIZED (
        SELECT place.queue, place.kind, place.key, place.number
        FROM arvo.singleton AS place
        WHERE place.delivery IS NULL AND place.at <= v_now - interval '1 hour'
        ORDER BY place.at
        LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    )

    DELETE FROM arvo.singleton
    USING free
    WHERE singleton.queue = free.queue
    AND singleton.kind = free.kind
    AND singleton.key = free.key
    AND singleton.number = free.number;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_swept := v_swept + v_count;

    WITH ended AS MATERIALIZED (
        SELECT old.queue, old.key, old.slot_at
        FROM arvo.throttle AS old
        WHERE old.until <= v_now - interval '1 day'
        ORDER BY old.until
        LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    )

    DELETE FROM arvo.throttle
    USING ended
    WHERE throttle.queue = ended.queue
    AND throttle.key = ended.key
    AND throttle.slot_at = ended.slot_at;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_swept + v_count;
END;
$sweep_keys$;

COMMENT ON FUNCTION arvo.sweep_keys(integer) IS
'Removes idle turns, read ready rows, free places and ended intervals; returns how many rows.';

REVOKE ALL ON FUNCTION arvo.sweep_keys(integer) FROM PUBLIC;
--! end

--! function arvo.sweep_locks
-- arvo.sweep_locks(limit) — remove locks on subjects that lapsed an hour ago.
CREATE OR REPLACE FUNCTION arvo.sweep_locks(p_limit integer)
RETURNS integer
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $sweep_locks$
-- Without an index on expires_at: there are as many rows as locks that were held lately, and an index
-- would make every renewal write a new entry.
--
--   Reads    arvo.clock
--   Writes   arvo.state_lock
--   Locks    the rows deleted; those that somebody holds are left out
--   Raises   nothing
WITH lapsed AS MATERIALIZED (
    SELECT old.subject_digest
    FROM arvo.state_lock AS old
    WHERE old.expires_at <= (SELECT arvo.clock() - interval '1 hour')
    LIMIT p_limit
    FOR UPDATE SKIP LOCKED
),

gone AS (
    DELETE FROM arvo.state_lock
    USING lapsed
    WHERE state_lock.subject_digest = lapsed.subject_digest
    RETURNING 1
)

SELECT count(*)::integer FROM gone;
$sweep_locks$;

COMMENT ON FUNCTION arvo.sweep_locks(integer) IS
'Removes locks on subjects that lapsed an hour ago; returns how many.';

REVOKE ALL ON FUNCTION arvo.sweep_locks(integer) FROM PUBLIC;
--! end

--! function arvo.sweep_notes
-- arvo.sweep_notes(limit) — remove what was written down long ago.
CREATE OR REPLACE FUNCTION arvo.sweep_notes(p_limit integer)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $sweep_notes$
-- Up to p_limit rows of each kind:
--
--   omission              older than delete_after
--   dead                  resolved longer ago than delete_after; open ones stay for ever
--   operation             older than 90 days
--   registration          older than 30 days
--   generation            emptied, and eight newer ones are there
--   event_key_generation  the newest and the one before it stay
--
-- Returns how many rows.
--
--   Reads    arvo.clock, arvo.delete_after
--   Writes   arvo.omission, arvo.dead, arvo.operation, arvo.registration, arvo.generation,
--            arvo.event_key_generation
--   Locks    the rows deleted; those of arvo.dead and arvo.registration unless somebody holds them
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_before timestamptz := v_now - arvo.delete_after();
    v_count integer;
    v_swept integer := 0;
BEGIN
    DELETE FROM arvo.omission
    WHERE omission.number IN (
        SELECT old.number
        FROM arvo.omission AS old
        WHERE old.at <= v_before
        ORDER BY old.at
        LIMIT p_limit
    );
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_swept := v_swept + v_count;

    WITH resolved AS MATERIALIZED (
        SELECT old.dead
        FROM arvo.dead AS old
        WHERE old.resolution IS NOT NULL AND old.resolved_at <= v_before
        ORDER BY old.resolved_at
        LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    )

    DELETE FROM arvo.dead
    USING resolved
    WHERE dead.dead = resolved.dead;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_swept := v_swept + v_count;

    -- Their numbers grow as their times do.
    DELETE FROM arvo.operation
    WHERE operation.number IN (
        SELECT old.number FROM arvo.operation AS old ORDER BY old.number LIMIT p_limit
    )
    AND operation.at <= v_now - interval '90 days';
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_swept := v_swept + v_count;

    WITH gone AS MATERIALIZED (
        SELECT old.queue, old.worker
        FROM arvo.registration AS old
        WHERE old.at <= v_now - interval '30 days'
        LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    )

    DELETE FROM arvo.registration
    USING gone
    WHERE registration.queue = gone.queue AND registration.worker = gone.worker;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_swept := v_swept + v_count;

    DELETE FROM arvo.generation
    WHERE generation.emptied_at IS NOT NULL
    AND generation.number < (
        SELECT newest.number
        FROM arvo.generation AS newest
        ORDER BY newest.number DESC
        OFFSET 7
        LIMIT 1
    );
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_swept := v_swept + v_count;

    DELETE FROM arvo.event_key_generation
    WHERE event_key_generation.number < (
        SELECT max(newest.number) - 1 FROM arvo.event_key_generation AS newest
    );
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_swept + v_count;
END;
$sweep_notes$;

COMMENT ON FUNCTION arvo.sweep_notes(integer) IS
'Removes old omissions, resolved dead letters, audit and registrations; returns how many rows.';

REVOKE ALL ON FUNCTION arvo.sweep_notes(integer) FROM PUBLIC;
--! end

--! function arvo.take_place
-- arvo.take_place(queue, kind, key, delivery) — take the one place that a policy gives per key.
CREATE OR REPLACE FUNCTION arvo.take_place(
    p_queue integer,
    p_kind text,
    p_key bigint,
    p_delivery bigint
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $take_place$
-- The newest row of a place says who has it. Taking it means to write the next number, which two
-- cannot: the second waits until the first has committed, and looks again. So no look-up meets a
-- deleted row, however often a place changes hands. Returns NULL when it was free and is now taken,
-- else the delivery that has it.
--
--   Reads    arvo.singleton, arvo.clock
--   Writes   arvo.singleton
--   Locks    the next number of the place
--   Raises   RV901  it was lost to others a thousand times over
--            40001  under REPEATABLE READ: somebody took or freed it meanwhile
DECLARE
    v_newest arvo.singleton;
BEGIN
    FOR v_try IN 1..1000 LOOP
        SELECT newest.* INTO v_newest
        FROM arvo.singleton AS newest
        WHERE newest.queue = p_queue AND newest.kind = p_kind AND newest.key = p_key
        ORDER BY newest.number DESC
        LIMIT 1;
        IF v_newest.delivery IS NOT NULL THEN
            RETURN v_newest.delivery;
        END IF;
        INSERT INTO arvo.singleton (queue, kind, key, number, delivery, at)
        VALUES (
            p_queue, p_kind, p_key, coalesce(v_newest.number, 0) + 1, p_delivery, arvo.clock()
        )
        ON CONFLICT (queue, kind, key, number) DO NOTHING;
        IF FOUND THEN
            DELETE FROM arvo.singleton AS gone
            WHERE gone.queue = p_queue AND gone.kind = p_kind AND gone.key = p_key
            AND gone.number = v_newest.number;
            -- A free place may have been swept away since it was read (arvo.sweep_keys): then numbers
            -- begin again, and others do not meet this one.
            IF FOUND OR v_newest.number IS NULL THEN
                RETURN NULL;
            END IF;
            DELETE FROM arvo.singleton AS gone
            WHERE gone.queue = p_queue AND gone.kind = p_kind AND gone.key = p_key
            AND gone.number = v_newest.number + 1;
        END IF;
    END LOOP;
    RAISE EXCEPTION 'a place is never to be had'
    USING ERRCODE = 'RV901',
          DETAIL = format('queue %s, %s, key %s', p_queue, p_kind, p_key),
          HINT = 'Please report this: it should be impossible.';
END;
$take_place$;

COMMENT ON FUNCTION arvo.take_place(integer, text, bigint, bigint) IS
'Takes the place of a key, or answers the delivery that has it.';

REVOKE ALL ON FUNCTION arvo.take_place(integer, text, bigint, bigint) FROM PUBLIC;
--! end

--! function arvo.take_waiting
-- arvo.take_waiting(queue, ready_from, room) — take parked deliveries whose keys have room.
CREATE OR REPLACE FUNCTION arvo.take_waiting(
    p_queue arvo.queue,
    p_ready_from bigint,
    p_room integer
)
RETURNS arvo.taking
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $take_waiting$
-- Keys are served in the order in which they became ready, and each goes to the end of that line when
-- more of it wait: none starves. Nothing is scanned but what is taken.
--
--   Reads    arvo.ready by (queue, number), arvo.parked by (queue, key, place), arvo.log by (lane,
--            xid, delivery), arvo.tombstone, arvo.clock
--   Writes   arvo.parked; as arvo.put_turn and arvo.put_off
--   Locks    nothing; the caller holds the queue's home lane
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_taking arvo.taking := arvo.no_taking(p_ready_from);
    v_number bigint;
    v_key bigint;
    v_turn arvo.turn;
    v_want integer;
    v_rate integer;
    v_entries arvo.log[];
    v_places bigint[];
    v_count integer;
BEGIN
    WHILE v_taking.taken < p_room LOOP
        SELECT ready.number, ready.key INTO v_number, v_key
        FROM arvo.ready
        WHERE ready.queue = p_queue.queue AND ready.number > v_taking.ready_from
        ORDER BY ready.number
        LIMIT 1;
        EXIT WHEN NOT FOUND;
        v_taking.ready_from := v_number;
        v_turn := arvo.turn_of(p_queue.queue, v_key);
        v_turn.ready := false;
        v_rate := arvo.rate_room(
            v_turn.tally, p_queue.key_rate_limit, p_queue.key_rate_period, v_now
        );
        v_want := least(p_room - v_taking.taken, arvo.key_room(p_queue, v_turn), greatest(v_rate, 1));
        v_entries := '{}';
        IF v_want > 0 THEN
            SELECT
                array_agg(waiting.place ORDER BY waiting.place),
                array_agg(waiting.entry ORDER BY waiting.place)
            INTO v_places, v_entries
            FROM (
                SELECT parked.place, entry.entry
                FROM (
                    SELECT line.*
                    FROM arvo.parked AS line
                    WHERE line.queue = p_queue.queue
                    AND line.key = v_key
                    AND line.place > v_turn.upto
                    ORDER BY line.place
                    LIMIT v_want
                ) AS parked
                CROSS JOIN LATERAL (
                    SELECT log AS entry
                    FROM arvo.log
                    WHERE log.lane = parked.lane
                    AND log.xid = parked.xid
                    AND log.delivery = parked.delivery
                    LIMIT 1
                ) AS entry
            ) AS waiting;
        END IF;
        v_count := coalesce(cardinality(v_entries), 0);
        IF v_count = 0 THEN
            IF v_want > 0 THEN
                v_turn.waiting := 0;
            END IF;
            PERFORM arvo.put_turn(p_queue, v_turn);
            CONTINUE;
        END IF;
        DELETE FROM arvo.parked
        WHERE parked.queue = p_queue.queue
        AND parked.key = v_key
        AND parked.place = ANY (v_places);
        v_turn.waiting := greatest(v_turn.waiting - v_count, 0);
        v_turn.upto := v_places[v_count];
        -- What has been withdrawn will be closed under the lease: it is not put off, nor counted.
        IF v_rate = 0 AND NOT EXISTS (
            SELECT
            FROM arvo.tombstone
            WHERE tombstone.lane = v_entries[1].lane AND tombstone.delivery = v_entries[1].delivery
        ) THEN
            v_turn.holder := arvo.put_off(p_queue, v_turn, v_entries[1]);
            v_taking.put_off := v_taking.put_off || v_entries[1].delivery;
        ELSE
            v_turn.active := v_turn.active + v_count;
            v_turn.tally := arvo.rate_count(
                v_turn.tally, least(v_rate, v_count), p_queue.key_rate_period, v_now
            );
            v_taking.taken := v_taking.taken + v_count;
        END IF;
        v_taking.batch := v_taking.batch || v_entries;
        v_taking.keys := v_taking.keys || array_fill(v_key, ARRAY[v_count]);
        v_taking.places := v_taking.places || v_places;
        PERFORM arvo.put_turn(p_queue, v_turn);
    END LOOP;
    RETURN v_taking;
END;
$take_waiting$;

COMMENT ON FUNCTION arvo.take_waiting(arvo.queue, bigint, integer) IS
'Takes parked deliveries of the keys that are ready, in order.';

REVOKE ALL ON FUNCTION arvo.take_waiting(arvo.queue, bigint, integer) FROM PUBLIC;
--! end

--! function arvo.tally_lane
-- arvo.tally_lane(lane, most) — write down the figures of one lane.
CREATE OR REPLACE FUNCTION arvo.tally_lane(p_lane integer, p_most integer DEFAULT 10000)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $tally_lane$
-- The cursor is read before the snapshot is taken, so what the cursor has passed, the snapshot sees.
-- The own transaction counts as open: what it writes is counted by the next tally. With p_most NULL
-- everything is counted without looking at the tally before, at the cost of a scan of the lane: for
-- whoever, holding the lane, moved its cursor or its parked rows in another way than by leases.
--
--   Reads    arvo.lease, arvo.clock; as arvo.count_lane
--   Writes   arvo.tally
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_head arvo.lease;
    v_tally arvo.tally;
    v_seen pg_snapshot;
    v_count arvo.lane_count;
BEGIN
    SELECT newest.* INTO STRICT v_head
    FROM arvo.lease AS newest
    WHERE newest.lane = p_lane
    ORDER BY newest.number DESC
    LIMIT 1;
    SELECT newest.* INTO v_tally
    FROM arvo.tally AS newest
    WHERE newest.lane = p_lane
    ORDER BY newest.number DESC
    LIMIT 1;
    v_seen := arvo.window_snapshot();
    IF p_most IS NULL THEN
        v_count := arvo.count_lane(v_head, NULL, v_seen, NULL);
    ELSE
        v_count := arvo.count_lane(v_head, v_tally, v_seen, p_most);
    END IF;

    INSERT INTO arvo.tally (
        lane, number, at, seen, lease, previous_snapshot, snapshot, last_xid, last_delivery,
        exhausted, unread, parked, deferred, kept
    )
    VALUES (
        p_lane, coalesce(v_tally.number, 0) + 1, arvo.clock(), v_seen, v_head.number,
        v_head.previous_snapshot, v_head.snapshot, v_head.last_xid, v_head.last_delivery,
        v_head.exhausted, v_count.unread, v_count.parked, v_count.deferred,
        ARRAY(
            SELECT appended.entries + CASE WHEN p_most IS NULL THEN 0 ELSE coalesce(kept.entries, 0) END
            FROM unnest(v_count.slots) WITH ORDINALITY AS appended (entries, ordinal)
            LEFT JOIN unnest(v_tally.kept) WITH ORDINALITY AS kept (entries, ordinal)
                ON kept.ordinal = appended.ordinal
            ORDER BY appended.ordinal
        )
    )
    ON CONFLICT (lane, number) DO NOTHING;
    DELETE FROM arvo.tally AS gone
    WHERE gone.lane = p_lane AND gone.number = v_tally.number;
END;
$tally_lane$;

COMMENT ON FUNCTION arvo.tally_lane(integer, integer) IS
'Writes the next tally of a lane, carried on from the last or counted anew.';

REVOKE ALL ON FUNCTION arvo.tally_lane(integer, integer) FROM PUBLIC;
--! end

--! function arvo.tally_lanes
-- arvo.tally_lanes(limit) — write down the figures of lanes where something has happened.
CREATE OR REPLACE FUNCTION arvo.tally_lanes(p_limit integer DEFAULT 1000)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $tally_lanes$
-- The lanes whose tally is oldest come first. Each delivery is read once by this, in the order of the
-- log; idle lanes cost a look. Needs no lock: two that write the same tally write one, and either is
-- right. Before a slot of the log is emptied it must have been called for all lanes. Returns how many
-- tallies were written.
--
--   Reads    arvo.lane, arvo.lease, arvo.log, arvo.deferred, arvo.clock; as arvo.count_lane
--   Writes   arvo.tally, arvo.upkeep
--   Locks    arvo.upkeep row
--   Raises   nothing
DECLARE
    v_lane integer;
    v_written integer := 0;
BEGIN
    FOR v_lane IN
        SELECT lane.lane
        FROM arvo.lane
        CROSS JOIN LATERAL (
            SELECT newest.number
            FROM arvo.lease AS newest
            WHERE newest.lane = lane.lane
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS head
        LEFT JOIN LATERAL (
            SELECT newest.at, newest.lease, newest.seen
            FROM arvo.tally AS newest
            WHERE newest.lane = lane.lane
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS counted ON true
        WHERE counted.at IS NULL
        OR head.number > counted.lease
        OR EXISTS (
            SELECT
            FROM arvo.log
            WHERE log.lane = lane.lane AND log.xid >= pg_snapshot_xmax(counted.seen)
        )
        OR EXISTS (
            SELECT
            FROM pg_snapshot_xip(counted.seen) AS gap (xid)
            INNER JOIN arvo.log ON log.lane = lane.lane AND log.xid = gap.xid
        )
        OR EXISTS (
            SELECT
            FROM arvo.deferred
            WHERE deferred.lane = lane.lane AND deferred.xid >= pg_snapshot_xmax(counted.seen)
        )
        OR EXISTS (
            SELECT
            FROM pg_snapshot_xip(counted.seen) AS gap (xid)
            INNER JOIN arvo.deferred ON deferred.lane = lane.lane AND deferred.xid = gap.xid
        )
        ORDER BY counted.at NULLS FIRST
        LIMIT p_limit
    LOOP
        PERFORM arvo.tally_lane(v_lane);
        v_written := v_written + 1;
    END LOOP;

    INSERT INTO arvo.upkeep AS done (task, at)
    VALUES ('tally', arvo.clock())
    ON CONFLICT (task) DO UPDATE SET at = excluded.at;
    RETURN v_written;
END;
$tally_lanes$;

COMMENT ON FUNCTION arvo.tally_lanes(integer) IS
'Writes tallies of the lanes where something has happened; returns how many.';

REVOKE ALL ON FUNCTION arvo.tally_lanes(integer) FROM PUBLIC;
--! end

--! function arvo.truncate_slot
-- arvo.truncate_slot(slot) — empty the partitions of a generation slot.
CREATE OR REPLACE FUNCTION arvo.truncate_slot(p_slot smallint)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $truncate_slot$
-- Everybody who reads the log has the partitions locked until his transaction ends, and whoever comes
-- while this waits, waits too: so it waits for a tenth of a second and no longer. In the order in
-- which claims and settlements come to them. The caller has made sure that nothing there is needed,
-- and does nothing afterwards but commit.
--
--   Reads    nothing
--   Writes   arvo.lease, arvo.closure, arvo.log: one partition of each
--   Locks    these partitions: ACCESS EXCLUSIVE
--   Raises   55P03  somebody kept reading for a tenth of a second
BEGIN
    IF p_slot = 0 THEN
        TRUNCATE arvo.lease_0, arvo.closure_0, arvo.log_0;
    ELSIF p_slot = 1 THEN
        TRUNCATE arvo.lease_1, arvo.closure_1, arvo.log_1;
    ELSIF p_slot = 2 THEN
        TRUNCATE arvo.lease_2, arvo.closure_2, arvo.log_2;
    ELSE
        TRUNCATE arvo.lease_3, arvo.closure_3, arvo.log_3;
    END IF;
END;
$truncate_slot$;

COMMENT ON FUNCTION arvo.truncate_slot(smallint) IS
'Empties the partitions of a slot.';

REVOKE ALL ON FUNCTION arvo.truncate_slot(smallint) FROM PUBLIC;
--! end

--! function arvo.turn_event_keys
-- arvo.turn_event_keys() — begin a new generation of event_key when the newest is a whole window old.
CREATE OR REPLACE FUNCTION arvo.turn_event_keys()
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $turn_event_keys$
-- Three partitions: one in use, one that is looked at, one that is emptied and used next. So a key is
-- known for at least one window, the longest deduplicate_for (one hour at least), and at most for
-- three. What is emptied has not been looked at for a window, and nobody writes there: turning waits
-- until every transaction from before the last turn has ended. Emptying and turning are two calls,
-- two transactions, since a sequence does not go back when its transaction does. One that was undone
-- after the turn is made good by the next: without its row dispatches write into both. Returns how
-- many steps were taken.
--
--   Reads    arvo.queue, arvo.event_key_generation, arvo.event_key, arvo.clock
--   Writes   arvo.event_key_number; as arvo.open_event_keys and arvo.empty_event_keys
--   Locks    as arvo.empty_event_keys
--   Raises   nothing
DECLARE
    v_number bigint;
    v_newest arvo.event_key_generation;
    v_next integer;
BEGIN
    SELECT current.last_value INTO v_number FROM arvo.event_key_number AS current;
    SELECT newest.* INTO STRICT v_newest
    FROM arvo.event_key_generation AS newest
    ORDER BY newest.number DESC
    LIMIT 1;
    IF v_newest.number < v_number THEN
        PERFORM arvo.open_event_keys(v_number);
        RETURN 1;
    END IF;
    IF v_newest.opened_at > arvo.clock() - greatest(
            interval '1 hour', (SELECT max(queue.deduplicate_for) FROM arvo.queue)
        )
        OR pg_snapshot_xmin(pg_current_snapshot()) < v_newest.horizon
    THEN
        RETURN 0;
    END IF;
    v_next := ((v_number + 1) % 3)::integer;
    IF EXISTS (SELECT FROM arvo.event_key WHERE event_key.slot = v_next) THEN
        RETURN arvo.empty_event_keys(v_next)::integer;
    END IF;
    -- Nothing was dispatched with a key since: no need to turn.
    IF NOT EXISTS (SELECT FROM arvo.event_key WHERE event_key.slot = v_number % 3) THEN
        RETURN 0;
    END IF;
    PERFORM arvo.open_event_keys(nextval('arvo.event_key_number'::regclass));
    RETURN 1;
END;
$turn_event_keys$;

COMMENT ON FUNCTION arvo.turn_event_keys() IS
'Turns the partitions of event_key when the newest is a whole window old; returns how many steps were taken.';

REVOKE ALL ON FUNCTION arvo.turn_event_keys() FROM PUBLIC;
--! end

--! function arvo.turn_of
-- arvo.turn_of(queue, key) — the state of a key.
CREATE OR REPLACE FUNCTION arvo.turn_of(p_queue integer, p_key bigint)
RETURNS arvo.turn
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $turn_of$
-- Its newest row; for a key that is not known, one with nothing in it and number NULL.
--
--   Reads    arvo.turn by (queue, key, number)
--   Writes   nothing
--   Locks    nothing; the caller holds the queue's home lane
--   Raises   nothing
DECLARE
    v_turn arvo.turn;
BEGIN
    SELECT newest.* INTO v_turn
    FROM arvo.turn AS newest
    WHERE newest.queue = p_queue AND newest.key = p_key
    ORDER BY newest.number DESC
    LIMIT 1;
    IF NOT FOUND THEN
        v_turn.queue := p_queue;
        v_turn.key := p_key;
        v_turn.active := 0;
        v_turn.waiting := 0;
        v_turn.upto := 0;
        v_turn.ready := false;
        v_turn.tally := '{}';
    END IF;
    RETURN v_turn;
END;
$turn_of$;

COMMENT ON FUNCTION arvo.turn_of(integer, bigint) IS
'State of a key of a gated queue; key 0 is the queue as a whole.';

REVOKE ALL ON FUNCTION arvo.turn_of(integer, bigint) FROM PUBLIC;
--! end

--! function arvo.vitals_of_history
-- arvo.vitals_of_history() — what keeps old history from being emptied.
CREATE OR REPLACE FUNCTION arvo.vitals_of_history()
RETURNS SETOF arvo_v1.vital
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $vitals_of_history$
-- Which slot is in use and since when; then what keeps older ones from being emptied. That is a notice:
-- nothing is lost by it, but the space is not given back.
--
--   Reads    arvo.generation, arvo.clock; as arvo.generation_pins
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
(SELECT
    'history', 'ok', newest.number::text,
    format('Slot %s is in use, for %s.', newest.slot, arvo.clock() - newest.opened_at), NULL
FROM arvo.generation AS newest
ORDER BY newest.number DESC
LIMIT 1)
UNION ALL
SELECT
    'history',
    'notice',
    pin.generation::text,
    format(
        'Generation %s is not emptied: %s, queue %s, delivery %s, since %s.', pin.generation,
        pin.kind, coalesce(left(to_json(pin.queue)::text, 80), '-'), pin.delivery, pin.at
    ),
    'Let its queue be worked off, or purge it; what waits longer than its retention becomes a dead letter.'
FROM arvo.generation_pins(5) AS pin;
$vitals_of_history$;

COMMENT ON FUNCTION arvo.vitals_of_history() IS
'What keeps old generations of log, lease and closure from being emptied.';

REVOKE ALL ON FUNCTION arvo.vitals_of_history() FROM PUBLIC;
--! end

--! function arvo.vitals_of_queues
-- arvo.vitals_of_queues() — lag, length and consumers of the queues.
CREATE OR REPLACE FUNCTION arvo.vitals_of_queues()
RETURNS SETOF arvo_v1.vital
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $vitals_of_queues$
-- Of each topic the worst few. Lag is the age of what comes next in a lane: more than a minute is a
-- notice, ten a warning; paused and unregistered queues are told apart.
--
--   Reads    arvo.queue, arvo.lane, arvo.lease, arvo.tally, arvo.dead, arvo.clock; as arvo.count_lane
--            and arvo.disagreements
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_lanes arvo.lane_state[];
BEGIN
    SELECT coalesce(
        array_agg(
            (
                queue.name, lane.priority, queue.registered, queue.paused_at IS NOT NULL,
                queue.warning_queue_size, figures.unread, figures.parked, figures.oldest_at
            )::arvo.lane_state
        ),
        '{}'
    )
    INTO v_lanes
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    CROSS JOIN LATERAL (
        SELECT newest AS lease
        FROM arvo.lease AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS head
    LEFT JOIN LATERAL (
        SELECT newest AS tally
        FROM arvo.tally AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS last ON true
    CROSS JOIN LATERAL arvo.count_lane(head.lease, last.tally) AS figures
    WHERE figures.unread > 0 OR figures.parked > 0;

    RETURN QUERY
    SELECT
        'lag',
        CASE
            WHEN v_now - waiting.oldest_at > interval '10 minutes' THEN 'warning'
            WHEN v_now - waiting.oldest_at > interval '1 minute' THEN 'notice'
            ELSE 'ok'
        END,
        (v_now - waiting.oldest_at)::text,
        format('Queue %s, priority %s: %s wait.', waiting.queue, waiting.priority, waiting.unread),
        CASE
            WHEN v_now - waiting.oldest_at > interval '1 minute'
                THEN 'Add workers, or look why they are slow: queue_stats(), explain_delivery().'
        END
    FROM unnest(v_lanes) AS waiting
    WHERE waiting.registered AND NOT waiting.paused AND waiting.oldest_at IS NOT NULL
    ORDER BY waiting.oldest_at, waiting.queue, waiting.priority
    LIMIT 5;
    IF NOT FOUND THEN
        RETURN NEXT ('lag', 'ok', NULL, 'Nothing is ready.', NULL)::arvo_v1.vital;
    END IF;

    RETURN QUERY
    SELECT
        'queue_size', 'warning', sum(waiting.unread + waiting.parked)::text,
        format('Queue %s is longer than its warning_queue_size of %s.', waiting.queue,
               max(waiting.warning_queue_size)),
        'Add workers, or find out why they are slow.'
    FROM unnest(v_lanes) AS waiting
    GROUP BY waiting.queue
    HAVING sum(waiting.unread + waiting.parked) > max(waiting.warning_queue_size)
    ORDER BY sum(waiting.unread + waiting.parked) DESC, waiting.queue
    LIMIT 10;
    IF NOT FOUND THEN
        RETURN NEXT (
            'queue_size', 'ok', NULL, 'No queue is longer than its warning_queue_size.', NULL
        )::arvo_v1.vital;
    END IF;

    RETURN QUERY
    SELECT
        'unroutable',
        CASE WHEN starts_with(waiting.queue, 'arvo.domain.') THEN 'notice' ELSE 'warning' END,
        sum(waiting.unread)::text,
        format('Events wait for queue %s, which nobody has registered.', waiting.queue),
        'Start the process that handles them: they are delivered then.'
    FROM unnest(v_lanes) AS waiting
    WHERE NOT waiting.registered
    -- what died is kept in its dead-letter queue, whether anybody consumes that or not
    AND NOT EXISTS (SELECT FROM arvo.queue WHERE queue.dead_letter = waiting.queue)
    GROUP BY waiting.queue
    ORDER BY sum(waiting.unread) DESC, waiting.queue
    LIMIT 10;
    IF NOT FOUND THEN
        RETURN NEXT (
            'unroutable', 'ok', NULL, 'No event waits for somebody to register its queue.', NULL
        )::arvo_v1.vital;
    END IF;

    RETURN QUERY
    SELECT
        'paused', 'notice', (v_now - queue.paused_at)::text,
        format('Queue %s is paused.', queue.name), 'Resume it when the reason is gone.'
    FROM arvo.queue
    WHERE queue.paused_at IS NOT NULL
    ORDER BY queue.paused_at, queue.name COLLATE "C"
    LIMIT 10;
    IF NOT FOUND THEN
        RETURN NEXT ('paused', 'ok', NULL, 'No queue is paused.', NULL)::arvo_v1.vital;
    END IF;

    RETURN QUERY
    SELECT
        'dead_letters', 'notice', died.letters::text || CASE WHEN died.letters > 10000 THEN ' or more' ELSE '' END,
        format('Dead letters of queue %s are open.', died.queue), 'Redrive or discard them.'
    FROM (
        SELECT queue.name AS queue, (
            SELECT count(*)
            FROM (
                SELECT
                FROM arvo.dead
                WHERE dead.queue = queue.name AND dead.resolution IS NULL
                LIMIT 10001
            ) AS open
        ) AS letters
        FROM arvo.queue
    ) AS died
    WHERE died.letters > 0
    ORDER BY died.letters DESC, died.queue COLLATE "C"
    LIMIT 10;
    IF NOT FOUND THEN
        RETURN NEXT ('dead_letters', 'ok', NULL, 'No dead letter is open.', NULL)::arvo_v1.vital;
    END IF;

    RETURN QUERY
    SELECT
        'registrations', 'warning', disagreement.queue,
        format('Option %s: %s.', disagreement.option, disagreement.detail),
        'Let the processes agree; the last to register has its way.'
    FROM arvo.disagreements() AS disagreement
    LIMIT 10;
    IF NOT FOUND THEN
        RETURN NEXT (
            'registrations', 'ok', NULL, 'All processes agree on the options of their queues.', NULL
        )::arvo_v1.vital;
    END IF;
END;
$vitals_of_queues$;

COMMENT ON FUNCTION arvo.vitals_of_queues() IS
'Lag, length, consumers, pauses, dead letters and disagreements of the queues.';

REVOKE ALL ON FUNCTION arvo.vitals_of_queues() FROM PUBLIC;
--! end

--! function arvo.vitals_of_server
-- arvo.vitals_of_server() — what the server around the rooms is like.
CREATE OR REPLACE FUNCTION arvo.vitals_of_server()
RETURNS SETOF arvo_v1.vital
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $vitals_of_server$
-- Without pg_read_all_stats the owner of the rooms sees of other people's sessions who they are and
-- how far back their snapshots reach, not what they do and since when; the answer says so. A snapshot
-- older than a million transactions, or five minutes where that can be seen, is a notice; ten million,
-- or an hour, a warning.
--
--   Reads    pg_stat_activity, pg_prepared_xacts, pg_replication_slots, pg_stat_replication,
--            pg_sequences, pg_notification_queue_usage, pg_control_system, arvo.origin, arvo.lane,
--            arvo.lease, arvo.promotion, arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_sees_all boolean := pg_has_role('pg_read_all_stats', 'USAGE');
    v_blind text;
    v_home bigint;
    v_here bigint;
    v_newest timestamptz;
    v_usage double precision := pg_notification_queue_usage();
    v_count bigint;
    v_holder record;
BEGIN
    v_blind := CASE
        WHEN NOT v_sees_all THEN
            ' Times and states of other roles'' sessions are hidden: grant pg_read_all_stats to the'
            ' owner of the schema to see them.'
        ELSE ''
    END;

    SELECT origin.system_identifier INTO v_home
    FROM arvo.origin
    ORDER BY origin.number DESC
    LIMIT 1;
    SELECT control.system_identifier INTO v_here FROM pg_control_system() AS control;
    RETURN NEXT (
        'cluster',
        CASE WHEN v_home = v_here THEN 'ok' ELSE 'warning' END,
        v_here::text,
        CASE
            WHEN v_home = v_here THEN 'The stored transaction numbers are of this cluster.'
            ELSE format('The stored transaction numbers are of cluster %s: claims are refused.',
                        v_home)
        END,
        CASE WHEN v_home <> v_here THEN 'See the hint of RV902.' END
    )::arvo_v1.vital;

    SELECT greatest(max(head.leased_at), (SELECT max(promotion.at) FROM arvo.promotion))
    INTO v_newest
    FROM arvo.lane
    CROSS JOIN LATERAL (
        SELECT lease.leased_at
        FROM arvo.lease
        WHERE lease.lane = lane.lane
        ORDER BY lease.number DESC
        LIMIT 1
    ) AS head;
    RETURN NEXT (
        'clock',
        CASE WHEN v_newest > v_now + interval '1 second' THEN 'warning' ELSE 'ok' END,
        to_char(v_now AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        CASE
            WHEN v_newest > v_now + interval '1 second'
                THEN format('The newest row is %s ahead of the server''s clock: it was set back.',
                            v_newest - v_now)
            ELSE 'No row is newer than the server''s clock.'
        END,
        CASE
            WHEN v_newest > v_now + interval '1 second'
                THEN 'Until it has caught up, leases lapse and retries come late.'
        END
    )::arvo_v1.vital;

    SELECT holder.* INTO v_holder
    FROM (
        SELECT
            age(activity.backend_xmin) AS age,
            v_now - activity.xact_start AS held,
            format('session %s of %s (%s)%s', activity.pid, activity.usename,
                   left(to_json(activity.application_name)::text, 80),
                   ', ' || activity.state) AS name,
            'End that session, or let it end its transaction.' AS remedy
        FROM pg_stat_activity AS activity
        WHERE activity.backend_xmin IS NOT NULL AND activity.pid <> pg_backend_pid()
        UNION ALL
        SELECT
            age(prepared.transaction), v_now - prepared.prepared,
            format('prepared transaction %s of %s', left(to_json(prepared.gid)::text, 80),
                   prepared.owner),
            'Commit it or roll it back.'
        FROM pg_prepared_xacts AS prepared
        UNION ALL
        SELECT
            greatest(age(slots.xmin), age(slots.catalog_xmin)), NULL,
            format('replication slot %s, %s', slots.slot_name,
                   CASE WHEN slots.active THEN 'active' ELSE 'inactive' END),
            'Drop the slot if nobody needs it.'
        FROM pg_replication_slots AS slots
        WHERE slots.xmin IS NOT NULL OR slots.catalog_xmin IS NOT NULL
        UNION ALL
        SELECT
            age(standby.backend_xmin), NULL, format('standby at session %s', standby.pid),
            'Look for long queries there, or turn hot_standby_feedback off.'
        FROM pg_stat_replication AS standby
        WHERE standby.backend_xmin IS NOT NULL
    ) AS holder
    ORDER BY holder.age DESC
    LIMIT 1;
    RETURN NEXT (
        'oldest_snapshot',
        CASE
            WHEN coalesce(v_holder.held > interval '1 hour', false) OR v_holder.age > 10000000
                THEN 'warning'
            WHEN coalesce(v_holder.held > interval '5 minutes', false) OR v_holder.age > 1000000
                THEN 'notice'
            ELSE 'ok'
        END,
        coalesce(v_holder.age, 0)::text,
        CASE
            WHEN v_holder.age IS NULL THEN 'Nobody else holds a snapshot.'
            ELSE format('%s holds back cleaning by %s transactions%s.', v_holder.name,
                        v_holder.age, ', for ' || v_holder.held)
        END || v_blind,
        CASE
            WHEN v_holder.age > 1000000 OR v_holder.held > interval '5 minutes'
                THEN v_holder.remedy
        END
    )::arvo_v1.vital;

    SELECT
        activity.pid,
        activity.usename,
        activity.application_name,
        v_now - activity.xact_start AS held,
        count(*) OVER () AS sessions
    INTO v_holder
    FROM pg_stat_activity AS activity
    WHERE starts_with(activity.state, 'idle in transaction')
    AND activity.state_change < v_now - interval '1 minute'
    ORDER BY activity.xact_start
    LIMIT 1;
    RETURN NEXT (
        'idle_in_transaction',
        CASE
            WHEN v_holder.held > interval '10 minutes' THEN 'warning'
            WHEN v_holder.pid IS NOT NULL THEN 'notice'
            ELSE 'ok'
        END,
        coalesce(v_holder.sessions, 0)::text,
        CASE
            WHEN v_holder.pid IS NULL THEN 'No session is seen to have been so for a minute.'
            ELSE format('The oldest is session %s of %s (%s), for %s.', v_holder.pid,
                        v_holder.usename, left(to_json(v_holder.application_name)::text, 80),
                        v_holder.held)
        END || v_blind,
        CASE
            WHEN v_holder.pid IS NOT NULL
                THEN 'Set idle_in_transaction_session_timeout for that role.'
        END
    )::arvo_v1.vital;

    SELECT count(*) INTO v_count
    FROM pg_stat_activity AS activity
    WHERE activity.application_name = 'arvo' || '-wakeup'
    AND activity.datname = current_database();
    RETURN NEXT (
        'listeners',
        'ok',
        v_count::text,
        'Sessions that call themselves wake-up connections; others may listen under other names.',
        NULL
    )::arvo_v1.vital;
    RETURN NEXT (
        'notifications',
        CASE WHEN v_usage > 0.5 THEN 'warning' WHEN v_usage > 0.1 THEN 'notice' ELSE 'ok' END,
        round(v_usage::numeric * 100, 1) || ' %',
        'Of the server''s queue of notifications, for all databases; when it is full, no dispatch'
        ' can commit.',
        CASE
            WHEN v_usage > 0.1
                THEN 'A session that listens has a transaction open for long: end it.'
        END
    )::arvo_v1.vital;

    RETURN QUERY
    SELECT
        'sequence',
        CASE WHEN used.share > 0.95 THEN 'warning' ELSE 'notice' END,
        used.name,
        format('%s %% of its numbers are used.', round(used.share * 100, 1)),
        'Report this: it was to last for ever.'
    FROM (
        SELECT
            sequences.sequencename::text AS name,
            sequences.last_value::numeric / sequences.max_value AS share
        FROM pg_sequences AS sequences
        WHERE sequences.schemaname = 'arvo'
    ) AS used
    WHERE used.share > 0.8
    ORDER BY used.name;
    IF NOT FOUND THEN
        RETURN NEXT (
            'sequence', 'ok', NULL, 'No sequence has used more than 80 % of its numbers.', NULL
        )::arvo_v1.vital;
    END IF;
END;
$vitals_of_server$;

COMMENT ON FUNCTION arvo.vitals_of_server() IS
'Cluster, clock, old snapshots, idle transactions, listeners, notifications, sequences.';

REVOKE ALL ON FUNCTION arvo.vitals_of_server() FROM PUBLIC;
--! end

--! function arvo.vitals_of_upkeep
-- arvo.vitals_of_upkeep() — whether what must be done regularly is done, and by whom.
CREATE OR REPLACE FUNCTION arvo.vitals_of_upkeep()
RETURNS SETOF arvo_v1.vital
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $vitals_of_upkeep$
-- Maintenance that was not done for ten minutes, and deliveries that have been due for one, are
-- warnings.
--
--   Reads    arvo.upkeep, arvo.promotion, arvo.deferred by due time, arvo.worker, arvo.clock; as
--            arvo.vitals_of_history
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_done_at timestamptz := (SELECT upkeep.at FROM arvo.upkeep WHERE upkeep.task = 'tally');
    v_due timestamptz;
    v_workers bigint;
BEGIN
    RETURN NEXT (
        'maintenance',
        CASE WHEN coalesce(v_now - v_done_at > interval '10 minutes', true) THEN 'warning' ELSE 'ok' END,
        (v_now - v_done_at)::text,
        CASE
            WHEN v_done_at IS NULL THEN 'maintain() has not been called yet.'
            ELSE 'Time since maintain() was called.'
        END,
        CASE
            WHEN coalesce(v_now - v_done_at > interval '10 minutes', true)
                THEN 'Workers call it; without one, let pg_cron or cron call it every minute.'
        END
    )::arvo_v1.vital;

    SELECT waiting.due INTO v_due
    FROM (
        SELECT head.due, head.delivery
        FROM arvo.promotion AS head
        ORDER BY head.number DESC
        LIMIT 1
    ) AS passed
    CROSS JOIN LATERAL (
        SELECT deferred.due
        FROM arvo.deferred
        WHERE (deferred.due, deferred.delivery) > (passed.due, passed.delivery)
        ORDER BY deferred.due, deferred.delivery
        LIMIT 1
    ) AS waiting
    WHERE waiting.due <= v_now;
    RETURN NEXT (
        'promotion',
        CASE
            WHEN v_due < v_now - interval '1 minute' THEN 'warning'
            WHEN v_due < v_now - interval '10 seconds' THEN 'notice'
            ELSE 'ok'
        END,
        coalesce(v_now - v_due, interval '0')::text,
        CASE
            WHEN v_due IS NULL THEN 'Nothing deferred is overdue.'
            ELSE 'So long ago the first of those that wait for promotion became due.'
        END,
        CASE
            WHEN v_due < v_now - interval '10 seconds'
                THEN 'Any claim promotes. Does somebody hold the promoter''s lock? See'
                     ' explain_delivery().'
        END
    )::arvo_v1.vital;

    RETURN QUERY
    SELECT
        'dead_worker', 'warning', left(to_json(gone.worker)::text, 80),
        format('Not seen for %s; it works on %s queues.', v_now - gone.seen_at,
               cardinality(gone.queues)),
        'Restart it. What it had leased is taken back when its leases lapse.'
    FROM arvo.worker AS gone
    WHERE gone.seen_at + 3 * gone.rhythm <= v_now
    ORDER BY gone.seen_at DESC, gone.worker COLLATE "C"
    LIMIT 10;
    SELECT count(*) INTO v_workers
    FROM arvo.worker
    WHERE worker.seen_at + 3 * worker.rhythm > v_now;
    RETURN NEXT (
        'workers', 'ok', v_workers::text,
        'Workers that have checked in lately; one that does not check in is not counted.', NULL
    )::arvo_v1.vital;

    RETURN QUERY SELECT told.* FROM arvo.vitals_of_history() AS told;
END;
$vitals_of_upkeep$;

COMMENT ON FUNCTION arvo.vitals_of_upkeep() IS
'Maintenance, promotion, workers, and what keeps history from being emptied.';

REVOKE ALL ON FUNCTION arvo.vitals_of_upkeep() FROM PUBLIC;
--! end

--! function arvo.when_of
-- arvo.when_of(value) — how long until the time that a JSON value means.
CREATE OR REPLACE FUNCTION arvo.when_of(p_value jsonb)
RETURNS interval
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $when_of$
-- A number, or a text of digits, is seconds; an ISO 8601 text with date and offset is a point of
-- time; any other text is an interval of PostgreSQL ('1 hour'). NULL for NULL.
--
--   Reads    arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   RV006  the value is none of these; also 22007, 22008 from PostgreSQL's own reading
DECLARE
    v_text text := p_value #>> '{}';
BEGIN
    IF v_text IS NULL THEN
        RETURN NULL;
    ELSIF jsonb_typeof(p_value) NOT IN ('number', 'string') THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'start_after',
              DETAIL = left(p_value::text, 80),
              HINT = 'Give seconds, an ISO 8601 time with its offset, or an interval.';
    ELSIF v_text ~ '^-?\d{1,9}(\.\d{1,9})?$' THEN
        RETURN make_interval(secs => v_text::double precision);
    ELSIF v_text ~ '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?\s?(Z|[+-]\d\d(:?\d\d)?)$' THEN
        RETURN v_text::timestamptz - arvo.clock();
    ELSIF v_text ~ '^\s*-?[0-9.]+[eE]' OR v_text ~ '^\d{4}-' THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'start_after',
              DETAIL = left(p_value::text, 80),
              HINT = 'Give seconds, an ISO 8601 time with its offset, or an interval.';
    END IF;
    RETURN v_text::interval;
END;
$when_of$;

COMMENT ON FUNCTION arvo.when_of(jsonb) IS
'How long until a time: seconds, an ISO 8601 time with its offset, or an interval.';

REVOKE ALL ON FUNCTION arvo.when_of(jsonb) FROM PUBLIC;
--! end

--! function arvo.whereabouts
-- arvo.whereabouts() — whether the stored transaction numbers mean something in this cluster.
CREATE OR REPLACE FUNCTION arvo.whereabouts()
RETURNS text
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $whereabouts$
--   home      they are this cluster's own
--   upgraded  another identity, but the tables kept their oids and the numbers lie behind this
--             cluster's: what pg_upgrade leaves
--   ahead     a dump was restored here; every stored number lies behind those of every transaction
--             that is open or will come, so they can be used as they are
--   foreign   a dump was restored here, and this cluster has not reached the stored numbers
--
-- A number that is behind every open transaction is settled for good, in whichever cluster it was
-- given: snapshots that are taken here from now on see it, and no new row will have it.
--
--   Reads    arvo.origin, pg_control_system; as arvo.numbers_end, unless at home
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT CASE
    WHEN origin.system_identifier = control.system_identifier
        AND coalesce(origin.relation = 'arvo.origin'::regclass::oid, true) THEN 'home'
    WHEN arvo.numbers_end() > pg_snapshot_xmin(pg_current_snapshot()) THEN 'foreign'
    WHEN origin.system_identifier <> control.system_identifier
        AND origin.relation = 'arvo.origin'::regclass::oid THEN 'upgraded'
    ELSE 'ahead'
END
FROM arvo.origin
CROSS JOIN pg_control_system() AS control
ORDER BY origin.number DESC
LIMIT 1;
$whereabouts$;

COMMENT ON FUNCTION arvo.whereabouts() IS
'Whether the stored transaction numbers are of this cluster: home, upgraded, ahead or foreign.';

REVOKE ALL ON FUNCTION arvo.whereabouts() FROM PUBLIC;
--! end

--! function arvo.with_options
-- arvo.with_options(queue, asked, reset) — a queue's row, with some options changed.
CREATE OR REPLACE FUNCTION arvo.with_options(
    p_queue arvo.queue,
    p_asked jsonb,
    p_reset text[] DEFAULT '{}'
)
RETURNS arvo.queue
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $with_options$
-- The defaults of a queue stand here and in its table; a test compares the two. A stateful queue that
-- has never been registered is ordered, unless a policy is named. singleton_for keeps seconds only:
-- months have no fixed length.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   RV002  p_reset names no option
DECLARE
    v_defaults jsonb := jsonb_build_object(
        'stateful', false, 'priority', 0, 'retry_limit', 2, 'retry_delay', '0',
        'retry_backoff', false, 'retry_delay_max', NULL, 'expire_in', '15 minutes',
        'dead_letter', NULL, 'warning_queue_size', 10000, 'policy', 'standard', 'key_from', NULL,
        'on_failure', 'block', 'start_after', '0', 'retention', '14 days', 'delete_after', '7 days',
        'deduplicate_for', '7 days', 'singleton_for', NULL, 'singleton_next_slot', false,
        'max_active', NULL, 'key_max_active', NULL, 'rate_limit', NULL, 'rate_period', NULL,
        'key_rate_limit', NULL, 'key_rate_period', NULL, 'max_redrives', 20,
        'error_rules', '{}'::jsonb
    );
    v_unknown text;
BEGIN
    SELECT named.name INTO v_unknown
    FROM unnest(p_reset) AS named (name)
    WHERE NOT v_defaults ? coalesce(named.name, '')
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'option is not valid'
        USING ERRCODE = 'RV002',
              COLUMN = 'reset',
              DETAIL = format('reset: %s', left(to_json(v_unknown)::text, 80)),
              HINT = 'Name options of a queue, such as dead_letter.';
    END IF;

    IF p_queue.queue IS NULL THEN
        p_queue := jsonb_populate_record(p_queue, v_defaults);
    ELSE
        p_queue := jsonb_populate_record(p_queue, (
            SELECT coalesce(jsonb_object_agg(option.key, option.value), '{}')
            FROM jsonb_each(v_defaults) AS option
            WHERE option.key = ANY (p_reset)
        ));
    END IF;
    IF (p_asked ->> 'stateful')::boolean AND NOT p_asked ? 'policy'
        AND NOT coalesce(p_queue.registered, false)
    THEN
        p_asked := p_asked || '{"policy": "ordered"}';
    END IF;
    p_queue := jsonb_populate_record(p_queue, p_asked);
    p_queue.singleton_for := make_interval(
        secs => extract(epoch FROM p_queue.singleton_for)::double precision
    );
    RETURN p_queue;
END;
$with_options$;

COMMENT ON FUNCTION arvo.with_options(arvo.queue, jsonb, text[]) IS
'A queue''s row with options changed or put back to their defaults.';

REVOKE ALL ON FUNCTION arvo.with_options(arvo.queue, jsonb, text[]) FROM PUBLIC;
--! end

DROP FUNCTION arvo.withdraw(integer, bigint, arvo.log[]);
--! function arvo.withdraw
-- arvo.withdraw(queue, lease, batch) — close what was withdrawn before it could be claimed.
CREATE OR REPLACE FUNCTION arvo.withdraw(
    p_queue arvo.queue,
    p_lease arvo.lease,
    p_batch arvo.log[]
)
RETURNS arvo.log[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $withdraw$
-- Those of a freshly leased batch that have a tombstone are closed under that lease, with the
-- tombstone's reason, and their tombstones are removed; their keys and places are free. Returns the
-- others, in their order (unnest keeps it).
--
--   Reads    arvo.clock, arvo.slot
--   Writes   arvo.tombstone, arvo.closure; as arvo.pass_turns and arvo.free_places
--   Locks    arvo.tombstone rows
--   Raises   nothing
DECLARE
    v_withdrawn bigint[];
    v_reasons text[];
    v_gone bigint[];
BEGIN
    WITH met AS (
        DELETE FROM arvo.tombstone
        WHERE tombstone.lane = p_lease.lane
        AND tombstone.delivery IN (SELECT entry.delivery FROM unnest(p_batch) AS entry)
        RETURNING tombstone.delivery, tombstone.reason
    )

    SELECT
        array_agg(met.delivery),
        CASE
            WHEN min(met.reason) = max(met.reason) THEN ARRAY[min(met.reason)]
            ELSE array_agg(met.reason)
        END,
        array_agg(met.delivery) FILTER (WHERE met.reason <> 'moved')
    INTO v_withdrawn, v_reasons, v_gone
    FROM met;
    IF v_withdrawn IS NULL THEN
        RETURN p_batch;
    END IF;

    INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
    VALUES (
        arvo.slot(), p_lease.token, arvo.clock(), v_withdrawn, v_reasons,
        array_fill(NULL::integer, ARRAY[cardinality(v_withdrawn)])
    );
    -- The place of one that was moved went along.
    IF p_queue.slotted AND v_gone IS NOT NULL THEN
        PERFORM arvo.leave_places(p_queue, p_lease, v_gone);
    END IF;
    p_queue.slotted := false;
    PERFORM arvo.finish(p_queue, p_lease, v_withdrawn);
    RETURN ARRAY(
        SELECT entry
        FROM unnest(p_batch) AS entry
        WHERE entry.delivery <> ALL (v_withdrawn)
    );
END;
$withdraw$;

COMMENT ON FUNCTION arvo.withdraw(arvo.queue, arvo.lease, arvo.log[]) IS
'Closes withdrawn deliveries of a freshly leased batch; returns the others.';

REVOKE ALL ON FUNCTION arvo.withdraw(arvo.queue, arvo.lease, arvo.log[]) FROM PUBLIC;
--! end

--! function arvo.would_empty
-- arvo.would_empty(queue) — what emptying a queue would remove.
CREATE OR REPLACE FUNCTION arvo.would_empty(p_queue arvo.queue)
RETURNS SETOF arvo_v1.purged
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $would_empty$
--   Reads    as arvo.census
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT counted.place, counted.removed, counted.kept
FROM arvo.census(p_queue.queue) AS found
CROSS JOIN LATERAL (
    VALUES
    (1, 'queued', found.queued, 0::bigint),
    (2, 'parked', found.parked, 0),
    (3, 'deferred', found.deferred, 0),
    (4, 'leased', 0, found.leased)
) AS counted (ordinal, place, removed, kept)
ORDER BY counted.ordinal;
$would_empty$;

COMMENT ON FUNCTION arvo.would_empty(arvo.queue) IS
'What emptying a queue would remove and leave, by place.';

REVOKE ALL ON FUNCTION arvo.would_empty(arvo.queue) FROM PUBLIC;
--! end

--! function arvo.write_lease
-- arvo.write_lease(head, worker, lease, batch, keys, places) — write the lease of a batch.
CREATE OR REPLACE FUNCTION arvo.write_lease(
    p_head arvo.lease,
    p_worker text,
    p_lease interval,
    p_batch arvo.log[],
    p_keys bigint[] DEFAULT NULL,
    p_places bigint[] DEFAULT NULL
)
RETURNS arvo.lease
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $write_lease$
-- p_head is the newest row of a lane that the caller holds, its cursor moved on. Expiry never
-- decreases along a lane, so that the oldest open lease is the first to lapse. Returns the new row.
--
--   Reads    arvo.clock, arvo.slot
--   Writes   arvo.lease (one row)
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_xids xid8[];
    v_low xid8;
    v_high xid8;
    v_deliveries bigint[];
BEGIN
    IF cardinality(p_batch) = 1 THEN
        v_deliveries := ARRAY[p_batch[1].delivery];
        v_low := p_batch[1].xid;
        v_high := v_low;
    ELSE
        SELECT
            array_agg(taken.delivery ORDER BY taken.ordinal),
            array_agg(taken.xid ORDER BY taken.ordinal),
            min(taken.xid),
            max(taken.xid)
        INTO v_deliveries, v_xids, v_low, v_high
        FROM (
            SELECT entry.delivery, entry.xid, row_number() OVER () AS ordinal
            FROM unnest(p_batch) AS entry
        ) AS taken;
    END IF;
    IF v_low = v_high THEN
        v_xids := ARRAY[v_low];
    END IF;

    p_head.slot := arvo.slot();
    p_head.number := p_head.number + 1;
    p_head.token := (nextval('arvo.lease_number'::regclass) << 12)
        | floor(random() * 4096)::bigint;
    p_head.worker := p_worker;
    p_head.leased_at := arvo.clock();
    p_head.expires_at := greatest(p_head.leased_at + p_lease, p_head.expires_at);
    p_head.carried := false;
    p_head.deliveries := v_deliveries;
    p_head.low_xid := v_low;
    p_head.high_xid := v_high;
    p_head.xids := v_xids;
    p_head.keys := p_keys;
    p_head.places := p_places;
    p_head.sweep_at := least(p_head.sweep_at, p_head.expires_at);
    INSERT INTO arvo.lease SELECT p_head.*;
    RETURN p_head;
END;
$write_lease$;

COMMENT ON FUNCTION arvo.write_lease(arvo.lease, text, interval, arvo.log[], bigint[], bigint[]) IS
'Leases a batch of deliveries: the next row of their lane''s ledger.';

REVOKE ALL ON FUNCTION
arvo.write_lease(arvo.lease, text, interval, arvo.log[], bigint[], bigint[]) FROM PUBLIC;
--! end

--! function arvo_v1.accept_cluster
-- arvo_v1.accept_cluster() — go on in this cluster, which has kept the transaction numbers.
CREATE OR REPLACE FUNCTION arvo_v1.accept_cluster()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $accept_cluster$
-- For pg_upgrade, which keeps the numbers and changes the cluster's identity. True: accepted; false:
-- there was nothing to accept. Refused where the numbers cannot have been kept, because this cluster
-- has not reached them. Where it has, going on is safe wherever they come from: no transaction that
-- is open, or will come, has a number among the stored ones.
--
--   Reads    as arvo.whereabouts and arvo.numbers_end
--   Writes   arvo.origin, arvo.operation
--   Locks    arvo.origin, against rebase and other acceptances
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV902  this cluster, or its oldest open transaction, has not reached the stored numbers
DECLARE
    v_whereabouts text;
BEGIN
    PERFORM arvo.require_read_committed('accept_cluster');
    LOCK TABLE arvo.origin IN SHARE ROW EXCLUSIVE MODE;
    v_whereabouts := arvo.whereabouts();
    IF v_whereabouts = 'home' THEN
        RETURN false;
    ELSIF v_whereabouts = 'foreign' THEN
        RAISE EXCEPTION 'transaction numbers are of another cluster'
        USING ERRCODE = 'RV902',
              DETAIL = format(
                  'The stored numbers go up to %s; this cluster''s oldest open transaction is %s.',
                  arvo.numbers_end(), pg_snapshot_xmin(pg_current_snapshot())
              ),
              HINT = 'This is a restored dump, not an upgraded cluster: call rebase().';
    END IF;
    INSERT INTO arvo.origin (system_identifier, relation)
    SELECT control.system_identifier, 'arvo.origin'::regclass::oid
    FROM pg_control_system() AS control;
    PERFORM arvo.note_operation('accept_cluster', NULL, '{}', 0);
    RETURN true;
END;
$accept_cluster$;

COMMENT ON FUNCTION arvo_v1.accept_cluster() IS
'After pg_upgrade: says that this cluster has kept the transaction numbers, and work may go on.';

REVOKE ALL ON FUNCTION arvo_v1.accept_cluster() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.accept_cluster() TO arvo_operator;
--! end

--! function arvo_v1.cancel
-- arvo_v1.cancel(filter…, include_running, limit, dry_run, reason) — end deliveries without running them.
CREATE OR REPLACE FUNCTION arvo_v1.cancel(
    p_delivery bigint[] DEFAULT NULL,
    p_queue text DEFAULT NULL,
    p_event_id text DEFAULT NULL,
    p_event_type text DEFAULT NULL,
    p_subject text DEFAULT NULL,
    p_tree text DEFAULT NULL,
    p_before timestamptz DEFAULT NULL,
    p_path jsonpath DEFAULT NULL,
    p_text text DEFAULT NULL,
    p_include_running boolean DEFAULT false,
    p_limit integer DEFAULT 1000,
    p_dry_run boolean DEFAULT false,
    p_reason text DEFAULT NULL
)
RETURNS SETOF arvo_v1.intervention
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $cancel$
-- Which ones: as arvo.find_deliveries; all that is given must fit. A filter reads what waits, from each
-- lane's cursor on, in order, until it has p_limit; by event, subject or tree it is a look-up.
-- p_tree is any subject of a tree of workflows, and means the whole tree. Wherever a delivery is: one
-- that waits is not handed out any more; one that is due later is not due any more; a dead letter
-- (by number, event or tree) is discarded; one that a worker holds is left, unless p_include_running:
-- then its result will be refused (RV301), and a heartbeat of its lease tells so when nothing else of
-- it is open. The key of an ordered queue goes on behind a cancelled one. Workers that go on may emit
-- more meanwhile: for a whole tree call again until there is no row. A dry run takes no lock.
--
--   Reads    as arvo.find_deliveries and arvo.recheck
--   Writes   arvo.tombstone, arvo.closure, arvo.dead, arvo.operation; as arvo.bring_forward,
--            arvo.let_go and arvo.finish
--   Locks    with p_include_running the leases, in order of their tokens; as arvo.hold; arvo.dead rows
--   Raises   RV003  the queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV006  nothing is given, or limit is not valid
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_places text[] := ARRAY['queued', 'parked', 'deferred', 'dead'];
    v_found arvo.finding[];
    v_one arvo.finding;
    v_entry arvo.log;
    v_lease arvo.lease;
    v_done text;
    v_touched bigint := 0::bigint;
BEGIN
    PERFORM arvo.require_read_committed('cancel');
    PERFORM arvo.require_home();
    -- Those that are named are answered for, also when they are left alone.
    IF p_include_running OR num_nonnulls(p_delivery, p_event_id, p_tree) > 0 THEN
        v_places := array_append(v_places, 'leased');
    END IF;
    SELECT array_agg(seen) INTO v_found
    FROM arvo.find_deliveries(
        p_delivery, p_queue, p_event_id, p_event_type, p_subject, p_tree, p_before, p_path, p_text,
        v_places, p_limit
    ) AS seen;
    IF p_dry_run THEN
        RETURN QUERY
        SELECT
            seen.delivery, seen.event_id, seen.queue, seen.place,
            CASE
                WHEN seen.place = 'leased' AND NOT p_include_running THEN 'left'
                ELSE 'cancelled'
            END,
            NULL::bigint
        FROM unnest(v_found) AS seen
        ORDER BY seen.delivery;
        RETURN;
    END IF;

    IF p_include_running THEN
        PERFORM pg_advisory_xact_lock(arvo.lease_key(held.token))
        FROM (
            SELECT DISTINCT seen.token
            FROM unnest(v_found) AS seen
            WHERE seen.token IS NOT NULL
            ORDER BY seen.token
        ) AS held;
        -- What a settlement has written in the meantime belongs to it.
        SELECT array_agg(seen) INTO v_found
        FROM arvo.find_deliveries(
        p_delivery, p_queue, p_event_id, p_event_type, p_subject, p_tree, p_before, p_path, p_text,
        v_places, p_limit
    ) AS seen;
    END IF;

    FOREACH v_one IN ARRAY arvo.hold(v_found) LOOP
        v_done := 'cancelled';
        IF v_one.place = 'dead' THEN
            UPDATE arvo.dead
            SET resolution = 'discarded', resolved_at = arvo.clock(), resolved_by = session_user
            WHERE dead.dead = v_one.dead
            AND dead.resolution IS NULL
            AND dead.dead_letter_delivery IS NULL;
            CONTINUE WHEN NOT FOUND;
        ELSIF v_one.place = 'deferred' THEN
            v_entry := arvo.bring_forward(v_one.delivery);
            PERFORM arvo.entomb(v_entry, 'cancelled');
            PERFORM arvo.let_go(v_entry);
        ELSE
            SELECT entry.* INTO STRICT v_entry
            FROM arvo.log AS entry
            WHERE entry.lane = v_one.lane
            AND entry.xid = v_one.xid
            AND entry.delivery = v_one.delivery;
            IF v_one.place <> 'leased' THEN
                PERFORM arvo.entomb(v_entry, 'cancelled');
                PERFORM arvo.let_go(v_entry);
            ELSIF NOT p_include_running
                OR NOT pg_try_advisory_xact_lock(arvo.lease_key(v_one.token))
            THEN
                v_done := 'left';
            ELSIF arvo.open_deliveries(v_one.token, ARRAY[v_one.delivery]) = '{}' THEN
                CONTINUE;
            ELSE
                INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
                VALUES (
                    arvo.slot(), v_one.token, arvo.clock(), ARRAY[v_one.delivery], '{cancelled}',
                    '{NULL}'
                );
                UPDATE arvo.dead
                SET resolution = 'discarded', resolved_at = arvo.clock(), resolved_by = session_user
                WHERE dead.dead_letter_lane = v_one.lane
                AND dead.dead_letter_delivery = v_one.delivery
                AND dead.resolution IS NULL;
                SELECT newest.* INTO STRICT v_lease
                FROM arvo.lease AS newest
                WHERE newest.token = v_one.token
                ORDER BY newest.number DESC
                LIMIT 1;
                PERFORM arvo.finish(
                    arvo.known_queue(v_one.queue), v_lease, ARRAY[v_one.delivery]
                );
            END IF;
        END IF;
        v_touched := v_touched + (v_done = 'cancelled')::integer;
        RETURN NEXT (
            v_one.delivery, v_one.event_id, v_one.queue, v_one.place, v_done, NULL
        )::arvo_v1.intervention;
    END LOOP;

    PERFORM arvo.note_operation(
        'cancel', p_queue,
        jsonb_build_object(
            'reason', p_reason, 'delivery', p_delivery, 'event_id', p_event_id, 'event_type', p_event_type,
            'subject', p_subject, 'tree', p_tree, 'before', p_before, 'path', p_path,
            'text', p_text, 'limit', p_limit,
            'include_running', p_include_running
        ),
        v_touched
    );
END;
$cancel$;

COMMENT ON FUNCTION arvo_v1.cancel(
    bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    boolean, integer, boolean, text
) IS
'Cancels deliveries by number, event, workflow tree or filter, wherever they are.';

REVOKE ALL ON FUNCTION arvo_v1.cancel(
    bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    boolean, integer, boolean, text
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.cancel(
    bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    boolean, integer, boolean, text
)
TO arvo_operator;
--! end

--! function arvo_v1.check_in
-- arvo_v1.check_in(worker, queues, rhythm, details) — a worker says that it is there.
CREATE OR REPLACE FUNCTION arvo_v1.check_in(
    p_worker text,
    p_queues text[],
    p_rhythm interval DEFAULT interval '10 seconds',
    p_details jsonb DEFAULT '{}'
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $check_in$
-- Called once a rhythm; who has not been seen for three of them counts as dead. Nothing depends on
-- it but health() and explain_delivery(): leases lapse on their own. p_worker is the name that it
-- claims with. A call before half a rhythm has passed, with nothing new to tell, writes nothing.
-- False when it was not known, or counted as dead.
--
--   Reads    arvo.clock
--   Writes   arvo.worker
--   Locks    arvo.worker row
--   Raises   RV006  an argument is not valid
DECLARE
    v_now timestamptz := arvo.clock();
    v_argument text;
    v_known arvo.worker;
BEGIN
    v_argument := CASE
        WHEN p_worker IS NULL OR length(p_worker) NOT BETWEEN 1 AND 200 THEN 'worker'
        WHEN p_queues IS NULL OR cardinality(p_queues) > 1000 THEN 'queues'
        WHEN p_rhythm IS NULL OR p_rhythm NOT BETWEEN interval '1 second' AND interval '1 hour'
            THEN 'rhythm'
        WHEN p_details IS NULL OR jsonb_typeof(p_details) <> 'object'
            OR octet_length(p_details::text) > 8192 THEN 'details'
    END;
    IF v_argument IS NOT NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = v_argument,
              DETAIL = format('worker %s, %s queues, rhythm %s',
                              left(to_json(p_worker)::text, 80), cardinality(p_queues), p_rhythm),
              HINT = 'worker has 1 to 200 characters; queues at most 1000 names; rhythm is 1 second'
                     ' to 1 hour; details is an object of at most 8192 bytes.';
    END IF;

    SELECT worker.* INTO v_known
    FROM arvo.worker
    WHERE worker.worker = p_worker;
    IF v_known.seen_at > v_now - p_rhythm / 2
        AND v_known.queues = p_queues
        AND v_known.rhythm = p_rhythm
        AND v_known.details = p_details
    THEN
        RETURN true;
    END IF;

    INSERT INTO arvo.worker AS known (worker, queues, details, rhythm, started_at, seen_at)
    VALUES (p_worker, p_queues, p_details, p_rhythm, v_now, v_now)
    ON CONFLICT (worker) DO UPDATE
    SET queues = excluded.queues,
        details = excluded.details,
        rhythm = excluded.rhythm,
        seen_at = excluded.seen_at;
    RETURN coalesce(v_known.seen_at + 3 * v_known.rhythm > v_now, false);
END;
$check_in$;

COMMENT ON FUNCTION arvo_v1.check_in(text, text[], interval, jsonb) IS
'A worker says that it is there; true when it was known to be.';

REVOKE ALL ON FUNCTION arvo_v1.check_in(text, text[], interval, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.check_in(text, text[], interval, jsonb) TO arvo_worker;
--! end

--! function arvo_v1.check_out
-- arvo_v1.check_out(worker) — a worker says that it is leaving.
CREATE OR REPLACE FUNCTION arvo_v1.check_out(p_worker text)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $check_out$
-- Its wishes about queues go with it: who has left disagrees with nobody. The queues stay as they
-- are, and so do its leases. Whether it was known.
--
--   Reads    nothing
--   Writes   arvo.worker, arvo.registration
--   Locks    arvo.worker row, arvo.registration rows of p_worker
--   Raises   nothing
DECLARE
    v_known boolean;
BEGIN
    DELETE FROM arvo.worker WHERE worker.worker = p_worker;
    v_known := FOUND;
    DELETE FROM arvo.registration WHERE registration.worker = p_worker;
    RETURN v_known;
END;
$check_out$;

COMMENT ON FUNCTION arvo_v1.check_out(text) IS
'A worker says that it is leaving; true when it was known.';

REVOKE ALL ON FUNCTION arvo_v1.check_out(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.check_out(text) TO arvo_worker;
--! end

--! function arvo_v1.claim
-- arvo_v1.claim(queues, limit, worker, limits, lease) — lease deliveries.
CREATE OR REPLACE FUNCTION arvo_v1.claim(
    p_queues text[],
    p_limit integer DEFAULT 1,
    p_worker text DEFAULT NULL,
    p_limits integer[] DEFAULT NULL,
    p_lease interval DEFAULT interval '30 seconds'
)
RETURNS SETOF arvo_v1.claimed
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $claim$
-- Heals first: due deferred deliveries are promoted, expired leases are taken back. Then leases up
-- to p_limit deliveries of p_queues, and no more than p_limits[i] of the i-th. A name that ends in *
-- stands for every queue that begins so. Starts at a random queue, also among those that a star
-- stands for, so that none starves; higher priorities come first. A lane that another session is claiming from is left alone.
-- A lane's lock is held to the end of the transaction, and the server has room for some thousands:
-- past 32 lanes, one with nothing to do is not locked, and a call takes from at most 512 more. A
-- paused queue is left out. A gated queue is claimed under the lock of its home lane as well.
-- Within a lane leases lapse in the order in which they were taken, so the longest p_lease that
-- anybody asks for bounds how soon the next crash is noticed there; that is why it is short. In a
-- transaction of several calls settle and extend come before claim: leases are locked before lanes.
--
--   Reads    arvo.queue, arvo.lane; as arvo.is_worth_claiming, arvo.claim_lane, arvo.claim_gated
--   Writes   as arvo.promote, arvo.claim_lane and arvo.claim_gated
--   Locks    the promoter's lock, each lane: tried, never waited for
--   Raises   RV003  a queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV006  an argument is not valid
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_start integer := floor(random() * 1000000000)::integer;
    v_lane record;
    v_home integer;
    v_left integer := p_limit;
    v_quota integer[] := p_limits;
    v_want integer;
    v_got integer;
    v_locked integer := 0;
    v_unknown text;
    v_argument text;
BEGIN
    PERFORM arvo.require_read_committed('claim');
    PERFORM arvo.require_home();
    v_argument := CASE
        WHEN p_queues IS NULL OR cardinality(p_queues) = 0 THEN 'queues'
        WHEN p_limit IS NULL OR p_limit NOT BETWEEN 0 AND 10000 THEN 'limit'
        WHEN cardinality(p_limits) <> cardinality(p_queues) THEN 'limits'
        WHEN p_lease IS NULL OR p_lease NOT BETWEEN interval '1 second' AND interval '5 minutes'
            THEN 'lease'
    END;
    IF v_argument IS NOT NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = v_argument,
              DETAIL = format('%s queues, limit %s, %s limits, lease %s', cardinality(p_queues),
                              p_limit, cardinality(p_limits), p_lease),
              HINT = 'Name at least one queue; limit is 0 to 10000; limits has one number for each'
                     ' queue; lease is 1 second to 5 minutes: a longer run is kept by extend.';
    END IF;
    SELECT asked.name INTO v_unknown
    FROM unnest(p_queues) AS asked (name)
    WHERE asked.name IS NULL
    OR (
        NOT asked.name LIKE '%*'
        AND NOT EXISTS (SELECT FROM arvo.queue WHERE queue.name = asked.name)
    )
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'queue is not known'
        USING ERRCODE = 'RV003',
              COLUMN = 'queues',
              DETAIL = format('queue: %s', left(to_json(v_unknown)::text, 80)),
              HINT = 'Register the queue before claiming from it.';
    END IF;

    PERFORM arvo.promote();

    FOR v_lane IN
        SELECT lane.lane, named.gated, named.queue, asked.position
        FROM unnest(p_queues) WITH ORDINALITY AS asked (name, position)
        CROSS JOIN LATERAL (
            SELECT queue.queue, queue.gated
            FROM arvo.queue
            WHERE queue.name = asked.name AND queue.paused_at IS NULL
            UNION ALL
            SELECT queue.queue, queue.gated
            FROM arvo.queue
            WHERE asked.name LIKE '%*' AND starts_with(queue.name, left(asked.name, -1))
            AND queue.paused_at IS NULL
        ) AS named
        INNER JOIN arvo.lane ON lane.queue = named.queue AND NOT lane.retired
        ORDER BY
            (asked.position + v_start) % cardinality(p_queues),
            lane.priority DESC,
            hashint4extended(lane.lane, v_start)
    LOOP
        EXIT WHEN v_left <= 0;
        v_want := least(v_left, v_quota[v_lane.position]);
        CONTINUE WHEN v_want <= 0;
        EXIT WHEN v_locked >= 544;
        CONTINUE WHEN v_locked >= 32 AND NOT arvo.is_worth_claiming(v_lane.lane);
        IF v_lane.gated THEN
            v_home := arvo.home_lane(v_lane.queue);
            CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_home);
            CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_lane.lane);
            v_locked := v_locked + 1 + (v_home <> v_lane.lane)::integer;
            RETURN QUERY
            SELECT leased.*
            FROM arvo.claim_gated(
                v_lane.lane, v_home, v_want, left(p_worker, 200), p_lease
            ) AS leased;
        ELSE
            CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_lane.lane);
            v_locked := v_locked + 1;
            RETURN QUERY
            SELECT leased.*
            FROM arvo.claim_lane(v_lane.lane, v_want, left(p_worker, 200), p_lease) AS leased;
        END IF;
        GET DIAGNOSTICS v_got = ROW_COUNT;
        v_left := v_left - v_got;
        v_quota[v_lane.position] := v_quota[v_lane.position] - v_got;
    END LOOP;
END;
$claim$;

COMMENT ON FUNCTION arvo_v1.claim(text[], integer, text, integer[], interval) IS
'Leases deliveries of the named queues, after healing what is due or expired.';

REVOKE ALL ON FUNCTION arvo_v1.claim(text[], integer, text, integer[], interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.claim(text[], integer, text, integer[], interval)
TO arvo_worker;
--! end

--! function arvo_v1.dead_letter_attempts
-- arvo_v1.dead_letter_attempts(dead) — the attempts that ended in a dead letter, with their times.
CREATE OR REPLACE FUNCTION arvo_v1.dead_letter_attempts(p_dead bigint)
RETURNS SETOF arvo_v1.attempt
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $dead_letter_attempts$
-- Every delivery from the dispatch (or the redrive, the replay) to the death, in order; none for a
-- number that is not there. The story of the last one is in the dead letter, so it is always told;
-- of one whose history has been removed only the number is known, and of those before it nothing.
-- What a consumer of the dead-letter queue did is not part of it. By index only.
--
--   Reads    arvo.dead, arvo.log by event, arvo.lease by (lane, transaction), arvo.closure by token
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_dead arvo.dead;
BEGIN
    SELECT dead.* INTO v_dead FROM arvo.dead WHERE dead.dead = p_dead;
    IF NOT FOUND THEN
        RETURN;
    END IF;

    RETURN QUERY
    WITH RECURSIVE entry AS MATERIALIZED (
        SELECT log.delivery, log.lane, log.xid, log.attempt, log.at, log.cause
        FROM arvo.log
        WHERE log.event_key = v_dead.event_key
    ),

    -- from the last delivery back to the first: each one's cause names the one before
    chain AS (
        SELECT v_dead.delivery AS delivery, nullif(v_dead.error, 'null') AS error, 0 AS back
        UNION ALL
        SELECT
            (entry.cause ->> 'delivery')::bigint,
            nullif(entry.cause -> 'error', 'null'),
            chain.back + 1
        FROM chain
        INNER JOIN entry ON entry.delivery = chain.delivery
        WHERE entry.cause ->> 'outcome' IN (
            'failed', 'expired', 'rejected', 'released', 'snoozed', 'conflict'
        )
    )

    SELECT
        chain.delivery,
        CASE WHEN chain.back = 0 THEN v_dead.attempts ELSE entry.attempt END,
        entry.at,
        held.leased_at,
        CASE WHEN chain.back = 0 THEN v_dead.died_at ELSE closed.at END,
        make_interval(secs => closed.run_time / 1000000.0),
        held.worker,
        coalesce(closed.outcome, CASE WHEN chain.back = 0 THEN 'dead' END),
        chain.error
    FROM chain
    LEFT JOIN entry ON entry.delivery = chain.delivery
    LEFT JOIN LATERAL (
        SELECT lease.token, lease.leased_at, lease.worker
        FROM arvo.lease
        WHERE lease.lane = entry.lane
        AND lease.high_xid >= entry.xid
        AND lease.low_xid <= entry.xid
        AND lease.token <> 0
        AND entry.delivery = ANY (lease.deliveries)
        AND NOT lease.carried
        ORDER BY lease.high_xid, lease.number
        LIMIT 1
    ) AS held ON true
    LEFT JOIN LATERAL (
        SELECT
            closure.at,
            closure.outcomes[least(gone.ordinal, cardinality(closure.outcomes))] AS outcome,
            closure.run_times[gone.ordinal] AS run_time
        FROM arvo.closure
        CROSS JOIN LATERAL
            unnest(closure.deliveries) WITH ORDINALITY AS gone (delivery, ordinal)
        WHERE closure.token = held.token AND gone.delivery = entry.delivery
        LIMIT 1
    ) AS closed ON true
    ORDER BY chain.back DESC;
END;
$dead_letter_attempts$;

COMMENT ON FUNCTION arvo_v1.dead_letter_attempts(bigint) IS
'The attempts that ended in a dead letter: when accepted, claimed, settled, by whom, with what error.';

REVOKE ALL ON FUNCTION arvo_v1.dead_letter_attempts(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.dead_letter_attempts(bigint) TO arvo_operator;
--! end

DROP FUNCTION arvo_v1.dead_letters(text, bigint, integer, boolean);
--! function arvo_v1.dead_letters
-- arvo_v1.dead_letters(queue, after, limit, …) — list what failed for good.
CREATE OR REPLACE FUNCTION arvo_v1.dead_letters(
    p_queue text DEFAULT NULL,
    p_after bigint DEFAULT 0,
    p_limit integer DEFAULT 100,
    p_resolved boolean DEFAULT false,
    p_dead bigint[] DEFAULT NULL,
    p_reason text DEFAULT NULL,
    p_since timestamptz DEFAULT NULL,
    p_before timestamptz DEFAULT NULL,
    p_event_type text DEFAULT NULL,
    p_subject text DEFAULT NULL,
    p_path jsonpath DEFAULT NULL,
    p_text text DEFAULT NULL
)
RETURNS SETOF arvo_v1.dead_letter
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $dead_letters$
-- p_queue names the queue they failed in, or the dead-letter queue that received them; died since
-- then, before then; p_path finds something in the event or is a predicate that holds for it;
-- p_text stands in the event or the error, in upper or lower case. In the order of their numbers;
-- p_after is the last number of the page before. Conditions other than number, queue and subject
-- are asked of one open letter after the other.
--
--   Reads    arvo.dead
--   Writes   nothing
--   Locks    nothing
--   Raises   RV006  there is no such reason; limit is not 1 to 10000
SELECT
    found.dead,
    found.delivery,
    found.queue,
    found.dead_letter,
    found.event_id,
    found.event,
    found.attempts,
    found.reason,
    found.error,
    found.died_at,
    found.redrives,
    found.resolution,
    found.edited,
    found.resolved_at,
    found.resolved_by,
    earlier.resolved_at,
    earlier.resolved_by
FROM arvo.find_dead(
    arvo.read_dead_filter(
        p_dead, p_queue, p_reason, p_since, p_before, p_event_type, p_subject, p_path, p_text,
        p_limit, false
    ),
    coalesce(p_after, 0),
    p_limit,
    coalesce(p_resolved, false)
) AS found
LEFT JOIN LATERAL (
    SELECT dead.resolved_at, dead.resolved_by
    FROM arvo.dead
    WHERE found.redrives > 0
    AND dead.event_key = found.event_key
    AND dead.dead < found.dead
    AND dead.event_id = found.event_id
    AND dead.event ->> 'source' = found.event ->> 'source'
    AND dead.resolution = 'redriven'
    ORDER BY dead.event_key DESC, dead.dead DESC
    LIMIT 1
) AS earlier ON true
ORDER BY found.dead;
$dead_letters$;

COMMENT ON FUNCTION
arvo_v1.dead_letters(
    text, bigint, integer, boolean, bigint[], text, timestamptz, timestamptz, text, text, jsonpath,
    text
) IS
'Dead letters, by queue, number, reason, age, type, subject, JSON path or text, page by page.';

REVOKE ALL ON FUNCTION
arvo_v1.dead_letters(
    text, bigint, integer, boolean, bigint[], text, timestamptz, timestamptz, text, text, jsonpath,
    text
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
arvo_v1.dead_letters(
    text, bigint, integer, boolean, bigint[], text, timestamptz, timestamptz, text, text, jsonpath,
    text
) TO arvo_operator;
--! end

--! function arvo_v1.discard
-- arvo_v1.discard(queue, dead, limit, dry_run, …) — let go of dead letters.
CREATE OR REPLACE FUNCTION arvo_v1.discard(
    p_queue text DEFAULT NULL,
    p_dead bigint[] DEFAULT NULL,
    p_limit integer DEFAULT 100,
    p_dry_run boolean DEFAULT false,
    p_reason text DEFAULT NULL,
    p_since timestamptz DEFAULT NULL,
    p_before timestamptz DEFAULT NULL,
    p_event_type text DEFAULT NULL,
    p_subject text DEFAULT NULL,
    p_path jsonpath DEFAULT NULL,
    p_text text DEFAULT NULL
)
RETURNS SETOF arvo_v1.discarded
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $discard$
-- Filters as in dead_letters, of which one at least is given; oldest first, p_limit at most. A
-- discarded letter is kept, resolved, as long as others are; its delivery in the dead-letter queue
-- is withdrawn. One that a consumer of that queue has in its hands, or has put off, is left alone:
-- refused with RV103 when it was named by number. A dry run answers what would be done.
--
--   Reads    arvo.dead, arvo.clock; as arvo.grasp_dead
--   Writes   arvo.dead, arvo.tombstone, arvo.operation
--   Locks    as arvo.grasp_dead
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  no filter is given; limit or reason break their rules
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_now timestamptz := arvo.clock();
    v_filter arvo.dead_filter;
    v_after bigint := 0::bigint;
    v_first boolean := true;
    v_size integer := least(p_limit, 1000);
    v_page bigint[];
    v_free bigint[];
    v_dead record;
    v_done integer := 0;
BEGIN
    PERFORM arvo.require_read_committed('discard');
    PERFORM arvo.require_home();
    v_filter := arvo.read_dead_filter(
        p_dead, p_queue, p_reason, p_since, p_before, p_event_type, p_subject, p_path, p_text,
        p_limit, true
    );

    WHILE v_done < p_limit LOOP
        v_page := ARRAY(
            SELECT found.dead
            FROM arvo.find_dead(v_filter, v_after, v_size, false) AS found
            ORDER BY found.dead
        );
        EXIT WHEN v_page = '{}';
        v_free := arvo.grasp_dead(v_page, v_first);

        FOR v_dead IN
            SELECT
                dead.dead,
                dead.event_id,
                dead.queue,
                dead.dead_letter,
                dead.dead_letter_lane,
                dead.dead_letter_delivery,
                dead.resolution
            FROM arvo.dead
            WHERE dead.dead = ANY (v_page)
            ORDER BY dead.dead
        LOOP
            EXIT WHEN v_done >= p_limit;
            IF v_dead.dead <> ALL (v_free) THEN
                CONTINUE WHEN p_dead IS NULL OR v_dead.resolution IS NOT NULL;
                RETURN NEXT (
                    v_dead.dead, v_dead.event_id, v_dead.queue, 'refused', 'RV103',
                    CASE
                        WHEN v_dead.dead_letter IS NULL THEN 'another operator has it'
                        ELSE format('a consumer of %s, or another operator, has it',
                                    v_dead.dead_letter)
                    END
                )::arvo_v1.discarded;
                CONTINUE;
            END IF;
            v_done := v_done + 1;
            IF NOT p_dry_run THEN
                IF v_dead.dead_letter_lane IS NOT NULL THEN
                    INSERT INTO arvo.tombstone (lane, delivery, at, by)
                    VALUES (
                        v_dead.dead_letter_lane, v_dead.dead_letter_delivery, v_now, session_user
                    )
                    ON CONFLICT DO NOTHING;
                END IF;
                UPDATE arvo.dead
                SET resolution = 'discarded', resolved_at = v_now, resolved_by = session_user
                WHERE dead.dead = v_dead.dead;
            END IF;
            RETURN NEXT (
                v_dead.dead, v_dead.event_id, v_dead.queue, 'discarded', NULL, NULL
            )::arvo_v1.discarded;
        END LOOP;

        EXIT WHEN cardinality(v_page) < v_size;
        v_after := v_page[v_size];
        v_first := false;
        v_size := least(greatest(p_limit - v_done, 100), 1000);
    END LOOP;

    IF NOT p_dry_run THEN
        PERFORM arvo.note_operation(
            'discard',
            p_queue,
            jsonb_build_object(
                'dead', p_dead,
                'limit', p_limit,
                'reason', p_reason,
                'since', p_since,
                'before', p_before,
                'event_type', p_event_type,
                'subject', p_subject,
                'path', p_path::text,
                'text', p_text
            ),
            v_done
        );
    END IF;
END;
$discard$;

COMMENT ON FUNCTION
arvo_v1.discard(
    text, bigint[], integer, boolean, text, timestamptz, timestamptz, text, text, jsonpath, text
) IS
'Closes dead letters that nobody wants any more; they stay as long as resolved ones do.';

REVOKE ALL ON FUNCTION
arvo_v1.discard(
    text, bigint[], integer, boolean, text, timestamptz, timestamptz, text, text, jsonpath, text
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
arvo_v1.discard(
    text, bigint[], integer, boolean, text, timestamptz, timestamptz, text, text, jsonpath, text
) TO arvo_operator;
--! end

DROP FUNCTION arvo_v1.dispatch(jsonb, interval, integer, boolean);
--! function arvo_v1.dispatch
-- arvo_v1.dispatch(event, start_after, priority, ignore_domain, options) — accept one event in the caller's transaction.
CREATE OR REPLACE FUNCTION arvo_v1.dispatch(
    p_event jsonb,
    p_start_after interval DEFAULT NULL,
    p_priority integer DEFAULT NULL,
    p_ignore_domain boolean DEFAULT false,
    p_options jsonb DEFAULT NULL
)
RETURNS arvo_v1.dispatched
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $dispatch$
-- The event exists when the caller's transaction commits, and leaves no trace when it does not.
-- Routed by "domain" (to that domain's queue, unless p_ignore_domain), else by "to". An event whose
-- queue nobody has registered waits there: outcome unroutable. The same source and id to the same
-- queue again, within its window, is a duplicate, and answered with the first delivery. p_options is
-- an object as in arvo.read_options; p_start_after and p_priority are two of them.
--
--   Reads    as arvo.append_one and arvo.append
--   Writes   as arvo.append_one or arvo.append
--   Locks    as arvo.append_one or arvo.append
--   Raises   RV001  the event is not valid, or is to be published
--            RV002  an option is not valid, or the queue has too many priorities
--            RV201  nobody has registered the queue, and must_be_registered is set
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_fault text := arvo.event_fault(p_event);
    v_dispatched arvo_v1.dispatched;
BEGIN
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION 'event is not valid'
        USING ERRCODE = 'RV001',
              COLUMN = split_part(v_fault, ':', 1),
              DETAIL = v_fault,
              HINT = 'Correct the field and dispatch the event again. Nothing has been stored.';
    END IF;
    IF coalesce(p_event ->> 'to', p_event ->> 'type') = 'arvo.publish'
        AND (p_ignore_domain OR p_event ->> 'domain' IS NULL)
    THEN
        RAISE EXCEPTION 'event is not valid'
        USING ERRCODE = 'RV001',
              COLUMN = 'to',
              DETAIL = 'to: arvo.publish has an answer for each queue that subscribes',
              HINT = 'Call publish, or dispatch_many. Nothing has been stored.';
    END IF;
    IF p_options IS NULL AND p_start_after IS NULL AND p_priority IS NULL THEN
        v_dispatched := arvo.append_one(p_event, p_ignore_domain);
        IF v_dispatched.delivery IS NOT NULL THEN
            RETURN v_dispatched;
        END IF;
    END IF;
    SELECT accepted.* INTO STRICT v_dispatched
    FROM arvo.append(
        ARRAY[p_event], arvo.options_with(p_options, p_start_after, p_priority), p_ignore_domain
    ) AS accepted;
    RETURN v_dispatched;
END;
$dispatch$;

COMMENT ON FUNCTION arvo_v1.dispatch(jsonb, interval, integer, boolean, jsonb) IS
'Accepts one event in the caller''s transaction and says where it went.';

REVOKE ALL ON FUNCTION arvo_v1.dispatch(jsonb, interval, integer, boolean, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.dispatch(jsonb, interval, integer, boolean, jsonb)
TO arvo_client, arvo_worker, arvo_operator;
--! end

DROP FUNCTION arvo_v1.dispatch_many(jsonb, interval, integer, boolean);
--! function arvo_v1.dispatch_many
-- arvo_v1.dispatch_many(events, start_after, priority, ignore_domain, options) — accept an array of events, in order.
CREATE OR REPLACE FUNCTION arvo_v1.dispatch_many(
    p_events jsonb,
    p_start_after interval DEFAULT NULL,
    p_priority integer DEFAULT NULL,
    p_ignore_domain boolean DEFAULT false,
    p_options jsonb DEFAULT NULL
)
RETURNS SETOF arvo_v1.dispatched
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $dispatch_many$
-- As dispatch, for all or none: one event that is not valid refuses the whole call and says which.
--
--   Reads    as arvo.append
--   Writes   as arvo.append
--   Locks    as arvo.append
--   Raises   RV001  an event is not valid
--            RV002  an option is not valid, or a queue has too many priorities
--            RV006  p_events is not an array
--            RV201  nobody has registered a queue, and must_be_registered is set
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_events jsonb[];
    v_ordinal bigint;
    v_fault text;
BEGIN
    IF p_events IS NULL OR jsonb_typeof(p_events) <> 'array' THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'events',
              DETAIL = format('events is of type %s.', coalesce(jsonb_typeof(p_events), 'null')),
              HINT = 'Give a JSON array of events.';
    END IF;
    SELECT array_agg(item.event ORDER BY item.ordinal) INTO v_events
    FROM jsonb_array_elements(p_events) WITH ORDINALITY AS item (event, ordinal);
    IF v_events IS NULL THEN
        RETURN;
    END IF;

    SELECT item.ordinal, arvo.event_fault(item.event) INTO v_ordinal, v_fault
    FROM unnest(v_events) WITH ORDINALITY AS item (event, ordinal)
    WHERE arvo.event_fault(item.event) IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'event is not valid'
        USING ERRCODE = 'RV001',
              COLUMN = split_part(v_fault, ':', 1),
              DETAIL = format('event %s of %s: %s', v_ordinal, cardinality(v_events), v_fault),
              HINT = 'Correct the field and dispatch the events again. Nothing has been stored.';
    END IF;
    RETURN QUERY
    SELECT accepted.*
    FROM arvo.append(
        v_events, arvo.options_with(p_options, p_start_after, p_priority), p_ignore_domain
    ) AS accepted;
END;
$dispatch_many$;

COMMENT ON FUNCTION arvo_v1.dispatch_many(jsonb, interval, integer, boolean, jsonb) IS
'Accepts an array of events in order, all or none, and says where each went.';

REVOKE ALL ON FUNCTION arvo_v1.dispatch_many(jsonb, interval, integer, boolean, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.dispatch_many(jsonb, interval, integer, boolean, jsonb)
TO arvo_client, arvo_worker, arvo_operator;
--! end

--! function arvo_v1.drain_queue
-- arvo_v1.drain_queue(queue) — work off what waits now; what comes after waits.
CREATE OR REPLACE FUNCTION arvo_v1.drain_queue(p_queue text)
RETURNS arvo_v1.switched
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $drain_queue$
-- All lanes are held while the line is drawn, so no claim can have read beyond it; a priority that is
-- used for the first time at this moment may have been, and then waits from there. What is put off, and
-- what fails from now on, comes after it. Ends a pause; resume_queue ends the drain. "waiting" says how
-- many are left to do, with those in hands: call again to see it fall. Idempotent: the line stays where
-- it was drawn first.
--
--   Reads    arvo.queue; as arvo.census
--   Writes   arvo.queue, arvo.operation
--   Locks    all lanes of the queue, in order; then its arvo.queue row
--   Raises   RV003  the queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_queue arvo.queue;
    v_change text := 'unchanged';
    v_census arvo.census;
BEGIN
    PERFORM arvo.require_read_committed('drain_queue');
    PERFORM arvo.require_home();
    v_queue := arvo.known_queue(p_queue);
    PERFORM arvo.lock_lanes(ARRAY(SELECT own.lane FROM arvo.lanes_of(v_queue.queue) AS own));

    UPDATE arvo.queue
    SET drained_to = arvo.window_snapshot(), paused_at = NULL, paused_by = NULL
    WHERE queue.queue = v_queue.queue AND queue.drained_to IS NULL;
    IF FOUND THEN
        v_change := 'draining';
        PERFORM arvo.wake(ARRAY[v_queue.name]);
    END IF;
    SELECT queue.* INTO STRICT v_queue FROM arvo.queue WHERE queue.queue = v_queue.queue;
    v_census := arvo.census(v_queue.queue, v_queue.drained_to);
    PERFORM arvo.note_operation(
        'drain_queue', p_queue, '{}', CASE WHEN v_change = 'unchanged' THEN 0 ELSE 1 END
    );
    RETURN (
        v_queue.name, v_change, NULL, NULL, true,
        v_census.queued + v_census.parked + v_census.leased
    )::arvo_v1.switched;
END;
$drain_queue$;

COMMENT ON FUNCTION arvo_v1.drain_queue(text) IS
'Lets a queue be worked off: only what waits now is claimed, until it is resumed.';

REVOKE ALL ON FUNCTION arvo_v1.drain_queue(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.drain_queue(text) TO arvo_operator;
--! end

--! function arvo_v1.drop_queue
-- arvo_v1.drop_queue(queue, purge, dry_run) — let a queue be no queue of a handler any more.
CREATE OR REPLACE FUNCTION arvo_v1.drop_queue(
    p_queue text,
    p_purge boolean DEFAULT false,
    p_dry_run boolean DEFAULT false
)
RETURNS SETOF arvo_v1.purged
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $drop_queue$
-- It is not registered then, its options are the defaults, and what is dispatched to its name counts
-- as unroutable. Its history stays readable. Refused while something is leased, since it would come
-- back when it fails; and while something waits, unless p_purge, which cancels that. A dry run says
-- what there is, and refuses nothing.
--
--   Reads    arvo.queue; as arvo.census and arvo.empty_queue
--   Writes   as arvo.empty_queue and arvo.reset_queue; arvo.operation
--   Locks    all lanes of the queue, in order; as arvo.empty_queue; then as arvo.reset_queue
--   Raises   RV003  the queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV006  something is leased, or waits and is not to be purged
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_queue arvo.queue;
    v_census arvo.census;
    v_purged arvo_v1.purged[];
BEGIN
    PERFORM arvo.require_read_committed('drop_queue');
    PERFORM arvo.require_home();
    v_queue := arvo.known_queue(p_queue);
    IF p_dry_run THEN
        RETURN QUERY SELECT counted.* FROM arvo.would_empty(v_queue) AS counted;
        RETURN;
    END IF;

    PERFORM arvo.lock_lanes(ARRAY(SELECT own.lane FROM arvo.lanes_of(v_queue.queue) AS own));
    v_census := arvo.census(v_queue.queue);
    IF v_census.leased > 0
        OR (NOT p_purge AND v_census.queued + v_census.parked + v_census.deferred > 0)
    THEN
        RAISE EXCEPTION 'queue is not empty'
        USING ERRCODE = 'RV006',
              COLUMN = CASE WHEN v_census.leased > 0 THEN 'queue' ELSE 'purge' END,
              DETAIL = format(
                  '%s queued, %s parked, %s deferred, %s leased', v_census.queued,
                  v_census.parked, v_census.deferred, v_census.leased
              ),
              HINT = 'Let it be worked off (drain_queue), or give p_purge; what is leased is to be'
                     ' settled, or cancelled with p_include_running, first.';
    END IF;

    v_purged := ARRAY(SELECT done FROM arvo.empty_queue(v_queue, NULL) AS done);
    PERFORM arvo.reset_queue(v_queue, false);
    PERFORM arvo.note_operation(
        'drop_queue', p_queue, jsonb_build_object('purge', p_purge),
        (SELECT sum(done.removed)::bigint FROM unnest(v_purged) AS done)
    );
    RETURN QUERY SELECT done.* FROM unnest(v_purged) AS done;
END;
$drop_queue$;

COMMENT ON FUNCTION arvo_v1.drop_queue(text, boolean, boolean) IS
'Unregisters a queue and sets its options back; its history stays.';

REVOKE ALL ON FUNCTION arvo_v1.drop_queue(text, boolean, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.drop_queue(text, boolean, boolean) TO arvo_operator;
--! end

--! function arvo_v1.explain_delivery
-- arvo_v1.explain_delivery(delivery) — every reason why a delivery does not run now.
CREATE OR REPLACE FUNCTION arvo_v1.explain_delivery(p_delivery bigint)
RETURNS SETOF arvo_v1.explanation
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $explain_delivery$
-- One row for each reason; one that says "next" when there is none. Who holds it, if it runs; what
-- became of it, if it has run. trace() tells the numbers of an event's deliveries. A number in the log
-- is found by an index of ranges: quick, but for a person, not for a program in a loop.
--
--   Reads    arvo.deferred, arvo.promotion, arvo.dead, arvo.queue, arvo.lane, arvo.clock, pg_locks,
--            pg_stat_activity; as arvo.find_logged, arvo.explain_claimed, arvo.explain_place and
--            arvo.explain_queue
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_entry arvo.log;
    v_deferred arvo.deferred;
    v_queue arvo.queue;
    v_event_id text;
    v_place text;
    v_reasons arvo_v1.explanation[];
    v_promoter integer;
BEGIN
    v_entry := arvo.find_logged(p_delivery);
    IF v_entry.delivery IS NULL THEN
        SELECT deferred.* INTO v_deferred
        FROM arvo.deferred
        WHERE deferred.delivery = p_delivery;
    END IF;

    IF v_entry.delivery IS NULL AND v_deferred.delivery IS NULL THEN
        RETURN QUERY
        SELECT
            p_delivery, dead.event_id, dead.queue, 'dead', 'dead',
            format('Dead letter %s: %s%s; the log has been emptied of it.', dead.dead, dead.reason,
                   coalesce(', ' || dead.resolution, ', open')),
            dead.died_at,
            CASE WHEN dead.resolution IS NULL THEN 'Redrive it, or discard it.' END
        FROM arvo.dead
        WHERE dead.delivery = p_delivery;
        IF NOT FOUND THEN
            RETURN NEXT (
                p_delivery, NULL, NULL, 'unknown', 'unknown',
                CASE
                    WHEN p_delivery > coalesce(
                        pg_sequence_last_value('arvo.delivery_number'::regclass), 0
                    )
                        THEN 'No delivery has had that number yet.'
                    ELSE format(
                        'Its transaction is still open or was rolled back, or its history has been'
                        ' emptied. %s transactions are open now.',
                        (
                            SELECT count(*)
                            FROM pg_stat_activity AS activity
                            WHERE activity.backend_xid IS NOT NULL
                            AND activity.pid <> pg_backend_pid()
                        )
                    )
                END,
                NULL, NULL
            )::arvo_v1.explanation;
        END IF;
        RETURN;
    END IF;

    SELECT queue.* INTO STRICT v_queue
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = coalesce(v_entry.lane, v_deferred.lane);

    IF v_entry.delivery IS NOT NULL THEN
        v_event_id := arvo.event_of(v_entry) ->> 'id';
        SELECT array_agg(claimed) INTO v_reasons FROM arvo.explain_claimed(v_entry) AS claimed;
        IF v_reasons IS NOT NULL THEN
            RETURN QUERY
            SELECT
                p_delivery, v_event_id, v_queue.name, told.place, told.reason, told.detail,
                told.until, told.remedy
            FROM unnest(v_reasons) AS told;
            RETURN;
        END IF;
        v_place := CASE
            WHEN EXISTS (SELECT FROM arvo.parked WHERE parked.delivery = p_delivery) THEN 'parked'
            ELSE 'logged'
        END;
        SELECT array_agg(told) INTO v_reasons
        FROM arvo.explain_place(v_queue, v_entry) AS told;
    ELSE
        v_place := 'deferred';
        v_event_id := coalesce(v_deferred.event, (
            SELECT origin.event
            FROM arvo.log AS origin
            WHERE origin.lane = v_deferred.origin_lane
            AND origin.xid = v_deferred.origin_xid
            AND origin.delivery = v_deferred.origin_delivery
        )) ->> 'id';
        IF v_deferred.due > v_now THEN
            v_reasons := ARRAY[(
                NULL, NULL, NULL, NULL, 'deferred',
                format('Attempt %s is put off.', v_deferred.attempt), v_deferred.due,
                'Make it due now: retry_now.'
            )::arvo_v1.explanation];
        ELSE
            SELECT holder.pid INTO v_promoter
            FROM pg_locks AS holder
            WHERE holder.locktype = 'advisory'
            AND holder.objsubid = 2
            AND holder.granted
            AND holder.database = (
                SELECT pg_database.oid
                FROM pg_database
                WHERE pg_database.datname = current_database()
            )
            AND holder.classid = (hashtext('arvo')::bigint & 4294967295)::oid
            AND holder.objid = 0::oid
            AND holder.pid <> pg_backend_pid()
            LIMIT 1;
            v_reasons := ARRAY[(
                NULL, NULL, NULL, NULL, 'promotion',
                'It is due, and goes to the log with the next claim from any queue.'
                || coalesce(format(' Session %s holds the promoter''s lock.', v_promoter), ''),
                v_deferred.due, 'Claim, or call maintain().'
            )::arvo_v1.explanation];
        END IF;
    END IF;

    SELECT coalesce(v_reasons, '{}') || coalesce(array_agg(told), '{}') INTO v_reasons
    FROM arvo.explain_queue(v_queue) AS told
    WHERE told.reason NOT IN ('unroutable', 'domained')
    OR coalesce(v_entry.cause, v_deferred.cause) ->> 'outcome' IS DISTINCT FROM 'dead';
    IF NOT EXISTS (
        SELECT FROM unnest(v_reasons) AS told WHERE told.reason <> 'registrations'
    ) THEN
        v_reasons := (
            NULL, NULL, NULL, NULL, 'next',
            'Nothing holds it: the next claim from this queue takes it.', NULL, NULL
        )::arvo_v1.explanation || v_reasons;
    END IF;
    RETURN QUERY
    SELECT
        p_delivery, v_event_id, v_queue.name, v_place, told.reason, told.detail, told.until,
        told.remedy
    FROM unnest(v_reasons) AS told;
END;
$explain_delivery$;

COMMENT ON FUNCTION arvo_v1.explain_delivery(bigint) IS
'Every reason why a delivery does not run now, or what became of it.';

REVOKE ALL ON FUNCTION arvo_v1.explain_delivery(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.explain_delivery(bigint)
TO arvo_worker, arvo_monitor, arvo_operator;
--! end

--! function arvo_v1.extend
-- arvo_v1.extend(leases, for) — heartbeat.
CREATE OR REPLACE FUNCTION arvo_v1.extend(
    p_leases bigint[],
    p_for interval DEFAULT interval '30 seconds'
)
RETURNS SETOF arvo_v1.extended
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $extend$
-- Carries each lease forward: a new row of the ledger holds what is still open of it, under the same
-- token. So every open row is younger than one lease time, and looking for expired ones reads a
-- bounded tail. A lease that is unknown, taken back, or has nothing open is answered held = false; one
-- that is held, with the deliveries that are open still: who runs another one of it runs it in vain.
--
--   Reads    arvo.lease and arvo.closure by token, arvo.clock, arvo.slot
--   Writes   arvo.lease
--   Locks    the leases, in order of their tokens; then their lanes, in order
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  an argument is not valid
--            55P03  somebody has held a lock for two seconds: call again
DECLARE
    v_now timestamptz := arvo.clock();
    v_held record;
    v_head arvo.lease;
    v_lost bigint[];
BEGIN
    PERFORM arvo.require_read_committed('extend');
    IF p_leases IS NULL OR cardinality(p_leases) > 10000 OR p_for IS NULL
        OR p_for NOT BETWEEN interval '1 second' AND interval '5 minutes'
    THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = CASE
                  WHEN p_leases IS NULL OR cardinality(p_leases) > 10000 THEN 'leases'
                  ELSE 'for'
              END,
              DETAIL = format('%s leases for %s', cardinality(p_leases), p_for),
              HINT = 'Give an array of at most 10000 leases and an interval of 1 second to 5 minutes.';
    END IF;

    PERFORM pg_advisory_xact_lock(arvo.lease_key(named.lease))
    FROM (
        SELECT DISTINCT listed.lease
        FROM unnest(p_leases) AS listed (lease)
        WHERE listed.lease IS NOT NULL
        ORDER BY listed.lease
    ) AS named;
    v_lost := p_leases;

    FOR v_held IN
        SELECT newest.*, arvo.open_deliveries(newest.token, newest.deliveries) AS open
        FROM (SELECT DISTINCT listed.lease FROM unnest(p_leases) AS listed (lease)) AS named
        CROSS JOIN LATERAL (
            SELECT
                lease.token, lease.lane, lease.worker, lease.low_xid, lease.high_xid,
                lease.deliveries, lease.xids, lease.keys, lease.places
            FROM arvo.lease
            WHERE lease.token = named.lease AND lease.token <> 0
            ORDER BY lease.number DESC
            LIMIT 1
        ) AS newest
        ORDER BY newest.lane, newest.token
    LOOP
        CONTINUE WHEN v_held.open = '{}';
        PERFORM pg_advisory_xact_lock(hashtext('arvo'), v_held.lane);
        SELECT head.* INTO STRICT v_head
        FROM arvo.lease AS head
        WHERE head.lane = v_held.lane
        ORDER BY head.number DESC
        LIMIT 1;
        INSERT INTO arvo.lease (
            slot, lane, number, token, worker, leased_at, expires_at, carried, deliveries,
            low_xid, high_xid, previous_snapshot, snapshot, last_xid, last_delivery,
            exhausted, open_from, sweep_at, ready_from, xids, keys, places
        )
        SELECT
            arvo.slot(), v_head.lane, v_head.number + 1, v_held.token, v_held.worker, v_now,
            greatest(v_now + p_for, v_head.expires_at), true,
            array_agg(kept.delivery ORDER BY kept.ordinal),
            v_held.low_xid, v_held.high_xid, v_head.previous_snapshot, v_head.snapshot,
            v_head.last_xid, v_head.last_delivery,
            v_head.exhausted, v_head.open_from,
            least(v_head.sweep_at, greatest(v_now + p_for, v_head.expires_at)),
            v_head.ready_from,
            CASE
                WHEN cardinality(v_held.xids) = 1 THEN v_held.xids
                ELSE array_agg(v_held.xids[kept.ordinal] ORDER BY kept.ordinal)
            END,
            CASE
                WHEN v_held.keys IS NOT NULL
                    THEN array_agg(v_held.keys[kept.ordinal] ORDER BY kept.ordinal)
            END,
            CASE
                WHEN v_held.places IS NOT NULL
                    THEN array_agg(v_held.places[kept.ordinal] ORDER BY kept.ordinal)
            END
        FROM unnest(v_held.deliveries) WITH ORDINALITY AS kept (delivery, ordinal)
        WHERE kept.delivery = ANY (v_held.open);
        v_lost := array_remove(v_lost, v_held.token);
        RETURN NEXT (
            v_held.token, true, greatest(v_now + p_for, v_head.expires_at), v_held.open
        )::arvo_v1.extended;
    END LOOP;

    RETURN QUERY
    SELECT DISTINCT listed.lease, false, NULL::timestamptz, NULL::bigint[]
    FROM unnest(v_lost) AS listed (lease)
    WHERE listed.lease IS NOT NULL;
END;
$extend$;

COMMENT ON FUNCTION arvo_v1.extend(bigint[], interval) IS
'Heartbeat: carries leases forward and tells which are lost.';

REVOKE ALL ON FUNCTION arvo_v1.extend(bigint[], interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.extend(bigint[], interval) TO arvo_worker;
--! end

--! function arvo_v1.health
-- arvo_v1.health() — what an operator should know, in one call.
CREATE OR REPLACE FUNCTION arvo_v1.health()
RETURNS SETOF arvo_v1.vital
LANGUAGE sql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $health$
-- At least one row for every topic, also when it is well: so it is seen that somebody looked. Writes
-- nothing.
--
--   Reads    as arvo.vitals_of_server, arvo.vitals_of_upkeep and arvo.vitals_of_queues
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT told.* FROM arvo.vitals_of_server() AS told
UNION ALL
SELECT told.* FROM arvo.vitals_of_upkeep() AS told
UNION ALL
SELECT told.* FROM arvo.vitals_of_queues() AS told;
$health$;

COMMENT ON FUNCTION arvo_v1.health() IS
'Topic by topic: ok, notice or warning, the figure, the facts, and what can be done.';

REVOKE ALL ON FUNCTION arvo_v1.health() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.health() TO arvo_worker, arvo_monitor, arvo_operator;
--! end

--! function arvo_v1.lineage
-- arvo_v1.lineage(subject) — the whole tree that a workflow belongs to.
CREATE OR REPLACE FUNCTION arvo_v1.lineage(p_subject text)
RETURNS SETOF arvo_v1.kin
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $lineage$
-- From the root down, parents before children. No row when the subject is unknown.
--
--   Reads    arvo.lineage, arvo.state
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
WITH RECURSIVE kin AS (
    SELECT
        lineage.subject_digest, lineage.subject, NULL::text AS parent_subject, 0 AS depth,
        lineage.created_at
    FROM arvo.lineage
    WHERE lineage.subject_digest = arvo.root_digest(arvo.subject_digest(p_subject))
    UNION ALL
    SELECT
        lineage.subject_digest, lineage.subject, kin.subject, kin.depth + 1,
        lineage.created_at
    FROM kin
    CROSS JOIN LATERAL (
        SELECT known.subject_digest, known.subject, known.created_at
        FROM arvo.lineage AS known
        WHERE known.parent_digest = kin.subject_digest
        OFFSET 0  -- by index, whatever the plan
    ) AS lineage
) CYCLE subject_digest SET looped USING path

SELECT kin.subject, kin.parent_subject, kin.depth, memory.execution_status, kin.created_at
FROM kin
LEFT JOIN LATERAL (
    SELECT state.execution_status
    FROM arvo.state
    WHERE state.subject_digest = kin.subject_digest
    LIMIT 1  -- one look-up for each: no join may read all states
) AS memory ON true
WHERE NOT kin.looped
ORDER BY kin.depth, kin.created_at, kin.subject COLLATE "C";
$lineage$;

COMMENT ON FUNCTION arvo_v1.lineage(text) IS
'The tree of workflows that a subject belongs to, from the root down.';

REVOKE ALL ON FUNCTION arvo_v1.lineage(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.lineage(text) TO arvo_worker, arvo_monitor, arvo_operator;
--! end

--! function arvo_v1.maintain
-- arvo_v1.maintain() — what no claim does on its own.
CREATE OR REPLACE FUNCTION arvo_v1.maintain()
RETURNS SETOF arvo_v1.maintained
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $maintain$
-- Any number of sessions may call it; one at a time works, the others return at once. Bounded: each
-- task touches at most some thousand rows a call. One row for each task:
--
--   promoted  deferred deliveries that became due        unlocked  lapsed locks removed
--   healed    rows of expired leases taken back          keys      idle rows of keys removed
--   retired   unclaimed past retention: dead letters     notes     what was written down long ago
--   expired   parked past retention: dead letters        turned    steps of a turn of event_key
--   swept     deferred rows removed after promotion      finished  generations that are only history
--   tallied   lanes whose figures were carried on        opened, emptied  generations of history
--   workers   workers forgotten that are long gone
--
-- A task that fails is undone by itself and answered NULL, with a warning: the others are done all
-- the same. The last one may lock a part of the log for everybody: call this in a transaction of its
-- own, and commit at once. pg_cron may: SELECT * FROM arvo_v1.maintain().
--
--   Reads    as the functions called
--   Writes   as the functions called
--   Locks    the maintainer's lock, tried; then as the functions called, which wait for no lane and
--            no lease
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_task text;
    v_touched integer;
BEGIN
    PERFORM arvo.require_read_committed('maintain');
    PERFORM arvo.require_home();
    IF NOT pg_try_advisory_xact_lock(hashtext('arvo'), -1) THEN
        RETURN;
    END IF;

    FOREACH v_task IN ARRAY '{promoted,tallied,healed,retired,expired,swept,unlocked,keys,notes,workers,turned,finished,opened,emptied}'::text[]
    LOOP
        BEGIN
            v_touched := CASE v_task
                WHEN 'promoted' THEN arvo.promote(5000)
                WHEN 'tallied' THEN arvo.tally_lanes()
                WHEN 'healed' THEN arvo.heal_lanes(32)
                WHEN 'retired' THEN arvo.retire_unclaimed(1000)
                WHEN 'expired' THEN arvo.expire_parked(1000)
                WHEN 'swept' THEN arvo.sweep_deferred(5000)
                WHEN 'unlocked' THEN arvo.sweep_locks(5000)
                WHEN 'keys' THEN arvo.sweep_keys(1000)
                WHEN 'notes' THEN arvo.sweep_notes(1000)
                WHEN 'workers' THEN arvo.forget_workers()::integer
                WHEN 'turned' THEN arvo.turn_event_keys()
                WHEN 'finished' THEN arvo.finish_generations()
                WHEN 'opened' THEN arvo.open_generation()
                WHEN 'emptied' THEN arvo.empty_generation()
            END;
        EXCEPTION WHEN OTHERS THEN
            v_touched := NULL;
            RAISE WARNING 'maintenance task % failed: % %', v_task, SQLSTATE, SQLERRM;
        END;
        RETURN NEXT (v_task, v_touched)::arvo_v1.maintained;
    END LOOP;
END;
$maintain$;

COMMENT ON FUNCTION arvo_v1.maintain() IS
'What no claim does on its own: promotes, heals, applies retention, sweeps, and turns history; any number of sessions may call it.';

REVOKE ALL ON FUNCTION arvo_v1.maintain() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.maintain() TO arvo_worker, arvo_operator;
--! end

--! function arvo_v1.move
-- arvo_v1.move(to, filter…, limit, dry_run) — let another queue have deliveries that wait.
CREATE OR REPLACE FUNCTION arvo_v1.move(
    p_to text,
    p_delivery bigint[] DEFAULT NULL,
    p_queue text DEFAULT NULL,
    p_event_id text DEFAULT NULL,
    p_event_type text DEFAULT NULL,
    p_subject text DEFAULT NULL,
    p_tree text DEFAULT NULL,
    p_before timestamptz DEFAULT NULL,
    p_path jsonpath DEFAULT NULL,
    p_text text DEFAULT NULL,
    p_limit integer DEFAULT 1000,
    p_dry_run boolean DEFAULT false
)
RETURNS SETOF arvo_v1.intervention
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $move$
-- Which ones: as arvo.find_deliveries; all that is given must fit. A filter reads what waits, from each
-- lane's cursor on, in order, until it has p_limit; by event, subject or tree it is a look-up.
-- Each is withdrawn as moved, and appended to p_to at that queue's own priority with attempt 1; the
-- event is not written again. One that is due later stays so, under its number. What a worker holds is
-- left. A dead letter that lies in a dead-letter queue goes with its delivery. The places of a queue
-- that gives out one per key (short, stately, exclusive) are for dispatches: nothing is moved there.
-- A dry run takes no lock.
--
--   Reads    arvo.queue; as arvo.find_deliveries and arvo.recheck
--   Writes   arvo.tombstone, arvo.deferred, arvo.dead, arvo.operation; as arvo.again, arvo.let_go
--   Locks    as arvo.hold; arvo.dead rows; as arvo.lane_for
--   Raises   RV003  a queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV006  nothing is given, limit is not valid, or nothing can be moved to that queue
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_to arvo.queue;
    v_lane integer;
    v_found arvo.finding[];
    v_one arvo.finding;
    v_done text;
    v_successor bigint;
    v_touched bigint := 0::bigint;
BEGIN
    PERFORM arvo.require_read_committed('move');
    PERFORM arvo.require_home();
    v_to := arvo.known_queue(p_to, 'to');
    IF v_to.slotted OR p_to = p_queue THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'to',
              DETAIL = format('to: %s, a queue of policy %s', p_to, v_to.policy),
              HINT = 'Name another queue that does not give out one place per key.';
    END IF;
    SELECT array_agg(seen) INTO v_found
    FROM arvo.find_deliveries(
        p_delivery, p_queue, p_event_id, p_event_type, p_subject, p_tree, p_before, p_path, p_text,
        CASE
            WHEN num_nonnulls(p_delivery, p_event_id) > 0 THEN '{queued,parked,deferred,leased}'
            ELSE '{queued,parked,deferred}'
        END::text[], p_limit,
        ARRAY(SELECT own.lane FROM arvo.lanes_of(v_to.queue) AS own)
    ) AS seen;
    IF p_dry_run THEN
        RETURN QUERY
        SELECT
            seen.delivery, seen.event_id, seen.queue, seen.place,
            CASE WHEN seen.place = 'leased' THEN 'left' ELSE 'moved' END, NULL::bigint
        FROM unnest(v_found) AS seen
        ORDER BY seen.delivery;
        RETURN;
    END IF;

    v_found := arvo.hold(v_found);
    v_lane := arvo.lane_for(p_to);
    FOREACH v_one IN ARRAY v_found LOOP
        v_done := 'left';
        v_successor := NULL;
        IF v_one.place <> 'leased' THEN
            v_done := 'moved';
            v_successor := arvo.relay(v_one, v_lane);
        END IF;
        v_touched := v_touched + (v_done = 'moved')::integer;
        RETURN NEXT (
            v_one.delivery, v_one.event_id, v_one.queue, v_one.place, v_done, v_successor
        )::arvo_v1.intervention;
    END LOOP;

    PERFORM arvo.note_operation(
        'move', p_queue,
        jsonb_build_object(
            'to', p_to, 'delivery', p_delivery, 'event_id', p_event_id, 'event_type', p_event_type,
            'subject', p_subject, 'tree', p_tree, 'before', p_before, 'path', p_path,
            'text', p_text, 'limit', p_limit
        ),
        v_touched
    );
END;
$move$;

COMMENT ON FUNCTION arvo_v1.move(
    text, bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    integer, boolean
) IS
'Moves waiting deliveries to another queue, by number, event, workflow tree or filter.';

REVOKE ALL ON FUNCTION arvo_v1.move(
    text, bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    integer, boolean
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.move(
    text, bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    integer, boolean
)
TO arvo_operator;
--! end

--! function arvo_v1.next_fires
-- arvo_v1.next_fires(cron, time_zone, count, from, gap, overlap) — when a cron text would fire.
CREATE OR REPLACE FUNCTION arvo_v1.next_fires(
    p_cron text,
    p_time_zone text DEFAULT 'UTC',
    p_count integer DEFAULT 10,
    p_from timestamptz DEFAULT NULL,
    p_gap text DEFAULT NULL,
    p_overlap text DEFAULT NULL
)
RETURNS SETOF arvo_v1.fire
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $next_fires$
-- The first p_count fires after p_from, or after now: a preview that touches no schedule. Fewer when
-- there are no more within 48 years of each other.
--
--   Reads    arvo.clock, the server's time zones
--   Writes   nothing
--   Locks    nothing
--   Raises   RV006  an argument is not valid
DECLARE
    v_fields arvo.cron := arvo.cron_parse(p_cron);
    v_rules text[] := arvo.cron_rules(v_fields, p_gap, p_overlap);
    v_at timestamptz := coalesce(p_from, arvo.clock());
    v_local timestamp;
BEGIN
    PERFORM arvo.require_time_zone(p_time_zone);
    IF (p_count BETWEEN 0 AND 10000) IS NOT TRUE THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'count',
              DETAIL = format('count: %s', coalesce(p_count::text, 'null')),
              HINT = 'For count use 0 to 10000.';
    ELSIF v_at NOT BETWEEN '1900-01-01 00:00Z' AND '9900-01-01 00:00Z' THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'from',
              DETAIL = format('from: %s', p_from),
              HINT = 'For from use a time between the years 1900 and 9900.';
    END IF;
    FOR v_number IN 1 .. p_count LOOP
        v_at := arvo.cron_next(v_fields, p_time_zone, v_at, v_rules[1], v_rules[2]);
        EXIT WHEN v_at IS NULL;
        v_local := v_at AT TIME ZONE p_time_zone;
        RETURN NEXT (
            v_at,
            to_char(v_local, 'YYYY-MM-DD"T"HH24:MI:SS'),
            v_local - (v_at AT TIME ZONE 'UTC')
        )::arvo_v1.fire;
    END LOOP;
END;
$next_fires$;

COMMENT ON FUNCTION arvo_v1.next_fires(text, text, integer, timestamptz, text, text) IS
'When a cron text would fire next in a time zone: a preview.';

REVOKE ALL ON FUNCTION
arvo_v1.next_fires(text, text, integer, timestamptz, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.next_fires(text, text, integer, timestamptz, text, text)
TO arvo_client, arvo_worker, arvo_operator, arvo_monitor;
--! end

--! function arvo_v1.operations
-- arvo_v1.operations(queue, since, limit) — what operators did.
CREATE OR REPLACE FUNCTION arvo_v1.operations(
    p_queue text DEFAULT NULL,
    p_since timestamptz DEFAULT NULL,
    p_limit integer DEFAULT 100
)
RETURNS SETOF arvo_v1.operation
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $operations$
-- The newest first. p_queue is meant as it was given then, also a name that ends in *.
--
--   Reads    arvo.operation
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    operation.number,
    operation.at,
    operation.by,
    operation.verb,
    operation.queue,
    operation.details,
    operation.touched
FROM arvo.operation
WHERE (p_queue IS NULL OR operation.queue = p_queue)
AND (p_since IS NULL OR operation.at >= p_since)
ORDER BY operation.number DESC
LIMIT p_limit;
$operations$;

COMMENT ON FUNCTION arvo_v1.operations(text, timestamptz, integer) IS
'The audit of what operators did, newest first.';

REVOKE ALL ON FUNCTION arvo_v1.operations(text, timestamptz, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.operations(
    text, timestamptz, integer
) TO arvo_monitor, arvo_operator;
--! end

--! function arvo_v1.pause_queue
-- arvo_v1.pause_queue(queue) — claim nothing from a queue, until it is resumed.
CREATE OR REPLACE FUNCTION arvo_v1.pause_queue(p_queue text)
RETURNS SETOF arvo_v1.switched
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $pause_queue$
-- A name that ends in * stands for every queue that begins so. What is in hands is settled as ever;
-- dispatches go on. It waits for claims that are under way: once this has been committed, none hands
-- out anything any more. Ends a drain. One row for each queue; idempotent.
--
--   Reads    arvo.queue, arvo.lane, arvo.clock
--   Writes   arvo.queue, arvo.operation
--   Locks    all lanes of the queues, in order; then their arvo.queue rows
--   Raises   RV003  the queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV006  the name stands for queues with more than 512 lanes
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_switched arvo_v1.switched[];
BEGIN
    PERFORM arvo.require_read_committed('pause_queue');
    PERFORM arvo.require_home();
    PERFORM arvo.lock_lanes(arvo.lanes_named(p_queue));

    WITH named AS MATERIALIZED (
        SELECT queue.queue, queue.paused_at
        FROM arvo.queue
        WHERE queue.queue IN (SELECT named.queue FROM arvo.queues_named(p_queue) AS named)
        ORDER BY queue.name COLLATE "C"
        FOR NO KEY UPDATE
    ),

    paused AS (
        UPDATE arvo.queue
        SET paused_at = arvo.clock(), paused_by = session_user, drained_to = NULL
        FROM named
        WHERE queue.queue = named.queue AND named.paused_at IS NULL
        RETURNING queue.queue, queue.paused_at, queue.paused_by
    )

    SELECT array_agg(
        (
            queue.name,
            CASE WHEN paused.queue IS NULL THEN 'unchanged' ELSE 'paused' END,
            coalesce(paused.paused_at, queue.paused_at),
            coalesce(paused.paused_by, queue.paused_by),
            false,
            NULL
        )::arvo_v1.switched
        ORDER BY queue.name COLLATE "C"
    )
    INTO v_switched
    FROM named
    INNER JOIN arvo.queue ON queue.queue = named.queue
    LEFT JOIN paused ON paused.queue = named.queue;

    PERFORM arvo.note_operation(
        'pause_queue', p_queue, '{}',
        (SELECT count(*) FROM unnest(v_switched) AS done WHERE done.change <> 'unchanged')
    );
    RETURN QUERY SELECT done.* FROM unnest(v_switched) AS done;
END;
$pause_queue$;

COMMENT ON FUNCTION arvo_v1.pause_queue(text) IS
'Stops claims from a queue, or from all that begin alike, until they are resumed.';

REVOKE ALL ON FUNCTION arvo_v1.pause_queue(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.pause_queue(text) TO arvo_operator;
--! end

--! function arvo_v1.pause_schedule
-- arvo_v1.pause_schedule(name, key) — let schedules rest.
CREATE OR REPLACE FUNCTION arvo_v1.pause_schedule(p_name text, p_key text DEFAULT NULL)
RETURNS SETOF arvo_v1.schedule
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $pause_schedule$
-- The schedule of that name and key, or, without a key, all of that name. From the commit on they do
-- not fire until they are resumed; a fire that is being dispatched is waited for. One that is paused
-- already stays as it is. No rows when there is none.
--
--   Reads    arvo.schedule, arvo.clock
--   Writes   arvo.schedule, arvo.operation
--   Locks    arvo.schedule rows, by key
--   Raises   RV005  the transaction is not READ COMMITTED
DECLARE
    v_one arvo.schedule;
    v_change text;
    v_count bigint := 0::bigint;
BEGIN
    PERFORM arvo.require_read_committed('pause_schedule');
    FOR v_one IN
        SELECT known.*
        FROM arvo.schedule AS known
        WHERE known.name = p_name AND (p_key IS NULL OR known.key = p_key)
        ORDER BY known.key
        FOR NO KEY UPDATE
    LOOP
        v_change := 'unchanged';
        IF v_one.paused_at IS NULL THEN
            v_change := 'paused';
            v_count := v_count + 1;
            UPDATE arvo.schedule
            SET paused_at = arvo.clock(), paused_by = session_user, next_at = NULL
            WHERE schedule.schedule = v_one.schedule
            RETURNING schedule.* INTO v_one;
        END IF;
        RETURN NEXT arvo.schedule_row(v_one, v_change);
    END LOOP;
    PERFORM arvo.note_operation(
        'pause_schedule', NULL, jsonb_build_object('name', p_name, 'key', p_key), v_count
    );
END;
$pause_schedule$;

COMMENT ON FUNCTION arvo_v1.pause_schedule(text, text) IS
'Pauses the schedule of a name and key, or all of a name.';

REVOKE ALL ON FUNCTION arvo_v1.pause_schedule(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.pause_schedule(text, text) TO arvo_operator;
--! end

--! function arvo_v1.publish
-- arvo_v1.publish(event, options) — deliver an event to every queue that subscribes to its type.
CREATE OR REPLACE FUNCTION arvo_v1.publish(p_event jsonb, p_options jsonb DEFAULT NULL)
RETURNS SETOF arvo_v1.dispatched
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $publish$
-- One row for each copy, with an outcome of its own: each queue has its own policy, and its own
-- window for duplicates. The body is stored once. One row with the outcome "unheard", and no
-- delivery, when nobody subscribes: then nothing is stored. "to" and "domain" are not looked at. A
-- handler publishes by emitting an event whose "to" is arvo.publish.
--
--   Reads    as arvo.append
--   Writes   as arvo.append
--   Locks    as arvo.append
--   Raises   RV001  the event is not valid
--            RV002, RV201, RV902  as arvo.append
DECLARE
    v_fault text := arvo.event_fault(p_event);
BEGIN
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION 'event is not valid'
        USING ERRCODE = 'RV001',
              COLUMN = split_part(v_fault, ':', 1),
              DETAIL = v_fault,
              HINT = 'Correct the field and publish the event again. Nothing has been stored.';
    END IF;
    RETURN QUERY
    SELECT accepted.*
    FROM arvo.append(ARRAY[p_event], p_options, false, false, '{arvo.publish}') AS accepted;
END;
$publish$;

COMMENT ON FUNCTION arvo_v1.publish(jsonb, jsonb) IS
'Delivers an event to every queue that subscribes to its type; one row for each copy.';

REVOKE ALL ON FUNCTION arvo_v1.publish(jsonb, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.publish(jsonb, jsonb)
TO arvo_client, arvo_worker, arvo_operator;
--! end

--! function arvo_v1.purge_queue
-- arvo_v1.purge_queue(queue, limit, dry_run) — cancel everything in a queue that nobody holds.
CREATE OR REPLACE FUNCTION arvo_v1.purge_queue(
    p_queue text,
    p_limit integer DEFAULT 10000,
    p_dry_run boolean DEFAULT false
)
RETURNS SETOF arvo_v1.purged
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $purge_queue$
-- Four rows: what waits in the log, what waits in line behind others of its key, what is due later,
-- and what is leased, which is left alone. Everything is journalled as cancelled. At most p_limit a
-- call (NULL: all, in one transaction); while "kept" is NULL for one of them there may be more: call
-- again. Dead letters that lie in a dead-letter queue are discarded with it; those of a queue are
-- none of its deliveries. A dry run takes no lock.
--
--   Reads    arvo.queue; as arvo.census and arvo.empty_queue
--   Writes   as arvo.empty_queue; arvo.operation
--   Locks    as arvo.empty_queue
--   Raises   RV003  the queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV006  limit is not valid
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_queue arvo.queue;
    v_purged arvo_v1.purged[];
BEGIN
    PERFORM arvo.require_read_committed('purge_queue');
    PERFORM arvo.require_home();
    v_queue := arvo.known_queue(p_queue);
    IF p_limit < 1 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'limit',
              DETAIL = format('limit: %s', p_limit),
              HINT = 'Use 1 or more; NULL for everything.';
    END IF;
    IF p_dry_run THEN
        RETURN QUERY SELECT counted.* FROM arvo.would_empty(v_queue) AS counted;
        RETURN;
    END IF;

    v_purged := ARRAY(SELECT done FROM arvo.empty_queue(v_queue, p_limit) AS done);
    PERFORM arvo.note_operation(
        'purge_queue', p_queue, jsonb_build_object('limit', p_limit),
        (SELECT sum(done.removed)::bigint FROM unnest(v_purged) AS done)
    );
    RETURN QUERY SELECT done.* FROM unnest(v_purged) AS done;
END;
$purge_queue$;

COMMENT ON FUNCTION arvo_v1.purge_queue(text, integer, boolean) IS
'Cancels everything in a queue that is not leased; says how many, by place.';

REVOKE ALL ON FUNCTION arvo_v1.purge_queue(text, integer, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.purge_queue(text, integer, boolean) TO arvo_operator;
--! end

--! function arvo_v1.queue_stats
-- arvo_v1.queue_stats(queue) — live numbers of one queue, or of all.
CREATE OR REPLACE FUNCTION arvo_v1.queue_stats(p_queue text DEFAULT NULL)
RETURNS SETOF arvo_v1.queue_stats
LANGUAGE sql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $queue_stats$
-- Counts what is few and carries on the tallies of what is many, so it reads neither the backlog nor
-- history; see arvo.count_lane. Never an estimate: what stops at a bound says so in "exact". What has
-- been withdrawn does not wait. An empty queue has zeros; an unknown one has no row. Writes nothing,
-- so a standby answers, too.
--
--   Reads    arvo.queue, arvo.lane, arvo.lease, arvo.tally, arvo.tombstone, arvo.parked,
--            arvo.closure, arvo.dead, arvo.clock; as arvo.count_lane and arvo.pace_of
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    queue.name,
    queue.registered,
    queue.retry_limit,
    queue.retry_delay,
    queue.retry_backoff,
    queue.retry_delay_max,
    queue.expire_in,
    queue.dead_letter,
    queue.warning_queue_size,
    counted.deferred,
    counted.unread - withdrawn.unread,
    running.deliveries,
    died.letters,
    counted.oldest_at,
    queue.created_at,
    queue.changed_at,
    queue.policy,
    queue.retention,
    queue.delete_after,
    counted.parked - withdrawn.parked,
    counted.kept + counted.deferred,
    died.letters <= 10000 AND withdrawn.exact,
    CASE WHEN queue.policy IN ('singleton', 'stately') THEN running.keys END,
    queue.paused_at,
    queue.drained_to IS NOT NULL,
    arvo.clock() - counted.oldest_at,
    pace.completed_per_minute,
    pace.failed_per_minute,
    pace.wait_mean,
    pace.wait_p95,
    pace.run_mean,
    pace.run_p95
FROM arvo.queue
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(figures.unread), 0)::bigint AS unread,
        min(figures.oldest_at) AS oldest_at,
        coalesce(sum(figures.parked), 0)::bigint AS parked,
        coalesce(sum(figures.deferred), 0)::bigint AS deferred,
        coalesce(sum(figures.kept), 0)::bigint AS kept
    FROM arvo.lane
    CROSS JOIN LATERAL (
        SELECT newest AS lease
        FROM arvo.lease AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS head
    LEFT JOIN LATERAL (
        SELECT newest AS tally
        FROM arvo.tally AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS last ON true
    CROSS JOIN LATERAL arvo.count_lane(head.lease, last.tally) AS figures
    WHERE lane.queue = queue.queue
) AS counted
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE gone.place IS NULL) AS unread,
        count(*) FILTER (WHERE gone.place IS NOT NULL) AS parked,
        count(*) <= 10000 AS exact
    FROM (
        SELECT parked.place
        FROM arvo.lane
        INNER JOIN arvo.tombstone ON tombstone.lane = lane.lane
        LEFT JOIN arvo.parked ON parked.delivery = tombstone.delivery
        WHERE lane.queue = queue.queue
        LIMIT 10001
    ) AS gone
) AS withdrawn
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(open.deliveries), 0)::bigint AS deliveries,
        count(DISTINCT open.key) AS keys
    FROM arvo.lane
    CROSS JOIN LATERAL (
        SELECT newest.open_from
        FROM arvo.lease AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS head
    INNER JOIN arvo.lease AS held
        ON held.lane = lane.lane AND held.number >= head.open_from AND held.token <> 0
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(
            CASE
                WHEN NOT held.carried THEN cardinality(closure.deliveries)
                ELSE (
                    SELECT count(*)
                    FROM unnest(closure.deliveries) AS gone (delivery)
                    WHERE gone.delivery = ANY (held.deliveries)
                )
            END
        ), 0) AS deliveries
        FROM arvo.closure
        WHERE closure.token = held.token
    ) AS closed
    CROSS JOIN LATERAL (
        SELECT cardinality(held.deliveries) - closed.deliveries AS deliveries, NULL::bigint AS key
        WHERE queue.policy NOT IN ('singleton', 'stately') OR held.keys IS NULL
        UNION ALL
        SELECT 1, held.keys[array_position(held.deliveries, still.delivery)]
        FROM unnest(arvo.open_deliveries(held.token, held.deliveries)) AS still (delivery)
        WHERE queue.policy IN ('singleton', 'stately') AND held.keys IS NOT NULL
    ) AS open
    WHERE lane.queue = queue.queue
    AND closed.deliveries < cardinality(held.deliveries)
    AND NOT EXISTS (
        SELECT
        FROM arvo.lease AS newer
        WHERE newer.token = held.token AND newer.number > held.number
    )
) AS running
CROSS JOIN LATERAL (
    SELECT count(*) AS letters
    FROM (
        SELECT
        FROM arvo.dead
        WHERE dead.queue = queue.name AND dead.resolution IS NULL
        LIMIT 10001
    ) AS open
) AS died
CROSS JOIN LATERAL arvo.pace_of(queue.queue) AS pace
WHERE p_queue IS NULL OR queue.name = p_queue
ORDER BY queue.name COLLATE "C";
$queue_stats$;

COMMENT ON FUNCTION arvo_v1.queue_stats(text) IS
'Live numbers of one queue, or of all queues when none is named.';

REVOKE ALL ON FUNCTION arvo_v1.queue_stats(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.queue_stats(text) TO arvo_worker, arvo_monitor, arvo_operator;
--! end

--! function arvo_v1.rebase
-- arvo_v1.rebase(dry_run) — take over a restored dump: make its transaction numbers meaningful here.
CREATE OR REPLACE FUNCTION arvo_v1.rebase(p_dry_run boolean DEFAULT false)
RETURNS arvo_v1.rebased
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET work_mem = '64MB'
AS $rebase$
-- To be called once, after a dump was restored; until then dispatches and claims are refused, so
-- nobody is in its way. Answers one row. outcome home: nothing was to be done. accepted: this cluster
-- is past all stored numbers, so they can stay as they are; leases lapse by themselves. rebased: every
-- lane has a new one in its place, and what was live stands in it, in order and under the same
-- delivery numbers; what was leased counts as expired. The old rows stay as history. Fencing tokens go on from far above those that
-- the original may have given since. A dry run answers what would be done and changes nothing.
--
--   Reads    as arvo.whereabouts
--   Writes   arvo.origin, arvo.operation, arvo.tombstone, arvo.queue, arvo.event_key_generation; as
--            arvo.retire_lanes, arvo.rebase_leased, arvo.rebase_parked, arvo.rebase_queued,
--            arvo.rebase_deferred, arvo.close_lanes
--   Locks    arvo.origin, against other moves; arvo.lane, against queues being made
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV901  as arvo.rebase_leased
DECLARE
    v_whereabouts text;
    v_done arvo_v1.rebased := ('home', 0::bigint, 0::bigint, 0::bigint, 0::bigint);
    v_own bigint;
    v_drained bigint[];
    v_queued bigint[];
BEGIN
    PERFORM arvo.require_read_committed('rebase');
    LOCK TABLE arvo.origin, arvo.lane IN SHARE ROW EXCLUSIVE MODE;
    v_whereabouts := arvo.whereabouts();
    IF v_whereabouts = 'home' THEN
        RETURN v_done;
    END IF;
    v_done.outcome := CASE WHEN v_whereabouts = 'foreign' THEN 'rebased' ELSE 'accepted' END;

    BEGIN
        IF v_done.outcome = 'rebased' THEN
            v_own := nextval('arvo.delivery_number'::regclass);
            v_done.parked := (SELECT count(*) FROM arvo.parked);
            v_done.leased := arvo.rebase_leased();
            PERFORM arvo.retire_lanes();
            PERFORM arvo.rebase_parked();
            v_drained := arvo.rebase_queued(v_own, true, 3);
            v_queued := arvo.rebase_queued(v_own, false, v_drained[2]);
            v_done.queued := v_drained[1] + v_queued[1];
            v_done.deferred := arvo.rebase_deferred(v_own);

            UPDATE arvo.tombstone
            SET lane = lane.successor
            FROM arvo.lane
            WHERE lane.lane = tombstone.lane AND lane.retired;
            UPDATE arvo.queue
            SET drained_to = format('%1$s:%1$s:', v_drained[2])::pg_snapshot
            WHERE queue.drained_to IS NOT NULL;
            UPDATE arvo.event_key_generation SET horizon = '0';
            DELETE FROM arvo.tally;
            PERFORM arvo.close_lanes();
            PERFORM arvo.pass_numbers(v_queued[2]);
        END IF;
        IF p_dry_run THEN
            RAISE EXCEPTION 'only looked' USING ERRCODE = 'RV901';
        END IF;
    EXCEPTION
        WHEN SQLSTATE 'RV901' THEN
            IF SQLERRM <> 'only looked' THEN
                RAISE;
            END IF;
            RETURN v_done;
    END;

    PERFORM setval('arvo.lease_number'::regclass, nextval('arvo.lease_number'::regclass) + 1000000000);
    PERFORM setval('arvo.lock_token'::regclass, nextval('arvo.lock_token'::regclass) + 1000000000);
    INSERT INTO arvo.origin (system_identifier, relation)
    SELECT control.system_identifier, 'arvo.origin'::regclass::oid
    FROM pg_control_system() AS control;
    PERFORM arvo.note_operation(
        'rebase', NULL, to_jsonb(v_done),
        v_done.leased + v_done.parked + v_done.queued + v_done.deferred
    );
    PERFORM arvo.wake(array_agg(queue.name)) FROM arvo.queue;
    RETURN v_done;
END;
$rebase$;

COMMENT ON FUNCTION arvo_v1.rebase(boolean) IS
'After a dump was restored into another cluster: takes over what waits here, once; says what it did.';

REVOKE ALL ON FUNCTION arvo_v1.rebase(boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.rebase(boolean) TO arvo_operator;
--! end

--! function arvo_v1.recreate_queue
-- arvo_v1.recreate_queue(queue, dry_run) — empty a queue and put its options back to their defaults.
CREATE OR REPLACE FUNCTION arvo_v1.recreate_queue(
    p_queue text,
    p_dry_run boolean DEFAULT false
)
RETURNS SETOF arvo_v1.purged
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $recreate_queue$
-- As purge_queue of everything, in one transaction; it stays registered, neither paused nor draining.
-- What is leased is left alone, and the row of the leased says how many those are: their results count.
--
--   Reads    arvo.queue; as arvo.census and arvo.empty_queue
--   Writes   as arvo.empty_queue and arvo.reset_queue; arvo.operation
--   Locks    as arvo.empty_queue; then as arvo.reset_queue
--   Raises   RV003  the queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_queue arvo.queue;
    v_purged arvo_v1.purged[];
BEGIN
    PERFORM arvo.require_read_committed('recreate_queue');
    PERFORM arvo.require_home();
    v_queue := arvo.known_queue(p_queue);
    IF p_dry_run THEN
        RETURN QUERY SELECT counted.* FROM arvo.would_empty(v_queue) AS counted;
        RETURN;
    END IF;

    v_purged := ARRAY(SELECT done FROM arvo.empty_queue(v_queue, NULL) AS done);
    PERFORM arvo.reset_queue(v_queue, v_queue.registered);
    PERFORM arvo.note_operation(
        'recreate_queue', p_queue, '{}',
        (SELECT sum(done.removed)::bigint FROM unnest(v_purged) AS done)
    );
    PERFORM arvo.wake(ARRAY[v_queue.name]);
    RETURN QUERY SELECT done.* FROM unnest(v_purged) AS done;
END;
$recreate_queue$;

COMMENT ON FUNCTION arvo_v1.recreate_queue(text, boolean) IS
'Cancels what is not leased and sets the options back; says how many, by place.';

REVOKE ALL ON FUNCTION arvo_v1.recreate_queue(text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.recreate_queue(text, boolean) TO arvo_operator;
--! end

DROP FUNCTION arvo_v1.redrive(text, bigint[], integer, boolean);
--! function arvo_v1.redrive
-- arvo_v1.redrive(queue, dead, limit, dry_run, …) — put dead letters back into a queue.
CREATE OR REPLACE FUNCTION arvo_v1.redrive(
    p_queue text DEFAULT NULL,
    p_dead bigint[] DEFAULT NULL,
    p_limit integer DEFAULT 100,
    p_dry_run boolean DEFAULT false,
    p_reason text DEFAULT NULL,
    p_since timestamptz DEFAULT NULL,
    p_before timestamptz DEFAULT NULL,
    p_event_type text DEFAULT NULL,
    p_subject text DEFAULT NULL,
    p_path jsonpath DEFAULT NULL,
    p_text text DEFAULT NULL,
    p_rate double precision DEFAULT NULL,
    p_edit jsonb DEFAULT NULL,
    p_data jsonb DEFAULT NULL,
    p_to text DEFAULT NULL,
    p_force boolean DEFAULT false
)
RETURNS SETOF arvo_v1.redriven
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $redrive$
-- Filters as in dead_letters, of which one at least is given; oldest first, p_limit at most. The
-- event starts again with attempt 1: in the queue it failed in, or in p_to; in an ordered queue at
-- the end of the line of its key. Neither deduplication nor a queue's throttle or places of
-- short, stately and exclusive stand in its way. Its delivery in the dead-letter queue is withdrawn;
-- one that a consumer of that queue has in its hands, or has put off, is left alone.
--
--   p_rate   so many per second: the first at once, each other one due later than the one before
--   p_edit   a merge patch (RFC 7396) of the event; p_data then replaces its data. The original
--            stays in the dead letter, the edited event is kept beside it
--   p_force  also what was redriven as often as its queue allows (max_redrives)
--
-- What is refused stays open and does not count: at most p_limit refusals are told. RV001: the
-- edited event is not valid. RV102: redriven too often. RV103, told of letters named by number:
-- somebody has it in hand. A dry run answers what would be done.
--
--   Reads    arvo.dead, arvo.queue, arvo.clock, arvo.slot; as arvo.grasp_dead
--   Writes   arvo.dead, arvo.tombstone, arvo.log or arvo.deferred, arvo.operation; arvo.queue,
--            arvo.lane when they are missing
--   Locks    as arvo.grasp_dead; as arvo.lane_for
--   Raises   RV003  nobody has named the queue p_to
--            RV005  the transaction is not READ COMMITTED
--            RV006  no filter is given; limit, reason, rate, edit or data break their rules
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_now timestamptz := arvo.clock();
    v_slot smallint := arvo.slot();
    v_filter arvo.dead_filter;
    v_after bigint := 0::bigint;
    v_first boolean := true;
    v_size integer := least(p_limit, 1000);
    v_page bigint[];
    v_free bigint[];
    v_dead arvo.dead;
    v_edited jsonb;
    v_code text;
    v_detail text;
    v_most integer;
    v_queue text;
    v_target arvo.queue;
    v_kind text;
    v_taken bigint;
    v_lane integer;
    v_key bigint;
    v_delivery bigint;
    v_due timestamptz;
    v_cause jsonb;
    v_done integer := 0;
    v_refused integer := 0;
    v_woken text[] := '{}'::text[];
BEGIN
    PERFORM arvo.require_read_committed('redrive');
    PERFORM arvo.require_home();
    v_filter := arvo.read_dead_filter(
        p_dead, p_queue, p_reason, p_since, p_before, p_event_type, p_subject, p_path, p_text,
        p_limit, true
    );
    IF p_rate NOT BETWEEN 0.001 AND 1000000 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'rate',
              DETAIL = format('rate: %s', p_rate),
              HINT = 'Use 0.001 to 1000000 per second.';
    END IF;
    IF jsonb_typeof(p_edit) <> 'object' OR p_edit ?| ARRAY['id', 'source', 'subject'] THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'edit',
              DETAIL = format('edit: %s', left(p_edit::text, 80)),
              HINT = 'Give a JSON object that leaves id, source and subject alone.';
    END IF;
    IF jsonb_typeof(p_data) <> 'object' THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'data',
              DETAIL = format('data: %s', left(p_data::text, 80)),
              HINT = 'Give a JSON object.';
    END IF;
    IF p_to IS NOT NULL AND NOT EXISTS (SELECT FROM arvo.queue WHERE queue.name = p_to) THEN
        RAISE EXCEPTION 'queue is not known'
        USING ERRCODE = 'RV003',
              COLUMN = 'to',
              DETAIL = format('queue %s', left(to_json(p_to)::text, 80)),
              HINT = 'Register the queue, or redrive into the queues they failed in.';
    END IF;

    WHILE v_done < p_limit LOOP
        v_page := ARRAY(
            SELECT found.dead
            FROM arvo.find_dead(v_filter, v_after, v_size, false) AS found
            ORDER BY found.dead
        );
        EXIT WHEN v_page = '{}';
        v_free := arvo.grasp_dead(v_page, v_first);

        FOR v_dead IN
            SELECT dead.*
            FROM arvo.dead
            WHERE dead.dead = ANY (v_page)
            ORDER BY dead.dead
        LOOP
            EXIT WHEN v_done >= p_limit;
            v_code := NULL;
            v_detail := NULL;
            v_edited := NULL;
            v_queue := coalesce(p_to, v_dead.queue);
            IF v_dead.dead <> ALL (v_free) THEN
                CONTINUE WHEN p_dead IS NULL OR v_dead.resolution IS NOT NULL;
                v_code := 'RV103';
                v_detail := CASE
                    WHEN v_dead.dead_letter IS NULL THEN 'another operator has it'
                    ELSE format('a consumer of %s, or another operator, has it', v_dead.dead_letter)
                END;
            ELSE
                SELECT queue.max_redrives INTO v_most
                FROM arvo.queue
                WHERE queue.name = v_dead.queue;
                IF v_dead.redrives >= v_most AND p_force IS NOT TRUE THEN
                    v_code := 'RV102';
                    v_detail := format(
                        'redriven %s times, max_redrives is %s', v_dead.redrives, v_most
                    );
                ELSIF num_nonnulls(p_edit, p_data) > 0 THEN
                    v_edited := v_dead.event;
                    IF p_edit IS NOT NULL THEN
                        v_edited := arvo.merge_patch(v_edited, p_edit);
                    END IF;
                    IF p_data IS NOT NULL THEN
                        v_edited := v_edited || jsonb_build_object('data', p_data);
                    END IF;
                    v_edited := nullif(v_edited, v_dead.event);
                    v_detail := CASE
                        WHEN v_edited IS NOT NULL THEN arvo.event_fault(v_edited)
                    END;
                    v_code := CASE WHEN v_detail IS NOT NULL THEN 'RV001' END;
                END IF;
            END IF;
            IF v_code IS NULL THEN
                SELECT queue.* INTO v_target
                FROM arvo.queue
                WHERE queue.name = v_queue;
                -- A key that was given stays within its queue; one that was read is read again.
                v_key := CASE
                    WHEN v_queue = v_dead.queue
                        AND v_dead.key <> coalesce(arvo.key_in(v_dead.event, v_target.key_from), 0)
                        THEN v_dead.key
                    ELSE arvo.key_in(coalesce(v_edited, v_dead.event), v_target.key_from)
                END;
                v_delivery := nextval('arvo.delivery_number'::regclass);
                IF v_target.slotted THEN
                    v_kind := CASE WHEN v_target.policy = 'exclusive' THEN 'any' ELSE 'queued' END;
                    v_taken := CASE
                        WHEN p_dry_run
                            THEN arvo.place_holder(v_target.queue, v_kind, coalesce(v_key, 1))
                        ELSE arvo.take_place(
                            v_target.queue, v_kind, coalesce(v_key, 1), v_delivery
                        )
                    END;
                    IF v_taken IS NOT NULL THEN
                        v_code := 'RV104';
                        v_detail := format('delivery %s has the place of its key', v_taken);
                    END IF;
                END IF;
            END IF;
            IF v_code IS NOT NULL THEN
                v_refused := v_refused + 1;
                IF v_refused <= p_limit THEN
                    RETURN NEXT (
                        v_dead.dead, v_dead.event_id, NULL, v_queue, 'refused', v_code, v_detail,
                        NULL
                    )::arvo_v1.redriven;
                END IF;
                CONTINUE;
            END IF;

            IF p_dry_run THEN
                v_delivery := NULL;
            END IF;
            v_due := CASE
                WHEN v_done > 0 THEN v_now + make_interval(secs => v_done / p_rate)
            END;
            v_done := v_done + 1;
            IF NOT p_dry_run THEN
                IF v_dead.dead_letter_lane IS NOT NULL THEN
                    INSERT INTO arvo.tombstone (lane, delivery, at, by)
                    VALUES (
                        v_dead.dead_letter_lane, v_dead.dead_letter_delivery, v_now, session_user
                    )
                    ON CONFLICT DO NOTHING;
                END IF;
                UPDATE arvo.dead
                SET resolution = 'redriven', resolved_at = v_now, resolved_by = session_user,
                    edited = v_edited
                WHERE dead.dead = v_dead.dead;

                v_lane := arvo.lane_for(v_queue);
                v_cause := jsonb_build_object(
                    'outcome', 'redriven',
                    'dead', v_dead.dead,
                    'delivery', v_dead.delivery,
                    'error', v_dead.error,
                    'redrives', v_dead.redrives + 1
                );
                IF v_edited IS NOT NULL THEN
                    v_cause := v_cause || '{"edited": true}';
                END IF;
                IF v_due IS NULL THEN
                    INSERT INTO arvo.log (
                        slot, lane, delivery, attempt, at, subject_key, event_key, key, options,
                        event, cause
                    )
                    VALUES (
                        v_slot, v_lane, v_delivery, 1, v_now, v_dead.subject_key, v_dead.event_key,
                        v_key, v_dead.options,
                        coalesce(v_edited, v_dead.event), v_cause
                    );
                ELSE
                    INSERT INTO arvo.deferred (
                        due, lane, delivery, attempt, at, subject_key, event_key, key, options,
                        event, cause
                    )
                    VALUES (
                        v_due, v_lane, v_delivery, 1, v_now, v_dead.subject_key, v_dead.event_key,
                        v_key, v_dead.options,
                        coalesce(v_edited, v_dead.event), v_cause
                    );
                END IF;
                IF v_queue <> ALL (v_woken) THEN
                    v_woken := v_woken || v_queue;
                END IF;
            END IF;
            RETURN NEXT (
                v_dead.dead, v_dead.event_id, v_delivery, v_queue, 'redriven', NULL, NULL, v_due
            )::arvo_v1.redriven;
        END LOOP;

        EXIT WHEN cardinality(v_page) < v_size;
        v_after := v_page[v_size];
        v_first := false;
        v_size := least(greatest(p_limit - v_done, 100), 1000);
    END LOOP;

    IF NOT p_dry_run THEN
        PERFORM arvo.wake(v_woken);
        PERFORM arvo.note_operation(
            'redrive',
            p_queue,
            jsonb_build_object(
                'dead', p_dead,
                'limit', p_limit,
                'reason', p_reason,
                'since', p_since,
                'before', p_before,
                'event_type', p_event_type,
                'subject', p_subject,
                'path', p_path::text,
                'text', p_text,
                'rate', p_rate,
                -- as text: a null in them means something
                'edit', p_edit::text,
                'data', p_data::text,
                'to', p_to,
                'force', nullif(p_force, false),
                'refused', nullif(v_refused, 0)
            ),
            v_done
        );
    END IF;
END;
$redrive$;

COMMENT ON FUNCTION
arvo_v1.redrive(
    text, bigint[], integer, boolean, text, timestamptz, timestamptz, text, text, jsonpath, text,
    double precision, jsonb, jsonb, text, boolean
) IS
'Puts dead letters back into the queues they failed in or another; edited, spread if so asked.';

REVOKE ALL ON FUNCTION
arvo_v1.redrive(
    text, bigint[], integer, boolean, text, timestamptz, timestamptz, text, text, jsonpath, text,
    double precision, jsonb, jsonb, text, boolean
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
arvo_v1.redrive(
    text, bigint[], integer, boolean, text, timestamptz, timestamptz, text, text, jsonpath, text,
    double precision, jsonb, jsonb, text, boolean
) TO arvo_operator;
--! end

DROP FUNCTION arvo_v1.register_queue(text, boolean, integer, integer, interval, boolean, interval, interval, text, integer);
--! function arvo_v1.register_queue
-- arvo_v1.register_queue(queue, options…) — create or update a queue, idempotently.
CREATE OR REPLACE FUNCTION arvo_v1.register_queue(
    p_queue text,
    p_stateful boolean DEFAULT NULL,
    p_priority integer DEFAULT NULL,
    p_retry_limit integer DEFAULT NULL,
    p_retry_delay interval DEFAULT NULL,
    p_retry_backoff boolean DEFAULT NULL,
    p_retry_delay_max interval DEFAULT NULL,
    p_expire_in interval DEFAULT NULL,
    p_dead_letter text DEFAULT NULL,
    p_warning_queue_size integer DEFAULT NULL,
    p_policy text DEFAULT NULL,
    p_key_from text DEFAULT NULL,
    p_on_failure text DEFAULT NULL,
    p_start_after interval DEFAULT NULL,
    p_retention interval DEFAULT NULL,
    p_delete_after interval DEFAULT NULL,
    p_deduplicate_for interval DEFAULT NULL,
    p_singleton_for interval DEFAULT NULL,
    p_singleton_next_slot boolean DEFAULT NULL,
    p_max_active integer DEFAULT NULL,
    p_key_max_active integer DEFAULT NULL,
    p_rate_limit integer DEFAULT NULL,
    p_rate_period interval DEFAULT NULL,
    p_key_rate_limit integer DEFAULT NULL,
    p_key_rate_period interval DEFAULT NULL,
    p_max_redrives integer DEFAULT NULL,
    p_error_rules jsonb DEFAULT NULL,
    p_reset text[] DEFAULT '{}',
    p_worker text DEFAULT NULL
)
RETURNS arvo_v1.queue
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $register_queue$
-- An option left NULL stays as it is, or takes its default in a new queue; one that p_reset names
-- goes back to its default. A stateful queue is ordered from its first registration, unless a policy
-- is named. The answer's "change" says what this call did: created, unchanged, or the options that
-- changed ("registered" is among them when events were already waiting under that name). A
-- dead-letter queue that does not exist is made. Events that arrived before the registration are
-- delivered from now on. When the policy changes, or the first limit comes or the last one goes, what
-- stood in line is delivered again, under the new rules. p_worker names the process: what it asked for is kept beside the queue.
--
--   Reads    arvo.clock
--   Writes   arvo.queue, arvo.lane, arvo.registration; as arvo.rebuild_turns
--   Locks    as arvo.hold_queue when there are new rules; arvo.queue row
--   Raises   RV002  an option is not valid
--            RV005  there are new rules, and the transaction is not READ COMMITTED
--            RV101  somebody else has changed the rules at this moment
--            RV902  there are new rules, and the stored transaction numbers are of another cluster
DECLARE
    v_now timestamptz := arvo.clock();
    v_known boolean;
    v_asked jsonb;
    v_before arvo.queue;
    v_after arvo.queue;
    v_fault text;
    v_change text;
    v_held boolean;
BEGIN
    v_asked := jsonb_strip_nulls(jsonb_build_object(
        'stateful', p_stateful, 'priority', p_priority, 'retry_limit', p_retry_limit,
        'retry_delay', p_retry_delay, 'retry_backoff', p_retry_backoff,
        'retry_delay_max', p_retry_delay_max, 'expire_in', p_expire_in,
        'dead_letter', p_dead_letter, 'warning_queue_size', p_warning_queue_size,
        'policy', p_policy, 'key_from', p_key_from, 'on_failure', p_on_failure,
        'start_after', p_start_after, 'retention', p_retention, 'delete_after', p_delete_after,
        'deduplicate_for', p_deduplicate_for, 'singleton_for', p_singleton_for,
        'singleton_next_slot', p_singleton_next_slot, 'max_active', p_max_active,
        'key_max_active', p_key_max_active, 'rate_limit', p_rate_limit,
        'rate_period', p_rate_period, 'key_rate_limit', p_key_rate_limit,
        'key_rate_period', p_key_rate_period, 'max_redrives', p_max_redrives
    )) || CASE
        WHEN p_error_rules IS NULL THEN '{}'::jsonb
        ELSE jsonb_build_object('error_rules', p_error_rules)
    END;
    v_before.name := p_queue;
    v_after := arvo.with_options(v_before, v_asked, p_reset);
    IF NOT arvo.is_queue_name(p_queue) OR p_dead_letter = p_queue
        OR NOT arvo.is_queue_name(coalesce(p_dead_letter, 'none'))
    THEN
        v_fault := arvo.option_fault(v_after);
    ELSE
        v_known := EXISTS (SELECT FROM arvo.queue WHERE queue.name = p_queue);
        -- Asked before anything is made: a refusal leaves no queue behind.
        SELECT queue.* INTO v_before FROM arvo.queue WHERE queue.name = p_queue;
        v_before.name := p_queue;
        v_after := arvo.with_options(v_before, v_asked, p_reset);
        v_fault := arvo.option_fault(v_after);
        IF v_fault IS NULL AND v_known AND v_after.policy = 'ordered' AND v_before.registered
            AND v_after.priority <> v_before.priority
        THEN
            v_fault := 'priority: an ordered queue keeps the priority that it has';
        END IF;
    END IF;
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION 'option is not valid'
        USING ERRCODE = 'RV002',
              COLUMN = split_part(v_fault, ':', 1),
              DETAIL = format('option %s of queue %s', split_part(v_fault, ':', 1),
                              left(to_json(p_queue)::text, 80)),
              HINT = format('For %s', v_fault);
    END IF;

    PERFORM arvo.lane_for(p_queue);
    IF v_after.dead_letter IS NOT NULL THEN
        PERFORM arvo.lane_for(v_after.dead_letter);
    END IF;

    SELECT queue.* INTO STRICT v_before FROM arvo.queue WHERE queue.name = p_queue;
    v_held := arvo.has_new_rules(v_before, arvo.with_options(v_before, v_asked, p_reset));
    IF v_held THEN
        PERFORM arvo.require_read_committed('register_queue');
        PERFORM arvo.require_home();
        PERFORM arvo.hold_queue(v_before.queue);
    END IF;
    SELECT queue.* INTO STRICT v_before
    FROM arvo.queue
    WHERE queue.name = p_queue
    FOR NO KEY UPDATE;
    v_after := arvo.with_options(v_before, v_asked, p_reset);
    IF NOT v_held AND arvo.has_new_rules(v_before, v_after) THEN
        RAISE EXCEPTION 'version mismatch: the queue has other rules now'
        USING ERRCODE = 'RV101',
              COLUMN = 'policy',
              DETAIL = format('queue %s', left(to_json(p_queue)::text, 80)),
              HINT = 'Somebody registered it at the same moment: register it again.';
    END IF;

    UPDATE arvo.queue
    SET registered = true,
        stateful = v_after.stateful,
        priority = v_after.priority,
        retry_limit = v_after.retry_limit,
        retry_delay = v_after.retry_delay,
        retry_backoff = v_after.retry_backoff,
        retry_delay_max = v_after.retry_delay_max,
        expire_in = v_after.expire_in,
        dead_letter = v_after.dead_letter,
        warning_queue_size = v_after.warning_queue_size,
        policy = v_after.policy,
        key_from = v_after.key_from,
        on_failure = v_after.on_failure,
        start_after = v_after.start_after,
        retention = v_after.retention,
        delete_after = v_after.delete_after,
        deduplicate_for = v_after.deduplicate_for,
        singleton_for = v_after.singleton_for,
        singleton_next_slot = v_after.singleton_next_slot,
        max_active = v_after.max_active,
        key_max_active = v_after.key_max_active,
        rate_limit = v_after.rate_limit,
        rate_period = v_after.rate_period,
        key_rate_limit = v_after.key_rate_limit,
        key_rate_period = v_after.key_rate_period,
        max_redrives = v_after.max_redrives,
        error_rules = v_after.error_rules
    WHERE queue.queue = v_before.queue
    RETURNING queue.* INTO v_after;
    PERFORM arvo.lane_for(p_queue);
    IF arvo.has_new_rules(v_before, v_after) THEN
        PERFORM arvo.rebuild_turns(v_after);
    END IF;

    SELECT string_agg(was.key, ', ' ORDER BY was.key) INTO v_change
    FROM jsonb_each(to_jsonb(v_before) - 'gated' - 'slotted') AS was
    INNER JOIN jsonb_each(to_jsonb(v_after)) AS now ON now.key = was.key
    WHERE was.value IS DISTINCT FROM now.value;
    v_change := CASE WHEN v_known THEN coalesce(v_change, 'unchanged') ELSE 'created' END;
    IF v_change <> 'unchanged' THEN
        UPDATE arvo.queue SET changed_at = v_now WHERE queue.queue = v_before.queue;
        PERFORM arvo.wake(ARRAY[p_queue]);
    END IF;
    IF p_worker IS NOT NULL THEN
        INSERT INTO arvo.registration (queue, worker, options, at)
        VALUES (p_queue, left(p_worker, 200), v_asked, v_now)
        ON CONFLICT (queue, worker) DO UPDATE
        SET options = excluded.options, at = excluded.at;
    END IF;
    RETURN arvo.shown(v_after, v_change);
END;
$register_queue$;

COMMENT ON FUNCTION arvo_v1.register_queue(
    text, boolean, integer, integer, interval, boolean, interval, interval, text, integer, text,
    text, text, interval, interval, interval, interval, interval, boolean, integer, integer,
    integer, interval, integer, interval, integer, jsonb, text[], text
) IS
'Creates or updates a queue, idempotently; an option left NULL stays as it is. Says what changed.';

REVOKE ALL ON FUNCTION arvo_v1.register_queue(
    text, boolean, integer, integer, interval, boolean, interval, interval, text, integer, text,
    text, text, interval, interval, interval, interval, interval, boolean, integer, integer,
    integer, interval, integer, interval, integer, jsonb, text[], text
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.register_queue(
    text, boolean, integer, integer, interval, boolean, interval, interval, text, integer, text,
    text, text, interval, interval, interval, interval, interval, boolean, integer, integer,
    integer, interval, integer, interval, integer, jsonb, text[], text
) TO arvo_worker, arvo_operator;
--! end

--! function arvo_v1.replay
-- arvo_v1.replay(event_id, source, delivery, queue) — dispatch a stored event again, as a new one.
CREATE OR REPLACE FUNCTION arvo_v1.replay(
    p_event_id text,
    p_source text DEFAULT NULL,
    p_delivery bigint DEFAULT NULL,
    p_queue text DEFAULT NULL
)
RETURNS arvo_v1.dispatched
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $replay$
-- The event is as it was stored last (edited, if a redrive edited it), or as p_delivery carried it,
-- but for its id: that is new, so nothing takes it for the old one. It goes to the queue that it was
-- delivered to, or to p_queue; whatever became of the old event stays as it is. The cause of the new
-- delivery names the old event and its delivery. Neither deduplication nor a queue's throttle or
-- places of short, stately and exclusive stand in its way.
--
--   Reads    arvo.log, arvo.deferred and arvo.dead by event, arvo.lane, arvo.queue, arvo.clock,
--            arvo.slot
--   Writes   arvo.log, arvo.operation; as arvo.notice_unroutable
--   Locks    as arvo.lane_for
--   Raises   RV001  the event breaks a rule that it did not break then
--            RV003  nobody has named the queue p_queue
--            RV004  no such event is stored, or not any more
--            RV006  several sources used that id, or it went to several queues: say which
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_now timestamptz := arvo.clock();
    v_found record;
    v_event jsonb;
    v_fault text;
    v_name text;
    v_lane integer;
    v_key bigint;
    v_target arvo.queue;
    v_taken bigint;
    v_dispatched arvo_v1.dispatched;
BEGIN
    PERFORM arvo.require_home();
    IF p_queue IS NOT NULL AND NOT EXISTS (
        SELECT FROM arvo.queue WHERE queue.name = p_queue
    ) THEN
        RAISE EXCEPTION 'queue is not known'
        USING ERRCODE = 'RV003',
              COLUMN = 'queue',
              DETAIL = format('queue %s', left(to_json(p_queue)::text, 80)),
              HINT = 'Register the queue, or replay into the one that the event was delivered to.';
    END IF;

    WITH stored AS MATERIALIZED (
        SELECT
            log.delivery,
            arvo.event_of(log) AS event,
            queue.name AS queue,
            log.cause,
            log.key,
            log.options
        FROM arvo.log
        INNER JOIN arvo.lane ON lane.lane = log.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        WHERE log.event_key = hashtextextended(p_event_id, 0)
        UNION ALL
        SELECT
            deferred.delivery,
            coalesce(deferred.event, (
                SELECT origin.event
                FROM arvo.log AS origin
                WHERE origin.lane = deferred.origin_lane
                AND origin.xid = deferred.origin_xid
                AND origin.delivery = deferred.origin_delivery
            )),
            queue.name,
            deferred.cause,
            deferred.key,
            deferred.options
        FROM arvo.deferred
        INNER JOIN arvo.lane ON lane.lane = deferred.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        WHERE deferred.event_key = hashtextextended(p_event_id, 0)
        UNION ALL
        SELECT dead.delivery, dead.event, dead.queue, NULL, dead.key, dead.options
        FROM arvo.dead
        WHERE dead.event_key = hashtextextended(p_event_id, 0)
    ),

    -- a dead-letter queue and the notices of unroutable events got it second hand
    meant AS MATERIALIZED (
        SELECT stored.*
        FROM stored
        WHERE stored.event ->> 'id' = p_event_id
        AND (p_source IS NULL OR stored.event ->> 'source' = p_source)
        AND (
            stored.delivery = p_delivery
            OR p_delivery IS NULL
            AND stored.queue <> 'arvo.unroutable'
            AND coalesce(NOT stored.cause ? 'hops', true)
        )
    )

    SELECT
        newest.*,
        (SELECT array_agg(DISTINCT meant.event ->> 'source') FROM meant) AS sources,
        (SELECT array_agg(DISTINCT meant.queue) FROM meant) AS queues
    INTO v_found
    FROM meant AS newest
    ORDER BY newest.delivery DESC
    LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'event is not stored'
        USING ERRCODE = 'RV004',
              COLUMN = 'event_id',
              DETAIL = concat_ws(
                  ', ',
                  format('id %s', left(to_json(p_event_id)::text, 80)),
                  'source ' || left(to_json(p_source)::text, 80),
                  'delivery ' || p_delivery
              ),
              HINT = 'It was never dispatched here, or its history has been removed.';
    ELSIF cardinality(v_found.sources) > 1 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'source',
              DETAIL = format('%s sources used that id: %s', cardinality(v_found.sources),
                              left(to_json(v_found.sources)::text, 200)),
              HINT = 'Name the source.';
    ELSIF p_queue IS NULL AND cardinality(v_found.queues) > 1 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'queue',
              DETAIL = format('The event went to %s queues: %s', cardinality(v_found.queues),
                              left(to_json(v_found.queues)::text, 200)),
              HINT = 'Name the queue that it is to go to now, or the delivery.';
    END IF;

    v_event := v_found.event || jsonb_build_object('id', gen_random_uuid());
    v_fault := arvo.event_fault(v_event);
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION 'event is not valid'
        USING ERRCODE = 'RV001',
              COLUMN = split_part(v_fault, ':', 1),
              DETAIL = v_fault,
              HINT = 'Dispatch a corrected event. Nothing has been stored.';
    END IF;
    v_name := coalesce(p_queue, v_found.queue);
    v_lane := arvo.lane_for(v_name);
    -- A key that was given stays within its queue; one that was read is read again.
    SELECT CASE
        WHEN v_name = v_found.queue
            AND v_found.key <> coalesce(arvo.key_in(v_found.event, queue.key_from), 0)
            THEN v_found.key
        ELSE arvo.key_in(v_event, queue.key_from)
    END
    INTO v_key
    FROM arvo.queue
    WHERE queue.name = v_name;
    SELECT queue.* INTO STRICT v_target
    FROM arvo.queue
    WHERE queue.name = v_name;
    v_dispatched := (
        1, v_event ->> 'id', nextval('arvo.delivery_number'::regclass), v_name,
        (
            SELECT CASE
                WHEN starts_with(v_name, 'arvo.domain.') THEN 'domained'
                WHEN NOT queue.registered THEN 'unroutable'
                ELSE 'queued'
            END
            FROM arvo.queue
            WHERE queue.name = v_name
        )
    )::arvo_v1.dispatched;
    IF v_target.slotted THEN
        v_taken := arvo.take_place(
            v_target.queue,
            CASE WHEN v_target.policy = 'exclusive' THEN 'any' ELSE 'queued' END,
            coalesce(v_key, 1), v_dispatched.delivery
        );
        IF v_taken IS NOT NULL THEN
            v_dispatched.delivery := v_taken;
            v_dispatched.outcome := 'throttled';
            RETURN v_dispatched;
        END IF;
    END IF;

    INSERT INTO arvo.log (
        slot, lane, delivery, attempt, at, subject_key, event_key, key, options, event, cause
    )
    VALUES (
        arvo.slot(),
        v_lane,
        v_dispatched.delivery,
        1,
        v_now,
        hashtextextended(v_event ->> 'subject', 0),
        hashtextextended(v_event ->> 'id', 0),
        v_key,
        v_found.options,
        v_event,
        jsonb_build_object(
            'outcome', 'replayed', 'delivery', v_found.delivery, 'event_id', p_event_id
        )
    );
    PERFORM arvo.notice_unroutable(ARRAY[v_dispatched]);
    PERFORM arvo.wake(ARRAY[v_name]);
    PERFORM arvo.note_operation(
        'replay',
        v_name,
        jsonb_build_object(
            'event_id', p_event_id,
            'source', v_found.event ->> 'source',
            'delivery', v_found.delivery,
            'as', v_dispatched.event_id
        ),
        1
    );
    RETURN v_dispatched;
END;
$replay$;

COMMENT ON FUNCTION arvo_v1.replay(text, text, bigint, text) IS
'Dispatches a stored event again under a new id, and says where it went.';

REVOKE ALL ON FUNCTION arvo_v1.replay(text, text, bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.replay(text, text, bigint, text) TO arvo_operator;
--! end

--! function arvo_v1.reprioritize
-- arvo_v1.reprioritize(priority, filter…, limit, dry_run) — change the priority of deliveries that wait.
CREATE OR REPLACE FUNCTION arvo_v1.reprioritize(
    p_priority integer,
    p_delivery bigint[] DEFAULT NULL,
    p_queue text DEFAULT NULL,
    p_event_id text DEFAULT NULL,
    p_event_type text DEFAULT NULL,
    p_subject text DEFAULT NULL,
    p_tree text DEFAULT NULL,
    p_before timestamptz DEFAULT NULL,
    p_path jsonpath DEFAULT NULL,
    p_text text DEFAULT NULL,
    p_limit integer DEFAULT 1000,
    p_dry_run boolean DEFAULT false
)
RETURNS SETOF arvo_v1.intervention
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $reprioritize$
-- Which ones: as arvo.find_deliveries; all that is given must fit. A filter reads what waits, from each
-- lane's cursor on, in order, until it has p_limit; by event, subject or tree it is a look-up.
-- Each is withdrawn as moved, and appended to its queue again at p_priority, as the attempt that it is;
-- one that is due later stays so, under its number. Those that have this priority are passed over.
-- Left alone are what a worker holds, and ordered queues, which know no priorities. A dry run takes no
-- lock.
--
--   Reads    arvo.queue, arvo.lane; as arvo.find_deliveries and arvo.recheck
--   Writes   arvo.tombstone, arvo.deferred, arvo.dead, arvo.operation; as arvo.again, arvo.lane_for
--   Locks    as arvo.hold; arvo.dead rows; as arvo.lane_for
--   Raises   RV002  a queue has 100 priorities
--            RV003  the queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV006  nothing is given, or priority or limit is not valid
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_found arvo.finding[];
    v_one arvo.finding;
    v_lane integer;
    v_done text;
    v_successor bigint;
    v_touched bigint := 0::bigint;
BEGIN
    PERFORM arvo.require_read_committed('reprioritize');
    PERFORM arvo.require_home();
    IF p_priority IS NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'priority',
              DETAIL = 'priority is NULL.',
              HINT = 'Give a whole number; higher is claimed first.';
    END IF;
    SELECT array_agg(seen) INTO v_found
    FROM arvo.find_deliveries(
        p_delivery, p_queue, p_event_id, p_event_type, p_subject, p_tree, p_before, p_path, p_text,
        CASE
            WHEN num_nonnulls(p_delivery, p_event_id) > 0 THEN '{queued,parked,deferred,leased}'
            ELSE '{queued,parked,deferred}'
        END::text[], p_limit,
        ARRAY(SELECT lane.lane FROM arvo.lane WHERE lane.priority = p_priority)
    ) AS seen;
    IF p_dry_run THEN
        RETURN QUERY
        SELECT
            seen.delivery, seen.event_id, seen.queue, seen.place,
            CASE WHEN arvo.keeps_place(seen) THEN 'left' ELSE 'moved' END, NULL::bigint
        FROM unnest(v_found) AS seen
        ORDER BY seen.delivery;
        RETURN;
    END IF;

    v_found := arvo.hold(v_found);
    FOREACH v_one IN ARRAY v_found LOOP
        v_done := 'left';
        v_successor := NULL;
        IF NOT arvo.keeps_place(v_one) THEN
            v_lane := arvo.lane_for(v_one.queue, p_priority);
            -- Another lane is answered while somebody else is making this one.
            IF v_lane <> v_one.lane THEN
                v_done := 'moved';
                v_successor := arvo.relay(v_one, v_lane);
            END IF;
        END IF;
        v_touched := v_touched + (v_done = 'moved')::integer;
        RETURN NEXT (
            v_one.delivery, v_one.event_id, v_one.queue, v_one.place, v_done, v_successor
        )::arvo_v1.intervention;
    END LOOP;

    PERFORM arvo.note_operation(
        'reprioritize', p_queue,
        jsonb_build_object(
            'priority', p_priority, 'delivery', p_delivery, 'event_id', p_event_id, 'event_type', p_event_type,
            'subject', p_subject, 'tree', p_tree, 'before', p_before, 'path', p_path,
            'text', p_text, 'limit', p_limit
        ),
        v_touched
    );
END;
$reprioritize$;

COMMENT ON FUNCTION arvo_v1.reprioritize(
    integer, bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    integer, boolean
) IS
'Changes the priority of waiting deliveries, by number, event, workflow tree or filter.';

REVOKE ALL ON FUNCTION arvo_v1.reprioritize(
    integer, bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    integer, boolean
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.reprioritize(
    integer, bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    integer, boolean
)
TO arvo_operator;
--! end

--! function arvo_v1.resume_queue
-- arvo_v1.resume_queue(queue) — claim from a queue again.
CREATE OR REPLACE FUNCTION arvo_v1.resume_queue(p_queue text)
RETURNS SETOF arvo_v1.switched
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $resume_queue$
-- Ends a pause and a drain. A name that ends in * stands for every queue that begins so. One row for
-- each queue; idempotent.
--
--   Reads    arvo.queue
--   Writes   arvo.queue, arvo.operation
--   Locks    arvo.queue rows, by name
--   Raises   RV003  the queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_switched arvo_v1.switched[];
BEGIN
    PERFORM arvo.require_read_committed('resume_queue');
    PERFORM arvo.require_home();

    WITH named AS MATERIALIZED (
        SELECT queue.queue, queue.name
        FROM arvo.queue
        WHERE queue.queue IN (SELECT named.queue FROM arvo.queues_named(p_queue) AS named)
        ORDER BY queue.name COLLATE "C"
        FOR NO KEY UPDATE
    ),

    resumed AS (
        UPDATE arvo.queue
        SET paused_at = NULL, paused_by = NULL, drained_to = NULL
        FROM named
        WHERE queue.queue = named.queue
        AND (queue.paused_at IS NOT NULL OR queue.drained_to IS NOT NULL)
        RETURNING queue.queue
    )

    SELECT array_agg(
        (
            named.name,
            CASE WHEN resumed.queue IS NULL THEN 'unchanged' ELSE 'resumed' END,
            NULL, NULL, false, NULL
        )::arvo_v1.switched
        ORDER BY named.name COLLATE "C"
    )
    INTO v_switched
    FROM named
    LEFT JOIN resumed ON resumed.queue = named.queue;

    PERFORM arvo.note_operation(
        'resume_queue', p_queue, '{}',
        (SELECT count(*) FROM unnest(v_switched) AS done WHERE done.change <> 'unchanged')
    );
    PERFORM arvo.wake(
        ARRAY(
            SELECT done.queue FROM unnest(v_switched) AS done WHERE done.change <> 'unchanged'
        )
    );
    RETURN QUERY SELECT done.* FROM unnest(v_switched) AS done;
END;
$resume_queue$;

COMMENT ON FUNCTION arvo_v1.resume_queue(text) IS
'Ends the pause or the drain of a queue, or of all that begin alike.';

REVOKE ALL ON FUNCTION arvo_v1.resume_queue(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.resume_queue(text) TO arvo_operator;
--! end

--! function arvo_v1.resume_schedule
-- arvo_v1.resume_schedule(name, key) — let schedules fire again.
CREATE OR REPLACE FUNCTION arvo_v1.resume_schedule(p_name text, p_key text DEFAULT NULL)
RETURNS SETOF arvo_v1.schedule
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $resume_schedule$
-- The schedule of that name and key, or, without a key, all of that name. The next fire is the first
-- after now: those of the pause were not wanted, so they are not missed. Also starts what an error
-- has stopped. One that is running stays as it is. No rows when there is none.
--
--   Reads    arvo.schedule, arvo.clock; as arvo.cron_next
--   Writes   arvo.schedule, arvo.operation
--   Locks    arvo.schedule rows, by key
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  a time zone is not known any more
DECLARE
    v_one arvo.schedule;
    v_change text;
    v_count bigint := 0::bigint;
BEGIN
    PERFORM arvo.require_read_committed('resume_schedule');
    FOR v_one IN
        SELECT known.*
        FROM arvo.schedule AS known
        WHERE known.name = p_name AND (p_key IS NULL OR known.key = p_key)
        ORDER BY known.key
        FOR NO KEY UPDATE
    LOOP
        v_change := 'unchanged';
        IF v_one.next_at IS NULL THEN
            PERFORM arvo.require_time_zone(v_one.time_zone);
            v_change := 'resumed';
            v_count := v_count + 1;
            UPDATE arvo.schedule
            SET paused_at = NULL,
                paused_by = NULL,
                error = NULL,
                next_at = arvo.cron_next(
                    v_one.fields, v_one.time_zone, greatest(arvo.clock(), v_one.last_at),
                    v_one.gap, v_one.overlap
                )
            WHERE schedule.schedule = v_one.schedule
            RETURNING schedule.* INTO v_one;
            -- A worker that sleeps may have to rise earlier.
            PERFORM arvo.wake(ARRAY[coalesce(
                'arvo.domain.' || (v_one.event ->> 'domain'), v_one.event ->> 'to',
                v_one.event ->> 'type'
            )]);
        END IF;
        RETURN NEXT arvo.schedule_row(v_one, v_change);
    END LOOP;
    PERFORM arvo.note_operation(
        'resume_schedule', NULL, jsonb_build_object('name', p_name, 'key', p_key), v_count
    );
END;
$resume_schedule$;

COMMENT ON FUNCTION arvo_v1.resume_schedule(text, text) IS
'Resumes the schedule of a name and key, or all of a name, from now on.';

REVOKE ALL ON FUNCTION arvo_v1.resume_schedule(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.resume_schedule(text, text) TO arvo_operator;
--! end

--! function arvo_v1.retry_now
-- arvo_v1.retry_now(filter…, limit, dry_run) — let what is due later be due now.
CREATE OR REPLACE FUNCTION arvo_v1.retry_now(
    p_delivery bigint[] DEFAULT NULL,
    p_queue text DEFAULT NULL,
    p_event_id text DEFAULT NULL,
    p_event_type text DEFAULT NULL,
    p_subject text DEFAULT NULL,
    p_tree text DEFAULT NULL,
    p_before timestamptz DEFAULT NULL,
    p_path jsonpath DEFAULT NULL,
    p_text text DEFAULT NULL,
    p_limit integer DEFAULT 1000,
    p_dry_run boolean DEFAULT false
)
RETURNS SETOF arvo_v1.intervention
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $retry_now$
-- Which ones: as arvo.find_deliveries; all that is given must fit. A filter reads what waits, from each
-- lane's cursor on, in order, until it has p_limit; by event, subject or tree it is a look-up.
-- Put off by start_after, by a retry's delay or by a snooze: it can be claimed as soon as this has been
-- committed. The attempt that it is stays the same. What has become due by itself is not touched. A
-- dry run takes no lock.
--
--   Reads    as arvo.find_deliveries and arvo.recheck
--   Writes   as arvo.bring_forward; arvo.operation
--   Locks    as arvo.hold and arvo.bring_forward
--   Raises   RV003  the queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV006  nothing is given, or limit is not valid
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_found arvo.finding[];
    v_one arvo.finding;
    v_entry arvo.log;
    v_touched bigint := 0::bigint;
BEGIN
    PERFORM arvo.require_read_committed('retry_now');
    PERFORM arvo.require_home();
    SELECT array_agg(seen) INTO v_found
    FROM arvo.find_deliveries(
        p_delivery, p_queue, p_event_id, p_event_type, p_subject, p_tree, p_before, p_path, p_text,
        '{deferred}', p_limit
    ) AS seen;
    IF p_dry_run THEN
        RETURN QUERY
        SELECT seen.delivery, seen.event_id, seen.queue, seen.place, 'due', NULL::bigint
        FROM unnest(v_found) AS seen
        ORDER BY seen.delivery;
        RETURN;
    END IF;

    FOREACH v_one IN ARRAY arvo.hold(v_found) LOOP
        CONTINUE WHEN v_one.place <> 'deferred';
        v_entry := arvo.bring_forward(v_one.delivery);
        IF v_entry.cause IS NULL THEN
            PERFORM arvo.notice_unroutable(
                ARRAY[(0, NULL, v_one.delivery, v_one.queue, 'unroutable')::arvo_v1.dispatched]
            )
            FROM arvo.queue
            WHERE queue.name = v_one.queue AND NOT queue.registered;
        END IF;
        PERFORM arvo.wake(ARRAY[v_one.queue]);
        v_touched := v_touched + 1::bigint;
        RETURN NEXT (
            v_one.delivery, v_one.event_id, v_one.queue, v_one.place, 'due', NULL
        )::arvo_v1.intervention;
    END LOOP;

    PERFORM arvo.note_operation(
        'retry_now', p_queue,
        jsonb_build_object(
            'delivery', p_delivery, 'event_id', p_event_id, 'event_type', p_event_type,
            'subject', p_subject, 'tree', p_tree, 'before', p_before, 'path', p_path,
            'text', p_text, 'limit', p_limit
        ),
        v_touched
    );
END;
$retry_now$;

COMMENT ON FUNCTION arvo_v1.retry_now(
    bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    integer, boolean
) IS
'Makes deferred deliveries due now, by number, event, workflow tree or filter.';

REVOKE ALL ON FUNCTION arvo_v1.retry_now(
    bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    integer, boolean
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.retry_now(
    bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    integer, boolean
)
TO arvo_operator;
--! end

--! function arvo_v1.schedule
-- arvo_v1.schedule(name, cron, event, options…) — have an event dispatched by the clock.
CREATE OR REPLACE FUNCTION arvo_v1.schedule(
    p_name text,
    p_cron text,
    p_event jsonb,
    p_key text DEFAULT '',
    p_time_zone text DEFAULT 'UTC',
    p_missed text DEFAULT 'one',
    p_missed_limit integer DEFAULT 100,
    p_grace interval DEFAULT interval '1 minute',
    p_gap text DEFAULT NULL,
    p_overlap text DEFAULT NULL,
    p_options jsonb DEFAULT NULL
)
RETURNS arvo_v1.schedule
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $schedule$
-- Creates the schedule of that name and key, or makes it what the arguments say; one that is not
-- given takes its default again. Called with the same arguments it changes nothing, so a program may
-- call it whenever it starts: what it missed meanwhile is still to be fired. Another cron text,
-- time zone, gap or overlap begins anew: the next fire is the first after now.
--
-- p_cron: arvo.cron_parse says what it may be. p_event is the event without id and time; arvo.fire_event
-- says what each fire adds. p_options are those of its dispatch, see arvo.read_options. p_missed, p_missed_limit and p_grace: see arvo.fire_schedule. p_gap and
-- p_overlap are for the two nights of a clock change; arvo.cron_rules has their defaults. Fires
-- are dispatched by claims and by maintain(); workers that wait know when the next one is due.
--
--   Reads    arvo.clock; as arvo.cron_next, arvo.event_fault
--   Writes   arvo.schedule, arvo.operation; arvo.queue, arvo.lane when they are missing
--   Locks    arvo.schedule row of the name and key; as arvo.lane_for
--   Raises   RV001  the event is not valid
--            RV002  an option is not valid, as arvo.read_options and arvo.lane_for
--            RV005  the transaction is not READ COMMITTED
--            RV006  an argument is not valid
DECLARE
    v_now timestamptz := arvo.clock();
    v_argument text;
    v_value text;
    v_rule text;
    v_rules text[];
    v_before arvo.schedule;
    v_after arvo.schedule;
    v_stored arvo.schedule;
    v_anew boolean;
    v_stopped boolean;
    v_queue text;
    v_priority integer;
    v_options jsonb := nullif(nullif(p_options, '{}'), 'null');
    v_fault text;
    v_change text;
BEGIN
    PERFORM arvo.require_read_committed('schedule');
    SELECT faulty.argument, faulty.value, faulty.rule INTO v_argument, v_value, v_rule
    FROM (
        VALUES
        (1, 'name', p_name, p_name ~ '^[A-Za-z0-9._~-]{1,200}$',
         'use 1 to 200 letters, digits and . _ ~ -'),
        (2, 'key', p_key, p_key = '' OR (arvo.is_queue_name(p_key) AND length(p_key) <= 200),
         'use at most 200 characters of a URI, without quotes; the empty text for none'),
        (3, 'missed', p_missed, p_missed IN ('skip', 'one', 'all'), 'use skip, one or all'),
        (4, 'missed_limit', p_missed_limit::text, p_missed_limit BETWEEN 1 AND 1000,
         'use 1 to 1000'),
        (5, 'grace', p_grace::text, p_grace BETWEEN interval '1 second' AND interval '1 day',
         'use between 1 second and 1 day')
    ) AS faulty (ordinal, argument, value, kept, rule)
    WHERE faulty.kept IS NOT TRUE
    ORDER BY faulty.ordinal
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = v_argument,
              DETAIL = format('%s: %s', v_argument, left(coalesce(to_json(v_value)::text, 'null'), 80)),
              HINT = format('For %s %s.', v_argument, v_rule);
    END IF;
    PERFORM arvo.require_time_zone(p_time_zone);
    v_priority := (arvo.read_options(p_options)).priority;

    v_after.name := p_name;
    v_after.key := p_key;
    v_after.cron := p_cron;
    v_after.fields := arvo.cron_parse(p_cron);
    v_rules := arvo.cron_rules(v_after.fields, p_gap, p_overlap);
    v_after.event := p_event;
    v_after.next_at := arvo.cron_next(v_after.fields, p_time_zone, v_now, v_rules[1], v_rules[2]);
    IF v_after.next_at IS NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'cron',
              DETAIL = format('cron: %s never fires', left(to_json(p_cron)::text, 80)),
              HINT = 'Name a day that its months have.';
    END IF;

    IF p_event ?| ARRAY[
        'id', 'time', 'schedulename', 'schedulekey', 'firetime', 'missedfrom'
    ] THEN
        SELECT format('%s: is given by each fire', min(field.name COLLATE "C")) INTO v_fault
        FROM jsonb_object_keys(p_event) AS field (name)
        WHERE field.name
            IN ('id', 'time', 'schedulename', 'schedulekey', 'firetime', 'missedfrom');
    ELSIF jsonb_typeof(p_event) IS DISTINCT FROM 'object' THEN
        v_fault := arvo.event_fault(p_event);
    ELSIF jsonb_typeof(p_event -> 'subject') <> 'string' THEN
        v_fault := 'subject: must be a text that is not empty';
    ELSE
        v_fault := arvo.event_fault(arvo.fire_event(v_after, v_after.next_at, v_now));
    END IF;
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION 'event is not valid'
        USING ERRCODE = 'RV001',
              COLUMN = split_part(v_fault, ':', 1),
              DETAIL = v_fault,
              HINT = 'Correct the field and schedule the event again. Nothing has been stored.';
    END IF;

    LOOP
        INSERT INTO arvo.schedule (
            name, key, cron, fields, time_zone, event, options, missed, missed_limit, grace, gap,
            overlap, next_at, created_at, created_by, changed_at, changed_by
        )
        VALUES (
            p_name, p_key, p_cron, v_after.fields, p_time_zone, p_event, v_options, p_missed,
            p_missed_limit, p_grace, v_rules[1], v_rules[2], v_after.next_at, v_now, session_user,
            v_now, session_user
        )
        ON CONFLICT (name, key) DO NOTHING
        RETURNING schedule.* INTO v_stored;
        IF FOUND THEN
            v_change := 'created';
            EXIT;
        END IF;
        SELECT known.* INTO v_before
        FROM arvo.schedule AS known
        WHERE known.name = p_name AND known.key = p_key
        FOR NO KEY UPDATE;
        EXIT WHEN FOUND;  -- else somebody has just removed it
    END LOOP;

    IF v_change IS NULL THEN
        v_anew := (v_before.cron, v_before.time_zone, v_before.gap, v_before.overlap)
            IS DISTINCT FROM (p_cron, p_time_zone, v_rules[1], v_rules[2]);
        v_stopped := v_before.next_at IS NULL AND v_before.paused_at IS NULL;
        UPDATE arvo.schedule
        SET cron = p_cron,
            fields = v_after.fields,
            time_zone = p_time_zone,
            event = p_event,
            options = v_options,
            missed = p_missed,
            missed_limit = p_missed_limit,
            grace = p_grace,
            gap = v_rules[1],
            overlap = v_rules[2],
            next_at = CASE
                WHEN schedule.paused_at IS NOT NULL THEN NULL
                -- Also when this server's clock has been put back: no fire comes twice.
                WHEN v_anew OR v_stopped THEN arvo.cron_next(
                    v_after.fields, p_time_zone, greatest(v_now, schedule.last_at), v_rules[1],
                    v_rules[2]
                )
                ELSE schedule.next_at
            END,
            error = CASE WHEN NOT v_stopped THEN schedule.error END
        WHERE schedule.schedule = v_before.schedule
        RETURNING schedule.* INTO v_stored;
        SELECT string_agg(was.key, ', ' ORDER BY was.key) INTO v_change
        FROM jsonb_each(to_jsonb(v_before)) AS was
        INNER JOIN jsonb_each(to_jsonb(v_stored)) AS now ON now.key = was.key
        WHERE was.key NOT IN ('fields', 'error')
        AND (was.key <> 'next_at' OR v_stopped)
        AND was.value IS DISTINCT FROM now.value;
        v_change := coalesce(v_change, 'unchanged');
    END IF;

    -- Now rather than when it fires: a claim would have to wait for others who make the queue.
    v_queue := coalesce(
        'arvo.domain.' || (p_event ->> 'domain'), p_event ->> 'to', p_event ->> 'type'
    );
    PERFORM arvo.lane_for(v_queue, v_priority);
    IF v_change <> 'unchanged' THEN
        IF v_change <> 'created' THEN
            UPDATE arvo.schedule
            SET changed_at = v_now, changed_by = session_user
            WHERE schedule.schedule = v_stored.schedule
            RETURNING schedule.* INTO v_stored;
        END IF;
        PERFORM arvo.note_operation(
            'schedule',
            v_queue,
            jsonb_build_object(
                'name', p_name, 'key', p_key, 'change', v_change, 'cron', p_cron,
                'time_zone', p_time_zone
            ),
            1
        );
        -- A worker that sleeps may have to rise earlier.
        PERFORM arvo.wake(ARRAY[v_queue]);
    END IF;
    RETURN arvo.schedule_row(v_stored, v_change);
END;
$schedule$;

COMMENT ON FUNCTION arvo_v1.schedule(
    text, text, jsonb, text, text, text, integer, interval, text, text, jsonb
) IS
'Has an event dispatched by the clock: creates a schedule or changes it, idempotently.';

REVOKE ALL ON FUNCTION arvo_v1.schedule(
    text, text, jsonb, text, text, text, integer, interval, text, text, jsonb
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.schedule(
    text, text, jsonb, text, text, text, integer, interval, text, text, jsonb
) TO arvo_operator;
--! end

--! function arvo_v1.schedules
-- arvo_v1.schedules(name) — the schedules.
CREATE OR REPLACE FUNCTION arvo_v1.schedules(p_name text DEFAULT NULL)
RETURNS SETOF arvo_v1.schedule
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $schedules$
-- Of one name, or all, by name and key. One that has an error, or neither next_at nor paused_at,
-- wants somebody to look at it.
--
--   Reads    arvo.schedule
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT shown.*
FROM arvo.schedule AS known
CROSS JOIN LATERAL arvo.schedule_row(known, NULL) AS shown
WHERE p_name IS NULL OR known.name = p_name
ORDER BY known.name, known.key;
$schedules$;

COMMENT ON FUNCTION arvo_v1.schedules(text) IS
'The schedules, all or those of a name: what, when, and how the last fire went.';

REVOKE ALL ON FUNCTION arvo_v1.schedules(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.schedules(text) TO arvo_operator, arvo_monitor;
--! end

--! function arvo_v1.settle
-- arvo_v1.settle(results) — finish any number of deliveries, in one transaction.
CREATE OR REPLACE FUNCTION arvo_v1.settle(p_results jsonb)
RETURNS SETOF arvo_v1.settled
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $settle$
-- p_results is an array of objects:
--
--   lease, delivery   as claimed (numbers, or texts of digits)
--   outcome           completed, failed, released, snoozed or rejected
--   events            completed: array of events to emit
--   state             completed: {"subject", "data", "expected_version" and, for a first write,
--                     "parent_subject", "initiator", "source"}
--   error             failed, rejected: {"name", "message", "stack"}
--   after             failed, snoozed: seconds until the next attempt
--   run_time          microseconds that the handler ran
--
-- Each item gets its own verdict; a refused one changes nothing and spoils no other:
--
--   RV001  an emitted event is not valid           RV006  the item is malformed
--   RV101  the state had moved on: the delivery goes back at once, uncharged
--   RV301  the lease is not, or no longer, the caller's
--   RV303  an earlier delivery of its ordered key is still open
--
-- An item settled before under the same lease is answered "already" (not accepted, with code RV101,
-- if it ended in a conflict then). States, emitted events,
-- retries, dead letters and the journal are written together.
--
--   Reads    arvo.lease and arvo.closure by token, arvo.lane, arvo.queue, arvo.clock, arvo.slot
--   Writes   arvo.state, arvo.lineage, arvo.closure, arvo.dead; as arvo.give_back, arvo.pass_turns,
--            arvo.leave_places, arvo.append_one and arvo.append
--   Locks    the leases, in order of their tokens; then arvo.state rows, in order of subject; as
--            arvo.place; then the home lanes of gated queues, in order; then as arvo.give_back and
--            arvo.append
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  p_results is not an array, or has more than 10000 items
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_now timestamptz := arvo.clock();
    v_items arvo.result[];
    v_events jsonb[];
    v_at integer;
    v_fault text;
    v_version bigint;
    v_queue arvo.queue;
    v_lane integer;
    v_later integer;
    v_emitting boolean;
    v_ordered boolean;
    v_writing boolean;
    v_failing boolean;
    v_bound boolean;
    v_alone arvo_v1.dispatched;
BEGIN
    PERFORM arvo.require_read_committed('settle');
    PERFORM arvo.require_home();
    IF p_results IS NULL OR jsonb_typeof(p_results) <> 'array' THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'results',
              DETAIL = format('results is of type %s.', coalesce(jsonb_typeof(p_results), 'null')),
              HINT = 'Give a JSON array of results.';
    END IF;

    IF jsonb_array_length(p_results) > 10000 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'results',
              DETAIL = format('results has %s items.', jsonb_array_length(p_results)),
              HINT = 'Settle at most 10000 results in one call.';
    END IF;

    SELECT array_agg(item ORDER BY item.ordinal) INTO v_items
    FROM arvo.read_results(p_results) AS item;
    IF v_items IS NULL THEN
        RETURN;
    END IF;

    PERFORM pg_advisory_xact_lock(arvo.lease_key(named.lease))
    FROM (
        SELECT DISTINCT item.lease
        FROM unnest(v_items) AS item
        WHERE item.lease IS NOT NULL
        ORDER BY item.lease
    ) AS named;

    -- A statement of its own: it must see what the last holder of these locks committed.
    v_items := arvo.judge_results(v_items);

    -- Most results are plain: what none of them asks for is left out.
    SELECT
        bool_or(item.verdict IS NULL AND item.events <> '[]'),
        bool_or(item.place IS NOT NULL),
        bool_or(item.verdict IS NULL AND item.state IS NOT NULL),
        bool_or(item.verdict IS NULL AND item.asked <> 'completed')
    INTO v_emitting, v_ordered, v_writing, v_failing
    FROM unnest(v_items) AS item;

    IF v_emitting THEN
        FOR v_at, v_fault IN
            SELECT DISTINCT ON (item.ordinal) item.ordinal, arvo.event_fault(emitted.event)
            FROM unnest(v_items) AS item
            CROSS JOIN LATERAL jsonb_array_elements(item.events) AS emitted (event)
            WHERE item.verdict IS NULL AND arvo.event_fault(emitted.event) IS NOT NULL
            ORDER BY item.ordinal
        LOOP
            v_items[v_at].verdict := 'refused';
            v_items[v_at].code := 'RV001';
            v_items[v_at].detail := 'emitted event: ' || v_fault;
        END LOOP;
    END IF;

    IF v_ordered THEN
        v_items := arvo.order_results(v_items);
    END IF;

    IF v_writing THEN
        FOR v_at IN
            SELECT item.ordinal
            FROM unnest(v_items) AS item
            WHERE item.verdict IS NULL AND item.state IS NOT NULL
            ORDER BY item.state ->> 'subject' COLLATE "C", item.place, item.ordinal
        LOOP
            CONTINUE WHEN v_items[v_at].verdict IS NOT NULL;
            v_version := arvo.put_state(
                v_items[v_at].state ->> 'subject',
                v_items[v_at].state -> 'data',
                (v_items[v_at].state ->> 'expected_version')::bigint,
                v_items[v_at].state ->> 'initiator',
                v_items[v_at].state ->> 'source'
            );
            IF v_version IS NULL THEN
                v_items[v_at].code := 'RV101';
                v_items[v_at].detail := format(
                    'version mismatch: subject %s is not at version %s',
                    left((v_items[v_at].state -> 'subject')::text, 80),
                    v_items[v_at].state ->> 'expected_version'
                );
                v_items[v_at].verdict := 'conflict';
                v_items[v_at].error := jsonb_build_object(
                    'name', 'VersionConflict', 'message', v_items[v_at].detail, 'stack', NULL
                );
                -- What follows in an ordered run was built on a state that is not stored.
                FOR v_later IN
                    SELECT item.ordinal
                    FROM unnest(v_items) AS item
                    WHERE item.verdict IS NULL
                    AND item.lease = v_items[v_at].lease
                    AND item.key = v_items[v_at].key
                    AND item.place > v_items[v_at].place
                LOOP
                    v_items[v_later].verdict := 'refused';
                    v_items[v_later].code := 'RV301';
                    v_items[v_later].detail := format(
                        'delivery %s is not completed, and comes before it', v_items[v_at].delivery
                    );
                END LOOP;
            ELSE
                v_items[v_at].state_version := v_version;
            END IF;
        END LOOP;

        PERFORM arvo.place(
            array_agg(item.state ->> 'subject'), array_agg(item.state ->> 'parent_subject')
        )
        FROM unnest(v_items) AS item
        WHERE item.state_version = 1
        HAVING count(*) > 0;
    END IF;

    v_bound := EXISTS (
        SELECT
        FROM (SELECT DISTINCT item.lane FROM unnest(v_items) AS item) AS met
        INNER JOIN arvo.lane ON lane.lane = met.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        WHERE queue.gated OR queue.slotted
    );
    IF v_bound THEN
        PERFORM pg_advisory_xact_lock(hashtext('arvo'), gated.lane)
        FROM (
            SELECT DISTINCT arvo.home_lane(queue.queue) AS lane
            FROM unnest(v_items) AS item
            INNER JOIN arvo.lane ON lane.lane = item.lane
            INNER JOIN arvo.queue ON queue.queue = lane.queue
            WHERE queue.gated AND coalesce(item.verdict, 'conflict') = 'conflict'
            ORDER BY lane
        ) AS gated;
    END IF;

    IF v_failing OR v_writing THEN
        FOR v_at IN
            SELECT item.ordinal
            FROM unnest(v_items) AS item
            WHERE (item.verdict IS NULL AND item.asked <> 'completed') OR item.verdict = 'conflict'
            ORDER BY item.ordinal
        LOOP
            IF v_lane IS DISTINCT FROM v_items[v_at].lane THEN
                v_lane := v_items[v_at].lane;
                SELECT queue.* INTO STRICT v_queue
                FROM arvo.lane
                INNER JOIN arvo.queue ON queue.queue = lane.queue
                WHERE lane.lane = v_lane;
            END IF;
            v_items[v_at] := arvo.give_back(v_items[v_at], v_queue);
        END LOOP;
    END IF;

    INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
    SELECT
        arvo.slot(),
        item.lease,
        v_now,
        array_agg(item.delivery ORDER BY item.ordinal),
        CASE
            WHEN count(DISTINCT coalesce(item.verdict, 'completed')) = 1
                THEN ARRAY[min(coalesce(item.verdict, 'completed'))]
            ELSE array_agg(coalesce(item.verdict, 'completed') ORDER BY item.ordinal)
        END,
        array_agg(item.run_time ORDER BY item.ordinal)
    FROM unnest(v_items) AS item
    WHERE item.verdict IS NULL OR item.verdict NOT IN ('refused', 'already')
    GROUP BY item.lease;

    IF v_bound THEN
        PERFORM arvo.pass_on(v_items);
    END IF;

    UPDATE arvo.dead
    SET resolution = 'consumed', resolved_at = v_now, resolved_by = session_user
    FROM unnest(v_items) AS item
    WHERE item.verdict IS NULL
    AND dead.dead_letter_lane = item.lane
    AND dead.dead_letter_delivery = item.delivery
    AND dead.resolution IS NULL;

    IF v_emitting THEN
        SELECT array_agg(emitted.event ORDER BY item.ordinal, emitted.ordinal) INTO v_events
        FROM unnest(v_items) AS item
        CROSS JOIN LATERAL
            jsonb_array_elements(item.events) WITH ORDINALITY AS emitted (event, ordinal)
        WHERE item.verdict IS NULL;
        IF cardinality(v_events) = 1 THEN
            v_alone := arvo.append_one(v_events[1], false, true);
        END IF;
        IF v_events IS NOT NULL AND v_alone.delivery IS NULL THEN
            PERFORM arvo.append(v_events, NULL, false, true);
        END IF;
    END IF;

    RETURN QUERY
    SELECT
        item.ordinal,
        item.lease,
        item.delivery,
        coalesce(item.verdict, '') NOT IN ('refused', 'conflict') AND item.code IS NULL,
        coalesce(item.verdict, 'completed'),
        item.code,
        item.detail,
        item.state_version
    FROM unnest(v_items) AS item
    ORDER BY item.ordinal;
END;
$settle$;

COMMENT ON FUNCTION arvo_v1.settle(jsonb) IS
'Finishes deliveries: journals, writes states, emits events, retries or buries, all in one transaction.';

REVOKE ALL ON FUNCTION arvo_v1.settle(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.settle(jsonb) TO arvo_worker;
--! end

--! function arvo_v1.subscribe
-- arvo_v1.subscribe(queue, pattern) — let a queue have published events.
CREATE OR REPLACE FUNCTION arvo_v1.subscribe(p_queue text, p_pattern text)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $subscribe$
-- p_pattern is a type: com.order.placed. A segment may be * for any one; the last one ** for one or
-- more: com.order.*, com.**, **. A queue that several of its patterns match gets one copy. A queue
-- that nobody has named yet is made. Returns whether it is new.
--
--   Reads    arvo.clock
--   Writes   arvo.subscription; arvo.queue, arvo.lane when they are missing
--   Locks    as arvo.lane_for
--   Raises   RV002  the text may not name a queue
--            RV006  the pattern is not valid
BEGIN
    IF p_pattern IS NULL OR length(p_pattern) > 512
        OR p_pattern !~ '^([a-z0-9]+|\*)(\.([a-z0-9]+|\*))*(\.\*\*)?$|^\*\*$'
    THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'pattern',
              DETAIL = format('pattern: %s', left(to_json(p_pattern)::text, 80)),
              HINT = 'Give a type such as com.order.placed; * stands for one segment, ** at the end'
                     ' for one or more.';
    END IF;
    IF p_queue = 'arvo.publish' OR NOT arvo.is_queue_name(p_queue) THEN
        RAISE EXCEPTION 'queue name is not valid'
        USING ERRCODE = 'RV002',
              COLUMN = 'queue',
              DETAIL = format('queue: %s', left(to_json(p_queue)::text, 80)),
              HINT = 'Use 1 to 512 characters of a URI, without quotes; not arvo.publish itself.';
    END IF;
    PERFORM arvo.lane_for(p_queue);
    INSERT INTO arvo.subscription (queue, pattern, expression, created_at)
    VALUES (
        p_queue,
        p_pattern,
        '^' || replace(replace(replace(p_pattern, '.', '\.'), '**', '.+'), '*', '[^.]+') || '$',
        arvo.clock()
    )
    ON CONFLICT (queue, pattern) DO NOTHING;
    RETURN FOUND;
END;
$subscribe$;

COMMENT ON FUNCTION arvo_v1.subscribe(text, text) IS
'Lets a queue have published events whose type matches a pattern.';

REVOKE ALL ON FUNCTION arvo_v1.subscribe(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.subscribe(text, text) TO arvo_worker, arvo_operator;
--! end

--! function arvo_v1.subscriptions
-- arvo_v1.subscriptions(queue, type) — who gets what.
CREATE OR REPLACE FUNCTION arvo_v1.subscriptions(
    p_queue text DEFAULT NULL,
    p_type text DEFAULT NULL
)
RETURNS SETOF arvo_v1.subscription
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $subscriptions$
-- Of one queue, or all; those that match a type, or all.
--
--   Reads    arvo.subscription
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT subscription.queue, subscription.pattern, subscription.created_at
FROM arvo.subscription
WHERE (p_queue IS NULL OR subscription.queue = p_queue)
AND (p_type IS NULL OR p_type ~ subscription.expression)
ORDER BY subscription.queue COLLATE "C", subscription.pattern COLLATE "C";
$subscriptions$;

COMMENT ON FUNCTION arvo_v1.subscriptions(text, text) IS
'Subscriptions of a queue, or those that match a type, or all.';

REVOKE ALL ON FUNCTION arvo_v1.subscriptions(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.subscriptions(text, text)
TO arvo_worker, arvo_monitor, arvo_operator;
--! end

--! function arvo_v1.trace
-- arvo_v1.trace(subject, event_id) — the whole story of a workflow.
CREATE OR REPLACE FUNCTION arvo_v1.trace(
    p_subject text DEFAULT NULL,
    p_event_id text DEFAULT NULL
)
RETURNS SETOF arvo_v1.step
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $trace$
-- Every delivery of every event of the tree of workflows that p_subject belongs to, or that the
-- event p_event_id belongs to, and every event of it that a policy did not let in; in order of
-- acceptance. Payloads are not shown. By index only: cost grows with the story, not with history.
--
--   Reads    arvo.log, arvo.deferred, arvo.dead and arvo.omission by subject, arvo.closure,
--            arvo.parked, arvo.tombstone, arvo.lane, arvo.queue, arvo.lineage; as arvo.lease_of
--   Writes   nothing
--   Locks    nothing
--   Raises   RV006  not exactly one of subject and event_id is given
DECLARE
    v_subjects text[];
    v_parents text[];
    v_depths integer[];
BEGIN
    IF num_nonnulls(p_subject, p_event_id) <> 1 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'subject',
              DETAIL = format('%s of subject and event_id are given.',
                              num_nonnulls(p_subject, p_event_id)),
              HINT = 'Give either subject or event_id.';
    END IF;

    SELECT array_agg(DISTINCT known.subject) INTO v_subjects
    FROM (
        SELECT p_subject AS subject
        WHERE p_subject IS NOT NULL
        UNION ALL
        SELECT found.event ->> 'subject'
        FROM (
            SELECT log.event
            FROM arvo.log
            WHERE log.event_key = hashtextextended(p_event_id, 0)
            UNION ALL
            SELECT deferred.event
            FROM arvo.deferred
            WHERE deferred.event_key = hashtextextended(p_event_id, 0)
        ) AS found
        WHERE found.event ->> 'id' = p_event_id
    ) AS known;
    SELECT
        array_agg(kin.subject),
        array_agg(kin.parent_subject),
        array_agg(kin.depth)
    INTO v_subjects, v_parents, v_depths
    FROM (
        SELECT DISTINCT ON (relative.subject)
            relative.subject, relative.parent_subject, relative.depth
        FROM unnest(v_subjects) AS asked (subject)
        CROSS JOIN LATERAL (
            SELECT placed.subject, placed.parent_subject, placed.depth
            FROM arvo_v1.lineage(asked.subject) AS placed
            UNION ALL
            SELECT asked.subject, NULL, 0
        ) AS relative
        ORDER BY relative.subject, relative.depth DESC
    ) AS kin;

    RETURN QUERY
    WITH entry AS MATERIALIZED (
        SELECT
            known.subject,
            known.parent_subject,
            known.depth,
            coalesce(log.event, (
                SELECT origin.event
                FROM arvo.log AS origin
                WHERE origin.lane = log.origin_lane
                AND origin.xid = log.origin_xid
                AND origin.delivery = log.origin_delivery
            )) AS event,
            log.delivery,
            log.lane,
            log.xid,
            log.attempt,
            log.at,
            log.cause,
            NULL::timestamptz AS due
        FROM unnest(v_subjects, v_parents, v_depths) AS known (subject, parent_subject, depth)
        CROSS JOIN LATERAL (
            SELECT found.*
            FROM arvo.log AS found
            WHERE found.subject_key = hashtextextended(known.subject, 0)
            OFFSET 0  -- only by index: no join may read the log another way
        ) AS log
        UNION ALL
        SELECT
            known.subject,
            known.parent_subject,
            known.depth,
            coalesce(deferred.event, (
                SELECT origin.event
                FROM arvo.log AS origin
                WHERE origin.lane = deferred.origin_lane
                AND origin.xid = deferred.origin_xid
                AND origin.delivery = deferred.origin_delivery
            )),
            deferred.delivery,
            deferred.lane,
            deferred.xid,
            deferred.attempt,
            deferred.at,
            deferred.cause,
            deferred.due
        FROM unnest(v_subjects, v_parents, v_depths) AS known (subject, parent_subject, depth)
        CROSS JOIN LATERAL (
            SELECT found.*
            FROM arvo.deferred AS found
            WHERE found.subject_key = hashtextextended(known.subject, 0)
            OFFSET 0
        ) AS deferred
    ),

    -- a promoted row stands in both rooms until it is swept away, a rebased one in two lanes
    step AS MATERIALIZED (
        SELECT DISTINCT ON (entry.delivery) entry.*
        FROM entry
        ORDER BY entry.delivery, entry.due NULLS FIRST, entry.lane DESC
    ),

    -- what a later delivery says of the one before
    told AS MATERIALIZED (
        SELECT DISTINCT ON (step.cause ->> 'delivery')
            (step.cause ->> 'delivery')::bigint AS delivery,
            nullif(step.cause -> 'error', 'null') AS error
        FROM step
        WHERE step.cause ->> 'outcome' NOT IN ('redriven', 'replayed', 'unroutable')
        ORDER BY step.cause ->> 'delivery', step.delivery
    )

    SELECT
        told_step.*
    FROM (
        SELECT
            entry.subject,
            entry.event ->> 'id',
            entry.event ->> 'parentid',
            entry.event ->> 'type',
            entry.event ->> 'source',
            queue.name,
            entry.delivery,
            entry.attempt,
            CASE
                WHEN closed.outcome IS NOT NULL THEN closed.outcome
                WHEN entry.due IS NOT NULL THEN 'deferred'
                WHEN held.token IS NOT NULL THEN 'active'
                WHEN withdrawn.delivery IS NOT NULL THEN withdrawn.reason
                WHEN parked.delivery IS NOT NULL THEN 'waiting'
                WHEN NOT queue.registered AND entry.cause ->> 'outcome' IS DISTINCT FROM 'dead' THEN
                    CASE
                        WHEN starts_with(queue.name, 'arvo.domain.') THEN 'domained'
                        ELSE 'unroutable'
                    END
                WHEN queue.paused_at IS NOT NULL THEN 'paused'
                WHEN NOT pg_visible_in_snapshot(entry.xid, queue.drained_to) THEN 'draining'
                ELSE 'queued'
            END,
            entry.at AS accepted_at,
            held.leased_at,
            closed.at,
            make_interval(secs => closed.run_time / 1000000.0),
            held.worker,
            coalesce(
                (
                    SELECT dead.error
                    FROM arvo.dead
                    WHERE dead.subject_key = hashtextextended(entry.subject, 0)
                    AND dead.delivery = entry.delivery
                ),
                told.error
            ),
            entry.parent_subject,
            entry.depth,
            entry.due,
            held.leased_at - entry.at,
            entry.cause
        FROM step AS entry
        LEFT JOIN told ON told.delivery = entry.delivery
        INNER JOIN arvo.lane ON lane.lane = entry.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        LEFT JOIN LATERAL (
            SELECT claimed.*
            FROM arvo.lease_of(entry.lane, entry.xid, entry.delivery) AS claimed
            WHERE entry.due IS NULL
            OFFSET 0  -- not even asked for what is deferred: the ledger would be read to its end
        ) AS held ON true
        LEFT JOIN LATERAL (
            SELECT
                closure.at,
                closure.outcomes[least(gone.ordinal, cardinality(closure.outcomes))] AS outcome,
                closure.run_times[gone.ordinal] AS run_time
            FROM arvo.closure
            CROSS JOIN LATERAL
                unnest(closure.deliveries) WITH ORDINALITY AS gone (delivery, ordinal)
            WHERE closure.token = held.token AND gone.delivery = entry.delivery
            LIMIT 1
        ) AS closed ON true
        LEFT JOIN arvo.tombstone AS withdrawn
            ON withdrawn.lane = entry.lane AND withdrawn.delivery = entry.delivery
        LEFT JOIN arvo.parked ON parked.delivery = entry.delivery
        WHERE entry.event ->> 'subject' = entry.subject
        UNION ALL
        SELECT
            known.subject,
            omission.event_id,
            omission.event ->> 'parentid',
            omission.event ->> 'type',
            omission.event ->> 'source',
            omission.queue,
            NULL,
            0,
            omission.outcome,
            omission.at,
            NULL,
            NULL,
            NULL,
            NULL,
            NULL,
            known.parent_subject,
            known.depth,
            NULL,
            NULL,
            jsonb_build_object(
                'outcome', omission.outcome, 'first_delivery', omission.first_delivery
            )
        FROM unnest(v_subjects, v_parents, v_depths) AS known (subject, parent_subject, depth)
        CROSS JOIN LATERAL (
            SELECT found.*
            FROM arvo.omission AS found
            WHERE found.subject_key = hashtextextended(known.subject, 0)
            OFFSET 0
        ) AS omission
        WHERE omission.event ->> 'subject' = known.subject
    ) AS told_step
    ORDER BY told_step.accepted_at, told_step.delivery;
END;
$trace$;

COMMENT ON FUNCTION arvo_v1.trace(text, text) IS
'Every delivery of every event of a workflow''s tree: queue, attempt, outcome, times, error.';

REVOKE ALL ON FUNCTION arvo_v1.trace(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.trace(text, text) TO arvo_monitor, arvo_operator, arvo_worker;
--! end

--! function arvo_v1.unschedule
-- arvo_v1.unschedule(name, key, dry_run) — remove schedules.
CREATE OR REPLACE FUNCTION arvo_v1.unschedule(
    p_name text,
    p_key text DEFAULT NULL,
    p_dry_run boolean DEFAULT false
)
RETURNS SETOF arvo_v1.schedule
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $unschedule$
-- The schedule of that name and key, or, without a key, all of that name. Answers what was removed; a
-- dry run what would be. What they have dispatched stays.
--
--   Reads    arvo.schedule
--   Writes   arvo.schedule, arvo.operation
--   Locks    arvo.schedule rows, by key
--   Raises   RV005  the transaction is not READ COMMITTED
DECLARE
    v_one arvo.schedule;
    v_count bigint := 0::bigint;
BEGIN
    PERFORM arvo.require_read_committed('unschedule');
    FOR v_one IN
        SELECT known.*
        FROM arvo.schedule AS known
        WHERE known.name = p_name AND (p_key IS NULL OR known.key = p_key)
        ORDER BY known.key
        FOR UPDATE
    LOOP
        IF NOT p_dry_run THEN
            DELETE FROM arvo.schedule WHERE schedule.schedule = v_one.schedule;
        END IF;
        v_count := v_count + 1;
        RETURN NEXT arvo.schedule_row(v_one, 'removed');
    END LOOP;
    IF NOT p_dry_run THEN
        PERFORM arvo.note_operation(
            'unschedule', NULL, jsonb_build_object('name', p_name, 'key', p_key), v_count
        );
    END IF;
END;
$unschedule$;

COMMENT ON FUNCTION arvo_v1.unschedule(text, text, boolean) IS
'Removes the schedule of a name and key, or all of a name.';

REVOKE ALL ON FUNCTION arvo_v1.unschedule(text, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.unschedule(text, text, boolean) TO arvo_operator;
--! end

--! function arvo_v1.unsubscribe
-- arvo_v1.unsubscribe(queue, pattern) — end a subscription, or all of a queue.
CREATE OR REPLACE FUNCTION arvo_v1.unsubscribe(p_queue text, p_pattern text DEFAULT NULL)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $unsubscribe$
-- Copies that the queue has got already stay there. p_pattern NULL ends all of them. Returns how many
-- there were.
--
--   Reads    nothing
--   Writes   arvo.subscription
--   Locks    arvo.subscription rows
--   Raises   nothing
DECLARE
    v_ended integer;
BEGIN
    DELETE FROM arvo.subscription
    WHERE subscription.queue = p_queue
    AND (p_pattern IS NULL OR subscription.pattern = p_pattern);
    GET DIAGNOSTICS v_ended = ROW_COUNT;
    RETURN v_ended;
END;
$unsubscribe$;

COMMENT ON FUNCTION arvo_v1.unsubscribe(text, text) IS
'Ends a subscription of a queue, or all of them.';

REVOKE ALL ON FUNCTION arvo_v1.unsubscribe(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.unsubscribe(text, text) TO arvo_worker, arvo_operator;
--! end

--! function arvo_v1.work
-- arvo_v1.work(results, queues, limit, worker, limits, lease) — settle, then claim: one round trip, one commit.
CREATE OR REPLACE FUNCTION arvo_v1.work(
    p_results jsonb DEFAULT '[]',
    p_queues text[] DEFAULT NULL,
    p_limit integer DEFAULT 1,
    p_worker text DEFAULT NULL,
    p_limits integer[] DEFAULT NULL,
    p_lease interval DEFAULT interval '30 seconds'
)
RETURNS SETOF arvo_v1.worked
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $work$
-- Answers, in this order: verdicts of kind "settled" (only those that are not plainly completed),
-- deliveries of kind "claimed", and one row of kind "idle" when nothing was claimed, which says when
-- something deferred becomes due: at once, if this very call appended something to these queues.
-- Nothing is claimed when p_queues is NULL or p_limit is 0.
--
--   Reads    as arvo_v1.settle and arvo_v1.claim; arvo.deferred
--   Writes   as arvo_v1.settle and arvo_v1.claim
--   Locks    as arvo_v1.settle, then as arvo_v1.claim (which waits for none)
--   Raises   as arvo_v1.settle and arvo_v1.claim
--            55P03  somebody has held a lock for two seconds: settle the results one by one
BEGIN
    IF p_results IS DISTINCT FROM '[]' THEN
        RETURN QUERY
        SELECT
            'settled',
            verdict.lease,
            verdict.delivery,
            verdict.outcome,
            verdict.code,
            verdict.detail,
            NULL::text,
            NULL::integer,
            NULL::interval,
            NULL::jsonb,
            NULL::jsonb,
            NULL::jsonb,
            verdict.state_version,
            NULL::interval,
            NULL::bigint
        FROM arvo_v1.settle(p_results) AS verdict
        WHERE verdict.outcome <> 'completed'
        ORDER BY verdict.ordinal;
    END IF;
    IF p_queues IS NULL OR p_limit = 0 THEN
        RETURN;
    END IF;

    RETURN QUERY
    SELECT
        'claimed',
        claimed.lease,
        claimed.delivery,
        NULL::text,
        NULL::text,
        NULL::text,
        claimed.queue,
        claimed.attempt,
        claimed.expire_in,
        claimed.event,
        claimed.cause,
        claimed.state,
        claimed.state_version,
        NULL::interval,
        claimed.key
    FROM arvo_v1.claim(p_queues, p_limit, p_worker, p_limits, p_lease) AS claimed;
    IF NOT FOUND THEN
        RETURN NEXT (
            'idle', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
            CASE
                WHEN arvo.has_own(p_queues) THEN interval '0'
                ELSE least(arvo.next_due(), arvo.next_room(p_queues))
            END,
            NULL
        )::arvo_v1.worked;
    END IF;
END;
$work$;

COMMENT ON FUNCTION arvo_v1.work(jsonb, text[], integer, text, integer[], interval) IS
'Settles results and claims the next deliveries, in one round trip and one commit.';

REVOKE ALL ON FUNCTION arvo_v1.work(jsonb, text[], integer, text, integer[], interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.work(jsonb, text[], integer, text, integer[], interval)
TO arvo_worker;
--! end

--! function arvo_v1.workers
-- arvo_v1.workers() — the processes that have checked in.
CREATE OR REPLACE FUNCTION arvo_v1.workers()
RETURNS SETOF arvo_v1.presence
LANGUAGE sql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $workers$
-- In the order of their names. Who was not seen for three of its rhythms is not alive; after a day
-- it is forgotten.
--
--   Reads    arvo.worker, arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    worker.worker,
    worker.seen_at + 3 * worker.rhythm > arvo.clock(),
    worker.queues,
    worker.details,
    worker.started_at,
    worker.seen_at
FROM arvo.worker
ORDER BY worker.worker COLLATE "C";
$workers$;

COMMENT ON FUNCTION arvo_v1.workers() IS
'The processes that have checked in, and whether they are alive.';

REVOKE ALL ON FUNCTION arvo_v1.workers() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.workers() TO arvo_worker, arvo_monitor, arvo_operator;
--! end

INSERT INTO arvo.revision (number, name, oldest_client, applied_at)
VALUES (3, '0003.before.queue-engine', 1, clock_timestamp());
