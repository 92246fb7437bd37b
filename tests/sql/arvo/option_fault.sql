-- arvo.option_fault(queue): contract, a table of cases.
BEGIN;
SELECT plan(65);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.option_fault(arvo.queue)',
    'text', 'sql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.fault(p_options jsonb) RETURNS text
LANGUAGE sql AS $$
    SELECT arvo.option_fault(jsonb_populate_record(
        arvo.with_options(jsonb_populate_record(NULL::arvo.queue, '{"name": "a"}'), '{}'), p_options
    ))
$$;
SELECT is(pg_temp.fault('{}'), NULL, 'the defaults break no rule');
SELECT is(split_part(pg_temp.fault(given.options), ':', 1), given.option, given.options::text)
FROM (
    VALUES
    ('{"name": ""}'::jsonb, 'queue'),
    ('{"name": "arvo.domain.X"}', 'queue'),
    ('{"policy": "fifo"}', 'policy'),
    ('{"policy": ""}', 'policy'),
    ('{"key_from": ""}', 'key_from'),
    ('{"key_from": "data"}', 'key_from'),
    ('{"key_from": "data."}', 'key_from'),
    ('{"key_from": "Tenant"}', 'key_from'),
    ('{"key_from": "tenant.id"}', 'key_from'),
    ('{"key_from": "data.a b"}', 'key_from'),
    ('{"key_from": "data.a.b.c.d.e.f.g.h.i"}', 'key_from'),
    ('{"on_failure": "panic"}', 'on_failure'),
    ('{"on_failure": "step_aside"}', 'on_failure'),
    ('{"start_after": "-1 microsecond"}', 'start_after'),
    ('{"start_after": "3650 days 1 microsecond"}', 'start_after'),
    ('{"retention": "0.999999 s"}', 'retention'),
    ('{"retention": "3650 days 1 microsecond"}', 'retention'),
    ('{"delete_after": "0.999999 s"}', 'delete_after'),
    ('{"delete_after": "3650 days 1 microsecond"}', 'delete_after'),
    ('{"deduplicate_for": "-1 microsecond"}', 'deduplicate_for'),
    ('{"deduplicate_for": "3650 days 1 microsecond"}', 'deduplicate_for'),
    ('{"singleton_for": "0.999999 s"}', 'singleton_for'),
    ('{"singleton_for": "3650 days 1 microsecond"}', 'singleton_for'),
    ('{"singleton_next_slot": true}', 'singleton_next_slot'),
    ('{"max_active": 0}', 'max_active'),
    ('{"key_max_active": 0}', 'key_max_active'),
    ('{"key_max_active": 2, "policy": "ordered"}', 'key_max_active'),
    ('{"key_max_active": 2, "policy": "singleton"}', 'key_max_active'),
    ('{"key_max_active": 2, "policy": "stately"}', 'key_max_active'),
    ('{"rate_limit": 0, "rate_period": "1 s"}', 'rate_limit'),
    ('{"rate_limit": 1}', 'rate_period'),
    ('{"rate_period": "1 s"}', 'rate_period'),
    ('{"rate_limit": 1, "rate_period": "0.099 s"}', 'rate_period'),
    ('{"rate_limit": 1, "rate_period": "31 days 1 s"}', 'rate_period'),
    ('{"key_rate_limit": 0, "key_rate_period": "1 s"}', 'key_rate_limit'),
    ('{"key_rate_limit": 1}', 'key_rate_period'),
    ('{"key_rate_limit": 1, "key_rate_period": "0.099 s"}', 'key_rate_period'),
    ('{"max_redrives": -1}', 'max_redrives'),
    ('{"error_rules": []}', 'error_rules'),
    ('{"error_rules": null}', 'error_rules'),
    ('{"error_rules": {"E": "retry"}}', 'error_rules'),
    ('{"error_rules": {"E": null}}', 'error_rules'),
    ('{"error_rules": {"E": {}}}', 'error_rules'),
    ('{"error_rules": {"E": {"retry_after": 1, "snooze": 1}}}', 'error_rules'),
    ('{"error_rules": {"E": {"retry_after": -1}}}', 'error_rules'),
    ('{"error_rules": {"E": {"snooze": "1"}}}', 'error_rules'),
    ('{"error_rules": {"E": {"snooze": [1, 2]}}}', 'error_rules'),
    ('{"error_rules": {"E": {"snooze": 315360001}}}', 'error_rules'),
    ('{"error_rules": {"E": {"snooze": 1, "x": 1}}}', 'error_rules'),
    ('{"error_rules": {"E": "dead", "F": 7}}', 'error_rules'),
    -- What is allowed, at its edges.
    ('{"policy": "ordered", "on_failure": "step_aside", "key_from": "data.a.b.c.d.e.f.g.h"}', NULL),
    ('{"key_from": "subject", "max_active": 1, "key_max_active": 1, "policy": "exclusive"}', NULL),
    ('{"singleton_for": "1 s", "singleton_next_slot": true, "deduplicate_for": "0", "start_after": "3650 days"}', NULL),
    ('{"rate_limit": 1, "rate_period": "0.1 s", "key_rate_limit": 1, "key_rate_period": "31 days"}', NULL),
    ('{"retention": "1 s", "delete_after": "1 s", "max_redrives": 0}', NULL),
    ('{"error_rules": {"E": "dead", "F": {"retry_after": 0}, "G": {"snooze": 315360000}, "": {"snooze": 0.5}}}', NULL),
    ('{"key_from": "data.Käse-1"}', NULL)
) AS given (options, option);

SELECT * FROM finish();
ROLLBACK;
