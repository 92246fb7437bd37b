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
