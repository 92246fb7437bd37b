-- arvo_v1.dispatch_copy(events, ignore_domain, options): contract, stories, refusals.
BEGIN;
SELECT plan(16);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.dispatch_copy(jsonb,boolean,jsonb)',
    'SETOF arvo_v1.copied', 'plpgsql', 'volatile', true,
    'arvo_client, arvo_operator, arvo_worker',
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

DO $$ BEGIN PERFORM arvo_v1.register_queue('q'), arvo_v1.register_queue('arvo.domain.human'); END; $$;
SELECT results_eq(
    $$ SELECT outcome, events, ordinals FROM arvo_v1.dispatch_copy(jsonb_build_array(
           pg_temp.event('1', 'q'), pg_temp.event('2', 'nobody'), pg_temp.event('1', 'q'), pg_temp.event('3', 'q'),
           pg_temp.event('4', 'q', '{"domain": "human"}'), pg_temp.event('1', 'q')
       )) $$,
    $$ VALUES ('domained', 1::bigint, '{}'::bigint[]), ('duplicate', 2, '{3,6}'), ('queued', 2, '{}'), ('unroutable', 1, '{2}') $$,
    'how many had which outcome, and where those stood that were not taken as they came'
);
SELECT is(
    (SELECT string_agg(event ->> 'id', ' ' ORDER BY delivery) FROM arvo.log WHERE lane > 0), '1 2 3 4', 'they are stored in order'
);
SELECT results_eq(
    $$ SELECT outcome, events FROM arvo_v1.dispatch_copy(
           jsonb_build_array(pg_temp.event('5', 'q', '{"domain": "human"}')), true, '{"start_after": 60}'
       ) $$,
    $$ VALUES ('deferred', 1::bigint) $$, 'domains can be ignored, and options given'
);
SELECT is_empty($$ SELECT * FROM arvo_v1.dispatch_copy('[]') $$, 'nothing is nothing');
-- Without a queue that nobody has registered all are appended in one piece.
SELECT results_eq(
    $$ SELECT outcome, events, ordinals FROM arvo_v1.dispatch_copy((
           SELECT jsonb_agg(pg_temp.event('many-' || number % 90, 'q') ORDER BY number) FROM generate_series(0, 99) AS number
       )) $$,
    $$ VALUES ('duplicate', 10::bigint, (SELECT array_agg(n) FROM generate_series(91::bigint, 100) AS n)), ('queued', 90, '{}') $$,
    'a hundred, of which the last ten came before'
);

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.dispatch_copy(jsonb_build_array(pg_temp.event('6', 'q'), pg_temp.event('7', 'q', '{"id": ""}'))) $$),
    'RV001 | event is not valid | id | event 2 of 2: id: must be a text that is not empty', 'one that is not valid refuses all'
);
SELECT is((SELECT count(*) FROM arvo.log WHERE event ->> 'id' = '6'), 0::bigint, 'and nothing is stored');
SELECT is(left(pg_temp.raised($$ SELECT arvo_v1.dispatch_copy('{}') $$), 5), 'RV006', 'no array');
SELECT is(
    left(pg_temp.raised($$ SELECT arvo_v1.dispatch_copy(jsonb_build_array(pg_temp.event('8', 'q')), false, '{"priority": "x"}') $$), 5), 'RV002',
    'an option that is not valid'
);

SELECT * FROM finish();
ROLLBACK;
