-- arvo.rate_count(tally, count, period, now): contract, a table of cases.
BEGIN;
SELECT plan(17);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.rate_count(bigint[],integer,interval,timestamptz)',
    'bigint[]', 'sql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

-- A period of 20 seconds has pieces of one second: at 1970-01-01 00:01:40 the piece is 100.
SELECT is(
    arvo.rate_count(given.tally, given.count, '20 seconds', timestamptz '1970-01-01 00:01:40Z' + given.later), given.counted, given.about
)
FROM (
    VALUES
    ('{}'::bigint[], 3, interval '0', '{100,3}'::bigint[], 'the first'),
    ('{100,3}', 2, '0.999999 s', '{100,5}', 'more in the same piece'),
    ('{100,3}', 2, '1 s', '{100,3,101,2}', 'in the next one'),
    ('{80,1,100,3}', 1, '0', '{80,1,100,4}', 'what still counts stays'),
    ('{79,1,100,3}', 1, '0', '{100,4}', 'what no longer does goes'),
    ('{100,3}', 1, '1 day', '{86500,1}', 'long after'),
    ('{100,3}', 1, '-1 s', '{99,1,100,3}', 'a clock that has gone back a little'),
    ('{100,3}', 0, '0', '{100,3}', 'none is none'),
    ('{2000,5}', 1, '0', '{100,1}', 'pieces of a shorter period, when the period has changed since, go')
) AS given (tally, count, later, counted, about);
SELECT is(arvo.rate_count('{100,3}', 1, NULL, '2030-01-01Z'), '{}'::bigint[], 'no limit, no tally');

SELECT * FROM finish();
ROLLBACK;
