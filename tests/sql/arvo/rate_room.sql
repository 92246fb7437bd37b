-- arvo.rate_room(tally, limit, period, now): contract, a table of cases, the promise walked through.
BEGIN;
SELECT plan(25);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.rate_room(bigint[],integer,interval,timestamptz)',
    'integer', 'sql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

-- A period of 20 seconds has pieces of one second: at 1970-01-01 00:01:40 the piece is 100.
SELECT is(
    arvo.rate_room(given.tally, given.allowed, '20 seconds', timestamptz '1970-01-01 00:01:40Z' + given.later), given.room, given.about
)
FROM (
    VALUES
    ('{}'::bigint[], 5, interval '0', 5, 'nothing started yet'),
    ('{100,2}', 5, '0', 3, 'two in this piece'),
    ('{80,1,90,1,100,1}', 5, '0', 2, 'the twentieth before it still counts'),
    ('{79,1,90,1,100,1}', 5, '0', 3, 'the one before that no longer'),
    ('{100,5}', 5, '0', 0, 'used up'),
    ('{100,9}', 5, '0', 0, 'also when the limit was lowered'),
    ('{100,5}', 5, '20.999999 s', 0, 'until the piece is out of sight'),
    ('{100,5}', 5, '21 s', 5, 'exactly then it is free'),
    ('{100,5}', 1, '1 day', 1, 'and stays so'),
    ('{100,5}', NULL, '0', 2147483647, 'no limit'),
    ('{99,1,100,1}', 1, '0', 0, 'less than nothing is nothing'),
    ('{101,5}', 5, '0', 0, 'a clock that has gone back a little forgets nothing'),
    ('{2000,5}', 5, '0', 5, 'pieces of a shorter period, when the period has changed since, do not count for ever'),
    ('{2000,5,100,2}', 5, '0', 3, 'beside those of this one'),
    ('{5,5}', 5, '0', 5, 'nor those of a longer one')
) AS given (tally, allowed, later, room, about);

-- Whoever starts as soon as there is room, looking every 0.1 seconds: in no window of one period, wherever it begins, more than allowed.
CREATE FUNCTION pg_temp.starts(p_limit integer, p_period interval, p_greed integer) RETURNS SETOF timestamptz
LANGUAGE plpgsql AS $$
DECLARE
    v_tally bigint[] := '{}';
    v_now timestamptz := timestamptz '2030-01-01 00:00:00.017Z';
    v_room integer;
BEGIN
    FOR v_step IN 1..1000 LOOP
        v_room := least(p_greed, arvo.rate_room(v_tally, p_limit, p_period, v_now));
        IF v_room > 0 THEN
            v_tally := arvo.rate_count(v_tally, v_room, p_period, v_now);
            RETURN QUERY SELECT v_now FROM generate_series(1, v_room);
        END IF;
        v_now := v_now + interval '0.1 seconds';
    END LOOP;
END;
$$;
SELECT is(
    (SELECT max(within.starts) FROM (
        SELECT count(*) OVER (ORDER BY at RANGE BETWEEN CURRENT ROW AND given.period FOLLOWING EXCLUDE NO OTHERS) AS starts
        FROM pg_temp.starts(given.allowed, given.period, given.greed) AS at
    ) AS within),
    given.allowed::bigint, format('%s per %s, %s at a time: never more, and no less', given.allowed, given.period, given.greed)
)
FROM (VALUES (5, interval '1 second', 5), (7, '3 seconds', 1), (3, '10 seconds', 2)) AS given (allowed, period, greed);

SELECT * FROM finish();
ROLLBACK;
