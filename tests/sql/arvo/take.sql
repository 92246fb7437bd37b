-- arvo.take(queues, limit, worker, limits, lease): contract, stories.
BEGIN;
SELECT plan(73);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.take(text[],integer,text,integer[],interval)',
    'SETOF arvo_v1.worked', 'plpgsql', 'volatile', false,
    'nobody'
);

-- What it answers, without the numbers of leases: kind, id, attempt, wait; '{}' when it leaves the call alone.
CREATE FUNCTION pg_temp.take(
    p_queues text[], p_limit integer DEFAULT 10, p_limits integer[] DEFAULT NULL
) RETURNS text[]
LANGUAGE sql AS $$
    SELECT coalesce(
        array_agg(concat_ws(' ', kind, event ->> 'id', attempt, wait) ORDER BY ordinality), '{}'
    )
    FROM arvo.take(p_queues, p_limit, 'w1', p_limits, '30 seconds') WITH ORDINALITY
$$;
CREATE FUNCTION pg_temp.send(p_queue text, VARIADIC p_ids text[]) RETURNS void
LANGUAGE sql AS $$
    SELECT arvo_v1.dispatch_many((SELECT jsonb_agg(pg_temp.event(id, p_queue)) FROM unnest(p_ids) AS id))
$$;
CREATE FUNCTION pg_temp.head(p_queue text DEFAULT 'a') RETURNS arvo.lease
LANGUAGE sql AS $$
    SELECT lease FROM arvo.lease WHERE lane = arvo.lane_for(p_queue) ORDER BY number DESC LIMIT 1
$$;
-- The same claim by the general way and by this one, from the same rows: what each answers and writes,
-- but for the number of the lease, and the end of the window, which is later for the second.
CREATE FUNCTION pg_temp.both(p_queues text[], p_limit integer DEFAULT 10) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
    v_answers text[] := '{}';
    v_written jsonb[] := '{}';
    v_way text;
BEGIN
    FOREACH v_way IN ARRAY '{take,lanes}'::text[] LOOP
        BEGIN
            v_answers := v_answers || coalesce((
                SELECT string_agg(claimed::text, E'\n')
                FROM (
                    SELECT queue, delivery, attempt, expire_in, event, cause, state, state_version, key
                    FROM arvo.take(p_queues, p_limit, 'w1', NULL, '30 seconds')
                    WHERE v_way = 'take' AND kind = 'claimed'
                    UNION ALL
                    SELECT claimed.queue, claimed.delivery, claimed.attempt, claimed.expire_in, claimed.event,
                        claimed.cause, claimed.state, claimed.state_version, claimed.key
                    FROM unnest(arvo.claim_lanes(
                        arvo.lanes_to_claim(p_queues, p_limit, NULL, '30 seconds'), p_limit, 'w1', NULL, '30 seconds'
                    )) AS leased
                    CROSS JOIN LATERAL arvo.hand_out(leased.queue, leased.lease, leased.batch) AS claimed
                    WHERE v_way = 'lanes'
                ) AS claimed
            ), 'nothing');
            v_written := v_written || coalesce((
                SELECT jsonb_agg(to_jsonb(lease) - 'token' - 'snapshot' ORDER BY lease.lane, lease.number)
                FROM arvo.lease WHERE lease.token <> 0
            ), '[]');
            RAISE EXCEPTION 'undone' USING ERRCODE = 'P0099';
        EXCEPTION WHEN SQLSTATE 'P0099' THEN
        END;
    END LOOP;
    RETURN NEXT is(v_answers[1], v_answers[2], 'both answer the same, of ' || p_limit);
    RETURN NEXT is(v_written[1], v_written[2], 'and write the same');
    RETURN NEXT isnt(v_answers[1], 'nothing', 'and it is something');
END;
$$;
CREATE FUNCTION pg_temp.begin_lane(p_queue text) RETURNS void
LANGUAGE sql AS $$
    SELECT arvo_v1.register_queue(p_queue);
    SELECT pg_temp.send(p_queue, p_queue || '-first');
$$;

