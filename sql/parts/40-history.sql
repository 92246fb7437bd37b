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
