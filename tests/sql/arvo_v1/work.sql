-- arvo_v1.work(results, queues, limit, worker, limits, lease): contract, stories, refusals.
BEGIN;
SELECT plan(25);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.work(jsonb,text[],integer,text,integer[],interval)',
    'SETOF arvo_v1.worked', 'plpgsql', 'volatile', true,
    'arvo_worker',
    ARRAY['search_path=pg_catalog, pg_temp', 'lock_timeout=2s', 'enable_seqscan=off', 'enable_bitmapscan=off',
          'enable_hashjoin=off', 'enable_mergejoin=off', 'jit=off', 'plan_cache_mode=force_generic_plan']
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('a', p_retry_delay => '20 seconds');
    PERFORM arvo_v1.register_queue('b', p_stateful => true, p_policy => 'standard', p_expire_in => '77 seconds');
END;
$$;
SELECT results_eq(
    $$ SELECT kind, wait, lease, delivery FROM arvo_v1.work('[]', '{a,b}') $$,
    $$ VALUES ('idle', NULL::interval, NULL::bigint, NULL::bigint) $$, 'nothing to do, nothing in sight'
);
SELECT arvo.promote() \gset
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT kind, wait FROM arvo_v1.work('[]', '{a,b}') $$, $$ VALUES ('idle', NULL::interval) $$,
    'nor when the promotion has seen everything'
);
SELECT arvo_v1.dispatch(pg_temp.event('later', 'a'), '30 seconds') \gset
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT kind, wait FROM arvo_v1.work('[]', '{a,b}') $$,
    $$ VALUES ('idle', interval '30 seconds') $$, 'nothing to do now, something later'
);
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT kind, wait FROM arvo_v1.work('[]', '{a,b}') $$,
    $$ VALUES ('idle', interval '30 seconds') $$, 'also when the promotion has seen it'
);
SELECT is_empty('SELECT * FROM arvo_v1.work()', 'who asks for nothing is answered nothing');
SELECT is_empty($$ SELECT * FROM arvo_v1.work('[]', '{a}', 0) $$, 'also with a limit of nought');
SELECT arvo_v1.write_state('order-1', '{"n": 1}') \gset
SELECT count(*) FROM arvo_v1.dispatch_many(jsonb_build_array(
    pg_temp.event('1', 'b'), pg_temp.event('2', 'b'), pg_temp.event('3', 'b'))) \gset
COMMIT AND CHAIN;
CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.work('[]', '{a,b}', 9, 'w1', '{0,9}', '45 seconds');
SELECT results_eq(
    'SELECT kind, outcome, code, detail, queue, attempt, expire_in, event ->> ''id'', cause, state, state_version, wait FROM held',
    $$ SELECT 'claimed', NULL::text, NULL::text, NULL::text, 'b', 1, interval '77 s', number::text, NULL::jsonb, '{"n": 1}'::jsonb, 1::bigint,
              NULL::interval FROM generate_series(1, 3) AS number $$,
    'deliveries to run, as claim answers them'
);
SELECT results_eq(
    'SELECT DISTINCT worker, expires_at FROM arvo.lease WHERE token <> 0', $$ VALUES ('w1', timestamptz '2030-01-01 00:00:45Z') $$,
    'for the worker and the time that were given'
);
COMMIT AND CHAIN;

