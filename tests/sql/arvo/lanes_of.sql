-- arvo.lanes_of(queue): contract, stories.
BEGIN;
SELECT plan(10);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.lanes_of(integer)',
    'SETOF arvo.lane', 'sql', 'stable', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$ BEGIN
    PERFORM arvo_v1.register_queue('a');
    PERFORM arvo_v1.register_queue('b');
    PERFORM arvo_v1.dispatch(pg_temp.event('1', 'a'), p_priority => 9);
    PERFORM arvo_v1.dispatch(pg_temp.event('2', 'a'), p_priority => -9);
END; $$;
SELECT results_eq(
    $$ SELECT own.lane, own.priority FROM arvo.lanes_of((SELECT queue FROM arvo.queue WHERE name = 'a')) AS own $$,
    $$ SELECT lane.lane, lane.priority FROM arvo.lane INNER JOIN arvo.queue USING (queue) WHERE name = 'a' ORDER BY lane.lane $$,
    'all of the queue, in the order of their numbers'
);
SELECT is(
    (SELECT count(*) FROM arvo.lanes_of((SELECT queue FROM arvo.queue WHERE name = 'a'))), 3::bigint, 'one for each priority'
);
SELECT is_empty('SELECT FROM arvo.lanes_of(0)', 'none of a queue that does not exist');

SELECT * FROM finish();
ROLLBACK;
