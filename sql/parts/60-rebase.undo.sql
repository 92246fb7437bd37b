DROP TYPE arvo_v1.rebased;
DELETE FROM arvo.lane WHERE retired;
DROP INDEX arvo.lane_live_idx, arvo.lane_queue_idx;
ALTER TABLE arvo.lane
DROP COLUMN retired,
DROP COLUMN successor,
ADD CONSTRAINT lane_queue_priority_key UNIQUE (queue, priority);
ALTER TABLE arvo.origin DROP COLUMN relation;
