-- arvo.note_operation(verb, queue, details, touched): contract, stories.
BEGIN;
SELECT plan(9);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.note_operation(text,text,jsonb,bigint)',
    'void', 'sql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$ BEGIN
    PERFORM arvo.note_operation('purge_queue', 'com.test.sink', '{"limit": 7, "reason": null, "deep": {"x": null, "y": 1}}', 3);
    PERFORM arvo.note_operation('redrive', NULL, '{}', 0);
END; $$;
SELECT results_eq(
    'SELECT at, by, verb, queue, details, touched FROM arvo.operation ORDER BY number',
    $$ VALUES (timestamptz '2030-01-01Z', session_user::text COLLATE "default", 'purge_queue', 'com.test.sink', '{"limit": 7, "deep": {"y": 1}}'::jsonb, 3::bigint),
              ('2030-01-01Z', session_user::text, 'redrive', NULL, '{}', 0) $$,
    'who did what, when, to how many; arguments that were not given are left out'
);
SET LOCAL ROLE arvo_owner;
SELECT arvo.note_operation('cancel', 'a', '{}', 1) \gset
RESET ROLE;
SELECT is(
    (SELECT by FROM arvo.operation WHERE verb = 'cancel'), session_user::text, 'the login role, not the one that the function runs as'
);

SELECT * FROM finish();
ROLLBACK;
