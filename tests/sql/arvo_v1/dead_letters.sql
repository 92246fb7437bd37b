-- arvo_v1.dead_letters(queue, after, limit, resolved, …): contract, stories, refusals.
BEGIN;
SELECT plan(34);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.dead_letters(text,bigint,integer,boolean,bigint[],text,timestamptz,timestamptz,text,text,jsonpath,text)',
    'SETOF arvo_v1.dead_letter', 'sql', 'stable', true,
    'arvo_operator',
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
    PERFORM arvo_v1.register_queue('a', p_dead_letter => 'morgue');
    PERFORM arvo_v1.register_queue('b');
    PERFORM arvo_v1.dispatch(pg_temp.event(number::text, CASE number WHEN 3 THEN 'b' ELSE 'a' END)) FROM generate_series(1, 4) AS number;
END;
$$;
COMMIT AND CHAIN;
CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.claim('{a,b}', 9);
SELECT is_empty('SELECT * FROM arvo_v1.dead_letters()', 'nobody is dead');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:05Z';
SELECT count(*) FROM arvo_v1.settle((
    SELECT jsonb_agg(pg_temp.result(lease, delivery, 'rejected', '{"error": {"name": "No"}}') ORDER BY event ->> 'id') FROM held)) \gset
COMMIT AND CHAIN;
SELECT results_eq(
    'SELECT delivery, queue, dead_letter, event_id, event, attempts, reason, error, died_at, redrives, resolution, edited, resolved_at, resolved_by,
            redriven_at, redriven_by FROM arvo_v1.dead_letters()',
    $$ SELECT delivery, queue, CASE queue WHEN 'a' THEN 'morgue' END, event ->> 'id', event, 1, 'rejected', '{"name": "No"}'::jsonb,
              timestamptz '2030-01-01 00:00:05Z', 0, NULL::text, NULL::jsonb, NULL::timestamptz, NULL::text, NULL::timestamptz, NULL::text FROM held ORDER BY event ->> 'id' $$,
    'everything about them, in the order of their deaths'
);
SELECT results_eq(
    $$ SELECT event_id FROM arvo_v1.dead_letters('a', NULL, p_resolved => NULL) $$, $$ VALUES ('1'), ('2'), ('4') $$, 'of the queue they failed in'
);
SELECT results_eq(
    $$ SELECT event_id FROM arvo_v1.dead_letters('morgue') $$, $$ VALUES ('1'), ('2'), ('4') $$, 'of the dead-letter queue that received them'
);
SELECT is_empty($$ SELECT * FROM arvo_v1.dead_letters('nobody') $$, 'of a queue that does not exist');
SELECT dead FROM arvo_v1.dead_letters(p_limit => 2) OFFSET 1 \gset
SELECT results_eq(
    format('SELECT event_id FROM arvo_v1.dead_letters(p_after => %s, p_limit => 1)', :dead), $$ VALUES ('3') $$, 'page by page'
);
SELECT results_eq(
    format('SELECT event_id FROM arvo_v1.dead_letters(''a'', %s)', :dead), $$ VALUES ('4') $$, 'also of one queue'
);

SELECT count(*) FROM arvo_v1.redrive(p_dead => ARRAY[:dead]) \gset
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery)) FROM arvo_v1.claim('{morgue}', 1))) \gset
SELECT results_eq('SELECT event_id FROM arvo_v1.dead_letters()', $$ VALUES ('3'), ('4') $$, 'who is resolved is not listed');
SELECT results_eq(
    'SELECT event_id, resolution FROM arvo_v1.dead_letters(p_resolved => true)',
    $$ VALUES ('1', 'consumed'), ('2', 'redriven'), ('3', NULL), ('4', NULL) $$, 'unless asked for'
);

COMMIT AND CHAIN;

-- stories: filters

SELECT results_eq(
    $$ SELECT event_id FROM arvo_v1.dead_letters(
           'a', p_resolved => true, p_dead => (SELECT array_agg(dead) FROM arvo.dead), p_reason => 'rejected', p_since => '2030-01-01T00:00:05Z',
           p_before => '2030-01-01T00:00:06Z', p_event_type => 'com.test.event', p_subject => 'order-1', p_path => '$.id == "4"', p_text => 'NO') $$,
    $$ VALUES ('4') $$, 'by every filter at once'
);
SELECT is_empty($$ SELECT * FROM arvo_v1.dead_letters(p_reason => 'lease_expired', p_resolved => true) $$, 'by one that fits none');
SELECT results_eq(
    $$ SELECT event_id, resolution, resolved_at, resolved_by = session_user FROM arvo_v1.dead_letters(p_path => '$ ? (@.id < "3")', p_resolved => true) $$,
    $$ VALUES ('1', 'consumed', timestamptz '2030-01-01 00:00:05Z', true), ('2', 'redriven', '2030-01-01 00:00:05Z', true) $$, 'who closed it, and when'
);

