-- arvo.json_start: contract, stories.
BEGIN;
SELECT plan(11);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.json_start(jsonb)',
    'text', 'sql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(arvo.json_start('{"a": 1}'), '{"a": 1}', 'a short one');
SELECT is(arvo.json_start(to_jsonb(repeat('x', 500))), '"' || repeat('x', 79), 'a longer one');
SELECT is(
    arvo.json_start(('[' || trim(repeat('1e131071,', 100000), ',') || ']')::jsonb), 'more than a mebibyte of JSON', 'one that would print as twelve gigabytes'
);
SELECT is(arvo.json_start(NULL), NULL, 'nothing');

SELECT * FROM finish();
ROLLBACK;
