-- arvo.carry_deferred(until, limit): contract, stories.
BEGIN;
SELECT plan(12);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.carry_deferred(timestamptz,integer)',
    'integer', 'sql', 'volatile', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_bitmapscan=off',
        'enable_hashjoin=off',
        'enable_mergejoin=off',
        'jit=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('a');
    PERFORM arvo_v1.dispatch(pg_temp.event(number::text, 'a')) FROM generate_series(1, 3) AS number;
    PERFORM arvo.again(log, 2, '1 day', '{"outcome": "failed"}') FROM arvo.log WHERE lane > 0 ORDER BY delivery LIMIT 2;
END;
$$;
SET arvo.frozen_clock = '2030-01-01T01:00:00Z';
DO $$
BEGIN
    PERFORM arvo.again(log, 2, '1 day', NULL) FROM arvo.log WHERE lane > 0 ORDER BY delivery DESC LIMIT 1;
    PERFORM arvo_v1.dispatch(pg_temp.event('later', 'a'), '1 day');
END;
$$;

SELECT is(arvo.carry_deferred('2029-12-31T23:59:59.999999Z', 9), 0, 'what was deferred later is left alone');
SELECT is(arvo.carry_deferred('2030-01-01T00:00:00Z', 1), 1, 'exactly then, but no more than asked for');
SELECT is(arvo.carry_deferred('2030-01-01T00:00:00Z', 9), 1, 'the rest');
SELECT is(arvo.carry_deferred('2030-01-01T00:00:00Z', 9), 0, 'once');
SELECT results_eq(
    'SELECT event ->> ''id'', origin_delivery IS NULL, origin_lane IS NULL, origin_xid IS NULL, cause, attempt, due FROM arvo.deferred ORDER BY at, delivery',
    $$ SELECT entry.* FROM (
       SELECT '1', true, true, true, jsonb_build_object('first', min(delivery), 'outcome', 'failed'), 2, timestamptz '2030-01-02 00:00:00Z' FROM arvo.log WHERE lane > 0
       UNION ALL
       SELECT '2', true, true, true, jsonb_build_object('first', min(delivery) + 1, 'outcome', 'failed'), 2, timestamptz '2030-01-02 00:00:00Z' FROM arvo.log WHERE lane > 0
       UNION ALL
       SELECT NULL, false, false, false, NULL::jsonb, 2, timestamptz '2030-01-02 01:00:00Z'
       UNION ALL
       SELECT 'later', true, true, true, NULL, 1, timestamptz '2030-01-02 01:00:00Z'
       ) AS entry $$,
    'they have their events, and their causes name the first delivery; nothing else changed'
);

SELECT * FROM finish();
ROLLBACK;
