-- arvo.read_options(options): contract, a table of cases, refusals.
BEGIN;
SELECT plan(51);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.read_options(jsonb)',
    'arvo.options', 'plpgsql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT is(
    coalesce(jsonb_strip_nulls(to_jsonb(arvo.read_options(given.options))), '{}'), given.options_read::jsonb, coalesce(given.options::text, 'NULL')
)
FROM (
    VALUES
    (NULL::jsonb, '{}'),
    ('null', '{}'),
    ('{}', '{}'),
    ('{"start_after": null, "priority": null, "singleton_key": null}', '{}'),
    ('{"start_after": 90, "priority": -7}', '{"start_after": "00:01:30", "priority": -7}'),
    ('{"start_after": "2030-01-01T01:00:00Z"}', '{"start_after": "01:00:00"}'),
    ('{"start_after": -5}', '{"start_after": "-00:00:05"}'),
    ('{"start_after": "3650 days"}', '{"start_after": "3650 days"}'),
    ('{"singleton_key": "", "singleton_for": "1 minute", "singleton_next_slot": true}',
     '{"key": "", "singleton_for": "00:01:00", "singleton_next_slot": true}'),
    ('{"must_be_registered": true}', '{"must_be_registered": true}'),
    ('{"retry_limit": 0, "retry_delay": 0, "retry_backoff": false, "retry_delay_max": "0", "expire_in": 1}',
     '{"kept": {"retry_limit": 0, "retry_delay": "00:00:00", "retry_backoff": false, "retry_delay_max": "00:00:00",
       "expire_in": "00:00:01"}}'),
    ('{"expire_in": "1 day"}', '{"kept": {"expire_in": "1 day"}}'),
    ('{"priority": 2147483647}', '{"priority": 2147483647}')
) AS given (options, options_read);

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised(format('SELECT arvo.read_options(%L)', given.options)),
    format('RV002 | option is not valid | %s | "%s": %s', given.option, given.option, given.value), left(given.options, 100)
)
FROM (
    VALUES
    ('[]', 'options', '[]'),
    ('7', 'options', '7'),
    ('"x"', 'options', '"x"'),
    ('{"colour": "red"}', 'colour', '"red"'),
    ('{"start_after": "soon"}', 'start_after', '"soon"'),
    ('{"start_after": true}', 'start_after', 'true'),
    ('{"start_after": "3650 days 1 microsecond"}', 'start_after', '"3650 days 1 microsecond"'),
    ('{"start_after": "2030-01-01"}', 'start_after', '"2030-01-01"'),
    ('{"priority": 1.5}', 'priority', '1.5'),
    ('{"priority": "1"}', 'priority', '"1"'),
    ('{"priority": 2147483648}', 'priority', '2147483648'),
    ('{"priority": 99999999999}', 'priority', '99999999999'),
    ('{"retry_limit": -1}', 'retry_limit', '-1'),
    ('{"retry_limit": true}', 'retry_limit', 'true'),
    ('{"retry_delay": -1}', 'retry_delay', '-1'),
    ('{"retry_delay": "3651 days"}', 'retry_delay', '"3651 days"'),
    ('{"retry_delay_max": "-1 second"}', 'retry_delay_max', '"-1 second"'),
    ('{"retry_backoff": 1}', 'retry_backoff', '1'),
    ('{"retry_backoff": "true"}', 'retry_backoff', '"true"'),
    ('{"expire_in": 0.5}', 'expire_in', '0.5'),
    ('{"expire_in": "1 day 1 second"}', 'expire_in', '"1 day 1 second"'),
    ('{"singleton_for": 0}', 'singleton_for', '0'),
    ('{"singleton_for": 0.999}', 'singleton_for', '0.999'),
    ('{"singleton_for": "11 years"}', 'singleton_for', '"11 years"'),
    ('{"singleton_key": 7}', 'singleton_key', '7'),
    ('{"singleton_key": []}', 'singleton_key', '[]'),
    ('{"singleton_next_slot": "yes"}', 'singleton_next_slot', '"yes"'),
    ('{"must_be_registered": 0}', 'must_be_registered', '0'),
    ('{"must_be_registered": {}}', 'must_be_registered', '{}')
) AS given (options, option, value);
SELECT is(
    pg_temp.raised(format('SELECT arvo.read_options(%L)', jsonb_build_object('singleton_key', repeat('k', 1001)))),
    'RV002 | option is not valid | singleton_key | "singleton_key": "' || repeat('k', 79), 'a key of more than 1000 characters'
);
SELECT is(
    pg_temp.raised(format('SELECT arvo.read_options(%L)', jsonb_build_object(repeat('n', 100), 1))),
    'RV002 | option is not valid | ' || repeat('n', 60) || ' | "' || repeat('n', 59) || ': 1', 'a long name is cut'
);

SELECT * FROM finish();
ROLLBACK;
