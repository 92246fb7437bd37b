-- arvo_v1.discard(queue, dead, limit, dry_run, …): contract, stories, refusals.
BEGIN;
SELECT plan(30);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.discard(text,bigint[],integer,boolean,text,timestamptz,timestamptz,text,text,jsonpath,text)',
    'SETOF arvo_v1.discarded', 'plpgsql', 'volatile', true,
    'arvo_operator',
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
    PERFORM arvo_v1.register_queue('a', p_dead_letter => 'morgue');
    PERFORM arvo_v1.register_queue('b');
    PERFORM arvo_v1.dispatch(pg_temp.event('a' || n, 'a', jsonb_build_object('data', jsonb_build_object('n', n)))) FROM generate_series(1, 4) AS n;
    PERFORM arvo_v1.dispatch(pg_temp.event('b' || n, 'b')) FROM generate_series(1, 3) AS n;
END;
$$;
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.settle((
    SELECT jsonb_agg(pg_temp.result(lease, delivery, 'rejected', '{"error": {"name": "No"}}') ORDER BY event ->> 'id')
    FROM arvo_v1.claim('{a,b}', 99))) \gset
COMMIT AND CHAIN;
CREATE FUNCTION pg_temp.dead(p_id text) RETURNS bigint
LANGUAGE sql AS $$ SELECT dead FROM arvo.dead WHERE event_id = p_id $$;
SET arvo.frozen_clock = '2030-01-01T00:00:05Z';

SELECT results_eq(
    $$ SELECT * FROM arvo_v1.discard('b', p_dry_run => true) $$,
    $$ SELECT dead, event_id, 'b', 'discarded', NULL::text, NULL::text FROM arvo.dead WHERE queue = 'b' ORDER BY dead $$, 'a dry run tells what would be done'
);
SELECT is((SELECT count(*) FROM arvo.dead WHERE resolution IS NOT NULL), 0::bigint, 'and does nothing');
SELECT is((SELECT count(*) FROM arvo.operation), 0::bigint, 'which is not written down');
SELECT results_eq($$ SELECT event_id, outcome FROM arvo_v1.discard('b', p_limit => 2) $$, $$ VALUES ('b1', 'discarded'), ('b2', 'discarded') $$, 'the oldest first, up to the limit');
SELECT results_eq(
    $$ SELECT event_id, resolution, resolved_at, resolved_by = session_user FROM arvo.dead WHERE queue = 'b' ORDER BY dead $$,
    $$ VALUES ('b1', 'discarded', timestamptz '2030-01-01 00:00:05Z', true), ('b2', 'discarded', '2030-01-01 00:00:05Z', true), ('b3', NULL, NULL, NULL) $$,
    'they are closed, by whom and when'
);
SELECT results_eq(
    'SELECT verb, queue, details, touched, by = session_user FROM arvo.operation',
    $$ VALUES ('discard', 'b', '{"limit": 2}'::jsonb, 2::bigint, true) $$, 'it is written down'
);
SELECT is_empty($$ SELECT * FROM arvo_v1.discard(p_dead => ARRAY[pg_temp.dead('b1')]) $$, 'once: what is closed is not closed again');
SELECT is_empty($$ SELECT * FROM arvo_v1.redrive(p_dead => ARRAY[pg_temp.dead('b1')]) $$, 'nor redriven');
SELECT results_eq(
    $$ SELECT event_id, resolution FROM arvo_v1.dead_letters('b', p_resolved => true) $$,
    $$ VALUES ('b1', 'discarded'), ('b2', 'discarded'), ('b3', NULL) $$, 'it is still there to be read'
);
COMMIT AND CHAIN;

-- with a dead-letter queue
SELECT results_eq(
    $$ SELECT event_id FROM arvo_v1.discard('morgue', p_path => '$.data.n >= 2', p_text => 'A2', p_reason => 'rejected', p_subject => 'order-1',
                                           p_event_type => 'com.test.event', p_since => '2030-01-01T00:00:00Z', p_before => '2030-01-01T00:00:01Z') $$,
    $$ VALUES ('a2') $$, 'by every filter at once'
);
SELECT results_eq(
    'SELECT lane, delivery, reason, by = session_user FROM arvo.tombstone',
    $$ SELECT dead_letter_lane, dead_letter_delivery, 'cancelled', true FROM arvo.dead WHERE event_id = 'a2' $$,
    'its delivery in the dead-letter queue is withdrawn'
);
COMMIT AND CHAIN;
CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.claim('{morgue}', 2);
SELECT is((SELECT array_agg(event ->> 'id' ORDER BY delivery) FROM held), '{a1}', 'a consumer does not meet it');
COMMIT AND CHAIN;
SELECT is_empty($$ SELECT * FROM arvo_v1.discard('a', p_limit => 1, p_dry_run => true, p_text => '"a1"') $$, 'what he has in hands is left alone');
SELECT results_eq(
    $$ SELECT event_id, queue, outcome, code, detail FROM arvo_v1.discard('a', ARRAY[pg_temp.dead('a1'), pg_temp.dead('a3'), pg_temp.dead('b3')]) $$,
    $$ VALUES ('a1', 'a', 'refused', 'RV103', 'a consumer of morgue, or another operator, has it'), ('a3', 'a', 'discarded', NULL, NULL) $$,
    'whoever asks for it by number is told'
);
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery)) FROM held)) \gset
SELECT is((SELECT resolution FROM arvo.dead WHERE event_id = 'a1'), 'consumed', 'the consumer''s word counts');
COMMIT AND CHAIN;
-- A delivery that an operator cancelled already has its tombstone.
INSERT INTO arvo.tombstone (lane, delivery, at, by) SELECT dead_letter_lane, dead_letter_delivery, arvo.clock(), 'eve' FROM arvo.dead WHERE event_id = 'a4';
SELECT results_eq($$ SELECT event_id FROM arvo_v1.discard('a') $$, $$ VALUES ('a4') $$, 'one that was cancelled in the queue');
SELECT is((SELECT by FROM arvo.tombstone WHERE delivery = (SELECT dead_letter_delivery FROM arvo.dead WHERE event_id = 'a4')), 'eve', 'stays as it was cancelled');
COMMIT AND CHAIN;
SELECT is_empty($$ SELECT * FROM arvo_v1.claim('{morgue}', 9) $$, 'nothing is left there');
COMMIT AND CHAIN;

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised('SELECT * FROM arvo_v1.discard()'), 'RV006 | argument is not valid | queue | No filter is given.', 'all of them at once, by mistake'
);
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.discard('a', p_limit => 10001) $$), 'RV006 | argument is not valid | limit | limit: 10001', 'too many'
);
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.discard('a', p_reason => 'bored') $$), 'RV006 | argument is not valid | reason | reason: "bored"', 'no reason'
);
UPDATE arvo.origin SET system_identifier = 7;
SELECT is(
    left(pg_temp.raised($$ SELECT * FROM arvo_v1.discard('a') $$), 7), 'RV902 |', 'in another cluster'
);
ROLLBACK AND CHAIN;
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.discard('a') $$),
    'RV005 | transaction isolation level must be read committed | discard was called under repeatable read.', 'a stale view of the ledger'
);

SELECT * FROM finish();
ROLLBACK;
