-- arvo.find_logged(delivery): contract, stories.
BEGIN;
SELECT plan(11);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.find_logged(bigint)',
    'arvo.log', 'plpgsql', 'stable', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'jit=off',
        'plan_cache_mode=force_generic_plan'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('q');
    PERFORM arvo_v1.dispatch_many((SELECT jsonb_agg(pg_temp.event(n::text, 'q')) FROM generate_series(1, 3) AS n));
    PERFORM arvo_v1.dispatch(pg_temp.event('later', 'q'), '10 seconds');
END;
$$;
SELECT is((arvo.find_logged(2)).event ->> 'id', '2', 'by its number');
SELECT is((arvo.find_logged(4)).delivery, NULL, 'what is deferred is not in the log');
SELECT is((arvo.find_logged(99)).delivery, NULL, 'nor is what there is not');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:10Z';
SELECT arvo.promote() \gset
SELECT is((arvo.find_logged(4)).event ->> 'id', 'later', 'until it is promoted');

SELECT * FROM finish();
ROLLBACK;
