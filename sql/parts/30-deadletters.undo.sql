DROP TYPE arvo_v1.discarded;
COMMENT ON TYPE arvo_v1.redriven IS 'A dead letter that was put back into its queue.';
COMMENT ON COLUMN arvo_v1.redriven.delivery IS 'Number of the new delivery; NULL in a dry run.';
COMMENT ON COLUMN arvo_v1.redriven.queue IS 'The queue it went back to.';
ALTER TYPE arvo_v1.redriven
DROP ATTRIBUTE outcome,
DROP ATTRIBUTE code,
DROP ATTRIBUTE detail,
DROP ATTRIBUTE due_at;
DROP TYPE arvo_v1.attempt;
COMMENT ON COLUMN arvo_v1.dead_letter.reason IS 'failed, rejected or lease_expired.';
COMMENT ON COLUMN arvo_v1.dead_letter.resolution IS 'redriven, consumed, or NULL while open.';
ALTER TYPE arvo_v1.dead_letter
DROP ATTRIBUTE edited,
DROP ATTRIBUTE resolved_at,
DROP ATTRIBUTE resolved_by,
DROP ATTRIBUTE redriven_at,
DROP ATTRIBUTE redriven_by;
DROP TYPE arvo.dead_filter;
DROP INDEX
arvo.deferred_event_idx, arvo.dead_event_idx, arvo.dead_all_open_idx,
arvo.dead_dead_letter_resolved_idx, arvo.dead_resolved_idx;
COMMENT ON INDEX arvo.dead_dead_letter_idx IS NULL;
COMMENT ON INDEX arvo.dead_open_idx IS NULL;
ALTER TABLE arvo.dead DROP COLUMN edited;
