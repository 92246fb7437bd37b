DROP INDEX arvo.lease_stray_idx;
ALTER TABLE arvo.lease DROP COLUMN strays;
CREATE INDEX lease_delivery_idx ON arvo.lease
USING gin (deliveries) WITH (fastupdate = off) WHERE keys IS NOT NULL;
COMMENT ON TABLE arvo.turn IS
'State of each key of a gated queue: its newest row counts; key 0 is the queue itself. Appended under the lock of the queue''s home lane; the row before is deleted with it, idle ones by maintain().';
ALTER TABLE arvo.turn RESET (fillfactor);
