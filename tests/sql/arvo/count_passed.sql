-- arvo.count_passed(tally, head): contract, stories.
BEGIN;
SELECT plan(12);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.count_passed(arvo.tally,arvo.lease)',
    'bigint', 'plpgsql', 'stable', false,
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
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('q');
    PERFORM arvo_v1.dispatch_many((SELECT jsonb_agg(pg_temp.event(n::text, 'q')) FROM generate_series(1, 6) AS n));
END;
$$;
COMMIT AND CHAIN;
CREATE FUNCTION pg_temp.passed() RETURNS bigint
LANGUAGE sql AS $$
    SELECT arvo.count_passed((SELECT tally FROM arvo.tally), (SELECT lease FROM arvo.lease ORDER BY number DESC LIMIT 1))
$$;
SELECT is(pg_temp.passed(), 0::bigint, 'nothing has been passed');
SELECT count(*) FROM arvo_v1.claim('{q}', 2) \gset
SELECT is(pg_temp.passed(), 2::bigint, 'without a tally, since the beginning');
COMMIT AND CHAIN;
SELECT arvo.tally_lanes() \gset
SELECT is(pg_temp.passed(), 0::bigint, 'from the tally on');
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.claim('{q}', 3) \gset
SELECT is(pg_temp.passed(), 3::bigint, 'within one window');
SELECT arvo_v1.dispatch(pg_temp.event('7', 'q')) \gset
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.claim('{q}', 10) \gset
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.claim('{q}', 10) \gset
SELECT is(pg_temp.passed(), 5::bigint, 'and over several');

SELECT * FROM finish();
ROLLBACK;
