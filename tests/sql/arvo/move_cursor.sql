-- arvo.move_cursor(head, open_from, sweep_at): contract, stories.
BEGIN;
SELECT plan(10);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.move_cursor(arvo.lease,bigint,timestamp with time zone)',
    'void', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
DECLARE
    v_head arvo.lease;
BEGIN
    PERFORM arvo_v1.register_queue('a');
    PERFORM arvo.write_lease(
        jsonb_populate_record(arvo.head_of(arvo.lane_for('a')), '{"snapshot": "5:9:6", "last_xid": "8", "last_delivery": 20,
            "exhausted": false, "open_from": 1, "ready_from": 11}'),
        'w1', '30 seconds', ARRAY[jsonb_populate_record(NULL::arvo.log, '{"delivery": 20, "xid": "8"}')], '{7}', '{1}'
    );
    PERFORM arvo.move_cursor(arvo.head_of(arvo.lane_for('a')));
END;
$$;
SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:10Z';
DO $$ BEGIN PERFORM arvo.move_cursor(arvo.head_of(arvo.lane_for('a')), 2, '2030-01-01T00:00:40Z'); END; $$;
SELECT results_eq(
    $$ SELECT number, token <> 0, worker, leased_at, deliveries, carried, low_xid, high_xid, xids, keys, places
       FROM arvo.lease WHERE lane = arvo.lane_for('a') AND number > 0 ORDER BY number $$,
    $$ VALUES (1::bigint, true, 'w1', timestamptz '2030-01-01Z', '{20}'::bigint[], false, '8'::xid8, '8'::xid8, '{8}'::xid8[],
               '{7}'::bigint[], '{1}'::bigint[]),
              (2, false, NULL, '2030-01-01Z', '{}', false, NULL, NULL, NULL, NULL, NULL),
              (3, false, NULL, '2030-01-01 00:00:10Z', '{}', false, NULL, NULL, NULL, NULL, NULL) $$,
    'the next row, which leases nothing'
);
SELECT is(
    (SELECT count(DISTINCT (previous_snapshot::text, snapshot::text, last_xid, last_delivery, exhausted, ready_from, expires_at))
     FROM arvo.lease WHERE lane = arvo.lane_for('a') AND number > 0),
    1::bigint, 'with window, position, expiry and place in the line of keys as they were'
);
SELECT results_eq(
    $$ SELECT open_from, sweep_at FROM arvo.lease WHERE lane = arvo.lane_for('a') AND number > 0 ORDER BY number $$,
    $$ VALUES (1::bigint, timestamptz '2030-01-01 00:00:30Z'), (1, '2030-01-01 00:00:30Z'), (2, '2030-01-01 00:00:40Z') $$,
    'the bounds of open leases as they were, or as they are given'
);

SELECT * FROM finish();
ROLLBACK;
