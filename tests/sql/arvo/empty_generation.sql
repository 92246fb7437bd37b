-- arvo.empty_generation(): contract, stories.
BEGIN;
SELECT plan(21);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.empty_generation()',
    'integer', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
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
    PERFORM arvo_v1.register_queue('a', p_delete_after => '3 days', p_deduplicate_for => '3 days');
    PERFORM arvo_v1.register_queue('idle', p_deduplicate_for => '3 days');
    PERFORM arvo_v1.dispatch(pg_temp.event('1', 'a'));
    PERFORM arvo_v1.dispatch(pg_temp.event('2', 'a'));
END;
$$;

UPDATE arvo.queue SET delete_after = '3 days';
COMMIT AND CHAIN;

CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.claim('{a}', 9);
SELECT count(*) AS settled FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, CASE WHEN event ->> 'id' = '1' THEN 'completed' ELSE 'failed' END, '{"after": 8640000}')) FROM held)) \gset
INSERT INTO arvo.generation (slot, opened_at) VALUES (1, arvo.clock());
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:01:00Z';
DO $$
BEGIN
    PERFORM arvo.heal_lanes(9);
END;
$$;

SELECT is(arvo.empty_generation(), 0, 'not before it is finished');
SELECT is(arvo.finish_generations(), 1, 'which it is now');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-04T00:00:59.999999Z';

SELECT is(arvo.empty_generation(), 0, 'one microsecond before it has been finished for delete_after');
SELECT ok(EXISTS (SELECT FROM arvo.log WHERE slot = 0), 'it is there');
SET arvo.frozen_clock = '2030-01-04T00:01:00Z';

UPDATE arvo.queue SET deduplicate_for = '3 days 1 minute 0.000001 seconds' WHERE name = 'a';
SELECT is(arvo.empty_generation(), 0, 'not while a window reaches back into it');
UPDATE arvo.queue SET deduplicate_for = '3 days 1 minute' WHERE name = 'a';
UPDATE arvo.generation SET horizon = '18446744073709551615' WHERE number = 2;
SELECT is(arvo.empty_generation(), 0, 'nor while somebody from before the next one is running');
UPDATE arvo.generation SET horizon = '0';
SELECT is(arvo.empty_generation(), 1, 'exactly then');
SELECT is_empty('SELECT FROM arvo.log WHERE slot = 0 UNION ALL SELECT FROM arvo.lease WHERE slot = 0 UNION ALL SELECT FROM arvo.closure WHERE slot = 0', 'it is empty');
SELECT results_eq('SELECT number, emptied_at FROM arvo.generation ORDER BY number', $$ VALUES (1::bigint, timestamptz '2030-01-04 00:01:00Z'), (2, NULL) $$, 'that is noted');
SELECT is((SELECT event ->> 'id' FROM arvo.deferred), '2', 'what was deferred has its event');
SELECT results_eq('SELECT DISTINCT ON (lane) slot FROM arvo.lease ORDER BY lane, number DESC', $$ VALUES (1::smallint), (1::smallint) $$, 'every lane has its cursor');
SELECT is(arvo.empty_generation(), 0, 'once');
COMMIT AND CHAIN;

-- something turns up late in an emptied slot that is in use no more
UPDATE arvo.generation SET emptied_at = NULL WHERE number = 1;
INSERT INTO arvo.log (slot, lane, delivery, attempt, at, subject_key, event_key, event)
SELECT 0, min(lane), 99, 1, arvo.clock(), 0, 0, pg_temp.event('late', 'a') FROM arvo.lane;
COMMIT AND CHAIN;

SELECT is(arvo.empty_generation(), 0, 'what turned up late is kept');
SELECT is((SELECT finished_at FROM arvo.generation WHERE number = 1), NULL, 'and waits for its end again');

SELECT * FROM finish();
ROLLBACK;
