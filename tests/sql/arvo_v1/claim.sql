-- arvo_v1.claim(queues, limit, worker, limits, lease): contract, stories, refusals.
BEGIN;
SELECT plan(60);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.claim(text[],integer,text,integer[],interval)',
    'SETOF arvo_v1.claimed', 'plpgsql', 'volatile', true,
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

CREATE FUNCTION pg_temp.claim(
    p_queues text[], p_limit integer DEFAULT 100, p_limits integer[] DEFAULT NULL
) RETURNS text[]
LANGUAGE sql AS $$
    SELECT coalesce(array_agg(claimed.event ->> 'id' ORDER BY claimed.ordinality), '{}')
    FROM arvo_v1.claim(p_queues, p_limit, 'w1', p_limits) WITH ORDINALITY AS claimed
$$;
CREATE FUNCTION pg_temp.send(p_queue text, VARIADIC p_ids text[]) RETURNS void
LANGUAGE sql AS $$
    SELECT arvo_v1.dispatch_many((SELECT jsonb_agg(pg_temp.event(id, p_queue)) FROM unnest(p_ids) AS id))
$$;

-- stories: one delivery

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue(queue, p_expire_in => '77 seconds') FROM unnest('{a,b,c,dotted.x,dotted.y}'::text[]) AS queue;
    PERFORM arvo_v1.register_queue('stateful', p_stateful => true);
    PERFORM pg_temp.send('a', '1');
END;
$$;
SELECT is(pg_temp.claim('{a}'), '{}', 'what this transaction sends it does not claim itself');
COMMIT AND CHAIN;
SELECT is(pg_temp.claim('{a}', 0), '{}', 'a limit of nought claims nothing');
SELECT is(pg_temp.claim('{b}'), '{}', 'an empty queue neither');
SELECT is(
    (SELECT count(*) FROM arvo.lease WHERE number > 0), 0::bigint, 'a claim that finds nothing writes nothing'
);
CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.claim('{a}', 5, 'worker 1', NULL, '45 seconds');
SELECT results_eq(
    'SELECT delivery, queue, attempt, expires_at, expire_in, event, cause, state, state_version FROM held',
    $$ SELECT delivery, 'a', 1, timestamptz '2030-01-01 00:00:45Z', interval '77 s', event, NULL::jsonb, NULL::jsonb, NULL::bigint
       FROM arvo.log $$,
    'everything that a worker must know'
);
SELECT results_eq(
    'SELECT token, worker, leased_at, expires_at, carried, deliveries, low_xid, high_xid, exhausted FROM arvo.lease WHERE token <> 0',
    $$ SELECT held.lease, 'worker 1', timestamptz '2030-01-01 00:00:00Z', timestamptz '2030-01-01 00:00:45Z', false,
              ARRAY[held.delivery], log.xid, log.xid, true FROM held INNER JOIN arvo.log USING (delivery) $$,
    'the ledger has one row for it'
);
SELECT is(pg_temp.claim('{a}'), '{}', 'nobody else gets it');
COMMIT AND CHAIN;
SELECT is(pg_temp.claim('{a}'), '{}', 'nor later');

-- stories: limits

SELECT pg_temp.send('a', '2', '3', '4');
SELECT pg_temp.send('b', '5', '6', '7');
COMMIT AND CHAIN;
SELECT is(pg_temp.claim('{a}', 2), '{2,3}', 'no more than the limit, in order');
SELECT is(pg_temp.claim('{a}', 1), '{4}', 'the same transaction may go on, up to the end of the window');
SELECT is(pg_temp.claim('{a}', 1), '{}', 'and beyond it');
SELECT pg_temp.send('a', '8', '9');
COMMIT AND CHAIN;
SELECT is(
    (SELECT array_agg(id ORDER BY id) FROM unnest(pg_temp.claim('{a,b}', 100, '{1,2}')) AS id), '{5,6,8}', 'each queue has its own limit'
);
SELECT is(pg_temp.claim('{a,b}', 100, '{0,-1}'), '{}', 'which may be nought');
SELECT is(cardinality(pg_temp.claim('{a,b}', 1, '{5,5}')), 1, 'the limit of the call counts as well');
SELECT is(cardinality(pg_temp.claim('{a,b}', 5, ARRAY[NULL, NULL]::integer[])), 1, 'NULL is no limit');
COMMIT AND CHAIN;

-- stories: priorities

DO $$
BEGIN
    PERFORM arvo_v1.dispatch(pg_temp.event('low', 'c'), p_priority => -1);
    PERFORM arvo_v1.dispatch(pg_temp.event('normal', 'c'));
    PERFORM arvo_v1.dispatch(pg_temp.event('high', 'c'), p_priority => 10);
    PERFORM arvo_v1.dispatch(pg_temp.event('also high', 'c'), p_priority => 10);
