-- arvo.claim_lane(lane, limit, worker, lease): contract, stories, refusals.
BEGIN;
SELECT plan(40);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.claim_lane(integer,integer,text,interval)',
    'arvo.leased', 'plpgsql', 'volatile', false,
    'nobody'
);

CREATE FUNCTION pg_temp.claim(p_limit integer) RETURNS text[]
LANGUAGE sql AS $$
    SELECT coalesce(array_agg(claimed.event ->> 'id' ORDER BY claimed.ordinality), '{}')
    FROM arvo.claim_lane(arvo.lane_for('a'), p_limit, 'w1', '30 seconds') AS taken
    CROSS JOIN LATERAL arvo.hand_out(taken.queue, taken.lease, taken.batch) WITH ORDINALITY AS claimed
$$;
CREATE FUNCTION pg_temp.send(VARIADIC p_ids text[]) RETURNS void
LANGUAGE sql AS $$
    SELECT arvo_v1.dispatch_many((SELECT jsonb_agg(pg_temp.event(id, 'a')) FROM unnest(p_ids) AS id))
$$;
CREATE FUNCTION pg_temp.head() RETURNS arvo.lease
LANGUAGE sql AS $$ SELECT lease FROM arvo.lease WHERE lane = arvo.lane_for('a') ORDER BY number DESC LIMIT 1 $$;

-- stories: windows

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT arvo_v1.register_queue('a') \gset
SELECT is(pg_temp.claim(10), '{}', 'an empty lane');
SELECT is((pg_temp.head()).number, 0::bigint, 'to find nothing writes nothing');
SELECT pg_temp.send('1', '2', '3', '4', '5');
COMMIT AND CHAIN;
SELECT is(pg_temp.claim(2), '{1,2}', 'the first of a window');
SELECT ok(NOT (pg_temp.head()).exhausted, 'which has more');
COMMIT AND CHAIN;
SELECT pg_temp.send('6');
COMMIT AND CHAIN;
SELECT is(pg_temp.claim(2), '{3,4}', 'the next');
COMMIT AND CHAIN;
SELECT is(pg_temp.claim(2), '{5}', 'the last of the window, though more has come since');
SELECT ok((pg_temp.head()).exhausted, 'then it is used up');
COMMIT AND CHAIN;
SELECT is(pg_temp.claim(2), '{6}', 'and the next window opens');
COMMIT AND CHAIN;
SELECT pg_temp.send('7', '8');
COMMIT AND CHAIN;
SELECT is(pg_temp.claim(2), '{7,8}', 'a window that ends exactly at the limit');
SELECT ok(NOT (pg_temp.head()).exhausted, 'is not known to be used up');
SELECT pg_temp.send('9');
COMMIT AND CHAIN;
SELECT is(pg_temp.claim(2), '{9}', 'so the next claim finds nothing left and opens the next one at once');
COMMIT AND CHAIN;

-- stories: the own transaction, and late ones

-- It takes a number; a later number is over; it claims and then sends. In its snapshot as PostgreSQL tells
-- it, what it sends would be seen already, and never be delivered.
SELECT pg_temp.send('10');
COMMIT AND CHAIN;
SELECT pg_current_xact_id() \gset
SAVEPOINT later;
CREATE TEMPORARY TABLE later ();
ROLLBACK TO SAVEPOINT later;
SELECT is(pg_temp.claim(5), '{10}', 'a transaction with an old number claims');
SELECT pg_temp.send('11', '12', '13');
SELECT is(pg_temp.claim(5), '{}', 'what it sends after that it does not claim itself');
COMMIT AND CHAIN;
SELECT is(pg_temp.claim(1), '{11}', 'the next one does: the number is a late one of the older snapshot');
COMMIT AND CHAIN;
SELECT pg_temp.send('14');
COMMIT AND CHAIN;
SELECT is(pg_temp.claim(1), '{12}', 'one by one');
COMMIT AND CHAIN;
SELECT is(pg_temp.claim(5), '{13}', 'to its end');
COMMIT AND CHAIN;
SELECT is(pg_temp.claim(5), '{14}', 'then what came since');
COMMIT AND CHAIN;

SAVEPOINT undone;
SELECT pg_temp.send('never');
ROLLBACK TO SAVEPOINT undone;
COMMIT AND CHAIN;
SELECT is(pg_temp.claim(5), '{}', 'what was rolled back leaves no trace');
SAVEPOINT kept;
SELECT pg_temp.send('15');
RELEASE SAVEPOINT kept;
COMMIT AND CHAIN;
SELECT is(pg_temp.claim(5), '{15}', 'what was written in a savepoint is there as soon as its transaction is');
COMMIT AND CHAIN;