CREATE FUNCTION pg_temp.done(p_id text, p_outcome text DEFAULT 'completed', p_more jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE sql AS $$ SELECT pg_temp.result(lease, delivery, p_outcome, p_more) FROM held WHERE event ->> 'id' = p_id $$;
CREATE TEMPORARY TABLE answer AS
SELECT * FROM arvo_v1.work(jsonb_build_array(
    pg_temp.done('1', 'completed', jsonb_build_object('events', jsonb_build_array(pg_temp.event('emitted', 'b')))),
    pg_temp.done('2', 'failed', '{"after": 5}'),
    pg_temp.done('3', 'completed', '{"state": {"subject": "order-1", "data": {}, "expected_version": 7}}')
), '{a,b}', 9);
SELECT results_eq(
    'SELECT answer.kind, answer.outcome, answer.code, answer.detail, answer.wait, held.event ->> ''id''
     FROM answer LEFT JOIN held USING (lease, delivery)',
    $$ VALUES ('settled', 'retried', NULL::text, NULL::text, NULL::interval, '2'),
              ('settled', 'conflict', 'RV101', 'version mismatch: subject "order-1" is not at version 7', NULL, '3'),
              ('idle', NULL, NULL, NULL, interval '0', NULL) $$,
    'verdicts first, those that are plainly completed left out; then, with nothing to claim, the time to wait'
);
COMMIT AND CHAIN;
CREATE TEMPORARY TABLE further AS
SELECT * FROM arvo_v1.work(jsonb_build_array(pg_temp.done('1')), '{b}', 9);
SELECT results_eq(
    'SELECT kind, outcome, event ->> ''id'', attempt FROM further',
    $$ VALUES ('settled', 'already', NULL::text, NULL::integer), ('claimed', NULL, '3', 1), ('claimed', NULL, 'emitted', 1) $$,
    'verdicts, then what the last call emitted and gave back: a call never claims its own'
);
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT kind FROM arvo_v1.work((SELECT jsonb_agg(pg_temp.result(lease, delivery)) FROM further WHERE kind = 'claimed')) $$,
    $$ SELECT 'x' WHERE false $$, 'all well, and nothing asked for: no rows'
);
SELECT is((SELECT active_count FROM arvo_v1.queue_stats('b')), 0::bigint, 'it was settled');
COMMIT AND CHAIN;

-- A call that settles, emits and claims, over and over: nothing of what it emits may get lost behind its own window.
SELECT arvo_v1.dispatch(pg_temp.event('chain-0', 'b')) \gset
COMMIT AND CHAIN;
CREATE TEMPORARY TABLE link AS SELECT * FROM arvo_v1.work('[]', '{b}', 1);
COMMIT AND CHAIN;
CREATE PROCEDURE pg_temp.chain(p_steps integer)
LANGUAGE plpgsql AS $$
DECLARE
    v_results jsonb;
BEGIN
    FOR v_step IN 1..p_steps LOOP
        SELECT coalesce(jsonb_agg(pg_temp.result(lease, delivery, 'completed', jsonb_build_object('events', jsonb_build_array(
            pg_temp.event('chain-' || (split_part(event ->> 'id', '-', 2)::integer + 1), 'b'))))), '[]')
        INTO v_results FROM link WHERE kind = 'claimed';
        -- a number that is over before this transaction is, as other sessions make them
        BEGIN
            PERFORM pg_current_xact_id();
            CREATE TEMPORARY TABLE later ();
            RAISE EXCEPTION 'undone';
        EXCEPTION WHEN raise_exception THEN
            NULL;
        END;
        TRUNCATE link;
        INSERT INTO link SELECT * FROM arvo_v1.work(v_results, '{b}', 1);
        COMMIT;
    END LOOP;
END;
$$;
COMMIT;
CALL pg_temp.chain(100);
BEGIN;
SELECT is(
    (SELECT count(*) FROM arvo.log WHERE event ->> 'id' LIKE 'chain-%'), 51::bigint,
    'fifty steps of a chain in a hundred calls: one claims, the next settles and emits'
);
SELECT is(
    (SELECT event ->> 'id' FROM link WHERE kind = 'claimed'), 'chain-50', 'the last one is in hand'
);

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.work('{}') $$), 'RV006 | argument is not valid | results | results is of type object.',
    'results that are none'
);
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.work('[]', '{nobody}') $$), 'RV003 | queue is not known | queues | queue: "nobody"',
    'a queue that does not exist'
);
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.work('[]', '{a}', -1) $$),
    'RV006 | argument is not valid | limit | 1 queues, limit -1,  limits, lease 00:00:30', 'a limit that is none'
);
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.work(NULL) $$), 'RV006 | argument is not valid | results | results is of type null.',
    'no results at all'
);

SELECT * FROM finish();
ROLLBACK;