-- stories: as the general way

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT pg_temp.begin_lane('a');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('{a}'), '{}', 'a promotion that has never looked has something to do');
SELECT arvo.promote() \gset
COMMIT AND CHAIN;
SELECT * FROM pg_temp.both('{a}');
SELECT is(pg_temp.take('{a}'), '{"claimed a-first 1"}', 'the first of a lane');
COMMIT AND CHAIN;
SELECT pg_temp.send('a', '1', '2', '3', '4', '5');
COMMIT AND CHAIN;
SELECT * FROM pg_temp.both('{a}', 1);
SELECT * FROM pg_temp.both('{a}', 2);
SELECT * FROM pg_temp.both('{a}', 5);
SELECT * FROM pg_temp.both('{a}', 10);
SELECT is(pg_temp.take('{a}', 2), '{"claimed 1 1","claimed 2 1"}', 'the first of a window');
SELECT ok(NOT (pg_temp.head()).exhausted, 'which has more');
COMMIT AND CHAIN;
SELECT pg_temp.send('a', '6');
COMMIT AND CHAIN;
SELECT * FROM pg_temp.both('{a}', 10);
SELECT is(pg_temp.take('{a}', 10), '{"claimed 3 1","claimed 4 1","claimed 5 1"}', 'the rest of the window, though more has come since');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('{a}', 1), '{"claimed 6 1"}', 'then the next one opens');
SELECT ok(NOT (pg_temp.head()).exhausted, 'one that ends exactly at the limit is not known to be used up');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('{a}'), '{"idle 00:00:30"}', 'nothing left: idle until a lease may have lapsed');
COMMIT AND CHAIN;

-- stories: the own transaction, and late ones

SELECT pg_temp.send('a', '7');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('{a}'), '{"claimed 7 1"}', 'a head whose window is known to be read to its end');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('{a}'), '{"idle 00:00:30"}', 'and behind it: idle until a lease may have lapsed');
COMMIT AND CHAIN;
SELECT pg_temp.send('a', '10');
COMMIT AND CHAIN;
SELECT pg_current_xact_id() \gset
SAVEPOINT later;
CREATE TEMPORARY TABLE later ();
ROLLBACK TO SAVEPOINT later;
SELECT * FROM pg_temp.both('{a}');
SELECT is(pg_temp.take('{a}'), '{"claimed 10 1"}', 'a transaction with an old number claims');
SELECT pg_temp.send('a', '11', '12');
SELECT is(pg_temp.take('{a}'), '{"idle 00:00:00"}', 'what it sends after that it does not claim itself, but says so');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('{a}', 1), '{"claimed 11 1"}', 'the next one does: the number is a late one of the older snapshot');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('{a}'), '{"claimed 12 1"}', 'to its end');
COMMIT AND CHAIN;

SELECT pg_current_xact_id() \gset
SAVEPOINT later;
CREATE TEMPORARY TABLE later ();
ROLLBACK TO SAVEPOINT later;
SELECT pg_temp.send('a', '13');
SELECT is(pg_temp.take('{a}'), '{"idle 00:00:00"}', 'what it has sent before it does not claim either');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('{a}'), '{"claimed 13 1"}', 'the next one does');
COMMIT AND CHAIN;

-- stories: the lease

SELECT pg_temp.send('a', '16');
COMMIT AND CHAIN;
SELECT lease FROM arvo.take('{a}', 10, repeat('w', 300), NULL, '10 seconds') \gset
SELECT results_eq(
    format('SELECT worker, leased_at, expires_at, exhausted FROM arvo.lease WHERE token = %s', :lease),
    $$ VALUES (repeat('w', 200), timestamptz '2030-01-01 00:00:00Z', timestamptz '2030-01-01 00:00:30Z', true) $$,
    'as was asked for; no lease lapses before an older one of its lane'
);
COMMIT AND CHAIN;
SELECT is_empty(
    $$ SELECT FROM arvo.lease AS older INNER JOIN arvo.lease AS newer ON newer.number > older.number AND newer.token <= older.token
       WHERE older.token <> 0 AND newer.token <> 0 AND older.lane = newer.lane $$, 'tokens only grow'
);

-- stories: withdrawn deliveries, and expired ones

SELECT pg_temp.send('a', '17', '18', '19');
INSERT INTO arvo.tombstone (lane, delivery, at)
SELECT lane, delivery, arvo.clock() FROM arvo.log WHERE event ->> 'id' IN ('17', '18');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('{a}'), '{"claimed 19 1"}', 'what was withdrawn is passed over');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:01:00Z';
SELECT is(pg_temp.take('{a}'), '{"idle 00:00:00"}', 'when the leases have lapsed, what was taken back is for the next call');
COMMIT AND CHAIN;
SELECT is(cardinality(pg_temp.take('{a}', 100)), 14, 'which gets it');
COMMIT AND CHAIN;

-- stories: several queues

