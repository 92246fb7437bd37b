-- arvo.lease_of(lane, xid, delivery): contract, stories.
BEGIN;
SELECT plan(14);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.lease_of(integer,xid8,bigint)',
    'arvo.lease', 'plpgsql', 'stable', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_bitmapscan=on',
        'enable_sort=off',
        'jit=off',
        'plan_cache_mode=force_generic_plan'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('q');
    PERFORM arvo_v1.dispatch_many((SELECT jsonb_agg(pg_temp.event(n::text, 'q')) FROM generate_series(1, 5) AS n));
END;
$$;
COMMIT AND CHAIN;
CREATE FUNCTION pg_temp.told(p_delivery bigint) RETURNS text
LANGUAGE sql AS $$
    SELECT coalesce((
        SELECT (arvo.lease_of(log.lane, log.xid, log.delivery)).number::text FROM arvo.log WHERE log.delivery = p_delivery
    ), '-')
$$;
SELECT is(pg_temp.told(1), '-', 'not claimed');
SELECT count(*) FROM arvo_v1.claim('{q}', 2) \gset
COMMIT AND CHAIN;
SELECT is(ARRAY[pg_temp.told(1), pg_temp.told(2), pg_temp.told(3)], '{1,1,-}', 'the first claim has the first two');
SELECT count(*) FROM arvo_v1.extend((SELECT array_agg(token) FROM arvo.lease WHERE token <> 0)) \gset
COMMIT AND CHAIN;
SELECT is(pg_temp.told(2), '1', 'a heartbeat continues it');
-- As the claim of a gated queue: 3 is leased, 4 and 5 are parked.
SELECT count(*) FROM arvo_v1.claim('{q}', 3) \gset
UPDATE arvo.lease SET deliveries = '{3}', keys = '{7}' WHERE number = 3;
INSERT INTO arvo.parked (queue, key, place, delivery, lane, xid, at)
SELECT 1, 7, delivery, delivery, lane, xid, at FROM arvo.log WHERE delivery > 3;
SELECT is(ARRAY[pg_temp.told(3), pg_temp.told(4), pg_temp.told(5)], '{3,-,-}', 'parked is not leased');
-- Later 5 is leased with another of a far newer transaction, and its range says nothing.
INSERT INTO arvo.lease
SELECT (jsonb_populate_record(lease, '{"number": 4, "token": 4096000, "deliveries": [5, 99], "strays": [5], "low_xid": "900000", "high_xid": "900001"}')).*
FROM arvo.lease WHERE number = 3;
DELETE FROM arvo.parked WHERE delivery = 5;
SELECT is(ARRAY[pg_temp.told(4), pg_temp.told(5)], '{-,4}', 'what was parked is found as a stray');
INSERT INTO arvo.lease SELECT (jsonb_populate_record(lease, '{"number": 5, "carried": true}')).* FROM arvo.lease WHERE number = 4;
SELECT is(pg_temp.told(5), '4', 'in the first row of its lease');
SELECT is((arvo.lease_of(2, '1', 5)).token, NULL, 'another lane does not have it');

SELECT * FROM finish();
ROLLBACK;
