-- arvo.event_of(log row): contract, stories.
BEGIN;
SELECT plan(12);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.event_of(arvo.log)',
    'jsonb', 'sql', 'stable', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SELECT arvo_v1.dispatch(pg_temp.event('1', 'com.test.sink')) \gset
SELECT is(arvo.event_of(log), pg_temp.event('1', 'com.test.sink'), 'the first delivery carries the event')
FROM arvo.log WHERE lane > 0;
SELECT arvo.again(log, 2, NULL, '{}') AS second FROM arvo.log WHERE lane > 0 \gset
SELECT is(
    (SELECT log.event FROM arvo.log WHERE delivery = :second), NULL, 'a later one does not'
);
SELECT is(
    arvo.event_of(log), pg_temp.event('1', 'com.test.sink'), 'but it says where the first stands'
)
FROM arvo.log WHERE delivery = :second;
SELECT arvo.again(log, 3, NULL, '{}') AS third FROM arvo.log WHERE delivery = :second \gset
SELECT results_eq(
    format('SELECT origin_delivery, origin_lane, origin_xid, arvo.event_of(log) FROM arvo.log WHERE delivery = %s', :third),
    $$ SELECT delivery, lane, xid, event FROM arvo.log WHERE attempt = 1 AND lane > 0 $$,
    'as does every further one: never a chain to walk'
);
SELECT is(
    arvo.event_of(jsonb_populate_record(
        NULL::arvo.log, jsonb_build_object('origin_delivery', 1, 'origin_lane', 4711, 'origin_xid', '1')
    )),
    NULL, 'where there is none, there is none'
);

SELECT * FROM finish();
ROLLBACK;
