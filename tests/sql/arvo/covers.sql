-- arvo.covers: contract, stories.
BEGIN;
SELECT plan(17);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.covers(text,text)',
    'boolean', 'sql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(arvo.covers(given.pattern, given.name), given.covered, concat_ws(' ', given.pattern, given.name))
FROM (
    VALUES
    ('a.b', 'a.b', true), ('a.b', 'a.bc', false), ('a.*', 'a.b', true), ('a.*', 'a.', true), ('a.*', 'a', false),
    ('*', 'anything', true), ('a*', 'a.b*', true), ('a.b*', 'a*', false), ('a_', 'ab', false), ('a%*', 'abc', false)
) AS given (pattern, name, covered);

SELECT * FROM finish();
ROLLBACK;