-- stories: a dead-letter queue is consumed like any queue, and has one of its own

SET arvo.frozen_clock = '2030-01-02T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('shop', p_retry_limit => 0, p_dead_letter => 'desk');
    PERFORM arvo_v1.register_queue('desk', p_retry_limit => 1, p_retry_delay => '1 minute', p_dead_letter => 'cellar');
    PERFORM arvo_v1.dispatch(pg_temp.event('s' || number, 'shop')) FROM generate_series(1, 3) AS number;
END;
$$;
COMMIT AND CHAIN;
-- Claims and settles everything in a queue: "event/attempt …".
CREATE FUNCTION pg_temp.settle_all(p_queue text, p_outcome text, p_more jsonb DEFAULT '{}') RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    v_results jsonb;
    v_told text;
BEGIN
    SELECT
        jsonb_agg(pg_temp.result(lease, delivery, p_outcome, p_more) ORDER BY event ->> 'id'),
        string_agg((event ->> 'id') || '/' || attempt, ' ' ORDER BY event ->> 'id')
    INTO v_results, v_told
    FROM arvo_v1.claim(ARRAY[p_queue], 99);
    PERFORM arvo_v1.settle(coalesce(v_results, '[]'));
    RETURN v_told;
END;
$$;
CREATE FUNCTION pg_temp.letters() RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', event_id, queue, 'in ' || dead_letter, resolution), ', ' ORDER BY dead)
    FROM arvo_v1.dead_letters('shop', p_resolved => true)
$$;
SELECT is(pg_temp.settle_all('shop', 'failed', '{"error": {"name": "Shut"}}'), 's1/1 s2/1 s3/1', 'they fail');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle_all('desk', 'failed'), 's1/1 s2/1 s3/1', 'the dead-letter queue has attempts of its own');
COMMIT AND CHAIN;
SELECT is(pg_temp.letters(), 's1 shop in desk, s2 shop in desk, s3 shop in desk', 'which are retried: the letters stay open');
SET arvo.frozen_clock = '2030-01-02T00:01:00Z';
SELECT count(*) FROM arvo_v1.maintain() \gset
COMMIT AND CHAIN;
CREATE TEMPORARY TABLE desk AS SELECT * FROM arvo_v1.claim('{desk}', 1);
SELECT is((SELECT (event ->> 'id') || '/' || attempt FROM desk), 's1/2', 'after its delay');
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery)) FROM desk)) \gset
COMMIT AND CHAIN;
SELECT is(pg_temp.settle_all('desk', 'failed', '{"error": {"name": "Again"}}'), 's2/2 s3/2', 'or dies there as well');
COMMIT AND CHAIN;
SELECT is(
    pg_temp.letters(), 's1 shop in desk consumed, s2 shop in cellar, s3 shop in cellar', 'and goes on to the next dead-letter queue; one was consumed'
);
SELECT results_eq(
    $$ SELECT event_id, error, reason FROM arvo_v1.dead_letters('cellar') $$,
    $$ VALUES ('s2', '{"name": "Shut"}'::jsonb, 'failed'), ('s3', '{"name": "Shut"}', 'failed') $$, 'with the error of its first death'
);
SELECT is_empty($$ SELECT * FROM arvo_v1.dead_letters('desk') $$, 'the first one has none left');
SELECT is((SELECT event_id FROM arvo_v1.redrive('cellar', p_limit => 1)), 's2', 'from there it can be redriven');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle_all('cellar', 'completed'), 's3/1', 'or consumed');
COMMIT AND CHAIN;
SELECT is(
    pg_temp.letters(), 's1 shop in desk consumed, s2 shop in cellar redriven, s3 shop in cellar consumed', 'each letter says what became of it'
);
SELECT is(pg_temp.settle_all('shop', 'completed'), 's2/1', 'what was redriven is back where it failed first');
COMMIT AND CHAIN;

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.dead_letters(p_reason => 'bored') $$), 'RV006 | argument is not valid | reason | reason: "bored"', 'no reason'
);
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.dead_letters(p_limit => 0) $$), 'RV006 | argument is not valid | limit | limit: 0', 'no limit'
);
SELECT is(left(pg_temp.raised($$ SELECT * FROM arvo_v1.dead_letters(p_path => '$..') $$), 5), '42601', 'what is no path');

SELECT * FROM finish();
ROLLBACK;