END;
$$;
COMMIT AND CHAIN;
SELECT is(pg_temp.claim('{c}', 3), ARRAY['high', 'also high', 'normal'], 'higher priorities first, each in order');
SELECT is(pg_temp.claim('{c}', 3), '{low}', 'then the rest');
DO $$
BEGIN
    PERFORM pg_temp.send('c', 'before');
    PERFORM arvo_v1.register_queue('c', p_priority => 5);
    PERFORM pg_temp.send('c', 'after');
END;
$$;
COMMIT AND CHAIN;
SELECT is(pg_temp.claim('{c}'), '{after,before}', 'a change of a queue''s priority is for what comes from then on');

-- stories: groups, domains, names that nobody registered

SELECT pg_temp.send('dotted.x', 'x');
SELECT pg_temp.send('dotted.y', 'y');
SELECT arvo_v1.dispatch(pg_temp.event('review', 'a', '{"domain": "human.review"}')) \gset
SELECT arvo_v1.dispatch(pg_temp.event('approve', 'a', '{"domain": "human.approve"}')) \gset
SELECT pg_temp.send('early', 'waits');
COMMIT AND CHAIN;
SELECT is(
    ARRAY(SELECT id FROM unnest(pg_temp.claim('{dotted.*}')) AS id ORDER BY id), '{x,y}',
    'a name that ends in * stands for all that begin so'
);
SELECT is(pg_temp.claim('{none.*}'), '{}', 'also when there are none');
SELECT is(pg_temp.claim('{arvo.domain.human.review}'), '{review}', 'domains are queues as others are, each under its name');
SELECT is(pg_temp.claim('{arvo.domain.*}'), '{approve}', 'or all together');
-- Of two queues behind one star, one with plenty: by chance alone the other is passed over 40 times in 2^40 runs.
SELECT pg_temp.send('flood.a', number::text) FROM generate_series(1, 60) AS number;
SELECT pg_temp.send('flood.z', 'drop');
COMMIT AND CHAIN;
SELECT ok(
    'drop' IN (SELECT unnest(pg_temp.claim('{flood.*}', 1)) FROM generate_series(1, 40)),
    'a flood in one of them does not starve the others'
);
SELECT count(*) FROM pg_temp.claim('{flood.*}') \gset
-- Locks are few: idle queues with limits must not use them up.
SELECT count(arvo_v1.register_queue('limited.' || number, p_priority => 10, p_max_active => 1)) FROM generate_series(1, 550) AS number \gset
SELECT arvo_v1.register_queue('limited', p_max_active => 1) \gset
SELECT pg_temp.send('limited', 'reached');
COMMIT AND CHAIN;
SELECT is(pg_temp.claim('{limited*}'), '{reached}', 'nor do idle queues of a higher priority, however many have limits');
SELECT arvo_v1.register_queue('early') \gset
SELECT is(pg_temp.claim('{early}'), '{waits}', 'what came before its queue was registered is delivered then');
SELECT pg_temp.send('a', 'once');
COMMIT AND CHAIN;
SELECT is(pg_temp.claim('{a,a,a*,*}'), '{once}', 'a queue that is named by several names hands out once');

-- stories: state

SELECT arvo_v1.write_state('order-1', '{"n": 1}') \gset
SELECT arvo_v1.write_state('order-1', '{"n": 2}', 1) \gset
SELECT arvo_v1.dispatch(pg_temp.event('known', 'stateful')) \gset
SELECT arvo_v1.dispatch(pg_temp.event('new', 'stateful', '{"subject": "order-2"}')) \gset
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT event ->> 'id', state, state_version FROM arvo_v1.claim('{stateful}', 5) $$,
    $$ VALUES ('known', '{"n": 2}'::jsonb, 2::bigint), ('new', NULL, 0) $$,
    'a stateful queue brings the state of the event''s subject, and its version'
);
COMMIT AND CHAIN;

-- stories: it heals what is due and what has lapsed

SELECT arvo_v1.dispatch(pg_temp.event('due', 'b'), '10 seconds') \gset
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:09.999999Z';
SELECT is(pg_temp.claim('{b}'), '{}', 'one microsecond before it is due it waits');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:10Z';
SELECT is(pg_temp.claim('{b}'), '{}', 'exactly then it is promoted');
COMMIT AND CHAIN;
SELECT is(pg_temp.claim('{b}'), '{due}', 'and from the next transaction on it can be claimed');
COMMIT AND CHAIN;

