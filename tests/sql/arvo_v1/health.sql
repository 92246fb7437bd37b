-- arvo_v1.health(): contract, stories.
BEGIN;
SELECT plan(9);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.health()',
    'SETOF arvo_v1.vital', 'sql', 'volatile', true,
    'arvo_monitor, arvo_operator, arvo_worker'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT results_eq(
    'SELECT DISTINCT topic FROM arvo_v1.health() ORDER BY topic',
    $$ VALUES ('clock'), ('cluster'), ('dead_letters'), ('history'), ('idle_in_transaction'), ('lag'), ('listeners'), ('maintenance'), ('notifications'),
              ('oldest_snapshot'), ('paused'), ('promotion'), ('queue_size'), ('registrations'), ('sequence'), ('unroutable'), ('workers') $$,
    'every topic is told, also when all is well'
);
SELECT matches(
    (SELECT detail FROM arvo_v1.health() WHERE topic = 'oldest_snapshot'), 'hidden: grant pg_read_all_stats',
    'what its owner may not see is said, whoever asks'
);

SELECT * FROM finish();
ROLLBACK;
