-- arvo.rate_wait(tally, period, now): contract, a table of cases.
BEGIN;
SELECT plan(16);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.rate_wait(bigint[],interval,timestamptz)',
    'interval', 'sql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

-- A period of 20 seconds has pieces of one second: at 1970-01-01 00:01:40 the piece is 100.
SELECT is(
    arvo.rate_wait(given.tally, '20 seconds', timestamptz '1970-01-01 00:01:40Z' + given.later), given.wait, given.about
)
FROM (
    VALUES
    ('{100,5}'::bigint[], interval '0', interval '21 s', 'a whole period, and the piece'),
    ('{100,5}', '0.75 s', '20.25 s', 'less what has passed of it'),
    ('{80,1,100,5}', '0', '1 s', 'until the oldest that counts is out of sight'),
    ('{79,1,90,5}', '0', '11 s', 'those that are need not be waited for'),
    ('{100,5}', '20.999999 s', '0.001 s', 'never less than a millisecond'),
    ('{100,5}', '-1 s', '22 s', 'a clock that has gone back'),
    ('{90,1,2000,5}', '0', '11 s', 'pieces of a shorter period are not waited for'),
    ('{2000,5}', '0', '0.001 s', 'nor are they when there is nothing else')
) AS given (tally, later, wait, about);
SELECT is_empty(
    $$ SELECT step FROM generate_series(1, 500) AS step,
              LATERAL (SELECT timestamptz '2030-01-01Z' + step * interval '0.0137 seconds' AS now) AS begun,
              LATERAL (SELECT arvo.rate_count('{}', 3, '1 second', begun.now) AS tally) AS counted
       WHERE arvo.rate_room(counted.tally, 3, '1 second',
                            begun.now + arvo.rate_wait(counted.tally, '1 second', begun.now) + interval '1 millisecond') <> 3
       OR arvo.rate_room(counted.tally, 3, '1 second',
                         begun.now + arvo.rate_wait(counted.tally, '1 second', begun.now) - interval '2 milliseconds') <> 0 $$,
    'after that time there is room, and not before, wherever in a piece it begins'
);

SELECT * FROM finish();
ROLLBACK;
