-- arvo.vitals_of_history(): contract, stories.
BEGIN;
SELECT plan(8);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.vitals_of_history()',
    'SETOF arvo_v1.vital', 'sql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
UPDATE arvo.generation SET opened_at = '2029-12-31T00:00:00Z';
SELECT results_eq(
    'SELECT topic, level, value, detail FROM arvo.vitals_of_history()',
    $$ VALUES ('history', 'ok', '1', 'Slot 0 is in use, for 1 day.') $$, 'the generation in use'
);

SELECT * FROM finish();
ROLLBACK;
