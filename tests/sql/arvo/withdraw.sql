-- arvo.withdraw(queue, lease, batch): contract, stories.
BEGIN;
SELECT plan(13);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.withdraw(arvo.queue,arvo.lease,arvo.log[])',
    'arvo.log[]', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$ BEGIN PERFORM arvo_v1.register_queue('com.test.sink'); END; $$;
SELECT count(*) FROM arvo_v1.dispatch_many(
    jsonb_build_array(
        pg_temp.event('1', 'com.test.sink'), pg_temp.event('2', 'com.test.sink'),
        pg_temp.event('3', 'com.test.sink'), pg_temp.event('4', 'com.test.sink')
    )
) \gset
SELECT min(lane) AS lane, array_agg(delivery ORDER BY delivery) AS all FROM arvo.log \gset

-- Some deliveries taken out of a batch that is leased to token 7 in a lane.
CREATE FUNCTION pg_temp.withdraw(p_lane integer, p_token bigint, p_batch arvo.log[]) RETURNS arvo.log[]
LANGUAGE sql AS $$
    SELECT arvo.withdraw(
        named,
        jsonb_populate_record(NULL::arvo.lease, jsonb_build_object('lane', p_lane, 'token', p_token)),
        p_batch
    )
    FROM arvo.queue AS named WHERE name = 'com.test.sink'
$$;

SELECT is(
    ARRAY(
        SELECT entry.event ->> 'id'
        FROM unnest(pg_temp.withdraw(:lane, 7, ARRAY(SELECT log FROM arvo.log ORDER BY delivery)))
            AS entry
    ),
    '{1,2,3,4}', 'without a tombstone the batch stays whole, in its order'
);
SELECT is_empty('SELECT FROM arvo.closure', 'and nothing is journalled');

INSERT INTO arvo.tombstone (lane, delivery, at)
SELECT :lane, delivery, now() FROM arvo.log WHERE event ->> 'id' IN ('2', '4')
UNION ALL SELECT :lane, 999999, now()
UNION ALL SELECT :lane + 1, delivery, now() FROM arvo.log WHERE event ->> 'id' = '1';
SELECT is(
    ARRAY(
        SELECT entry.event ->> 'id'
        FROM unnest(pg_temp.withdraw(:lane, 7, ARRAY(SELECT log FROM arvo.log ORDER BY delivery)))
            AS entry
    ),
    '{1,3}', 'what has a tombstone in this lane is taken out; the others keep their order'
);
SELECT results_eq(
    $$ SELECT token, at, (SELECT array_agg(d ORDER BY d) FROM unnest(deliveries) AS d), outcomes,
              run_times FROM arvo.closure $$,
    format($$ SELECT 7::bigint, timestamptz '2030-01-01Z', ARRAY[%s, %s]::bigint[],
                     '{cancelled}'::text[], '{NULL,NULL}'::integer[] $$,
           (:'all'::bigint[])[2], (:'all'::bigint[])[4]),
    'it is closed as cancelled, under the lease'
);
SELECT results_eq(
    'SELECT lane, delivery FROM arvo.tombstone ORDER BY lane, delivery',
    format('SELECT %s, 999999::bigint UNION ALL SELECT %s, %s::bigint', :lane, :lane + 1,
           (:'all'::bigint[])[1]),
    'its tombstones are gone; those of other deliveries and lanes stay'
);
SELECT is(
    pg_temp.withdraw(
        :lane + 1, 8, ARRAY(SELECT log FROM arvo.log WHERE event ->> 'id' = '1')
    ),
    '{}'::arvo.log[], 'when everything is withdrawn the batch is empty'
);

SELECT * FROM finish();
ROLLBACK;
