-- arvo.key_of(text): contract, a table of cases.
BEGIN;
SELECT plan(15);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.key_of(text)',
    'bigint', 'sql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(arvo.key_of(given.key), given.number, coalesce(to_json(given.key)::text, 'NULL'))
FROM (
    VALUES
    ('', -2039914840885289964),
    ('a', -3848465438864589366),
    ('abc', -5010229573455851542),
    ('ä', 3739913210162221132),
    (NULL, NULL::bigint)
) AS given (key, number);
SELECT isnt(arvo.key_of('a'), arvo.key_of('a '), 'a space counts');
SELECT is_empty(
    $$ SELECT FROM generate_series(1, 10000) AS number WHERE arvo.key_of(number::text) = 0 $$, 'none is 0, which means the queue as a whole'
);
SELECT is(
    (SELECT count(DISTINCT arvo.key_of(number::text)) FROM generate_series(1, 10000) AS number), 10000::bigint, 'nor are two the same'
);

SELECT * FROM finish();
ROLLBACK;
