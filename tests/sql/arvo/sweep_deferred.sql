-- arvo.sweep_deferred(limit): contract, stories.
BEGIN;
SELECT plan(12);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.sweep_deferred(integer)',
    'integer', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('a');
    PERFORM arvo_v1.dispatch(pg_temp.event(number::text, 'a'), '10 seconds') FROM generate_series(1, 3) AS number;
    PERFORM arvo_v1.dispatch(pg_temp.event('later', 'a'), '1 day');
END;
$$;
COMMIT AND CHAIN;

SELECT is(arvo.sweep_deferred(9), 0, 'nothing has been promoted');
SET arvo.frozen_clock = '2030-01-01T00:00:10Z';
DO $$
BEGIN
    PERFORM arvo.promote();
END;
$$;
COMMIT AND CHAIN;

SELECT is(arvo.sweep_deferred(2), 2, 'no more than asked for');
SELECT is(arvo.sweep_deferred(9), 1, 'the rest');
SELECT results_eq('SELECT event ->> ''id'' FROM arvo.deferred', $$ VALUES ('later') $$, 'what is not due stays');
SELECT is((SELECT count(*) FROM arvo.promotion), 1::bigint, 'old rows of the cursor go, too');

SELECT * FROM finish();
ROLLBACK;
