-- arvo.tally_lane(lane, most): contract, stories.
BEGIN;
SELECT plan(14);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.tally_lane(integer,integer)',
    'void', 'plpgsql', 'volatile', false,
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
    PERFORM arvo_v1.dispatch_many((SELECT jsonb_agg(pg_temp.event(n::text, 'q')) FROM generate_series(1, 3) AS n));
    PERFORM arvo_v1.dispatch(pg_temp.event('later', 'q'), '10 seconds');
END;
$$;
COMMIT AND CHAIN;
CREATE FUNCTION pg_temp.tally() RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(format('%s: unread %s, parked %s, deferred %s, kept %s', number, unread, parked, deferred, kept), '; ')
    FROM arvo.tally
$$;
SELECT arvo_v1.dispatch(pg_temp.event('own', 'q')) \gset
SELECT arvo.tally_lane(1) \gset
SELECT is(pg_temp.tally(), '1: unread 3, parked 0, deferred 1, kept {3,0,0,0}', 'what the own transaction wrote is left to the next tally');
COMMIT AND CHAIN;
SELECT arvo.tally_lane(1, 0) \gset
SELECT is(pg_temp.tally(), '2: unread 4, parked 0, deferred 1, kept {4,0,0,0}', 'which replaces the one before');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:10Z';
SELECT arvo.promote() \gset
SELECT arvo.tally_lane(1) \gset
SELECT is(pg_temp.tally(), '3: unread 4, parked 0, deferred 1, kept {4,0,0,0}', 'also what it has promoted');
COMMIT AND CHAIN;
SELECT arvo.tally_lane(1, 0) \gset
SELECT is(pg_temp.tally(), '4: unread 5, parked 0, deferred 0, kept {5,0,0,0}', 'counts there');
COMMIT AND CHAIN;
INSERT INTO arvo.generation (slot, opened_at) VALUES (1, now());
SELECT arvo_v1.dispatch(pg_temp.event('new', 'q')) \gset
COMMIT AND CHAIN;
SELECT arvo.tally_lane(1) \gset
SELECT is(pg_temp.tally(), '5: unread 6, parked 0, deferred 0, kept {5,1,0,0}', 'each slot of the log by itself');
DELETE FROM arvo.log WHERE delivery <= 2;
SELECT arvo.tally_lane(1, NULL) \gset
SELECT is(pg_temp.tally(), '6: unread 4, parked 0, deferred 0, kept {3,1,0,0}', 'anew, without looking at the one before');
SELECT is((SELECT at FROM arvo.tally), '2030-01-01T00:00:10Z'::timestamptz, 'with its time');

SELECT * FROM finish();
ROLLBACK;
