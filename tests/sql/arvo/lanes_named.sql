-- arvo.lanes_named(name): contract, stories, refusals.
BEGIN;
SELECT plan(11);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.lanes_named(text)',
    'integer[]', 'plpgsql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$ BEGIN
    PERFORM arvo_v1.register_queue(name) FROM unnest('{a.2,a.1,b}'::text[]) AS name;
    PERFORM arvo_v1.dispatch(pg_temp.event('1', 'a.1'), p_priority => 9);
END; $$;
SELECT is(
    arvo.lanes_named('a.*'),
    ARRAY(SELECT lane FROM arvo.lane INNER JOIN arvo.queue USING (queue) WHERE name LIKE 'a.%' ORDER BY lane),
    'the lanes of all of them, in the order in which they are locked'
);
SELECT is(arvo.lanes_named('c*'), '{}', 'of none: none');

-- refusals --------------------------------------------------------------------------------------

DO $$ BEGIN PERFORM arvo_v1.register_queue('many.' || n) FROM generate_series(1, 513) AS n; END; $$;
SELECT is(
    pg_temp.raised($$ SELECT arvo.lanes_named('many.*') $$), 'RV006 | argument is not valid | queue | "many.*" stands for 513 lanes', 'more than may be locked'
);
SELECT is(pg_temp.raised($$ SELECT arvo.lanes_named('c') $$), 'RV003 | queue is not known | queue | queue: "c"', 'a name that nobody has used');

SELECT * FROM finish();
ROLLBACK;
