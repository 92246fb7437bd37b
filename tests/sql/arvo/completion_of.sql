-- arvo.completion_of(item): contract, what is plain, what is not.
BEGIN;
SELECT plan(47);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.completion_of(jsonb)',
    'arvo.completion', 'plpgsql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(
    (SELECT concat_ws(' ', done.lease, done.deliveries, done.run_times) FROM arvo.completion_of(given.item) AS done),
    given.done, left(given.item::text, 140)
)
FROM (
    VALUES
    ('{"lease": 7, "delivery": 1, "outcome": "completed"}'::jsonb, '7 {1} {NULL}'),
    ('{"lease": "7", "delivery": "1", "outcome": "completed", "run_time": 5}', '7 {1} {5}'),
    ('{"lease": 7, "delivery": 1, "outcome": "completed", "run_time": 3000000000}', '7 {1} {2147483647}'),
    ('{"lease": 7, "delivery": 1, "outcome": "completed", "run_time": -1}', '7 {1} {NULL}'),
    ('{"lease": 7, "delivery": 1, "outcome": "completed", "events": [], "state": null, "after": null, "error": null,
       "deliveries": null}', '7 {1} {NULL}'),
    ('{"lease": 7, "delivery": 1, "outcome": "completed", "error": {}}', '7 {1} {NULL}'),
    ('{"lease": 7, "deliveries": [1], "outcome": "completed"}', '7 {1} {NULL}'),
    ('{"lease": 7, "deliveries": [3, 1, 2], "outcome": "completed", "run_times": [5, null, 0]}', '7 {3,1,2} {5,NULL,0}'),
    ('{"lease": "7", "deliveries": ["3", 1], "outcome": "completed", "run_times": null, "events": []}', '7 {3,1} {NULL,NULL}'),
    ('{"lease": 7, "deliveries": [1, 1], "outcome": "completed"}', '7 {1,1} {NULL,NULL}')
) AS given (item, done);

-- not plain, or to be looked at closely
SELECT is((arvo.completion_of(given.item)).lease, NULL, left(given.item::text, 140))
FROM (
    VALUES
    ('null'::jsonb),
    ('7'),
    ('"x"'),
    ('[]'),
    ('{}'),
    ('{"delivery": 1, "outcome": "completed"}'),
    ('{"lease": 7, "outcome": "completed"}'),
    ('{"lease": 7, "delivery": 1}'),
    ('{"lease": 7, "delivery": 1, "outcome": "failed"}'),
    ('{"lease": 7, "delivery": 1, "outcome": "completed", "events": [{}]}'),
    ('{"lease": 7, "delivery": 1, "outcome": "completed", "events": {}}'),
    ('{"lease": 7, "delivery": 1, "outcome": "completed", "state": {}}'),
    ('{"lease": 7, "delivery": 1, "outcome": "completed", "after": 1}'),
    ('{"lease": 7, "delivery": 9223372036854775807, "outcome": "completed"}'),
    ('{"lease": 7, "deliveries": [], "outcome": "completed"}'),
    ('{"lease": 7, "deliveries": 1, "outcome": "completed"}'),
    ('{"lease": 7, "deliveries": "[1]", "outcome": "completed", "delivery": 1}'),
    ('{"lease": 7, "deliveries": "[1]", "outcome": "completed"}'),
    ('{"lease": 7, "deliveries": [1], "outcome": "completed", "run_times": "[1]"}'),
    ('{"lease": 7, "deliveries": [1], "outcome": "completed", "events": "[]"}'),
    ('{"lease": 7, "delivery": 1, "outcome": "completed", "events": "[]"}'),
    ('{"lease": 7, "deliveries": [1.5], "outcome": "completed"}'),
    ('{"lease": 7, "deliveries": [-1], "outcome": "completed"}'),
    ('{"lease": 7, "deliveries": [[1]], "outcome": "completed"}'),
    ('{"lease": 7, "deliveries": [1, null], "outcome": "completed"}'),
    ('{"lease": 7, "deliveries": [1, "x"], "outcome": "completed"}'),
    ('{"lease": 7, "deliveries": [1], "outcome": "completed", "run_times": [1, 2]}'),
    ('{"lease": 7, "deliveries": [1], "outcome": "completed", "run_times": [-1]}'),
    ('{"lease": 7, "deliveries": [1], "outcome": "completed", "run_times": 5}'),
    ('{"lease": 7, "deliveries": [1], "outcome": "completed", "error": {}}')
) AS given (item);

SELECT * FROM finish();
ROLLBACK;
