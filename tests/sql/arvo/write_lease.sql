-- arvo.write_lease(head, worker, lease, batch, keys, places): contract, stories.
BEGIN;
SELECT plan(15);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.write_lease(arvo.lease,text,interval,arvo.log[],bigint[],bigint[])',
    'arvo.lease', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$ BEGIN PERFORM arvo_v1.register_queue('a'); END; $$;
CREATE FUNCTION pg_temp.entry(p_delivery bigint, p_xid text) RETURNS arvo.log
LANGUAGE sql AS $$ SELECT jsonb_populate_record(NULL::arvo.log, jsonb_build_object('delivery', p_delivery, 'xid', p_xid)) $$;
CREATE FUNCTION pg_temp.lease(p_for interval, p_batch arvo.log[], p_keys bigint[] DEFAULT NULL, p_places bigint[] DEFAULT NULL)
RETURNS arvo.lease
LANGUAGE sql AS $$ SELECT arvo.write_lease(arvo.head_of(arvo.lane_for('a')), 'w1', p_for, p_batch, p_keys, p_places) $$;
SELECT results_eq(
    $$ SELECT number, worker, leased_at, expires_at, carried, deliveries, low_xid, high_xid, xids, keys, places, sweep_at, open_from
       FROM pg_temp.lease('30 seconds', ARRAY[pg_temp.entry(9, '70'), pg_temp.entry(3, '60'), pg_temp.entry(5, '80')], '{1,2,1}',
                          '{10,11,12}') $$,
    $$ VALUES (1::bigint, 'w1', timestamptz '2030-01-01Z', timestamptz '2030-01-01 00:00:30Z', false, '{9,3,5}'::bigint[], '60'::xid8,
               '80'::xid8, '{70,60,80}'::xid8[], '{1,2,1}'::bigint[], '{10,11,12}'::bigint[], timestamptz '2030-01-01 00:00:30Z',
               1::bigint) $$,
    'in the order of the batch, with the transaction of each'
);
SELECT results_eq(
    $$ SELECT number, xids, keys, places FROM pg_temp.lease('5 minutes', ARRAY[pg_temp.entry(1, '90'), pg_temp.entry(2, '90')]) $$,
    $$ VALUES (2::bigint, '{90}'::xid8[], NULL::bigint[], NULL::bigint[]) $$, 'one transaction is said once'
);
SELECT is(
    (pg_temp.lease('1 second', ARRAY[pg_temp.entry(4, '91')])).expires_at, timestamptz '2030-01-01 00:05:00Z',
    'a lease never lapses before an older one of the lane'
);
SELECT is(
    (SELECT array_agg(sweep_at ORDER BY number) FROM arvo.lease WHERE lane = arvo.lane_for('a')),
    '{infinity,2030-01-01 00:00:30Z,2030-01-01 00:00:30Z,2030-01-01 00:00:30Z}'::timestamptz[], 'it is to be swept when the first one lapses'
);
SELECT is_empty(
    $$ SELECT FROM arvo.lease AS later INNER JOIN arvo.lease AS earlier ON earlier.number < later.number AND earlier.lane = later.lane
       WHERE later.token <= earlier.token AND later.token <> 0 $$, 'tokens grow'
);
SELECT pg_temp.lease('30 seconds', ARRAY[pg_temp.entry(6, '92')])::text AS written \gset
SELECT is(
    :'written', (SELECT newest::text FROM arvo.head_of(arvo.lane_for('a')) AS newest),
    'it answers the row that it has written'
);

-- Those that had been parked: told by the head that claim_gated hands over, and of this row only.
SELECT is(
    (arvo.write_lease(
        jsonb_populate_record(arvo.head_of(arvo.lane_for('a')), '{"strays": [5]}'), 'w1', '30 seconds',
        ARRAY[pg_temp.entry(4, '92'), pg_temp.entry(5, '60')], '{1,2}'
    )).strays,
    '{5}', 'strays are written down'
);
SELECT is((pg_temp.lease('30 seconds', ARRAY[pg_temp.entry(7, '93')])).strays, NULL, 'and are not those of the next lease');

SELECT * FROM finish();
ROLLBACK;
