-- arvo.options_with(options, start_after, priority): contract, a table of cases.
BEGIN;
SELECT plan(18);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.options_with(jsonb,interval,integer)',
    'jsonb', 'sql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(
    arvo.options_with(given.options, given.start_after, given.priority), given.options_with::jsonb,
    concat_ws(', ', coalesce(given.options::text, 'NULL'), given.start_after, given.priority)
)
FROM (
    VALUES
    (NULL::jsonb, NULL::interval, NULL::integer, NULL),
    (NULL, '90 s', NULL, '{"start_after": 90.000000}'),
    (NULL, NULL, 7, '{"priority": 7}'),
    (NULL, '-1 s', 0, '{"start_after": -1.000000, "priority": 0}'),
    ('{"singleton_key": "k"}', NULL, NULL, '{"singleton_key": "k"}'),
    ('{"singleton_key": "k", "priority": 1}', '1 day', 7, '{"singleton_key": "k", "priority": 7, "start_after": 86400.000000}'),
    ('{"priority": 1}', '1 s', NULL, '{"priority": 1, "start_after": 1.000000}'),
    ('[]', '1 s', 7, '[]'),
    ('7', NULL, 7, '7'),
    ('null', NULL, NULL, 'null'),
    -- Nothing is said by a null either: what is given apart must not get lost with it.
    ('null', '1 s', 7, '{"start_after": 1.000000, "priority": 7}')
) AS given (options, start_after, priority, options_with);

SELECT * FROM finish();
ROLLBACK;
