-- arvo.vitals_of_history(): contract, stories.
BEGIN;
SELECT plan(10);
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

DO $$ BEGIN PERFORM arvo_v1.register_queue('com.vitals.short', p_delete_after => '1 hour'); END; $$;
DO $$ BEGIN PERFORM arvo_v1.register_queue('com.vitals.even', p_delete_after => '1 hour', p_deduplicate_for => '1 hour'); END; $$;
SELECT results_eq(
    $$ SELECT level, value, detail FROM arvo.vitals_of_history() WHERE level <> 'ok' $$,
    $$ VALUES (
        'notice', '7 days',
        'History is kept for 7 days and longer, not for 01:00:00 (delete_after): so far back does queue "com.vitals.short" look for duplicates.'
    ) $$,
    'duplicates are looked for further back than history was asked to be kept'
);
DO $$ BEGIN PERFORM arvo_v1.register_queue('com.vitals.short', p_delete_after => '1 hour', p_deduplicate_for => '1 hour'); END; $$;
SELECT is_empty(
    $$ SELECT detail FROM arvo.vitals_of_history() WHERE level <> 'ok' $$,
    'no further back'
);

SELECT * FROM finish();
ROLLBACK;
