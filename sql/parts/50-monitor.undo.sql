DROP TYPE arvo_v1.presence, arvo_v1.vital, arvo_v1.explanation, arvo.lane_state,
arvo.disagreement;
ALTER TYPE arvo_v1.step
DROP ATTRIBUTE parent_subject,
DROP ATTRIBUTE depth,
DROP ATTRIBUTE due_at,
DROP ATTRIBUTE wait_time,
DROP ATTRIBUTE cause;
COMMENT ON COLUMN arvo_v1.step.delivery IS 'Number of the delivery.';
COMMENT ON COLUMN arvo_v1.step.outcome IS
'queued, deferred, unroutable, active, or what became of it: completed, retried, dead, released, snoozed, conflict, expired, cancelled.';
ALTER TYPE arvo_v1.queue_stats
DROP ATTRIBUTE policy,
DROP ATTRIBUTE retention,
DROP ATTRIBUTE delete_after,
DROP ATTRIBUTE waiting_count,
DROP ATTRIBUTE total_count,
DROP ATTRIBUTE exact,
DROP ATTRIBUTE singletons_active,
DROP ATTRIBUTE paused_at,
DROP ATTRIBUTE draining,
DROP ATTRIBUTE oldest_queued_age,
DROP ATTRIBUTE completed_per_minute,
DROP ATTRIBUTE failed_per_minute,
DROP ATTRIBUTE wait_mean,
DROP ATTRIBUTE wait_p95,
DROP ATTRIBUTE run_mean,
DROP ATTRIBUTE run_p95;
COMMENT ON COLUMN arvo_v1.queue_stats.deferred_count IS 'Due later: start_after, retry, snooze.';
COMMENT ON COLUMN arvo_v1.queue_stats.queued_count IS 'Ready and not yet claimed.';
COMMENT ON COLUMN arvo_v1.queue_stats.dead_count IS 'Dead letters of this queue that are still open.';
COMMENT ON COLUMN arvo_v1.queue_stats.oldest_queued_at IS 'When the oldest ready delivery was appended.';

DROP TABLE arvo.upkeep, arvo.worker;
DROP INDEX arvo.dead_delivery_idx, arvo.lease_delivery_idx, arvo.log_delivery_idx,
arvo.deferred_lane_idx;
DROP INDEX arvo.lease_range_idx;
CREATE INDEX lease_range_idx ON arvo.lease (lane, high_xid) WHERE token <> 0;
DROP TYPE arvo.pace, arvo.lane_count, arvo.frontier;
DROP TABLE arvo.tally;
ALTER TABLE arvo.log DROP COLUMN deferred_xid;