SELECT pg_temp.begin_lane('b');
SELECT pg_temp.send('a', 'a1', 'a2', 'a3');
SELECT arvo_v1.dispatch(pg_temp.event('high', 'b'), p_priority => 5) \gset
COMMIT AND CHAIN;
SELECT is(
    (SELECT array_agg(taken ORDER BY taken) FROM unnest(pg_temp.take('{a,b}', 3, '{1,5}')) AS taken),
    '{"claimed a1 1","claimed b-first 1","claimed high 1"}', 'each gives what there is room for, and all of them no more than the limit'
);
COMMIT AND CHAIN;
SELECT is(
    (SELECT array_agg(taken ORDER BY taken) FROM unnest(pg_temp.take('{a,b}')) AS taken),
    '{"claimed a2 1","claimed a3 1"}', 'the rest'
);
COMMIT AND CHAIN;
SELECT is(pg_temp.take('{a,b}'), '{"idle 00:00:30"}', 'then nothing');
SELECT is(pg_temp.take('{b}', 10, '{0}'), '{idle}', 'no room is nothing to claim');
COMMIT AND CHAIN;

SELECT pg_temp.send('b', 'b1', 'b2');
SELECT arvo_v1.dispatch(pg_temp.event('high 2', 'b'), p_priority => 5) \gset
COMMIT AND CHAIN;
SELECT is(pg_temp.take('{b}', 10, '{2}'), '{"claimed high 2 1","claimed b1 1"}', 'its priorities share the room of a queue, the higher one first');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('{b}'), '{"claimed b2 1"}', 'the rest');
COMMIT AND CHAIN;

-- stories: stateful queues

SELECT arvo_v1.register_queue('s', p_stateful => true, p_policy => 'standard') \gset
SELECT arvo_v1.write_state('order-1', '{"step": 1}', 0) \gset
SELECT pg_temp.send('s', 's1');
COMMIT AND CHAIN;
SELECT * FROM pg_temp.both('{s}');
SELECT results_eq(
    $$ SELECT state, state_version FROM arvo.take('{s}', 1, 'w1', NULL, '30 seconds') $$, $$ VALUES ('{"step": 1}'::jsonb, 1::bigint) $$,
    'come with the state of the subject'
);
COMMIT AND CHAIN;

-- stories: what is left alone

SELECT pg_temp.send('a', 'left');
SELECT number AS before FROM pg_temp.head() \gset
SELECT arvo_v1.register_queue('ordered', p_policy => 'ordered') \gset
SELECT arvo_v1.register_queue('limited', p_rate_limit => 5, p_rate_period => '1 minute') \gset
SELECT arvo_v1.register_queue('paused') \gset
SELECT arvo_v1.pause_queue('paused') \gset
SELECT arvo_v1.register_queue('guarded') \gset
SELECT count(*) FROM arvo_v1.grant_queue('guarded', 'arvo_worker', '{consume}') \gset
SELECT pg_temp.send('paused', 'p1');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('{ordered,a}'), '{}', 'a queue with keys');
SELECT is(pg_temp.take('{limited,a}'), '{}', 'a queue with a rate limit');
SELECT is(pg_temp.take('{paused,a}'), '{}', 'a paused queue');
SELECT is(pg_temp.take('{guarded,a}'), '{}', 'a queue that is not open to everybody');
SELECT is(pg_temp.take('{nobody,a}'), '{}', 'one that nobody knows');
SELECT is(pg_temp.take('{a*}'), '{}', 'a name with a star');
SELECT is(pg_temp.take(NULL), '{}', 'no queues at all');
SELECT is(pg_temp.take('{a}', 0), '{}', 'a limit of nought');
SELECT is(pg_temp.take('{a}', NULL), '{}', 'no limit');
SELECT is(pg_temp.take('{a}', 10, '{1,2}'), '{}', 'limits that do not fit');
SELECT is_empty($$ SELECT FROM arvo.take('{a}', 10, 'w1', NULL, '10 minutes') $$, 'too long a lease');
SELECT is((pg_temp.head()).number, bigint :'before', 'nothing was done');
COMMIT AND CHAIN;
SELECT arvo_v1.dispatch(pg_temp.event('later', 'a'), '45 seconds') \gset
COMMIT AND CHAIN;
SELECT pg_temp.take('{a}') \gset
COMMIT AND CHAIN;
SELECT is(pg_temp.take('{a}'), '{}', 'something deferred is new, and to be looked at');
SELECT count(*) FROM arvo_v1.claim('{a}') \gset
COMMIT AND CHAIN;

INSERT INTO arvo.origin (system_identifier)
SELECT system_identifier + 1 FROM arvo.origin ORDER BY number DESC LIMIT 1;
SELECT is(pg_temp.take('{a}'), '{}', 'numbers of another cluster');

SELECT * FROM finish();
ROLLBACK;
