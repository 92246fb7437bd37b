-- arvo.lock_key(subject): contract, stories.
BEGIN;
SELECT plan(13);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.lock_key(text)',
    'bigint', 'plpgsql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(arvo.lock_key('order-1'), arvo.lock_key('order-1'), 'a subject has one key');
SELECT isnt(arvo.lock_key('order-1'), arvo.lock_key('order-2'), 'another one has another key');
SELECT isnt(
    arvo.lock_key('order-1'), hashtextextended('order-1', 0),
    'it does not meet the key that an application would choose'
);
SELECT isnt(
    arvo.lock_key(repeat('s', 20000) || 'a'), arvo.lock_key(repeat('s', 20000) || 'b'),
    'of a long subject every character counts'
);
SELECT is(
    (SELECT count(DISTINCT arvo.lock_key('order-' || number)) FROM generate_series(1, 10000) AS number),
    10000::bigint, 'ten thousand subjects have ten thousand keys'
);
SELECT is(arvo.lock_key(NULL), NULL, 'nothing has none');

SELECT * FROM finish();
ROLLBACK;