-- stories: the lease

SELECT pg_temp.send('16');
COMMIT AND CHAIN;
SELECT is(
    (SELECT (taken.lease).expires_at FROM arvo.claim_lane(arvo.lane_for('a'), 1, 'w1', '10 seconds') AS taken), timestamptz '2030-01-01 00:00:30Z',
    'no lease lapses before an older one of its lane: expired ones are found by number'
);
SELECT is(
    (SELECT count(DISTINCT token) FROM arvo.lease WHERE token <> 0), (SELECT count(*) FROM arvo.lease WHERE token <> 0),
    'each claim has a token of its own'
);
SELECT is_empty(
    $$ SELECT FROM arvo.lease AS older INNER JOIN arvo.lease AS newer ON newer.number > older.number AND newer.token <= older.token
       WHERE older.token <> 0 AND newer.token <> 0 $$, 'tokens only grow'
);
COMMIT AND CHAIN;

-- stories: withdrawn deliveries

SELECT pg_temp.send('17', '18', '19', '20', '21');
INSERT INTO arvo.tombstone (lane, delivery, at)
SELECT lane, delivery, arvo.clock() FROM arvo.log WHERE event ->> 'id' IN ('17', '18', '20');
COMMIT AND CHAIN;
SELECT is(pg_temp.claim(2), '{19}', 'a batch of withdrawn deliveries only is passed over for the next')
FROM arvo.tombstone LIMIT 1;
SELECT is((SELECT count(*) FROM arvo.tombstone), 0::bigint, 'their tombstones go');
SELECT is(
    (SELECT array_agg(outcomes ORDER BY token) FROM arvo.closure), ARRAY['{cancelled}'::text[], '{cancelled}'],
    'each lease that met some closes them as cancelled'
);
SELECT is(pg_temp.claim(2), '{21}', 'the rest follows');
COMMIT AND CHAIN;

-- stories: cursors of idle lanes

SET arvo.frozen_clock = '2030-01-01T01:00:00Z';
SELECT is(pg_temp.claim(2), '{}', 'when the leases have lapsed there is nothing to hand out at first');
SELECT ok((pg_temp.head()).token = 0 AND (pg_temp.head()).open_from = (pg_temp.head()).number, 'but the lower bound moves on, by a row that leases nothing');
COMMIT AND CHAIN;
SELECT is(cardinality(pg_temp.claim(100)), 18, 'then all that was taken back comes again, but what was withdrawn');
COMMIT AND CHAIN;

-- refusals --------------------------------------------------------------------------------------

INSERT INTO arvo.lease
SELECT (jsonb_populate_record(head, jsonb_build_object(
    'number', head.number + 1, 'token', 0, 'deliveries', '[]'::jsonb, 'exhausted', true,
    'previous_snapshot', '1:1:', 'snapshot', '9000000000:9000000000:'
))).*
FROM pg_temp.head() AS head;
SELECT alike(
    pg_temp.raised('SELECT pg_temp.claim(1)'),
    format('RV902 | transaction numbers are of another cluster | lane %s was read up to transaction 9000000000; this cluster is at %%', arvo.lane_for('a')),
    'a cursor beyond the newest transaction is of another cluster'
);

-- stories: a queue that has got keys since the caller looked

SELECT arvo_v1.register_queue('late', p_max_active => 1) \gset
SELECT arvo_v1.dispatch(pg_temp.event('late 1', 'late')) \gset
COMMIT AND CHAIN;
SELECT is_empty(
    $$ SELECT FROM arvo.claim_lane(arvo.lane_for('late'), 5, 'w1', '30 seconds') AS taken WHERE taken.batch IS NOT NULL $$, 'is not claimed without them'
);
SELECT is((arvo.head_of(arvo.lane_for('late'))).number, 0::bigint, 'and nothing is written: the next claim goes by them');

-- stories: a queue that was paused since the caller looked

SELECT arvo_v1.register_queue('still') \gset
SELECT arvo_v1.dispatch(pg_temp.event('still 1', 'still')) \gset
SELECT arvo_v1.pause_queue('still') \gset
COMMIT AND CHAIN;
SELECT is_empty(
    $$ SELECT FROM arvo.claim_lane(arvo.lane_for('still'), 5, 'w1', '30 seconds') AS taken WHERE taken.batch IS NOT NULL $$, 'a pause holds under the lock'
);

SELECT * FROM finish();
ROLLBACK;
