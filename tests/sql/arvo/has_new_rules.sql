-- arvo.has_new_rules(before, after): contract, a table of cases.
BEGIN;
SELECT plan(25);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.has_new_rules(arvo.queue,arvo.queue)',
    'boolean', 'sql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.queue(p_options jsonb) RETURNS arvo.queue
LANGUAGE sql AS $$ SELECT jsonb_populate_record(NULL::arvo.queue, '{"policy": "standard", "priority": 0}' || p_options) $$;
SELECT is(
    arvo.has_new_rules(pg_temp.queue(given.before), pg_temp.queue(given.after)), given.new, format('%s, then %s', given.before, given.after)
)
FROM (
    VALUES
    ('{}'::jsonb, '{}'::jsonb, false),
    ('{}', '{"priority": 5, "retry_limit": 9, "stateful": true, "expire_in": "1 s"}', false),
    ('{}', '{"policy": "ordered"}', true),
    ('{"policy": "short"}', '{"policy": "exclusive"}', true),
    ('{}', '{"key_from": "tenant"}', false),
    ('{"policy": "ordered"}', '{"policy": "ordered", "key_from": "tenant"}', false),
    ('{"policy": "ordered"}', '{"policy": "ordered", "max_active": 1}', false),
    ('{"policy": "exclusive"}', '{"policy": "exclusive", "max_active": 1}', true),
    ('{}', '{"max_active": 1}', true),
    ('{"max_active": 1}', '{"max_active": 2}', false),
    ('{"max_active": 1}', '{}', true),
    ('{}', '{"key_max_active": 1}', true),
    ('{"key_max_active": 2}', '{"key_max_active": 1}', false),
    ('{}', '{"rate_limit": 1, "rate_period": "1 s"}', true),
    ('{"rate_limit": 1, "rate_period": "1 s"}', '{"rate_limit": 5, "rate_period": "1 h"}', false),
    ('{}', '{"key_rate_limit": 1, "key_rate_period": "1 s"}', true),
    ('{"key_rate_limit": 1, "key_rate_period": "1 s"}', '{}', true),
    ('{"max_active": 1}', '{"key_max_active": 1}', false)
) AS given (before, after, new);

SELECT * FROM finish();
ROLLBACK;
