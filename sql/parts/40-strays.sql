-- ---------------------------------------------------------------------------------------------
-- lease: only what had waited is looked up by its number
-- ---------------------------------------------------------------------------------------------

ALTER TABLE arvo.lease ADD COLUMN strays bigint[];
COMMENT ON COLUMN arvo.lease.strays IS
'Gated queues: those of the deliveries that had been parked, so that the order of the log does not find their lease. NULL when there are none.';
DROP INDEX arvo.lease_delivery_idx;
CREATE INDEX lease_stray_idx ON arvo.lease
USING gin (strays) WITH (fastupdate = off) WHERE strays IS NOT NULL;
COMMENT ON TABLE arvo.turn IS
'State of each key of a gated queue: its newest row counts; key 0 is the queue itself. Replaced under the lock of the queue''s home lane by a row of a higher number; idle ones are deleted by maintain().';
-- Room for the row that replaces one beside it: that is half of the WAL.
ALTER TABLE arvo.turn SET (fillfactor = 50);
