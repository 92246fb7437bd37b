-- arvo.is_finished(execution_status, data): contract, table of records.
BEGIN;
SELECT plan(16);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.is_finished(text, jsonb)',
    'boolean', 'sql', 'immutable', false,
    'nobody'
);

-- records ---------------------------------------------------------------------------------------

SELECT is(arvo.is_finished(status, data), finished, format('%s %s', status, data))
FROM (
    VALUES
    ('normal', '{"status": "active"}'::jsonb, false),
    ('normal', '{"status": "done"}', true),
    ('normal', '{"status": "error"}', true),
    ('normal', '{"status": "stopped"}', true),
    ('failure', '{"error": {}}', true),
    ('unknown', '{}', false),
    ('unknown', '{"status": {"done": 1}}', false),
    ('unknown', NULL, false),
    (NULL, '{"status": null}', false)
) AS given (status, data, finished);

SELECT * FROM finish();
ROLLBACK;
