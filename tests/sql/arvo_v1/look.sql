-- arvo_v1.look(queues, limit, worker, limits, lease): contract, stories, refusals.
BEGIN;
SELECT plan(16);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.look(text[],integer,text,integer[],interval)',
    'SETOF arvo_v1.worked', 'plpgsql', 'volatile', true,
    'arvo_worker',
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
    PERFORM arvo_v1.register_queue('a');
    PERFORM arvo_v1.register_queue('b');
    PERFORM arvo_v1.dispatch(pg_temp.event('later', 'a'), '30 seconds');
    PERFORM arvo_v1.dispatch_many(jsonb_build_array(pg_temp.event('1', 'b'), pg_temp.event('2', 'b')));
END;
$$;
COMMIT AND CHAIN;
SET synchronous_commit = on;
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT kind, wait FROM arvo_v1.look('{a}') $$, $$ VALUES ('idle', interval '30 seconds') $$,
    'nothing to do now, something later'
);
SELECT is(current_setting('synchronous_commit'), 'off', 'nobody waits for the disk');
COMMIT AND CHAIN;
SELECT is(current_setting('synchronous_commit'), 'on', 'in that transaction only');
SELECT results_eq(
    $$ SELECT kind, queue, attempt, event ->> 'id' FROM arvo_v1.look('{a,b}', 9, 'w1', '{9,1}', '45 seconds') $$,
    $$ VALUES ('claimed', 'b', 1, '1') $$, 'what work would have claimed'
);
SELECT results_eq(
    'SELECT DISTINCT worker, expires_at FROM arvo.lease WHERE token <> 0', $$ VALUES ('w1', timestamptz '2030-01-01 00:00:45Z') $$,
    'for the worker and the time that were given'
);
COMMIT AND CHAIN;
SELECT is_empty($$ SELECT * FROM arvo_v1.look('{b}', 0) $$, 'a limit of nought');
COMMIT AND CHAIN;
SELECT pg_current_xact_id() \gset
SELECT count(*) FROM arvo_v1.look('{b}') \gset
SELECT is(current_setting('synchronous_commit'), 'on', 'what was written before stays as durable as its writer wants it');

-- refusals --------------------------------------------------------------------------------------

SELECT throws_ok(
    $$ SELECT * FROM arvo_v1.look('{nobody}') $$, 'RV003', 'queue is not known', 'an unknown queue'
);
SELECT is_empty('SELECT * FROM arvo_v1.look(NULL)', 'no queues');

SELECT * FROM finish();
ROLLBACK;
