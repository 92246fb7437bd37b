-- arvo.lease_key(token): contract, stories.
BEGIN;
SELECT plan(10);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.lease_key(bigint)',
    'bigint', 'plpgsql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(
    (SELECT count(DISTINCT arvo.lease_key(token)) FROM generate_series(1, 20000) AS token),
    20000::bigint, 'each token has a key of its own'
);
SELECT is(
    (SELECT count(*) FROM generate_series(1, 20000) AS token WHERE abs(arvo.lease_key(token)::numeric) < 1000000000),
    0::bigint, 'none of which is a low number, such as applications use'
);
SELECT isnt(arvo.lease_key(7), arvo.lock_key('7'), 'and leases and subjects have different ones');

SELECT * FROM finish();
ROLLBACK;
