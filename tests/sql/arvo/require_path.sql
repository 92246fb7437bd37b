-- arvo.require_path(path): contract, refusals.
BEGIN;
SELECT plan(15);
\ir ../given.psql

SELECT * FROM pg_temp.contract(
    'arvo.require_path(jsonpath)', 'void', 'plpgsql', 'immutable', false, 'nobody'
);

SELECT is(
    pg_temp.raised(format('SELECT arvo.require_path(%L)', given.path)),
    CASE WHEN given.valid THEN 'nothing' ELSE 'RV006 | argument is not valid | path | path: ' || to_json(given.path::jsonpath::text) END,
    given.path
)
FROM (
    VALUES
    ('$', true), ('$.a."b$"', true), ('$.a ? (@ == "x$")', true), ('$.a ? (@ == "\"$")', true), ('$x', false), ('$.a ? (@ == $x)', false),
    ('$.a ? (@ == $"a b")', false)
) AS given (path, valid);
SELECT is(pg_temp.raised('SELECT arvo.require_path(NULL)'), 'nothing', 'no path');

SELECT * FROM finish();
ROLLBACK;
