-- arvo.lanes_to_claim(queues, limit, limits, lease): contract, stories, refusals.
BEGIN;
SELECT plan(24);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.lanes_to_claim(text[],integer,integer[],interval)',
    'arvo.claimable', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT arvo_v1.register_queue('a') \gset
SELECT arvo_v1.register_queue('ab', p_policy => 'ordered') \gset
SELECT arvo_v1.register_queue('b', p_rate_limit => 5, p_rate_period => '1 minute') \gset
SELECT arvo_v1.register_queue('idle') \gset
SELECT arvo_v1.pause_queue('idle') \gset
SELECT arvo_v1.dispatch(pg_temp.event('p', 'a'), p_priority => 7) \gset
COMMIT AND CHAIN;
-- queue/priority/place/gated of each lane
CREATE FUNCTION pg_temp.lanes(VARIADIC p_queues text[]) RETURNS text[]
LANGUAGE sql AS $$
    SELECT coalesce(array_agg(concat_ws('/', queue.name, lane.priority, listed.place, listed.gated) ORDER BY listed.ordinality), '{}')
    FROM arvo.lanes_to_claim(p_queues, 1, NULL, '30 seconds') AS asked
    CROSS JOIN LATERAL unnest(asked.lanes, asked.places, asked.queues, asked.gated)
        WITH ORDINALITY AS listed (lane, place, queue, gated)
    INNER JOIN arvo.lane ON lane.lane = listed.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue AND queue.queue = listed.queue
$$;
CREATE FUNCTION pg_temp.sorted(p_lanes text[]) RETURNS text[]
LANGUAGE sql AS $$ SELECT array_agg(lane ORDER BY lane) FROM unnest(p_lanes) AS lane $$;
SELECT is(pg_temp.lanes('a'), '{a/7/1/f,a/0/1/f}', 'of one queue, the higher priority first');
SELECT is(pg_temp.lanes('ab'), '{ab/0/1/t}', 'one with keys is gated');
SELECT is(pg_temp.lanes('idle'), '{}', 'a paused one is left out');
SELECT is(pg_temp.sorted(pg_temp.lanes('b', 'idle', 'a')), '{a/0/3/f,a/7/3/f,b/0/1/t}', 'of several');
SELECT is(pg_temp.sorted(pg_temp.lanes('b', 'a*')), '{a/0/2/f,a/7/2/f,ab/0/2/t,b/0/1/t}', 'with a star');
SELECT is(pg_temp.lanes('none*'), '{}', 'a star may stand for nothing');
SELECT is(
    (SELECT array_agg(DISTINCT (pg_temp.lanes('b', 'a'))[1] ORDER BY (pg_temp.lanes('b', 'a'))[1]) <@ '{a/7/2/f,b/0/1/t}'::text[]
     FROM generate_series(1, 20)), true, 'begins anywhere'
);
SELECT is(
    ARRAY(SELECT (arvo.lanes_to_claim(ARRAY[name], 1, NULL, '30 seconds')).limited FROM unnest('{a,b,b*}'::text[]) AS name),
    '{f,t,t}', 'whether one has a rate limit'
);

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised(format($$ SELECT arvo.lanes_to_claim(%L, 1, NULL, '30 seconds') $$, given.queues)),
    'RV003 | queue is not known | queues | queue: ' || given.unknown, given.queues::text
)
FROM (VALUES ('{x}'::text[], '"x"'), ('{a,x,b}', '"x"'), ('{idle,x}', '"x"'), ('{a*,x}', '"x"'), ('{NULL}', ''), ('{a,NULL}', ''))
    AS given (queues, unknown);
SELECT is(
    pg_temp.raised($$ SELECT arvo.lanes_to_claim('{}', 1, NULL, '30 seconds') $$),
    'RV006 | argument is not valid | queues | 0 queues, limit 1,  limits, lease 00:00:30', 'no queues'
);
SELECT is(
    left(pg_temp.raised($$ SELECT arvo.lanes_to_claim('{a}', 10001, NULL, '30 seconds') $$), 38),
    'RV006 | argument is not valid | limit ', 'too many'
);

-- stories: none starves

SELECT arvo_v1.register_queue('left') \gset
SELECT arvo_v1.register_queue('right') \gset
SELECT is(
    (
        SELECT count(DISTINCT (arvo.lanes_to_claim('{left,right}', n, NULL, '30 seconds')).lanes[1])
        FROM generate_series(1, 60) AS n
    ),
    2::bigint, 'each of two queues comes first now and then'
);

SELECT * FROM finish();
ROLLBACK;
