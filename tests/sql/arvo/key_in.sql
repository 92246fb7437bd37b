-- arvo.key_in(event, key_from): contract, a table of cases.
BEGIN;
SELECT plan(17);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.key_in(jsonb,text)',
    'bigint', 'sql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(
    arvo.key_in(pg_temp.event('1', 'a', '{"data": {"customer": {"id": "c-7", "tags": ["x", "y"], "none": null, "n": 7}}}'), given.key_from),
    arvo.key_of(given.key), coalesce(given.key_from, 'NULL')
)
FROM (
    VALUES
    (NULL, NULL),
    ('subject', 'order-1'),
    ('source', 'com.test.source'),
    ('data.customer.id', 'c-7'),
    ('data.customer.n', '7'),
    ('data.customer.tags.1', 'y'),
    ('data.customer.tags', '["x", "y"]'),
    ('data.customer.none', ''),
    ('data.nothing.there', ''),
    ('tenant', '')
) AS given (key_from, key);

SELECT * FROM finish();
ROLLBACK;
