-- arvo_v1.dead_letter_attempts(dead): contract, stories.
BEGIN;
SELECT plan(17);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.dead_letter_attempts(bigint)',
    'SETOF arvo_v1.attempt', 'plpgsql', 'stable', true,
    'arvo_operator',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_bitmapscan=off',
        'jit=off',
        'plan_cache_mode=force_generic_plan'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('q', p_retry_limit => 2, p_dead_letter => 'morgue');
    PERFORM arvo_v1.dispatch(pg_temp.event('e1', 'q'));
END;
$$;
COMMIT AND CHAIN;
-- First attempt: fails at :02. Second: snoozed at :04, then silent until its lease lapses. Third: rejected.
CREATE TEMPORARY TABLE held AS SELECT 1 AS step, * FROM arvo_v1.claim('{q}', 1, 'ann', p_lease => '10 seconds');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:02Z';
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'failed', '{"error": {"name": "First"}, "run_time": 1500000}')) FROM held)) \gset
COMMIT AND CHAIN;
INSERT INTO held SELECT 2, * FROM arvo_v1.claim('{q}', 1, 'bob', p_lease => '10 seconds');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:04Z';
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'snoozed', '{"after": 6}')) FROM held WHERE step = 2)) \gset
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:10Z';
SELECT arvo.promote() \gset
COMMIT AND CHAIN;
INSERT INTO held SELECT 3, * FROM arvo_v1.claim('{q}', 1, 'cid', p_lease => '10 seconds');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:30Z';
SELECT is_empty($$ SELECT FROM arvo_v1.claim('{q}', 1, 'dan') $$, 'the third lease has lapsed and is taken back');
COMMIT AND CHAIN;
INSERT INTO held SELECT 4, * FROM arvo_v1.claim('{q}', 1, 'dan');
COMMIT AND CHAIN;
SELECT is((SELECT string_agg(step || '/' || attempt, ' ' ORDER BY step) FROM held), '1/1 2/2 3/2 4/3', 'four deliveries, three attempts');
SET arvo.frozen_clock = '2030-01-01T00:00:31Z';
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'rejected', '{"error": {"name": "Last", "message": "m", "stack": "s"}, "run_time": 7}')) FROM held WHERE step = 4)) \gset
COMMIT AND CHAIN;
SELECT dead FROM arvo.dead \gset

CREATE TEMPORARY TABLE told (
    delivery bigint, attempt integer, accepted_at timestamptz, claimed_at timestamptz, settled_at timestamptz, run_time interval, worker text,
    outcome text, error jsonb
);
INSERT INTO told
SELECT held.delivery, seen.attempt, accepted_at, claimed_at, settled_at, run_time, worker, outcome, error
FROM held
INNER JOIN (VALUES
    (1, 1, timestamptz '2030-01-01 00:00:00Z', timestamptz '2030-01-01 00:00:00Z', timestamptz '2030-01-01 00:00:02Z', interval '1.5 seconds', 'ann', 'retried', '{"name": "First"}'::jsonb),
    (2, 2, '2030-01-01 00:00:02Z', '2030-01-01 00:00:02Z', '2030-01-01 00:00:04Z', NULL, 'bob', 'snoozed', NULL),
    (3, 2, '2030-01-01 00:00:10Z', '2030-01-01 00:00:10Z', '2030-01-01 00:00:30Z', NULL, 'cid', 'expired',
     '{"name": "LeaseExpired", "message": "the worker did not report back before its lease expired", "stack": null}'),
    (4, 3, '2030-01-01 00:00:30Z', '2030-01-01 00:00:30Z', '2030-01-01 00:00:31Z', interval '0.000007 seconds', 'dan', 'dead', '{"name": "Last", "message": "m", "stack": "s"}')
) AS seen (step, attempt, accepted_at, claimed_at, settled_at, run_time, worker, outcome, error) USING (step)
ORDER BY step;
SELECT results_eq(
    format('SELECT * FROM arvo_v1.dead_letter_attempts(%s)', :dead), 'SELECT * FROM told',
    'every delivery: when it was accepted, claimed and settled, by whom, with what error'
);
COMMIT AND CHAIN;

-- What a consumer of the dead-letter queue does is another story.
SELECT count(*) FROM arvo_v1.settle((
    SELECT jsonb_agg(pg_temp.result(lease, delivery, 'failed', '{"error": {"name": "Morgue"}}')) FROM arvo_v1.claim('{morgue}', 1))) \gset
COMMIT AND CHAIN;
SELECT results_eq(
    format('SELECT * FROM arvo_v1.dead_letter_attempts(%s)', :dead), 'SELECT * FROM told', 'its consumer is not in it'
);

-- A redriven event begins anew.
SET arvo.frozen_clock = '2030-01-01T00:01:00Z';
SELECT is((SELECT outcome FROM arvo_v1.redrive(p_dead => ARRAY[:dead])), 'redriven', 'it is redriven');
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'failed')) FROM arvo_v1.claim('{q}', 1, 'eve'))) \gset
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'rejected')) FROM arvo_v1.claim('{q}', 1, 'eve'))) \gset
COMMIT AND CHAIN;
SELECT dead AS again FROM arvo.dead WHERE dead > :dead \gset
SELECT results_eq(
    format('SELECT attempt, outcome, worker, error FROM arvo_v1.dead_letter_attempts(%s)', :again),
    $$ VALUES (1, 'retried', 'eve', NULL::jsonb), (2, 'dead', 'eve', NULL) $$, 'from its redrive on'
);
SELECT results_eq(
    format('SELECT * FROM arvo_v1.dead_letter_attempts(%s)', :dead), 'SELECT * FROM told', 'the first letter keeps its own'
);

-- History is removed by generation: first of the oldest deliveries, then of all.
DELETE FROM arvo.log WHERE delivery IN (SELECT delivery FROM told WHERE attempt = 1);
DELETE FROM arvo.log WHERE delivery IN (SELECT delivery FROM told WHERE outcome = 'snoozed');
SELECT results_eq(
    format('SELECT * FROM arvo_v1.dead_letter_attempts(%s)', :dead),
    $$ SELECT delivery, NULL::integer, NULL::timestamptz, NULL::timestamptz, NULL::timestamptz, NULL::interval, NULL::text, NULL::text, error
       FROM told WHERE outcome = 'snoozed'
       UNION ALL (SELECT * FROM told WHERE outcome IN ('expired', 'dead') ORDER BY delivery) $$,
    'of what has been removed only the last number is known'
);
TRUNCATE arvo.log, arvo.lease, arvo.closure;
SELECT results_eq(
    format('SELECT * FROM arvo_v1.dead_letter_attempts(%s)', :dead),
    $$ SELECT delivery, 3, NULL::timestamptz, NULL::timestamptz, settled_at, NULL::interval, NULL::text, outcome, error FROM told WHERE outcome = 'dead' $$,
    'the end is always told'
);
SELECT is_empty('SELECT * FROM arvo_v1.dead_letter_attempts(0)', 'of a number that is not there, nothing');

SELECT * FROM finish();
ROLLBACK;
