-- arvo.retire_lanes(): contract, stories.
BEGIN;
SELECT plan(14);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.retire_lanes()',
    'integer', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY['search_path=pg_catalog, pg_temp', 'enable_seqscan=off']
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(arvo.retire_lanes(), 0, 'without lanes there is nothing to retire');
SELECT arvo.lane_for('a') AS a, arvo.lane_for('a', 5) AS a_five \gset
UPDATE arvo.lane SET priority = 1 WHERE lane = :a;
UPDATE arvo.lane SET priority = 0 WHERE lane = :a;  -- no scan meets it first now
UPDATE arvo.lease SET ready_from = 7 WHERE lane = :a;
SELECT is(arvo.retire_lanes(), 2, 'each lane in use is retired');
SELECT results_eq(
    $$ SELECT old.retired, new.retired, new.queue = old.queue, new.priority = old.priority
       FROM arvo.lane AS old INNER JOIN arvo.lane AS new ON new.lane = old.successor $$,
    'VALUES (true, false, true, true), (true, false, true, true)',
    'a new one stands in its place'
);
SELECT is(
    (SELECT array_agg(lane ORDER BY successor) FROM arvo.lane WHERE retired), ARRAY[:a, :a_five],
    'in the same order'
);
SELECT is(
    ARRAY[arvo.lane_for('a'), arvo.lane_for('a', 5)],
    ARRAY[
        (SELECT successor FROM arvo.lane WHERE lane = :a),
        (SELECT successor FROM arvo.lane WHERE lane = :a_five)
    ],
    'and is found from then on'
);
SELECT results_eq(
    format(
        'SELECT number, snapshot::text, exhausted, ready_from FROM arvo.lease WHERE lane = %s',
        arvo.lane_for('a')
    ),
    $$ VALUES (0::bigint, '3:3:', true, 7::bigint) $$,
    'its cursor stands at transaction 3, and goes on with the keys that are ready'
);
DO $$ BEGIN PERFORM arvo.retire_lanes(); END; $$;
SELECT is(
    (SELECT array_agg(retired::integer ORDER BY lane) FROM arvo.lane), '{1,1,1,1,0,0}',
    'a lane is retired once'
);

SELECT * FROM finish();
ROLLBACK;
