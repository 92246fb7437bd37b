-- arvo_v1.dead_letters(queue, after, limit, resolved): contract, stories.
BEGIN;
SELECT plan(16);
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
    'SELECT delivery, queue, dead_letter, event_id, event, attempts, reason, error, died_at, redrives, resolution FROM arvo_v1.dead_letters()',
    $$ SELECT delivery, queue, CASE queue WHEN 'a' THEN 'morgue' END, event ->> 'id', event, 1, 'rejected', '{"name": "No"}'::jsonb,
              timestamptz '2030-01-01 00:00:05Z', 0, NULL::text FROM held ORDER BY event ->> 'id' $$,
    'everything about them, in the order of their deaths'
);
SELECT results_eq(
    $$ SELECT event_id FROM arvo_v1.dead_letters('a') $$, $$ VALUES ('1'), ('2'), ('4') $$, 'of the queue they failed in'
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

SELECT * FROM finish();
ROLLBACK;
