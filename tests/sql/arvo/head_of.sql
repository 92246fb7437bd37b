-- arvo.head_of(lane): contract, stories, refusals.
BEGIN;
SELECT plan(10);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.head_of(integer)',
    'arvo.lease', 'plpgsql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

DO $$ BEGIN PERFORM arvo_v1.register_queue('a'); PERFORM arvo_v1.register_queue('b'); END; $$;
SELECT is((arvo.head_of(arvo.lane_for('a'))).number, 0::bigint, 'the first cursor of a new lane');
DO $$ BEGIN
    FOR step IN 1..4 LOOP
        PERFORM arvo.move_cursor(arvo.head_of(arvo.lane_for('a')));
    END LOOP;
END; $$;
SELECT is(
    (SELECT head::text FROM arvo.head_of(arvo.lane_for('a')) AS head),
    (SELECT lease::text FROM arvo.lease WHERE lane = arvo.lane_for('a') AND number = 4), 'the newest row, whole'
);

-- refusals --------------------------------------------------------------------------------------

SELECT is(pg_temp.raised('SELECT arvo.head_of(4711)'), 'P0002 | query returned no rows', 'a lane that does not exist');

SELECT * FROM finish();
ROLLBACK;
