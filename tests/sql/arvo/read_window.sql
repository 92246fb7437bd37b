-- arvo.read_window(head, limit): contract, stories, refusals.
BEGIN;
SELECT plan(18);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.read_window(arvo.lease,integer)',
    'arvo.reading', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_bitmapscan=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$ BEGIN
    PERFORM arvo_v1.register_queue('a');
    PERFORM arvo_v1.dispatch(pg_temp.event(n::text, 'a')) FROM generate_series(1, 5) AS n;
END; $$;
SELECT lane FROM arvo.lane \gset
CREATE FUNCTION pg_temp.ids(p_reading arvo.reading) RETURNS text[]
LANGUAGE sql AS $$ SELECT ARRAY(SELECT entry.event ->> 'id' FROM unnest(p_reading.batch) AS entry) $$;
CREATE FUNCTION pg_temp.after(p_head arvo.lease, p_reading arvo.reading) RETURNS arvo.lease
LANGUAGE sql AS $$
    SELECT jsonb_populate_record(p_head, to_jsonb(p_reading) - 'batch')
$$;
SELECT is(pg_temp.ids(arvo.read_window(arvo.head_of(:lane), 9)), '{}', 'what the own transaction has appended is not read');
COMMIT AND CHAIN;
CREATE TEMPORARY TABLE first AS SELECT r AS reading FROM arvo.read_window(arvo.head_of(:lane), 2) AS r;
SELECT is(pg_temp.ids(reading), '{1,2}', 'the next rows, up to the limit') FROM first;
SELECT is((reading).exhausted, false, 'and there may be more') FROM first;
SELECT is((reading).last_delivery, (((reading).batch)[2]).delivery, 'the position is that of the last one') FROM first;
SELECT is((reading).previous_snapshot::text, (arvo.head_of(:lane)).snapshot::text, 'a new window begins where the last one ended') FROM first;
CREATE TEMPORARY TABLE second AS
SELECT r AS reading FROM first CROSS JOIN LATERAL arvo.read_window(pg_temp.after(arvo.head_of(:lane), first.reading), 9) AS r;
SELECT is(pg_temp.ids(reading), '{3,4,5}', 'the same window goes on') FROM second;
SELECT is((reading).exhausted, true, 'to its end') FROM second;
SELECT is((second.reading).snapshot::text, (first.reading).snapshot::text, 'and has not moved') FROM first CROSS JOIN second;
COMMIT AND CHAIN;
SELECT arvo_v1.dispatch(pg_temp.event('6', 'a')) \gset
COMMIT AND CHAIN;
SELECT is(pg_temp.ids(arvo.read_window(pg_temp.after(arvo.head_of(:lane), reading), 9)), '{6}', 'the next window has what was committed since') FROM second;
SELECT is(
    pg_temp.ids(arvo.read_window(jsonb_populate_record(pg_temp.after(arvo.head_of(:lane), reading), '{"exhausted": false}'), 3)), '{6}',
    'a window that ended exactly at the limit gives way to the next at once'
) FROM second;

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    left(pg_temp.raised(format(
        $$ SELECT arvo.read_window(jsonb_populate_record(arvo.head_of(%s), '{"snapshot": "999999999:999999999:"}'), 9) $$, :lane
    )), 54), 'RV902 | transaction numbers are of another cluster | l', 'a cursor from the future'
);

SELECT * FROM finish();
ROLLBACK;
