-- arvo.vitals_of_queues(): contract, stories.
BEGIN;
SELECT plan(19);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.vitals_of_queues()',
    'SETOF arvo_v1.vital', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_hashjoin=off',
        'enable_mergejoin=off',
        'jit=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
CREATE FUNCTION pg_temp.told(p_topic text) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' | ', level, value, detail), '; ') FROM arvo.vitals_of_queues() WHERE topic = p_topic
$$;
SELECT results_eq(
    'SELECT topic, level FROM arvo.vitals_of_queues()',
    $$ VALUES ('lag', 'ok'), ('queue_size', 'ok'), ('unroutable', 'ok'), ('paused', 'ok'), ('dead_letters', 'ok'), ('registrations', 'ok') $$,
    'its topics, and all is well'
);
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('q', p_dead_letter => 'morgue', p_retry_limit => 0, p_warning_queue_size => 3);
    PERFORM arvo_v1.register_queue('r');
    PERFORM arvo_v1.dispatch_many((SELECT jsonb_agg(pg_temp.event(n::text, 'q')) FROM generate_series(1, 3) AS n));
    PERFORM arvo_v1.dispatch(pg_temp.event('4', 'r'));
    PERFORM arvo_v1.dispatch(pg_temp.event('5', 'nobody'));
    PERFORM arvo_v1.dispatch(pg_temp.event('6', 'q', '{"domain": "human"}'));
END;
$$;
COMMIT AND CHAIN;
SELECT is(
    pg_temp.told('lag'), 'ok | 00:00:00 | Queue q, priority 0: 3 wait.; ok | 00:00:00 | Queue r, priority 0: 1 wait.', 'they have just come'
);
SET arvo.frozen_clock = '2030-01-01T00:01:01Z';
SELECT matches(pg_temp.told('lag'), '^notice \| 00:01:01 \|', 'a minute ago');
SET arvo.frozen_clock = '2030-01-01T00:10:01Z';
SELECT matches(pg_temp.told('lag'), '^warning \| 00:10:01 \|', 'ten minutes ago');
UPDATE arvo.queue SET paused_at = '2030-01-01T00:10:00Z' WHERE name = 'q';
SELECT is(pg_temp.told('lag'), 'warning | 00:10:01 | Queue r, priority 0: 1 wait.', 'a paused queue does not lag');
SELECT is(pg_temp.told('paused'), 'notice | 00:00:01 | Queue q is paused.', 'it is paused');
UPDATE arvo.queue SET paused_at = NULL;
SELECT is(
    pg_temp.told('unroutable'),
    'notice | 1 | Events wait for queue arvo.domain.human, which nobody has registered.; warning | 1 | Events wait for queue nobody, which nobody has registered.',
    'a person is waited for, and a process that nobody knows'
);
SELECT is(pg_temp.told('queue_size'), 'ok | No queue is longer than its warning_queue_size.', 'three are not too many');
SELECT arvo_v1.dispatch(pg_temp.event('7', 'q')) \gset
SELECT is(pg_temp.told('queue_size'), 'warning | 4 | Queue q is longer than its warning_queue_size of 3.', 'four are');
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'failed')) FROM arvo_v1.claim('{q}', 1))) \gset
COMMIT AND CHAIN;
SELECT is(pg_temp.told('dead_letters'), 'notice | 1 | Dead letters of queue q are open.', 'one has died');
SELECT unalike(pg_temp.told('unroutable'), '%morgue%', 'its dead-letter queue needs no consumer');
INSERT INTO arvo.registration (queue, worker, options, at) VALUES
('q', 'w1', '{"priority": 1}', arvo.clock()), ('q', 'w2', '{"priority": 2}', arvo.clock());
SELECT is(pg_temp.told('registrations'), 'warning | q | Option priority: "w1" wants 1, "w2" wants 2.', 'two processes disagree');

SELECT * FROM finish();
ROLLBACK;
