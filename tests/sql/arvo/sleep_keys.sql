-- arvo.sleep_keys(queues): contract, stories.
BEGIN;
SELECT plan(15);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.sleep_keys(text[])',
    'integer[]', 'sql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(
    arvo.sleep_keys('{q}'),
    ARRAY(SELECT unnest(ARRAY[0, hashtext('q')]) AS key ORDER BY key),
    'a queue: any sleeper, and its name'
);
SELECT is(arvo.sleep_keys('{q,q}'), arvo.sleep_keys('{q}'), 'a name given twice counts once');
SELECT is(arvo.sleep_keys('{b,a}'), arvo.sleep_keys('{a,b}'), 'their order does not matter');
SELECT is(arvo.sleep_keys('{com.*}'), '{0,1}'::integer[], 'a pattern: every queue');
SELECT is(
    arvo.sleep_keys('{arvo.domain.*}'), '{0,2}'::integer[], 'unless it is of the broker''s own queues'
);
SELECT is(
    cardinality(arvo.sleep_keys(ARRAY(SELECT 'q' || n FROM generate_series(1, 32) AS n))), 33,
    'so many names have a lock each'
);
SELECT is(
    arvo.sleep_keys(ARRAY(SELECT 'q' || n FROM generate_series(1, 33) AS n)), '{0,1}'::integer[],
    'more share the one of every queue'
);
SELECT is(
    arvo.sleep_keys('{}') || arvo.sleep_keys(NULL), '{}'::integer[],
    'no names, no locks'
);

SELECT * FROM finish();
ROLLBACK;
