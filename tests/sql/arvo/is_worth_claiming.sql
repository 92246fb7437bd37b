-- arvo.is_worth_claiming(lane): contract, stories.
BEGIN;
SELECT plan(21);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.is_worth_claiming(integer)',
    'boolean', 'sql', 'volatile', false,
    'nobody',
    ARRAY['search_path=pg_catalog, pg_temp', 'enable_seqscan=off']
);

-- stories ---------------------------------------------------------------------------------------

-- The cursor of a lane, read up to 10000 (when 95 was open), with nothing leased.
SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT arvo.lane_for('q') AS lane \gset
UPDATE arvo.lease
SET previous_snapshot = '90:100:90,95', snapshot = '95:10000:95', last_xid = '9999', last_delivery = 7;
CREATE FUNCTION pg_temp.logged(p_lane integer, p_xid xid8) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO arvo.log (slot, lane, xid, delivery, attempt, at, subject_key, event_key, event)
    VALUES (0, p_lane, p_xid, nextval('arvo.delivery_number'), 1, now(), 0, 0, '{}')
$$;

SELECT is(arvo.is_worth_claiming(:lane), false, 'an empty lane is not');
SELECT pg_temp.logged(:lane, '120');
SELECT is(arvo.is_worth_claiming(:lane), false, 'nor one whose rows have all been read');
UPDATE arvo.lease SET exhausted = false;
SELECT is(arvo.is_worth_claiming(:lane), true, 'a window that has not been read to its end is');
UPDATE arvo.lease SET exhausted = true, sweep_at = '2030-01-01T00:00:00Z';
SELECT is(arvo.is_worth_claiming(:lane), true, 'so is a lease that may have lapsed');
UPDATE arvo.lease SET sweep_at = '2030-01-01T00:00:01Z';
SELECT is(arvo.is_worth_claiming(:lane), false, 'one that has time left is not');
SELECT pg_temp.logged(:lane, '95');
SELECT is(arvo.is_worth_claiming(:lane), true, 'what was open at the end of the window is, once it is there');
DELETE FROM arvo.log WHERE xid = '95';
SELECT pg_temp.logged(:lane, '10000');
SELECT is(arvo.is_worth_claiming(:lane), true, 'so is what came behind it');
DELETE FROM arvo.log WHERE xid = '10000';
SELECT is(arvo.is_worth_claiming(:lane), false, 'no longer when that is gone');
UPDATE arvo.lease SET ready_from = 7;
INSERT INTO arvo.ready (queue, number, key) SELECT queue, 7, 1 FROM arvo.lane;
SELECT is(arvo.is_worth_claiming(:lane), false, 'a key that has been served already does not count');
INSERT INTO arvo.ready (queue, number, key) SELECT queue, 8, 1 FROM arvo.lane;
SELECT is(arvo.is_worth_claiming(:lane), true, 'one that is to be served does');
UPDATE arvo.queue SET max_active = 2;
INSERT INTO arvo.turn (queue, key, number, active, waiting, upto, ready, tally, at) SELECT queue, 0, 1, 2, 0, 0, false, '{}', arvo.clock() FROM arvo.lane;
SELECT is(arvo.is_worth_claiming(:lane), false, 'a queue of which as many run as may is not');
UPDATE arvo.lease SET sweep_at = '2030-01-01T00:00:00Z';
SELECT is(arvo.is_worth_claiming(:lane), true, 'unless a lease of it may have lapsed');
UPDATE arvo.lease SET sweep_at = 'infinity';
UPDATE arvo.turn SET active = 1;
SELECT is(arvo.is_worth_claiming(:lane), true, 'with room for one more it is');
SELECT is(arvo.is_worth_claiming(0), NULL, 'a lane that is not there has no answer');

SELECT * FROM finish();
ROLLBACK;
