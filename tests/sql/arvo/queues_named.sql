-- arvo.queues_named(name): contract, stories, refusals.
BEGIN;
SELECT plan(12);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.queues_named(text)',
    'SETOF arvo.queue', 'plpgsql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$ BEGIN
    PERFORM arvo_v1.register_queue(name) FROM unnest('{a.2,a.1,b}'::text[]) AS name;
END; $$;
SELECT results_eq($$ SELECT name FROM arvo.queues_named('a.*') $$, '{a.1,a.2}'::text[], 'a star: all that begin so, by name');
SELECT results_eq($$ SELECT name FROM arvo.queues_named('*') $$, '{a.1,a.2,b}'::text[], 'a star alone: all');
SELECT is_empty($$ SELECT name FROM arvo.queues_named('c*') $$, 'or none');
SELECT results_eq($$ SELECT name FROM arvo.queues_named('b') $$, '{b}'::text[], 'a name: that one');

-- refusals --------------------------------------------------------------------------------------

SELECT is(pg_temp.raised($$ SELECT arvo.queues_named('c') $$), 'RV003 | queue is not known | queue | queue: "c"', 'a name that nobody has used');

SELECT * FROM finish();
ROLLBACK;
