-- arvo.gauges_of_queues(most): contract, stories.
BEGIN;
SELECT plan(17);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.gauges_of_queues(integer)',
    'SETOF arvo_v1.gauge', 'sql', 'volatile', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_bitmapscan=off',
        'enable_hashjoin=off',
        'enable_mergejoin=off',
        'jit=off'
    ]
);

CREATE FUNCTION pg_temp.told(p_queue text, p_most integer DEFAULT 100) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(format('%s %s', coalesce(state, regexp_replace(name, '^arvo.queue.', '')), value), ', '
                      ORDER BY name, state)
    FROM arvo.gauges_of_queues(p_most)
    WHERE queue = p_queue AND name <> 'arvo.lane.lag'
$$;

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT results_eq(
    'SELECT name, queue, value FROM arvo.gauges_of_queues(10)',
    $$ VALUES ('arvo.queues', NULL, 0::double precision) $$, 'no queues: their number'
);
DO $$ BEGIN PERFORM arvo_v1.register_queue('a', p_retry_limit => 0); END; $$;
SELECT is(
    pg_temp.told('a'),
    'dead_letters 0, deferred 0, ready 0, running 0, waiting 0, oldest.age 0, paused 0, registered 1',
    'an empty queue has all its figures'
);
DO $$
BEGIN
    PERFORM arvo_v1.dispatch(pg_temp.event(number::text, 'a')) FROM generate_series(1, 5) AS number;
    PERFORM arvo_v1.dispatch(pg_temp.event('urgent', 'a'), p_priority => 9);
    PERFORM arvo_v1.dispatch(pg_temp.event('later', 'a'), '10 minutes');
    PERFORM arvo_v1.dispatch(pg_temp.event('stray', 'b'));
END;
$$;
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:01:00Z';
SELECT results_eq(
    $$ SELECT priority, value FROM arvo.gauges_of_queues(10) WHERE name = 'arvo.lane.lag' AND queue = 'a' ORDER BY priority $$,
    $$ VALUES (0, 60::double precision), (9, 60) $$, 'a lane lags as long as its oldest waits'
);
CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.claim('{a}', 3, p_lease => '5 minutes');
COMMIT AND CHAIN;
SELECT is(
    pg_temp.told('a'),
    'dead_letters 0, deferred 1, ready 3, running 3, waiting 0, oldest.age 60, paused 0, registered 1',
    'what is leased runs, over all priorities'
);
DO $$
BEGIN
    PERFORM arvo_v1.settle((
        SELECT jsonb_agg(jsonb_build_object('lease', lease, 'delivery', delivery, 'outcome', 'failed', 'error', '{"name": "E"}'::jsonb))
        FROM held
    ));
    PERFORM arvo_v1.pause_queue('a');
    PERFORM arvo_v1.maintain();
END;
$$;
COMMIT AND CHAIN;
SELECT is(
    pg_temp.told('a'),
    'dead_letters 3, deferred 1, ready 3, running 0, waiting 0, oldest.age 60, paused 1, registered 1',
    'dead letters are counted, and what waits is still exact when there is a tally'
);
SELECT is(
    pg_temp.told('b'),
    'dead_letters 0, deferred 0, ready 1, running 0, waiting 0, oldest.age 60, paused 0, registered 0',
    'a queue that nobody has registered says so'
);
DO $$ BEGIN PERFORM arvo_v1.register_queue('c', p_policy => 'ordered'); END; $$;
DO $$ BEGIN PERFORM arvo_v1.dispatch(pg_temp.event('c' || number, 'c')) FROM generate_series(1, 3) AS number; END; $$;
COMMIT AND CHAIN;
CREATE TEMPORARY TABLE ordered AS SELECT * FROM arvo_v1.claim('{c}', 1, p_lease => '5 minutes');
COMMIT AND CHAIN;
SELECT ok(
    (SELECT sum(value) FROM arvo.gauges_of_queues(10) WHERE queue = 'c' AND name = 'arvo.queue.depth') = 3,
    'in an ordered queue each is in one state'
);
SELECT results_eq(
    $$ SELECT DISTINCT queue FROM arvo.gauges_of_queues(1) WHERE name = 'arvo.queue.depth' ORDER BY queue $$,
    $$ VALUES (''), ('a') $$, 'beyond the limit they are one'
);
SELECT is(
    (SELECT sum(value) FROM arvo.gauges_of_queues(1) WHERE name = 'arvo.queue.depth'),
    (SELECT sum(value) FROM arvo.gauges_of_queues(9) WHERE name = 'arvo.queue.depth'),
    'and nothing is left out of the sums'
);
DO $$
BEGIN
    PERFORM arvo_v1.resume_queue('a');
    PERFORM arvo_v1.cancel(p_queue => 'a');
END;
$$;
COMMIT AND CHAIN;
SELECT is(
    (SELECT value FROM arvo.gauges_of_queues(9) WHERE queue = 'a' AND state = 'ready'), 0::double precision,
    'what has been withdrawn does not wait'
);

SELECT * FROM finish();
ROLLBACK;
