-- arvo_v1.gauges(most): contract, stories.
BEGIN;
SELECT plan(10);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.gauges(integer)',
    'SETOF arvo_v1.gauge', 'sql', 'volatile', true,
    'arvo_monitor, arvo_operator, arvo_worker'
);

-- stories ---------------------------------------------------------------------------------------

SELECT results_eq(
    'SELECT DISTINCT name FROM arvo_v1.gauges() ORDER BY name',
    $$ VALUES ('arvo.generation.age'), ('arvo.generation.kept'), ('arvo.generation.number'), ('arvo.notification.usage'), ('arvo.promotion.lag'),
              ('arvo.queues'), ('arvo.room.size'), ('arvo.schedule.lag'), ('arvo.schedules'), ('arvo.snapshot.age'), ('arvo.workers') $$,
    'what an installation without queues has'
);
DO $$ BEGIN PERFORM arvo_v1.register_queue('q' || number) FROM generate_series(1, 5) AS number; END; $$;
SELECT is(
    (SELECT count(DISTINCT queue) FROM arvo_v1.gauges() WHERE name = 'arvo.queue.depth'), 5::bigint,
    'every queue'
);
SELECT results_eq(
    $$ SELECT DISTINCT queue FROM arvo_v1.gauges(-1) WHERE queue IS NOT NULL $$, $$ VALUES ('') $$,
    'or all of them together'
);

SELECT * FROM finish();
ROLLBACK;
