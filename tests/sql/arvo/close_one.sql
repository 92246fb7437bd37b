-- arvo.close_one(results): contract, stories.
BEGIN;
SELECT plan(48);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.close_one(jsonb)',
    'arvo_v1.settled', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
CREATE TEMPORARY TABLE held (id text PRIMARY KEY, lease bigint, delivery bigint);
CREATE FUNCTION pg_temp.take(p_queue text, p_limit integer) RETURNS bigint
LANGUAGE sql AS $$
    WITH taken AS (
        INSERT INTO held SELECT event ->> 'id', lease, delivery FROM arvo_v1.claim(ARRAY[p_queue], p_limit)
        ON CONFLICT (id) DO UPDATE SET lease = excluded.lease, delivery = excluded.delivery
        RETURNING 1
    )
    SELECT count(*) FROM taken
$$;
CREATE FUNCTION pg_temp.one(p_id text, p_more jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE sql AS $$ SELECT pg_temp.result(lease, delivery, 'completed', p_more) FROM held WHERE id = p_id $$;
CREATE FUNCTION pg_temp.group_of_one(p_id text, p_more jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE sql AS $$ SELECT pg_temp.one(p_id, p_more || jsonb_build_object('deliveries', ARRAY[delivery])) - 'delivery' FROM held WHERE id = p_id $$;
CREATE FUNCTION pg_temp.writing(p_subject text, p_expected bigint, p_more jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE sql AS $$ SELECT jsonb_build_object('state', jsonb_build_object(
    'subject', p_subject, 'data', '{"n": 1}'::jsonb, 'expected_version', p_expected, 'source', 's') || p_more) $$;
CREATE FUNCTION pg_temp.emitting(VARIADIC p_ids text[]) RETURNS jsonb
LANGUAGE sql AS $$ SELECT jsonb_build_object('events', jsonb_agg(pg_temp.event(id, 'next'))) FROM unnest(p_ids) AS id $$;
-- Whose delivery was completed, with which version; 'left' when it takes a closer look.
CREATE FUNCTION pg_temp.closed(p_item jsonb) RETURNS text
LANGUAGE sql AS $$
    SELECT coalesce((SELECT concat_ws(' ', one.ordinal, held.id, one.accepted, one.outcome, one.code, one.state_version)
                     FROM held WHERE (held.lease, held.delivery) = (one.lease, one.delivery)), 'left')
    FROM arvo.close_one(jsonb_build_array(p_item)) AS one
$$;
-- All that a settlement may write.
CREATE FUNCTION pg_temp.written() RETURNS text
LANGUAGE sql AS $$
    SELECT format('%s closures, %s logged, %s states, %s turns', (SELECT count(*) FROM arvo.closure),
        (SELECT count(*) FROM arvo.log), (SELECT sum(version) FROM arvo.state), (SELECT max(number) FROM arvo.turn))
$$;

SELECT count(arvo_v1.register_queue(name)) FROM unnest(ARRAY['q', 'next', 'morgue']) AS name \gset
SELECT arvo_v1.register_queue('line', p_policy => 'ordered') \gset
SELECT arvo_v1.register_queue('alone', p_policy => 'exclusive') \gset
SELECT arvo_v1.register_queue('frail', p_retry_limit => 0, p_dead_letter => 'morgue') \gset
SELECT count(arvo_v1.dispatch(pg_temp.event('e' || n, 'q'))) FROM generate_series(1, 20) AS n \gset
SELECT count(arvo_v1.dispatch(pg_temp.event('l' || n, 'line', '{"subject": "a"}'))) FROM generate_series(1, 3) AS n \gset
SELECT count(arvo_v1.dispatch(pg_temp.event('m' || n, 'line', '{"subject": "b"}'))) FROM generate_series(1, 2) AS n \gset
SELECT arvo_v1.dispatch(pg_temp.event('x1', 'alone')) \gset
SELECT arvo_v1.dispatch(pg_temp.event('d1', 'frail')) \gset
COMMIT AND CHAIN;
SELECT pg_temp.take('q', 16) + pg_temp.take('line', 1) + pg_temp.take('alone', 1) + pg_temp.take('frail', 1) AS taken \gset
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:05Z';

SELECT is(pg_temp.closed(pg_temp.one('e1', '{"run_time": 7}')), '1 e1 t completed', 'one that is plain');
SELECT results_eq(
    $$ SELECT closure.at, held.id, closure.outcomes, closure.run_times FROM arvo.closure
       INNER JOIN held ON closure.deliveries = ARRAY[held.delivery] $$,
    $$ VALUES (timestamptz '2030-01-01 00:00:05Z', 'e1', '{completed}'::text[], '{7}'::integer[]) $$, 'is in the journal'
);
SELECT is(pg_temp.closed(pg_temp.group_of_one('e2', '{"run_times": [8]}')), '1 e2 t completed', 'a group of one');
SELECT is((SELECT run_times FROM arvo.closure ORDER BY ctid DESC LIMIT 1), '{8}', 'with its run time');
SELECT is(pg_temp.closed(pg_temp.one('e3', '{"events": [], "state": null, "error": null}')), '1 e3 t completed', 'nothing may be said');

SELECT is(pg_temp.closed(pg_temp.one('e4', pg_temp.emitting('n1'))), '1 e4 t completed', 'one that emits');
SELECT is(pg_temp.closed(pg_temp.one('e5', pg_temp.emitting('n2', 'n3'))), '1 e5 t completed', 'also several');
SELECT is(pg_temp.closed(pg_temp.one('e6', jsonb_build_object('events', ARRAY[pg_temp.event('n4', 'unknown')]))), '1 e6 t completed',
          'and where nobody listens');
SELECT is(
    (SELECT string_agg(event ->> 'id', ' ' ORDER BY delivery) FROM arvo.log WHERE event ->> 'id' LIKE 'n%'), 'n1 n2 n3 n4',
    'they are in the log, in order'
);
SELECT is(pg_temp.closed(pg_temp.one('e7', pg_temp.writing('s', 0, '{"parent_subject": "p"}'))), '1 e7 t completed 1', 'a first state');
SELECT is((SELECT count(*) FROM arvo.lineage), 2::bigint, 'has its place in a tree');
SELECT is(pg_temp.closed(pg_temp.one('e8', pg_temp.writing('s', 1) || pg_temp.emitting('n5'))), '1 e8 t completed 2', 'and the next one');
SELECT is((SELECT version FROM arvo.state), 2::bigint, 'is stored');

-- What is left, nothing of it has been written.
SELECT pg_temp.written() AS before \gset
SELECT is(pg_temp.closed(pg_temp.one('e1')), 'left', 'one that is closed already');
SELECT is(pg_temp.closed(pg_temp.one('e9') || '{"lease": 7}'), 'left', 'a lease that does not exist');
SELECT is(pg_temp.closed(pg_temp.one('e9') || '{"lease": 0}'), 'left', 'that of cursors');
SELECT is(pg_temp.closed(pg_temp.one('e9') || '{"delivery": 7}'), 'left', 'a delivery that is not its');
SELECT is(pg_temp.closed(pg_temp.one('e9', '{"outcome": "failed"}')), 'left', 'a failure');
SELECT is(pg_temp.closed(pg_temp.one('e9', '{"after": 3}')), 'left', 'one that says when');
SELECT is(pg_temp.closed(pg_temp.one('e9', pg_temp.writing('s', 1) || pg_temp.emitting('n6'))), 'left', 'a state that has moved on');
SELECT is(pg_temp.closed(pg_temp.one('e9', pg_temp.writing('s', 0))), 'left', 'or is there already');
SELECT is(pg_temp.closed(pg_temp.one('e9', pg_temp.writing('', 0))), 'left', 'without a subject');
SELECT is(pg_temp.closed(pg_temp.one('e9', pg_temp.writing('t', 0, '{"data": 7}'))), 'left', 'without data');
SELECT is(pg_temp.closed(pg_temp.one('e9', pg_temp.writing('t', 0, '{"expected_version": -1}'))), 'left', 'with no version');
SELECT is(pg_temp.closed(pg_temp.one('e9', '{"state": 7}')), 'left', 'a state that is none');
SELECT is(pg_temp.closed(pg_temp.one('e9', '{"events": {}}')), 'left', 'events that are none');
SELECT is(pg_temp.closed(pg_temp.one('e9', pg_temp.writing('t', 0) || '{"events": [null]}')), 'left', 'an event that is not valid');
SELECT is(pg_temp.closed(pg_temp.group_of_one('e9', pg_temp.emitting('n6'))), 'left', 'a group that emits');
SELECT is(pg_temp.closed(pg_temp.group_of_one('e9', '{"run_times": [1, 2]}')), 'left', 'or has too many run times');
SELECT is(pg_temp.closed('null'), 'left', 'what is malformed');
SELECT is(
    (SELECT count(one.lease) FROM unnest(ARRAY['[]', 'null', '{}', '7', NULL, jsonb_build_array(pg_temp.one('e9'), pg_temp.one('e10'))]) AS given (results)
     CROSS JOIN LATERAL arvo.close_one(given.results) AS one), 0::bigint, 'no results, and two'
);
SELECT is(pg_temp.closed(pg_temp.one('x1')), 'left', 'one that has a place');
SELECT is(pg_temp.written(), :'before', 'nothing of them has been written');
COMMIT AND CHAIN;
SELECT arvo_v1.settle(jsonb_build_array(pg_temp.one('d1', '{"outcome": "failed"}'))) \gset
COMMIT AND CHAIN;
SELECT pg_temp.take('morgue', 1) \gset
COMMIT AND CHAIN;
SELECT is(pg_temp.closed(pg_temp.one('d1')), 'left', 'and a dead letter');

-- An ordered queue: its key is free for the next.
SELECT is(pg_temp.closed(pg_temp.one('l1', pg_temp.writing('a', 0))), '1 l1 t completed 1', 'one of a key');
SELECT is((SELECT string_agg(active::text, ' ' ORDER BY key) FROM arvo.turn), '0 0', 'frees it');
COMMIT AND CHAIN;
SELECT pg_temp.take('line', 4) AS taken \gset
COMMIT AND CHAIN;
SELECT pg_temp.written() AS before \gset
SELECT is(pg_temp.closed(pg_temp.one('l2')), 'left', 'a run is judged by its order');
SELECT is(pg_temp.written(), :'before', 'nothing of it has been written');
COMMIT AND CHAIN;

-- Where nothing is closed, or nothing emitted, nobody asks where events go.
SET track_functions = 'all';
SELECT is(pg_temp.closed(pg_temp.one('e10')), '1 e10 t completed', 'one without events');
SELECT is(pg_stat_get_xact_function_calls('arvo.barred_to(jsonb)'::regprocedure), NULL, 'goes nowhere');
ROLLBACK AND CHAIN;

-- A lease of an older generation.
INSERT INTO arvo.generation (slot, opened_at) VALUES (1, now());
SELECT is(pg_temp.closed(pg_temp.one('e9')), 'left', 'one of an older generation');

SELECT * FROM finish();
ROLLBACK;
