-- arvo.json_fault: contract, stories.
BEGIN;
SELECT plan(19);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.json_fault(jsonb,integer)',
    'text', 'plpgsql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(arvo.json_fault(given.json::jsonb, given.most), given.fault, left(given.json, 40) || ' ' || given.most)
FROM (
    VALUES
    (NULL, 10, NULL), ('{}', 2, NULL), ('{"a": 1}', 7, 'must not be larger than 7 bytes'), ('{"a": 1}', 8, NULL),
    (format('"%s"', repeat('x', 9998)), 10000, NULL), (format('"%s"', repeat('x', 9999)), 10000, 'must not be larger than 10000 bytes'),
    ('1' || repeat('0', 3999), 10000, NULL), ('-1' || repeat('0', 4000), 10000, 'must not have numbers of more than 4000 digits'),
    ('[1e131071]', 1048576, 'must not have numbers of more than 4000 digits'),
    ('[' || trim(repeat('1e131071,', 100000), ',') || ']', 67108864, 'must not have numbers of more than 4000 digits'),
    (repeat('[', 512) || repeat(']', 512), 10000, NULL),
    (repeat('[', 600) || repeat(']', 600), 10000, 'must not be nested deeper than 512 levels')
) AS given (json, most, fault);

SELECT * FROM finish();
ROLLBACK;
