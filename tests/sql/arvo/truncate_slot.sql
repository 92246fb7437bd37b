-- arvo.truncate_slot(slot): contract, stories.
BEGIN;
SELECT plan(11);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.truncate_slot(smallint)',
    'void', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'lock_timeout=100ms'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';

CREATE FUNCTION pg_temp.rows() RETURNS TABLE (slot smallint, rows bigint)
LANGUAGE sql AS $$
    SELECT slot, count(*) FROM (SELECT slot FROM arvo.log UNION ALL SELECT slot FROM arvo.lease UNION ALL SELECT slot FROM arvo.closure) AS every
    GROUP BY slot ORDER BY slot
$$;
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('a');
    PERFORM arvo_v1.dispatch(pg_temp.event('1', 'a'));
END;
$$;

INSERT INTO arvo.log (slot, lane, delivery, attempt, at, subject_key, event_key, event) SELECT slot.slot, lane, delivery, attempt, at, subject_key, event_key, event FROM arvo.log, generate_series(1, 3) AS slot;
INSERT INTO arvo.lease SELECT slot.slot, lane, number, token, worker, leased_at, expires_at, carried, deliveries, low_xid, high_xid, previous_snapshot, snapshot, last_xid, last_delivery, exhausted, open_from, sweep_at FROM arvo.lease, generate_series(1, 3) AS slot;
INSERT INTO arvo.closure SELECT slot.slot, 1, arvo.clock(), '{1}', '{completed}', '{NULL}' FROM generate_series(0, 3) AS slot;
SELECT arvo.truncate_slot(0::smallint);
SELECT results_eq('SELECT * FROM pg_temp.rows()', $$ SELECT slot::smallint, 3::bigint FROM generate_series(1, 3) AS slot $$, 'slot 0 is empty, the others are not');
SELECT arvo.truncate_slot(1::smallint);
SELECT results_eq('SELECT * FROM pg_temp.rows()', $$ SELECT slot::smallint, 3::bigint FROM generate_series(2, 3) AS slot $$, 'slot 1 is empty, the others are not');
SELECT arvo.truncate_slot(2::smallint);
SELECT results_eq('SELECT * FROM pg_temp.rows()', $$ SELECT slot::smallint, 3::bigint FROM generate_series(3, 3) AS slot $$, 'slot 2 is empty, the others are not');
SELECT arvo.truncate_slot(3::smallint);
SELECT results_eq('SELECT * FROM pg_temp.rows()', $$ SELECT slot::smallint, 3::bigint FROM generate_series(4, 3) AS slot $$, 'slot 3 is empty, the others are not');

SELECT * FROM finish();
ROLLBACK;
