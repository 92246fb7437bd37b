-- arvo_v1.history(queue, after, limit, since, before): contract, stories, refusals.
BEGIN;
SELECT plan(24);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.history(text,text,integer,timestamptz,timestamptz)',
    'SETOF arvo_v1.history_entry', 'plpgsql', 'stable', true,
    'arvo_operator',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_bitmapscan=off',
        'enable_hashjoin=off',
        'enable_mergejoin=off',
        'enable_sort=off',
        'jit=off',
        'plan_cache_mode=force_generic_plan'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT is_empty('SELECT * FROM arvo_v1.history()', 'nothing has happened');
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('a', p_retry_limit => 1);
    PERFORM arvo_v1.register_queue('b');
    PERFORM arvo_v1.dispatch(pg_temp.event(number::text, CASE number WHEN 3 THEN 'b' ELSE 'a' END)) FROM generate_series(1, 4) AS number;
    PERFORM arvo_v1.dispatch(pg_temp.event('later', 'a'), p_start_after => '1 hour');
END;
$$;
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT queue, event ->> 'id', attempt, outcome, accepted_at FROM arvo_v1.history() $$,
    $$ VALUES ('a', '1', 1, 'queued', timestamptz '2030-01-01 00:00Z'), ('a', '2', 1, 'queued', '2030-01-01 00:00Z'),
              ('a', '4', 1, 'queued', '2030-01-01 00:00Z'), ('b', '3', 1, 'queued', '2030-01-01 00:00Z') $$,
    'lane by lane, in order of acceptance; what is due later is not there yet'
);
CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.claim('{a}', 2, 'ann');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:05Z';
SELECT count(*) FROM arvo_v1.settle((
    SELECT jsonb_agg(pg_temp.result(lease, delivery, CASE event ->> 'id' WHEN '1' THEN 'completed' ELSE 'failed' END, '{"run_time": 1500000}'))
    FROM held)) \gset
SELECT count(*) FROM arvo_v1.cancel(p_event_id => '3') \gset
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT event ->> 'id', attempt, outcome, claimed_at, settled_at, run_time, worker, cause ->> 'outcome' FROM arvo_v1.history() $$,
    $$ VALUES ('1', 1, 'completed', timestamptz '2030-01-01 00:00Z', timestamptz '2030-01-01 00:00:05Z', interval '1.5 seconds', 'ann', NULL),
              ('2', 1, 'retried', '2030-01-01 00:00Z', '2030-01-01 00:00:05Z', '1.5 seconds', 'ann', NULL),
              ('4', 1, 'queued', NULL, NULL, NULL, NULL, NULL),
              ('2', 2, 'queued', NULL, NULL, NULL, NULL, 'failed'),
              ('3', 1, 'cancelled', NULL, NULL, NULL, NULL, NULL) $$,
    'what became of each, and the event also of a retry, where it is not written again'
);
SELECT results_eq(
    $$ WITH RECURSIVE page AS (
           SELECT told.* FROM arvo_v1.history(p_limit => 1) AS told
           UNION ALL
           SELECT told.* FROM page CROSS JOIN LATERAL arvo_v1.history(p_after => page.position, p_limit => 1) AS told
       )
       SELECT position, delivery FROM page $$,
    'SELECT position, delivery FROM arvo_v1.history()', 'page by page the same'
);
SELECT results_eq($$ SELECT event ->> 'id' FROM arvo_v1.history('b') $$, $$ VALUES ('3') $$, 'of one queue');
SELECT results_eq(
    $$ SELECT attempt FROM arvo_v1.history(p_since => '2030-01-01T00:00:05Z') $$, $$ VALUES (2) $$, 'accepted since then'
);
SELECT is((SELECT count(*) FROM arvo_v1.history(p_before => '2030-01-01T00:00:05Z')), 4::bigint, 'accepted before');
SELECT is((SELECT count(*) FROM arvo_v1.history('a', p_limit => 2)), 2::bigint, 'no more than asked for');
SELECT is_empty(
    $$ SELECT * FROM arvo_v1.history('b', p_after => (SELECT max(position) FROM arvo_v1.history('b'))) $$, 'nothing comes behind the last'
);

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised(format('SELECT * FROM arvo_v1.history(p_limit => %s)', wrong)),
    format('RV006 | argument is not valid | limit | limit: %s', wrong), 'limit: ' || wrong
)
FROM unnest(ARRAY['0', '10001', 'null']) AS wrong;
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.history(p_after => '1/2') $$),
    'RV006 | argument is not valid | after | after: "1/2"', 'a position has three parts'
);
SELECT is(
    left(pg_temp.raised($$ SELECT * FROM arvo_v1.history('nobody') $$), 5), 'RV003', 'an unknown queue'
);
-- permissions -----------------------------------------------------------------------------------

CREATE ROLE arvo_test_history NOLOGIN IN ROLE arvo_operator;
CREATE ROLE arvo_test_history_boss NOLOGIN;
SELECT count(*) FROM arvo_v1.grant_queue('a', 'arvo_test_history_boss', '{operate}') \gset
SELECT is(
    pg_temp.as_role('arvo_test_history', $$ SELECT string_agg(DISTINCT queue, ' ') FROM arvo_v1.history() $$), 'b',
    'what the caller may not operate is passed over'
);
SELECT is(
    pg_temp.as_role('arvo_test_history', $$ SELECT count(*) FROM arvo_v1.history('a') $$),
    'RV007 | queue is closed to this role | queue: "a", right: operate, role: "arvo_test_history"', 'and refused when it is named'
);
SELECT is((SELECT count(DISTINCT queue) FROM arvo_v1.history()), 2::bigint, 'those who may see both');

SELECT * FROM finish();
ROLLBACK;
