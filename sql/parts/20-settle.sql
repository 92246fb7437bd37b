-- ---------------------------------------------------------------------------------------------
-- compact results
-- ---------------------------------------------------------------------------------------------

ALTER TYPE arvo.result ADD ATTRIBUTE named_in integer;
COMMENT ON COLUMN arvo.result.ordinal IS 'Place among the deliveries that were named, from 1.';
COMMENT ON COLUMN arvo.result.named_in IS
'Place in the array of results, from 1: an item may name several deliveries.';

CREATE TYPE arvo.completion AS (
    lease bigint,
    deliveries bigint[],
    run_times integer[],
    items integer[],
    others bigint[]
);
COMMENT ON TYPE arvo.completion IS 'What a settlement plainly completes of one lease.';
COMMENT ON COLUMN arvo.completion.lease IS 'The lease.';
COMMENT ON COLUMN arvo.completion.deliveries IS 'Its deliveries that are completed, in the order of the call.';
COMMENT ON COLUMN arvo.completion.run_times IS 'How long each ran, in microseconds.';
COMMENT ON COLUMN arvo.completion.items IS
'Place of each in the array of results, from 1; a single one speaks for all.';
COMMENT ON COLUMN arvo.completion.others IS
'Deliveries that other items of the same lease name; NULL when there are none.';

CREATE TYPE arvo.parted AS (
    closed arvo.completion[],
    rest jsonb,
    items integer[]
);
COMMENT ON TYPE arvo.parted IS 'Results of a settlement: those that are done with, and the others.';
COMMENT ON COLUMN arvo.parted.closed IS 'What has been completed, by lease.';
COMMENT ON COLUMN arvo.parted.rest IS 'The results that are still to be judged, in their order.';
COMMENT ON COLUMN arvo.parted.items IS 'Place of each of them in the array of results, from 1; empty when nothing has been closed, or all.';

-- ---------------------------------------------------------------------------------------------
-- claims: what is looked up once per call
-- ---------------------------------------------------------------------------------------------

CREATE TYPE arvo.claimable AS (
    lanes integer[],
    places integer[],
    queues integer[],
    gated boolean[],
    limited boolean
);
COMMENT ON TYPE arvo.claimable IS 'Lanes that a claim goes through, in this order.';
COMMENT ON COLUMN arvo.claimable.lanes IS 'The lanes.';
COMMENT ON COLUMN arvo.claimable.places IS 'Which of the queues named each belongs to, from 1.';
COMMENT ON COLUMN arvo.claimable.queues IS 'Queue of each.';
COMMENT ON COLUMN arvo.claimable.gated IS 'Whether that queue is gated.';
COMMENT ON COLUMN arvo.claimable.limited IS 'Whether one of the queues has a rate limit.';

CREATE TYPE arvo.ahead AS (
    due boolean,
    next_at timestamptz
);
COMMENT ON TYPE arvo.ahead IS 'What arvo.look_ahead found.';
COMMENT ON COLUMN arvo.ahead.due IS 'Whether the promotion or the schedules have something to do.';
COMMENT ON COLUMN arvo.ahead.next_at IS 'If not: when they will have; NULL when nothing waits for its time.';

CREATE TYPE arvo.leased AS (
    queue arvo.queue,
    lease arvo.lease,
    batch arvo.log[],
    rows arvo_v1.claimed[]
);
COMMENT ON TYPE arvo.leased IS 'What a claim took from one lane.';
COMMENT ON COLUMN arvo.leased.queue IS 'The queue, as it was read under the lock of the lane.';
COMMENT ON COLUMN arvo.leased.lease IS 'The lease.';
COMMENT ON COLUMN arvo.leased.batch IS 'Its deliveries; NULL when there are none, or rows has them.';
COMMENT ON COLUMN arvo.leased.rows IS 'Those of a gated queue, as a worker gets them.';
