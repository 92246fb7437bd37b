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
