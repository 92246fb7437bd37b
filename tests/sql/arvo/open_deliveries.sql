-- arvo.open_deliveries(token, deliveries): contract, stories.
BEGIN;
SELECT plan(13);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.open_deliveries(bigint,bigint[])',
    'bigint[]', 'sql', 'stable', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
VALUES
(0, 7, now(), '{11,12}', '{completed}', '{1,1}'),
(1, 7, now(), '{14}', '{retried}', '{1}'),
(0, 8, now(), '{10,13}', '{completed}', '{1,1}');
SELECT is(
    arvo.open_deliveries(7, '{14,13,12,11,10}'), '{13,10}'::bigint[],
    'what no closure of this lease names is open, in the order of the lease'
);
SELECT is(arvo.open_deliveries(8, '{10,11,13}'), '{11}'::bigint[], 'of each lease its own closures count');
SELECT is(arvo.open_deliveries(9, '{10,11}'), '{10,11}'::bigint[], 'without any, all are');
SELECT is(arvo.open_deliveries(7, '{11,12}'), '{}'::bigint[], 'none is an empty array');
SELECT is(arvo.open_deliveries(7, '{}'), '{}'::bigint[], 'also of none');
SELECT is(arvo.open_deliveries(7, NULL), '{}'::bigint[], 'and of nothing');

SELECT * FROM finish();
ROLLBACK;
