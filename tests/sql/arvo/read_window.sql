-- arvo.read_window(head, limit, upto): contract, stories, refusals.
BEGIN;
SELECT plan(25);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.read_window(arvo.lease,integer,pg_snapshot)',
    'arvo.reading', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.ids(p_reading arvo.reading) RETURNS text[]
LANGUAGE sql AS $$ SELECT coalesce(array_agg(entry.event ->> 'id'), '{}') FROM unnest(p_reading.batch) AS entry $$;
CREATE FUNCTION pg_temp.send(VARIADIC p_ids text[]) RETURNS void
LANGUAGE sql AS $$ SELECT arvo_v1.dispatch_many((SELECT jsonb_agg(pg_temp.event(id, 'a')) FROM unnest(p_ids) AS id)) $$;
-- The head of the lane as it stands in the mind of the test: read_window() itself writes nothing.
CREATE TEMPORARY TABLE head AS SELECT * FROM arvo.head_of(0) WHERE false;
CREATE FUNCTION pg_temp.read(p_limit integer, p_upto pg_snapshot DEFAULT NULL) RETURNS text[]
LANGUAGE plpgsql AS $$
DECLARE
    v_head arvo.lease;
    v_reading arvo.reading;
BEGIN
    SELECT * INTO STRICT v_head FROM head;
    v_reading := arvo.read_window(v_head, p_limit, p_upto);
    v_head := arvo.moved(v_head, v_reading);
    DELETE FROM head;
    INSERT INTO head SELECT v_head.*;
    RETURN pg_temp.ids(v_reading);
END;
$$;
SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT arvo_v1.register_queue('a') \gset
INSERT INTO head SELECT * FROM arvo.head_of(arvo.lane_for('a'));
COMMIT AND CHAIN;
SELECT is(pg_temp.read(5), '{}', 'an empty lane');
SELECT pg_temp.send('1', '2', '3');
SELECT is(pg_temp.read(5), '{}', 'what this transaction wrote is not in its own window');
COMMIT AND CHAIN;
SELECT is(pg_temp.read(2), '{1,2}', 'up to the limit');
SELECT ok(NOT (SELECT exhausted FROM head), 'the window has more');
SELECT pg_temp.send('4');
COMMIT AND CHAIN;
SELECT is(pg_temp.read(2), '{3}', 'the rest of it');
SELECT ok((SELECT exhausted FROM head), 'now it is used up');
SELECT is(pg_temp.read(2), '{4}', 'the next window opens');
SELECT pg_temp.send('5', '6');
COMMIT AND CHAIN;
SELECT is(pg_temp.read(2), '{5,6}', 'one that ends exactly at the limit');
SELECT pg_temp.send('7');
COMMIT AND CHAIN;
SELECT is(pg_temp.read(2), '{7}', 'leaves nothing, so the next one opens in the same call');

-- stories: up to a snapshot only

SELECT pg_temp.send('8', '9', '10');
COMMIT AND CHAIN;
SELECT arvo.window_snapshot() AS seen \gset
SELECT pg_temp.send('11');
COMMIT AND CHAIN;
SELECT is(pg_temp.read(2, :'seen'), '{8,9}', 'a draining lane is read');
SELECT is(pg_temp.read(2, :'seen'), '{10}', 'up to what the snapshot saw');
SELECT is(pg_temp.read(2, :'seen'), '{}', 'and no further');
SELECT is(pg_temp.read(2, :'seen'), '{}', 'however often it is asked');
SELECT arvo.window_snapshot() AS more \gset
SELECT is(pg_temp.read(2, :'more'), '{11}', 'a newer snapshot sees more');
SELECT pg_temp.send('12');
COMMIT AND CHAIN;
SELECT is(pg_temp.read(2), '{12}', 'without one everything is read');
COMMIT AND CHAIN;
-- Somebody opened a window while the snapshot to drain to was on its way.
SELECT is(pg_temp.read(2, :'more'), '{}', 'a snapshot from before the window that is open drains nothing, and is no error');
SELECT pg_temp.send('13');
COMMIT AND CHAIN;
SELECT is(pg_temp.read(2), '{13}', 'and loses nothing');

-- refusals --------------------------------------------------------------------------------------

UPDATE head SET snapshot = '4000000000:4000000000:', exhausted = true;
SELECT is(
    left(pg_temp.raised('SELECT pg_temp.read(2)'), 52), 'RV902 | transaction numbers are of another cluster |', 'a window of another cluster'
);

SELECT * FROM finish();
ROLLBACK;
