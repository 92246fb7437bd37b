-- arvo.tally_lanes(limit): contract, stories.
BEGIN;
SELECT plan(15);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.tally_lanes(integer)',
    'integer', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_bitmapscan=off',
        'enable_hashjoin=off',
        'enable_mergejoin=off',
        'jit=off',
        'plan_cache_mode=force_generic_plan'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT is(arvo.tally_lanes(), 0, 'no lanes, no tallies');
SELECT is((SELECT at FROM arvo.upkeep WHERE task = 'tally'), '2030-01-01T00:00:00Z'::timestamptz, 'but it was done');
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('a');
    PERFORM arvo_v1.register_queue('b');
    PERFORM arvo_v1.dispatch(pg_temp.event('1', 'a'));
END;
$$;
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:05Z';
SELECT is(arvo.tally_lanes(1), 1, 'as many as are asked for');
SELECT is(arvo.tally_lanes(), 1, 'the others come first next time');
COMMIT AND CHAIN;
SELECT is(arvo.tally_lanes(), 0, 'idle lanes get none');
SELECT arvo_v1.dispatch(pg_temp.event('2', 'b'), '10 seconds') \gset
COMMIT AND CHAIN;
SELECT is(arvo.tally_lanes(), 1, 'a deferred event is something');
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.claim('{a}', 1) \gset
COMMIT AND CHAIN;
SELECT is(arvo.tally_lanes(), 1, 'and so is a claim');
SELECT is((SELECT count(*) FROM arvo.tally), 2::bigint, 'each lane keeps one');

SELECT * FROM finish();
ROLLBACK;
