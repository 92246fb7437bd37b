-- arvo_v1.extend(leases, for): contract, stories, refusals.
BEGIN;
SELECT plan(26);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.extend(bigint[],interval)',
    'SETOF arvo_v1.extended', 'plpgsql', 'volatile', true,
    'arvo_worker',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'lock_timeout=2s',
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
    PERFORM arvo_v1.register_queue('a');
    PERFORM arvo_v1.register_queue('b');
    PERFORM arvo_v1.dispatch(pg_temp.event(number::text, 'a')) FROM generate_series(1, 3) AS number;
    PERFORM arvo_v1.dispatch(pg_temp.event('b1', 'b'));
END;
$$;
COMMIT AND CHAIN;
CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.claim('{a}', 3, 'worker 1');
CREATE TEMPORARY TABLE other AS SELECT * FROM arvo_v1.claim('{b}', 3, 'worker 2');
COMMIT AND CHAIN;
SELECT lease FROM held LIMIT 1 \gset
SELECT lease AS other FROM other \gset
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery)) FROM held WHERE event ->> 'id' = '2')) \gset
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:29.999999Z';
SELECT results_eq(
    format('SELECT lease, held, expires_at FROM arvo_v1.extend(ARRAY[%s, 4711, NULL, %1$s, 4711])', :lease),
    format($$ VALUES (%s::bigint, true, timestamptz '2030-01-01 00:00:59.999999Z'), (4711, false, NULL) $$, :lease),
    'a held lease lives on from now; one that never was is lost; each is answered once'
);
SELECT results_eq(
    format('SELECT number, worker, leased_at, expires_at, carried, deliveries, token FROM arvo.lease WHERE token = %s ORDER BY number', :lease),
    format($$ SELECT 1::bigint, 'worker 1', timestamptz '2030-01-01 00:00:00Z', timestamptz '2030-01-01 00:00:30Z', false,
                     array_agg(delivery ORDER BY delivery), %1$s::bigint FROM held
              UNION ALL
              SELECT 2::bigint, 'worker 1', '2030-01-01 00:00:29.999999Z', '2030-01-01 00:00:59.999999Z', true,
                     array_agg(delivery ORDER BY delivery), %1$s FROM held WHERE event ->> 'id' <> '2' $$, :lease),
    'carried forward: a new row of the ledger, under the same token, with what is open still'
);
SELECT results_eq(
    format('SELECT newer.previous_snapshot::text, newer.snapshot::text, newer.last_xid, newer.last_delivery, newer.exhausted, newer.open_from,
                   newer.low_xid, newer.high_xid FROM arvo.lease AS newer WHERE token = %s AND number = 2', :lease),
    format('SELECT older.previous_snapshot::text, older.snapshot::text, older.last_xid, older.last_delivery, older.exhausted, older.open_from,
                   older.low_xid, older.high_xid FROM arvo.lease AS older WHERE token = %s AND number = 1', :lease),
    'the cursor of the lane does not move by it'
);
COMMIT AND CHAIN;

SET arvo.frozen_clock = '2030-01-01T00:00:30Z';
SELECT is((SELECT count(*) FROM arvo_v1.claim('{a}', 9)), 0::bigint, 'when the first row has lapsed');
SELECT is_empty($$ SELECT FROM arvo.closure WHERE outcomes = '{expired}' $$, 'nothing is taken back');
COMMIT AND CHAIN;
SELECT results_eq(
    format('SELECT lease, held, expires_at FROM arvo_v1.extend(ARRAY[%s, %s], ''90 seconds'') ORDER BY lease', :lease, :other),
    format($$ VALUES (%s::bigint, true, timestamptz '2030-01-01 00:02:00Z'), (%s, true, '2030-01-01 00:02:00Z') $$, :lease, :other),
    'leases of several queues in one call; one that has lapsed and that nobody took back is its holder''s still'
);
SELECT is(
    (SELECT deliveries FROM arvo_v1.extend(ARRAY[:lease])), (SELECT array_agg(delivery ORDER BY delivery) FROM held WHERE event ->> 'id' <> '2'),
    'it says what of it is open still'
);
COMMIT AND CHAIN;
-- Looked for at most twice a second: so a look just before the new time would put the next one behind it.
SET arvo.frozen_clock = '2030-01-01T00:01:59.5Z';
SELECT count(*) FROM arvo_v1.maintain() \gset
SELECT is_empty($$ SELECT FROM arvo.closure WHERE outcomes = '{expired}' $$, 'before the new time it is alive');
COMMIT AND CHAIN;
-- A lane that has just been swept is swept again half a second later.
SET arvo.frozen_clock = '2030-01-01T00:02:00.499999Z';
SELECT count(*) FROM arvo_v1.claim('{a,b}', 9) \gset
SELECT results_eq(
    $$ SELECT token, deliveries FROM arvo.closure WHERE outcomes = '{expired}' ORDER BY token $$,
    $$ SELECT lease, array_agg(delivery ORDER BY delivery) FROM (SELECT * FROM held UNION ALL SELECT * FROM other) AS both_of
       WHERE event ->> 'id' <> '2' GROUP BY lease ORDER BY lease $$,
    'then what is open of it is taken back'
);
COMMIT AND CHAIN;
SELECT results_eq(
    format('SELECT lease, held, expires_at FROM arvo_v1.extend(ARRAY[%s])', :lease),
    format('VALUES (%s::bigint, false, NULL::timestamptz)', :lease), 'from then on it is lost'
);
CREATE TEMPORARY TABLE again AS SELECT * FROM arvo_v1.claim('{b}', 9);
SELECT is((SELECT attempt FROM again), 2, 'another has it');
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery)) FROM again)) \gset
SELECT results_eq(
    'SELECT held FROM arvo_v1.extend((SELECT array_agg(lease) FROM again))', 'VALUES (false)', 'of a settled one nothing is held'
);
SELECT is_empty($$ SELECT * FROM arvo_v1.extend('{}') $$, 'no leases: no rows');
SELECT results_eq(
    'SELECT lease, held FROM arvo_v1.extend(ARRAY[0::bigint])', 'VALUES (0::bigint, false)', 'the cursor''s own rows are nobody''s lease'
);

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised(format('SELECT * FROM arvo_v1.extend(%s)', given.arguments)),
    'RV006 | argument is not valid | ' || given.complaint, given.arguments
)
FROM (
    VALUES
    ('NULL', 'leases |  leases for 00:00:30'),
    ($$ '{1}', NULL $$, 'for | 1 leases for '),
    ($$ '{1,2}', '0.999999 seconds' $$, 'for | 2 leases for 00:00:00.999999'),
    ($$ '{1}', '24:00:00.000001' $$, 'for | 1 leases for 24:00:00.000001')
) AS given (arguments, complaint);
COMMIT AND CHAIN;
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.extend('{1}') $$),
    'RV005 | transaction isolation level must be read committed | extend was called under repeatable read.', 'a stale view of the ledger'
);

SELECT * FROM finish();
ROLLBACK;
