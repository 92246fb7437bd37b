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
