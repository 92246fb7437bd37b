COMMENT ON COLUMN arvo_v1.maintained.touched IS 'How many rows.';
COMMENT ON COLUMN arvo_v1.maintained.task IS 'promoted, healed, swept or unlocked.';
DROP INDEX arvo.deferred_origin_idx, arvo.dead_resolved_at_idx;
DROP TYPE arvo.pin;
ALTER TABLE arvo.generation
DROP COLUMN opened_by,
DROP COLUMN closed_at,
DROP COLUMN finished_at,
DROP COLUMN emptied_at;
