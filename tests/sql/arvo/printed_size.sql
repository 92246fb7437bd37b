-- arvo.printed_size(json): contract, stories, the numbers that print long.
BEGIN;
SELECT plan(22);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.printed_size(jsonb)',
    'integer', 'plpgsql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(
    arvo.printed_size(given.value), octet_length(given.value::text),
    'as it prints: ' || left(given.value::text, 40)
)
FROM unnest(ARRAY[
    '{}', '{"a": 1}', '[]', '"ü"', '1e131071', '{"a": {"b": [1, null, true, "x\u0001"]}}',
    jsonb_build_object('a', repeat('x', 10000)),
    (SELECT jsonb_object_agg('k' || n, n * 1.5) FROM generate_series(1, 3000) AS n),
    jsonb_build_object('a', '1e131071'::jsonb, 'b', repeat('x', 5000)),
    jsonb_build_array('0e-16383'::jsonb, '1e-16000'::jsonb, repeat('x', 5000))
]::jsonb[]) AS given (value);
CREATE TEMPORARY TABLE outbox (value jsonb);
INSERT INTO outbox VALUES (jsonb_build_object('a', repeat('x', 2000000)));
SELECT is(
    (SELECT arvo.printed_size(outbox.value) FROM outbox), 2000009, 'also what comes compressed out of a table'
);

-- Each of these would print as gigabytes: more than the server can hold in one text.
SELECT is(
    arvo.printed_size(format('{"a": [%s]}', string_agg(given.number, ','))::jsonb), 1048577,
    'enough to know: ' || given.number
)
FROM unnest('{1e131071,-1e131071,0e-16383,1e-16383}'::text[]) AS given (number)
CROSS JOIN generate_series(1, 100000)
GROUP BY given.number;

SELECT * FROM finish();
ROLLBACK;
