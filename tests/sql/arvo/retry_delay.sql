-- arvo.retry_delay(delay, backoff, max, attempt, chance): contract, stories over the whole domain.
BEGIN;
SELECT plan(95);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.retry_delay(interval,boolean,interval,integer,double precision)',
    'interval', 'sql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(
    arvo.retry_delay('10 seconds', false, '5 seconds', attempt, 0.999), interval '10 seconds',
    'without back-off: the delay, whatever the cap; attempt ' || attempt
)
FROM generate_series(1, 20) AS attempt;
SELECT is(
    arvo.retry_delay('0', false, NULL, 1, 0.999), interval '0', 'no delay at all is a delay'
);

SELECT is(
    arvo.retry_delay('10 seconds', true, NULL, attempt, 0),
    interval '10 seconds' * (ARRAY[
        1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384,
        32768, 32768, 32768, 32768, 32768
    ])[attempt],
    'back-off doubles up to attempt 16; at the lower bound of chance, attempt ' || attempt
)
FROM generate_series(1, 20) AS attempt;
SELECT is(
    arvo.retry_delay('10 seconds', true, NULL, attempt, 0.999),
    interval '19.99 seconds' * (ARRAY[
        1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384,
        32768, 32768, 32768, 32768, 32768
    ])[attempt],
    'and nearly twice that at the upper bound, attempt ' || attempt
)
FROM generate_series(1, 20) AS attempt;
SELECT is(
    arvo.retry_delay('10 seconds', true, '300 seconds', attempt, 0.999),
    least(interval '19.99 seconds' * power(2, attempt - 1), interval '300 seconds'),
    'never more than the cap, attempt ' || attempt
)
FROM generate_series(1, 20) AS attempt;

SELECT is(
    arvo.retry_delay('10 seconds', true, '20 seconds', 2, 0), interval '20 seconds',
    'the cap itself is allowed'
);
SELECT is(
    arvo.retry_delay('10 seconds', true, '0', 3, 0.5), interval '0', 'a cap of nought is a cap'
);
SELECT is(
    arvo.retry_delay('0', true, NULL, 1, 0.25), interval '1.25 seconds',
    'back-off starts at one second where the delay is less'
);
SELECT is(
    arvo.retry_delay('0.2 seconds', true, NULL, 3, 0), interval '4 seconds',
    'also when it is a part of one'
);
SELECT is(
    arvo.retry_delay('10 seconds', true, NULL, 0, 0), interval '10 seconds',
    'attempts below 1 count as 1'
);
SELECT is(
    arvo.retry_delay('10 seconds', true, NULL, 2147483647, 0), interval '10 seconds' * 32768,
    'and the greatest number of attempts as 16'
);
SELECT is(
    arvo.retry_delay('1 year', true, NULL, 16, 0.999), interval '10 years',
    'without a cap, ten years are the longest'
);

SELECT * FROM finish();
ROLLBACK;
