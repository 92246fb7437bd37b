-- arvo.key_span(window, now): contract, stories.
BEGIN;
SELECT plan(18);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.key_span(interval,timestamptz)',
    'arvo.key_span', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.span(p_window interval DEFAULT '1 day', p_now timestamptz DEFAULT '2030-01-05Z') RETURNS text
LANGUAGE sql AS $$ SELECT concat_ws(' then ', looked::text, written::text) FROM arvo.key_span(p_window, p_now) $$;
UPDATE arvo.generation SET opened_at = '2030-01-01Z';
SELECT is(pg_temp.span(), '{0}', 'the first generation is written');
INSERT INTO arvo.generation (slot, opened_at) VALUES (1, '2030-01-02Z');
SELECT is(pg_temp.span('3 days'), '{1}', 'the one before is not looked at when the window begins with its end');
SELECT is(pg_temp.span('3 days 0.000001 seconds'), '{0} then {1}', 'and is when it begins a microsecond before');
INSERT INTO arvo.generation (slot, opened_at) VALUES (2, '2030-01-03Z'), (3, '2030-01-04Z');
SELECT is(pg_temp.span(), '{3}', 'the last slot');
SELECT is(pg_temp.span('9 days'), '{0,1,2} then {3}', 'a long window reaches back into all');
UPDATE arvo.generation SET emptied_at = '2030-01-04Z' WHERE number = 1;
SELECT is(pg_temp.span('9 days'), '{1,2} then {3}', 'not into what was emptied');

-- a horizon in the future: transactions may be running that know only the one before
UPDATE arvo.generation SET horizon = '9223372036854775807' WHERE number = 4;
SELECT is(pg_temp.span('9 days'), '{1} then {2,3}', 'while it turns both are written');
SELECT is(pg_temp.span('0'), '{2,3}', 'whatever the window');
UPDATE arvo.generation SET horizon = pg_snapshot_xmin(pg_current_snapshot()) WHERE number = 4;
SELECT is(pg_temp.span('9 days'), '{1,2} then {3}', 'it ends with the last transaction below the horizon');
UPDATE arvo.generation SET horizon = (pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 9)::text::xid8 WHERE number = 4;
SELECT is(pg_temp.span('9 days'), '{1} then {2,3}', 'not before');
UPDATE arvo.generation SET horizon = '0' WHERE number = 4;

-- a number whose row is not to be seen
SELECT setval('arvo.generation_number_seq', 5) \gset
SELECT is(pg_temp.span('9 days'), '{1,2} then {3,0}', 'one that somebody is opening at this moment: both are written');

SELECT * FROM finish();
ROLLBACK;
