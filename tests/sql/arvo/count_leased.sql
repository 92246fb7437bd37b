-- arvo.count_leased(queue): contract, stories.
BEGIN;
SELECT plan(12);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.count_leased(integer)',
    'bigint', 'sql', 'stable', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_bitmapscan=off',
        'enable_hashjoin=off',
        'enable_mergejoin=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$ BEGIN
    PERFORM arvo_v1.register_queue('a');
    PERFORM arvo_v1.dispatch(pg_temp.event(n::text, 'a'), p_priority => n) FROM generate_series(1, 6) AS n;
END; $$;
COMMIT AND CHAIN;
CREATE FUNCTION pg_temp.leased() RETURNS bigint
LANGUAGE sql AS $$ SELECT arvo.count_leased(queue) FROM arvo.queue WHERE name = 'a' $$;
SELECT is(pg_temp.leased(), 0::bigint, 'none');
CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.claim('{a}', 4);
SELECT is(pg_temp.leased(), 4::bigint, 'over all priorities');
SELECT count(*) FROM arvo_v1.extend((SELECT array_agg(lease) FROM held)) \gset
SELECT is(pg_temp.leased(), 4::bigint, 'a heartbeat does not count twice');
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery)) FROM held WHERE event ->> 'id' = '6')) \gset
SELECT is(pg_temp.leased(), 3::bigint, 'what is settled is not leased');
SELECT is(arvo.count_leased(0), 0::bigint, 'of no queue: none');

SELECT * FROM finish();
ROLLBACK;
