ALTER TYPE arvo_v1.worked DROP ATTRIBUTE key;
ALTER TYPE arvo_v1.claimed DROP ATTRIBUTE key;
ALTER TYPE arvo_v1.extended DROP ATTRIBUTE deliveries;
COMMENT ON COLUMN arvo_v1.dispatched.delivery IS 'Number of its delivery.';
COMMENT ON COLUMN arvo_v1.dispatched.outcome IS 'queued, deferred, domained or unroutable.';
ALTER TYPE arvo_v1.queue
DROP ATTRIBUTE policy,
DROP ATTRIBUTE key_from,
DROP ATTRIBUTE on_failure,
DROP ATTRIBUTE start_after,
DROP ATTRIBUTE retention,
DROP ATTRIBUTE delete_after,
DROP ATTRIBUTE deduplicate_for,
DROP ATTRIBUTE singleton_for,
DROP ATTRIBUTE singleton_next_slot,
DROP ATTRIBUTE max_active,
DROP ATTRIBUTE key_max_active,
DROP ATTRIBUTE rate_limit,
DROP ATTRIBUTE rate_period,
DROP ATTRIBUTE key_rate_limit,
DROP ATTRIBUTE key_rate_period,
DROP ATTRIBUTE max_redrives,
DROP ATTRIBUTE error_rules,
DROP ATTRIBUTE paused_at;
ALTER TYPE arvo.result
DROP ATTRIBUTE xid,
DROP ATTRIBUTE key,
DROP ATTRIBUTE place,
DROP ATTRIBUTE next;
DROP TYPE arvo.taking, arvo.arrival, arvo.options, arvo.reading;

DROP TABLE arvo.operation;
ALTER TABLE arvo.tombstone DROP COLUMN reason, DROP COLUMN by;
DELETE FROM arvo.dead WHERE reason = 'retention' OR resolution = 'discarded';
ALTER TABLE arvo.dead
DROP COLUMN key,
DROP COLUMN options,
DROP CONSTRAINT dead_reason_check,
DROP CONSTRAINT dead_resolution_check,
ADD CONSTRAINT dead_reason_check CHECK (reason IN ('failed', 'rejected', 'lease_expired')),
ADD CONSTRAINT dead_resolution_check CHECK (resolution IN ('redriven', 'consumed'));
COMMENT ON COLUMN arvo.dead.reason IS 'failed, rejected or lease_expired.';
COMMENT ON COLUMN arvo.dead.resolution IS 'What was done about it; NULL while open.';

DROP TABLE
    arvo.omission, arvo.event_key, arvo.event_key_generation, arvo.throttle, arvo.singleton,
    arvo.ready, arvo.parked, arvo.turn;
DROP SEQUENCE arvo.event_key_number, arvo.turn_number;
DROP INDEX arvo.closure_at_idx;
ALTER TABLE arvo.lease
DROP COLUMN xids,
DROP COLUMN keys,
DROP COLUMN places,
DROP COLUMN ready_from;
ALTER TABLE arvo.deferred DROP COLUMN key, DROP COLUMN options;
ALTER TABLE arvo.log DROP COLUMN key, DROP COLUMN options;
DROP TABLE arvo.registration;
ALTER TABLE arvo.queue
DROP COLUMN gated,
DROP COLUMN slotted,
DROP COLUMN policy,
DROP COLUMN key_from,
DROP COLUMN on_failure,
DROP COLUMN start_after,
DROP COLUMN retention,
DROP COLUMN delete_after,
DROP COLUMN deduplicate_for,
DROP COLUMN singleton_for,
DROP COLUMN singleton_next_slot,
DROP COLUMN max_active,
DROP COLUMN key_max_active,
DROP COLUMN rate_limit,
DROP COLUMN rate_period,
DROP COLUMN key_rate_limit,
DROP COLUMN key_rate_period,
DROP COLUMN max_redrives,
DROP COLUMN error_rules,
DROP COLUMN paused_at,
DROP COLUMN paused_by,
DROP COLUMN drained_to;
