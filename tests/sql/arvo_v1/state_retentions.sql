-- arvo_v1.state_retentions(): contract, stories.
BEGIN;
SELECT plan(9);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.state_retentions()',
    'SETOF arvo_v1.state_retention', 'sql', 'stable', true,
    'arvo_monitor, arvo_operator, arvo_worker'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is_empty('SELECT FROM arvo_v1.state_retentions()', 'at first all is kept for ever');
SELECT count(*) FROM arvo_v1.retain_states('b', '2 days') \gset
SELECT count(*) FROM arvo_v1.retain_states('a', '1 day') \gset
SELECT count(*) FROM arvo_v1.retain_states(NULL, '3 days') \gset
SELECT results_eq(
    'SELECT source, age FROM arvo_v1.state_retentions()',
    $$ VALUES (NULL, interval '3 days'), ('a', interval '1 day'), ('b', interval '2 days') $$,
    'the rule for all others comes first'
);

SELECT * FROM finish();
ROLLBACK;