-- The lease of event 1 lapses at 45 s.
SET arvo.frozen_clock = '2030-01-01T00:00:44.999999Z';
SELECT pg_temp.claim('{a}') \gset
SELECT is_empty(
    $$ SELECT FROM arvo.closure WHERE token = (SELECT lease FROM held) $$, 'one microsecond before its time a lease is alive'
);
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:45Z';
SELECT pg_temp.claim('{a}') \gset
SELECT results_eq(
    $$ SELECT at, deliveries, outcomes FROM arvo.closure WHERE token = (SELECT lease FROM held) $$,
    $$ SELECT timestamptz '2030-01-01 00:00:45Z', ARRAY[delivery], '{expired}'::text[] FROM held $$,
    'exactly then anybody''s claim takes it back'
);
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT attempt, cause ->> 'outcome', cause -> 'error' ->> 'name', (cause ->> 'delivery')::bigint, event
       FROM arvo_v1.claim('{a}', 100) WHERE event ->> 'id' = '1' $$,
    $$ SELECT 2, 'expired', 'LeaseExpired', delivery, event FROM held $$,
    'and its event comes again: the second attempt, with the cause and the event itself'
);
SELECT is(
    (SELECT outcome || ' ' || code FROM arvo_v1.settle((SELECT jsonb_build_array(pg_temp.result(lease, delivery)) FROM held))),
    'refused RV301', 'whoever held it before has lost it'
);
COMMIT AND CHAIN;

-- stories: paused, draining

DO $$ BEGIN
    PERFORM arvo_v1.register_queue('still.plain'), arvo_v1.register_queue('still.line', p_policy => 'ordered');
    PERFORM pg_temp.send('still.plain', 'p1'), pg_temp.send('still.line', 'l1');
    UPDATE arvo.queue SET paused_at = arvo.clock() WHERE name LIKE 'still.%';
END; $$;
COMMIT AND CHAIN;
SELECT is(pg_temp.claim('{still.plain,still.line}'), '{}', 'a paused queue hands out nothing');
SELECT is(pg_temp.claim('{still.*}'), '{}', 'by no name');
UPDATE arvo.queue SET paused_at = NULL, drained_to = arvo.window_snapshot() WHERE name LIKE 'still.%';
COMMIT AND CHAIN;
SELECT pg_temp.send('still.plain', 'p2');
SELECT pg_temp.send('still.line', 'l2');
COMMIT AND CHAIN;
SELECT is(ARRAY(SELECT id FROM unnest(pg_temp.claim('{still.*}')) AS id ORDER BY id), '{l1,p1}', 'a draining one what it held');
COMMIT AND CHAIN;
SELECT is(pg_temp.claim('{still.*}'), '{}', 'and nothing that came later');
UPDATE arvo.queue SET drained_to = NULL WHERE name LIKE 'still.%';
COMMIT AND CHAIN;
SELECT is(pg_temp.claim('{still.plain}'), '{p2}', 'until it no longer drains');
SELECT is(pg_temp.claim('{still.line}'), '{}', 'where a key is busy the next one waits');

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised(format('SELECT * FROM arvo_v1.claim(%s)', given.arguments)),
    'RV006 | argument is not valid | ' || given.complaint, given.arguments
)
FROM (
    VALUES
    ('NULL', 'queues |  queues, limit 1,  limits, lease 00:00:30'),
    ($$ '{}' $$, 'queues | 0 queues, limit 1,  limits, lease 00:00:30'),
    ($$ '{a}', -1 $$, 'limit | 1 queues, limit -1,  limits, lease 00:00:30'),
    ($$ '{a}', 10001 $$, 'limit | 1 queues, limit 10001,  limits, lease 00:00:30'),
    ($$ '{a}', NULL $$, 'limit | 1 queues, limit ,  limits, lease 00:00:30'),
    ($$ '{a}', 1, 'w', '{1,2}' $$, 'limits | 1 queues, limit 1, 2 limits, lease 00:00:30'),
    ($$ '{a}', 1, 'w', NULL, '0.999 seconds' $$, 'lease | 1 queues, limit 1,  limits, lease 00:00:00.999'),
    ($$ '{a}', 1, 'w', NULL, '24:00:00.1' $$, 'lease | 1 queues, limit 1,  limits, lease 24:00:00.1'),
    ($$ '{a}', 1, 'w', NULL, NULL $$, 'lease | 1 queues, limit 1,  limits, lease ')
) AS given (arguments, complaint);
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.claim('{a,nobody}') $$),
    'RV003 | queue is not known | queues | queue: "nobody"', 'a queue that does not exist'
);
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.claim(ARRAY[E'x\nFORGED']) $$),
    'RV003 | queue is not known | queues | queue: "x\nFORGED"', 'whatever its name'
);
SELECT is(
    pg_temp.raised('SELECT * FROM arvo_v1.claim(ARRAY[''a'', NULL])'), 'RV003 | queue is not known | queues | queue: ', 'or none'
);
COMMIT AND CHAIN;
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.claim('{a}') $$),
    'RV005 | transaction isolation level must be read committed | claim was called under repeatable read.', 'a stale view of the ledger'
);

SELECT * FROM finish();
ROLLBACK;
