-- arvo.claim_lanes(asked, limit, worker, limits, lease): contract, stories.
BEGIN;
SELECT plan(15);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.claim_lanes(arvo.claimable,integer,text,integer[],interval)',
    'arvo.leased[]', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.claim(p_queues text[], p_limit integer, p_limits integer[] DEFAULT NULL) RETURNS text[]
LANGUAGE sql AS $$
    SELECT coalesce(array_agg(given.id ORDER BY given.id), '{}')
    FROM unnest(arvo.claim_lanes(arvo.lanes_to_claim(p_queues, p_limit, p_limits, '30 seconds'), p_limit, repeat('w', 300), p_limits,
                                 '30 seconds')) AS taken
    CROSS JOIN LATERAL (
        SELECT entry.event ->> 'id' AS id FROM unnest(taken.batch) AS entry
        UNION ALL
        SELECT claimed.event ->> 'id' FROM unnest(taken.rows) AS claimed
    ) AS given
$$;
SELECT arvo_v1.register_queue('a') \gset
SELECT arvo_v1.register_queue('b', p_policy => 'ordered') \gset
SELECT count(arvo_v1.dispatch(pg_temp.event(q || n, q, jsonb_build_object('subject', q || n))))
FROM unnest('{a,b}'::text[]) AS q, generate_series(1, 4) AS n \gset
COMMIT AND CHAIN;
SELECT is(pg_temp.claim('{a,b}', 0), '{}', 'nothing is asked for');
SELECT is(pg_temp.claim('{a,b}', 9, '{0,0}'), '{}', 'nothing of any queue');
SELECT is(pg_temp.claim('{a,b}', 9, '{1,2}'), '{a1,b1,b2}', 'so many of each');
COMMIT AND CHAIN;
SELECT is((SELECT DISTINCT length(worker) FROM arvo.lease WHERE token <> 0), 200, 'the name of the worker is cut');
SELECT is(cardinality(pg_temp.claim('{a,b}', 4)), 4, 'so many of all, from a plain queue and one with keys');
COMMIT AND CHAIN;
SELECT is(pg_temp.claim('{b,a}', 9), (SELECT array_agg(id) FROM (
    SELECT event ->> 'id' AS id FROM arvo.log
    WHERE NOT EXISTS (SELECT FROM arvo.lease WHERE log.delivery = ANY (lease.deliveries) AND lease.leased_at < now())
    ORDER BY 1) AS rest), 'then the rest');
SELECT is(pg_temp.claim('{a,b}', 9), '{}', 'then nothing');

-- stories: the part of a queue holds over its lanes

SELECT arvo_v1.register_queue('two') \gset
SELECT arvo_v1.dispatch(pg_temp.event('t' || n, 'two'), p_priority => n % 2) FROM generate_series(1, 4) AS n \g /dev/null
COMMIT AND CHAIN;
SELECT is(cardinality(pg_temp.claim('{two,a}', 9, '{3,9}')), 3, 'three of two lanes with two each');

SELECT * FROM finish();
ROLLBACK;
