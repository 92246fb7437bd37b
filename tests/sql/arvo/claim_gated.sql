-- arvo.claim_gated(lane, home, limit, worker, lease): contract, stories.
BEGIN;
SELECT plan(241);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.claim_gated(integer,integer,integer,text,interval)',
    'SETOF arvo_v1.claimed', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

-- Deliveries in hand, under the names of their events.
CREATE TEMPORARY TABLE held (id text PRIMARY KEY, lease bigint, delivery bigint, attempt integer, at timestamptz DEFAULT arvo.clock());
CREATE FUNCTION pg_temp.send(p_queue text, VARIADIC p_ids text[]) RETURNS void
LANGUAGE sql AS $$
    SELECT arvo_v1.dispatch_many((
        SELECT jsonb_agg(pg_temp.event(id, p_queue, jsonb_build_object('subject', left(id, 1), 'tenant', left(id, 1))) ORDER BY ordinal)
        FROM unnest(p_ids) WITH ORDINALITY AS given (id, ordinal)
    ))
$$;
-- Claims, and remembers: ids in order, with the attempt where it is not the first.
CREATE FUNCTION pg_temp.take(p_queue text, p_limit integer DEFAULT 100) RETURNS text
LANGUAGE sql AS $$
    WITH claimed AS MATERIALIZED (
        SELECT given.*, event ->> 'id' AS id FROM arvo_v1.claim(ARRAY[p_queue], p_limit, 'w1') WITH ORDINALITY AS given
    ), kept AS (
        INSERT INTO held SELECT id, lease, delivery, attempt, arvo.clock() FROM claimed
        ON CONFLICT (id) DO UPDATE SET lease = excluded.lease, delivery = excluded.delivery, attempt = excluded.attempt, at = excluded.at
    )
    SELECT coalesce(
        string_agg(id || CASE WHEN attempt > 1 THEN '/' || attempt ELSE '' END, ' ' ORDER BY ordinality), 'nothing'
    )
    FROM claimed
$$;
-- Settles 'id outcome [seconds]' …: what was answered, with the code of a refusal.
CREATE FUNCTION pg_temp.settle(VARIADIC p_items text[]) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', held.id, verdict.outcome, verdict.code), ', ' ORDER BY verdict.ordinal)
    FROM arvo_v1.settle((
        SELECT jsonb_agg(
            pg_temp.result(held.lease, held.delivery, given.words[2], jsonb_strip_nulls(jsonb_build_object('after', given.words[3]::integer)))
            ORDER BY given.ordinal
        )
        FROM (SELECT string_to_array(item, ' ') AS words, ordinal FROM unnest(p_items) WITH ORDINALITY AS i (item, ordinal)) AS given
        INNER JOIN held ON held.id = given.words[1]
    )) AS verdict
    INNER JOIN held ON held.lease = verdict.lease AND held.delivery = verdict.delivery
$$;

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('o', p_policy => 'ordered', p_retry_limit => 1, p_retry_delay => '10 seconds');
    PERFORM arvo_v1.register_queue('aside', p_policy => 'ordered', p_on_failure => 'step_aside', p_retry_limit => 3);
    PERFORM arvo_v1.register_queue('tenants', p_policy => 'ordered', p_key_from => 'tenant', p_stateful => true);
    PERFORM arvo_v1.register_queue('one', p_policy => 'singleton', p_key_from => 'tenant');
    PERFORM arvo_v1.register_queue('state', p_policy => 'stately', p_retry_limit => 5);
    PERFORM arvo_v1.register_queue('only', p_policy => 'exclusive');
    PERFORM arvo_v1.register_queue('most', p_max_active => 3);
    PERFORM arvo_v1.register_queue('each', p_key_max_active => 2, p_key_from => 'tenant');
    PERFORM arvo_v1.register_queue('rate', p_rate_limit => 3, p_rate_period => '10 seconds');
    PERFORM arvo_v1.register_queue('slow', p_key_rate_limit => 1, p_key_rate_period => '10 seconds', p_key_from => 'tenant');
    PERFORM arvo_v1.register_queue('both', p_policy => 'ordered', p_key_rate_limit => 2, p_key_rate_period => '10 seconds', p_retry_limit => 3);
END;
$$;
COMMIT AND CHAIN;
-- stories: ordered, all well. An event's key is the first letter of its id.

SELECT pg_temp.send('o', 'a1', 'b1', 'a2', 'a3', 'c1');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o'), 'a1 b1 a2 a3 c1', 'what a key has goes to one worker, as a run');
COMMIT AND CHAIN;
SELECT pg_temp.send('o', 'a4', 'b2', 'd1');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o'), 'd1', 'a busy key is given to nobody else; a new one is');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SELECT is(pg_temp.settle('a1 completed', 'a2 completed'), 'a1 completed, a2 completed', 'a run is settled in order, also in parts');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o'), 'nothing', 'its key is free when the last of it is done');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('a3 completed', 'b1 completed'), 'a3 completed, b1 completed', 'that is now');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SELECT is(pg_temp.take('o'), 'b2 a4', 'those who waited come next');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('a4 completed', 'b2 completed', 'c1 completed', 'd1 completed'), 'a4 completed, b2 completed, c1 completed, d1 completed', 'done');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');

-- stories: ordered, results out of order

SELECT pg_temp.send('o', 'a1a', 'a1b', 'a1c');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o'), 'a1a a1b a1c', 'a run of three');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('a1b completed'), 'a1b refused RV303', 'the second before the first');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('a1a completed', 'a1c completed'), 'a1a completed, a1c refused RV303', 'the third before the second');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('a1c completed', 'a1b completed'), 'a1c completed, a1b completed', 'in one call the order does not matter');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');

-- stories: ordered, a retry that is due later

SELECT pg_temp.send('o', 'e1', 'e2', 'e3');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o'), 'e1 e2 e3', 'a run of three');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('e1 completed', 'e2 failed', 'e3 completed'), 'e1 completed, e2 retried, e3 refused RV301', 'one in the middle fails: what comes after it is refused');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SELECT pg_temp.send('o', 'e4', 'f1');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o'), 'f1', 'and waits, like what is new of the key; others go on');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('e3 completed'), 'e3 refused RV301', 'its lease has given it back');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:10Z';
SELECT is(pg_temp.take('o'), 'nothing', 'what is due is promoted');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o'), 'e2/2', 'first comes the one that failed, alone');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SELECT is(pg_temp.settle('e2 completed', 'f1 completed'), 'e2 completed, f1 completed', 'it completes');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o'), 'e3 e4', 'then the others, in their order');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('e3 completed', 'e4 completed'), 'e3 completed, e4 completed', 'done');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');

-- stories: ordered, released and snoozed

SELECT pg_temp.send('o', 'g1', 'g2', 'g3');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o', 2), 'g1 g2', 'a run of two');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('g1 released'), 'g1 released', 'the first was not run at all');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o'), 'g1', 'it comes first again, and alone');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('g1 completed'), 'g1 completed', 'now it is');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o'), 'g2 g3', 'then the others');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('g2 snoozed 60'), 'g2 snoozed', 'the next asks for a minute');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SELECT is(pg_temp.take('o'), 'nothing', 'for which the key waits');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:01:10Z';
SELECT is(pg_temp.take('o'), 'nothing', 'a minute later it is promoted');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o'), 'g2', 'not charged');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('g2 completed'), 'g2 completed', 'it completes');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o'), 'g3', 'then the last');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('g3 rejected'), 'g3 dead', 'which is rejected');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');

-- stories: ordered, dead in the middle of a run

SELECT pg_temp.send('o', 'h1', 'h2', 'h3');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o'), 'h1 h2 h3', 'a run of three');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('h1 completed', 'h2 rejected'), 'h1 completed, h2 dead', 'the second is dead');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o'), 'h3', 'what comes after it goes on');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('h3 completed'), 'h3 completed', 'done');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');

-- stories: ordered, a lease that lapses in the middle of a run

SELECT pg_temp.send('o', 'i1', 'i2', 'i3');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o'), 'i1 i2 i3', 'a run of three');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('i1 completed'), 'i1 completed', 'the first is done, then the worker dies');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:01:40Z';
SELECT is(pg_temp.take('o'), 'nothing', 'its lease has lapsed');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SELECT is(pg_temp.settle('i2 completed', 'i3 completed'), 'i2 refused RV301, i3 refused RV301', 'nobody can settle under it');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:01:50Z';
SELECT is(pg_temp.take('o'), 'nothing', 'the first that was open is charged, and promoted after its delay');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o'), 'i2/2', 'it comes first, alone');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('i2 completed'), 'i2 completed', 'it completes');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o'), 'i3', 'the other comes next, uncharged');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:02:20Z';
SELECT is(pg_temp.take('o'), 'nothing', 'this one lapses, too');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:02:30Z';
SELECT is(pg_temp.take('o'), 'nothing', 'due');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o'), 'i3/2', 'its last attempt');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:03:00Z';
SELECT pg_temp.send('o', 'i4');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o'), 'i4', 'when that lapses it is dead, and the key goes on');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('i4 completed'), 'i4 completed', 'done');
COMMIT AND CHAIN;
SELECT is((SELECT array_agg(event_id || ' ' || reason ORDER BY event_id) FROM arvo.dead), '{"g3 rejected","h2 rejected","i3 lease_expired"}', 'for its reason');
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');

-- stories: ordered, a holder that is withdrawn

SELECT pg_temp.send('o', 'j1', 'j2');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o', 1), 'j1', 'the first');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('j1 failed'), 'j1 retried', 'is put off, and the key waits');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o'), 'nothing', 'for it');
COMMIT AND CHAIN;
DO $$ BEGIN PERFORM arvo.release_key(turn.queue, turn.key, turn.holder) FROM arvo.turn WHERE turn.holder IS NOT NULL; END; $$;
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o'), 'j2', 'when it is released from that, the others go on');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('j2 completed'), 'j2 completed', 'done');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:03:10Z';
SELECT is(pg_temp.take('o'), 'nothing', 'it is still due');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o'), 'j1/2', 'and comes when it comes');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('j1 completed'), 'j1 completed', 'done');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');

-- stories: ordered, step_aside

SELECT pg_temp.send('aside', 'k1', 'k2', 'k3');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('aside'), 'k1 k2 k3', 'a run of three');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('k1 failed 5'), 'k1 retried', 'the first fails');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('aside'), 'k2 k3', 'and the others do not wait for it');
COMMIT AND CHAIN;
SELECT pg_temp.send('aside', 'k4');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('k2 failed 0', 'k3 completed'), 'k2 retried, k3 refused RV301', 'one goes to the end of the line at once');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('aside'), 'k3', 'the rest of its run stands before those');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SELECT is(pg_temp.settle('k3 completed'), 'k3 completed', 'done');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('aside'), 'k4 k2/2', 'in the order in which they came');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('k4 completed', 'k2 released'), 'k4 completed, k2 released', 'one that was only released keeps its place');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:03:15Z';
SELECT is(pg_temp.take('aside'), 'k2/2', 'and comes first');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('k2 completed'), 'k2 completed', 'done');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('aside'), 'k1/2', 'at last the one that stepped aside');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('k1 completed'), 'k1 completed', 'done');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');

-- stories: ordered by other keys, stateful: one by one

SELECT pg_temp.send('tenants', 'l1', 'l2', 'm1');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('tenants'), 'l1 m1', 'states are written in the order of subjects, so a run has one');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('l1 completed', 'm1 completed'), 'l1 completed, m1 completed', 'done');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('tenants'), 'l2', 'the next');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('l2 completed'), 'l2 completed', 'done');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');

-- stories: ordered, more of a key than a run may have

DO $$ BEGIN PERFORM pg_temp.send('o', VARIADIC ARRAY(SELECT 'n' || lpad(number::text, 2, '0') FROM generate_series(1, 40) AS number)); END; $$;
COMMIT AND CHAIN;
SELECT is(cardinality(string_to_array(pg_temp.take('o', 100), ' ')), 16, 'sixteen at once');
SELECT is((SELECT string_agg(id, ' ' ORDER BY delivery) FROM held WHERE id ~ '^n' AND id > 'n16'), NULL, 'the first sixteen');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
DO $$ BEGIN PERFORM pg_temp.settle(VARIADIC ARRAY(SELECT id || ' completed' FROM held WHERE id ~ '^n')); END; $$;
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o', 100), (SELECT string_agg('n' || number, ' ' ORDER BY number) FROM generate_series(17, 32) AS number), 'the next sixteen');
COMMIT AND CHAIN;
DO $$ BEGIN PERFORM pg_temp.settle(VARIADIC ARRAY(SELECT id || ' completed' FROM held WHERE id ~ '^n' AND id > 'n16')); END; $$;
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o', 100), (SELECT string_agg('n' || number, ' ' ORDER BY number) FROM generate_series(33, 40) AS number), 'and the rest');
DO $$ BEGIN PERFORM pg_temp.settle(VARIADIC ARRAY(SELECT id || ' completed' FROM held WHERE id ~ '^n' AND id > 'n32')); END; $$;
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');

-- stories: a rate in the middle of a run that fails: the order stays

SELECT pg_temp.send('both', 'p1', 'p2', 'p3', 'p4');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('both'), 'p1 p2', 'two per ten seconds');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('p1 failed 0'), 'p1 retried', 'the first fails');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SET arvo.frozen_clock = '2030-01-01T00:03:30Z';
SELECT is(pg_temp.take('both'), 'p1/2', 'it comes first');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('p1 completed'), 'p1 completed', 'done');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('both'), 'p2', 'the second, as its rate allows');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('p2 completed'), 'p2 completed', 'done');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('both'), 'nothing', 'the third is put off until there is room');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SET arvo.frozen_clock = '2030-01-01T00:03:45Z';
SELECT is(pg_temp.take('both'), 'nothing', 'now it is due');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('both'), 'p3', 'not the fourth before the third');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SELECT is(pg_temp.settle('p3 completed'), 'p3 completed', 'done');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('both'), 'p4', 'then that');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('p4 completed'), 'p4 completed', 'done');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');

-- stories: singleton

SELECT pg_temp.send('one', 'q1', 'q2', 'r1', 'q3');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('one'), 'q1 r1', 'one of each key');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('one'), 'nothing', 'and no more');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SELECT is(pg_temp.settle('q1 failed'), 'q1 retried', 'it fails, and is to be retried at once');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('one'), 'q2', 'that takes no place before the others');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('q2 completed', 'r1 completed'), 'q2 completed, r1 completed', 'done');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('one'), 'q3', 'one after the other');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('q3 completed'), 'q3 completed', 'done');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('one'), 'q1/2', 'at last the retry');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('q1 completed'), 'q1 completed', 'done');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');

-- stories: max_active, over several leases

SELECT pg_temp.send('most', 's1', 's2', 's3', 's4', 's5', 's6');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('most', 2), 's1 s2', 'two');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('most', 5), 's3', 'and one more: three at the same time');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('most', 5), 'nothing', 'no fourth');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SELECT is(pg_temp.settle('s2 completed', 's3 failed'), 's2 completed, s3 retried', 'two are over');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('most', 5), 's4 s5', 'so two more may run');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('most', 5), 'nothing', 'and no more');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:04:15Z';
SELECT is(pg_temp.take('most', 5), 's6', 'leases that lapse free what they held: the rest of the window');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SELECT is(pg_temp.take('most', 5), 's3/2 s1/2', 'then the next, up to three in all');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('most', 5), 'nothing', 'and no more');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('s6 completed', 's3 completed', 's1 completed'), 's6 completed, s3 completed, s1 completed', 'done');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('most', 5), 's4/2 s5/2', 'the others of those that lapsed');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('s4 completed', 's5 completed'), 's4 completed, s5 completed', 'done');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');

-- stories: key_max_active

SELECT pg_temp.send('each', 't1', 't2', 't3', 'u1');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('each'), 't1 t2 u1', 'two of a key');
COMMIT AND CHAIN;
SELECT pg_temp.send('each', 't4', 'u2', 'u3');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('each'), 'u2', 'the other key has room for one');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('t1 completed'), 't1 completed', 'one of the first is over');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('each'), 't3', 'who waited longest comes');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SELECT is(pg_temp.settle('t2 snoozed 0', 't3 completed', 'u1 completed', 'u2 completed'), 't2 snoozed, t3 completed, u1 completed, u2 completed', 'all are over');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('each'), 't4 u3 t2', 'what came back stands behind those who waited');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('t4 completed', 'u3 completed', 't2 completed'), 't4 completed, u3 completed, t2 completed', 'done');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');

-- stories: rate_limit

SELECT pg_temp.send('rate', 'v1', 'v2', 'v3', 'v4', 'v5', 'v6', 'v7');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('rate'), 'v1 v2 v3', 'three');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('rate'), 'nothing', 'no fourth');
COMMIT AND CHAIN;
SELECT results_eq($$ SELECT kind, wait FROM arvo_v1.work('[]', '{rate}') $$, $$ VALUES ('idle', interval '10.5 s') $$, 'the worker is told how long to wait');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('v1 completed', 'v2 completed', 'v3 completed'), 'v1 completed, v2 completed, v3 completed', 'that they are done makes no room');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('rate'), 'nothing', 'it is starts that count');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:04:25.499Z';
SELECT is(pg_temp.take('rate'), 'nothing', 'a millisecond before');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:04:25.500Z';
SELECT is(pg_temp.take('rate', 2), 'v4 v5', 'exactly then there is room');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:04:30Z';
SELECT is(pg_temp.take('rate'), 'v6', 'for three in all');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('rate'), 'nothing', 'no more');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SELECT is(pg_temp.settle('v4 completed', 'v5 completed', 'v6 completed'), 'v4 completed, v5 completed, v6 completed', 'done');
COMMIT AND CHAIN;
DO $$ BEGIN PERFORM arvo_v1.register_queue('rate', p_rate_period => '1 hour'); END; $$;
COMMIT AND CHAIN;
SELECT is(pg_temp.take('rate'), 'v7', 'a longer period begins anew');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('v7 completed'), 'v7 completed', 'done');
COMMIT AND CHAIN;

-- stories: key_rate_limit

SELECT pg_temp.send('slow', 'w1', 'w2', 'w3', 'x1');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('slow'), 'w1 x1', 'one of each key');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('w1 completed', 'x1 completed'), 'w1 completed, x1 completed', 'done');
COMMIT AND CHAIN;
SELECT pg_temp.send('slow', 'y1');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('slow'), 'y1', 'others are not held up');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('y1 completed'), 'y1 completed', 'done');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:04:40.500Z';
SELECT is(pg_temp.take('slow'), 'nothing', 'the first of those who wait is due again');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('slow'), 'w2', 'it runs');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('slow'), 'nothing', 'the next one is put off in its turn');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SELECT is(pg_temp.settle('w2 completed'), 'w2 completed', 'done');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:04:51Z';
SELECT is(pg_temp.take('slow'), 'nothing', 'due');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('slow'), 'w3', 'and so on');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('w3 completed'), 'w3 completed', 'done');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
-- Withdrawn while its key's rate is used up: it does not come back under another number.
SELECT pg_temp.send('slow', 'w4', 'w5');
COMMIT AND CHAIN;
INSERT INTO arvo.tombstone (lane, delivery, at) SELECT lane, delivery, arvo.clock() FROM arvo.log WHERE event ->> 'id' = 'w4';
COMMIT AND CHAIN;
SELECT is(pg_temp.take('slow'), 'nothing', 'one that was withdrawn, one that waits');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:05:02Z';
SELECT is(pg_temp.take('slow'), 'nothing', 'due');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('slow'), 'w5', 'only that one comes');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('w5 completed'), 'w5 completed', 'done');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:05:30Z';
SELECT is(pg_temp.take('slow'), 'nothing', 'nothing else');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('slow'), 'nothing', 'ever');
COMMIT AND CHAIN;
SELECT is((SELECT count(*) FROM arvo.tombstone), 0::bigint, 'the tombstone has been met');
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');

-- stories: stately, one in each state

SELECT is((SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('S1', 'state'))), 'queued', 'one waits');
SELECT is((SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('S2', 'state'))), 'throttled', 'no second');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('state'), 'S1', 'it runs');
COMMIT AND CHAIN;
SELECT is((SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('S3', 'state'))), 'queued', 'so another may wait');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('state'), 'nothing', 'but not run beside it');
COMMIT AND CHAIN;
SELECT is((SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('S4', 'state'))), 'throttled', 'and no more may wait');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SELECT is(pg_temp.settle('S1 failed 20'), 'S1 retried', 'the first is to be retried');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('state'), 'S3', 'the second runs');
COMMIT AND CHAIN;
SELECT is((SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('S5', 'state'))), 'queued', 'a third waits');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('S3 failed 20'), 'S3 dead', 'the second finds the place for retries taken');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SELECT is(pg_temp.take('state'), 'S5', 'the third runs');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:05:50Z';
SELECT is(pg_temp.take('state'), 'nothing', 'the retry is due, and waits');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('S5 completed'), 'S5 completed', 'until that is done');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('state'), 'S1/2', 'then it runs');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('S1 failed 0'), 'S1 retried', 'and has the place again');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('state'), 'S1/3', 'as often as it needs it');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('S1 completed'), 'S1 completed', 'done');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');

-- stories: exclusive, one at all

SELECT is((SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('X1', 'only'))), 'queued', 'one');
SELECT is((SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('X2', 'only'), p_start_after => '1 hour')), 'throttled', 'no second, nor later');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('only'), 'X1', 'it runs');
COMMIT AND CHAIN;
SELECT is((SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('X3', 'only'))), 'throttled', 'no second');
SELECT is(pg_temp.settle('X1 failed 5'), 'X1 retried', 'it fails');
COMMIT AND CHAIN;
SELECT is((SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('X4', 'only'))), 'throttled', 'no second');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:05:55Z';
SELECT is(pg_temp.take('only'), 'nothing', 'it is due');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('only'), 'X1/2', 'it runs');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('X1 rejected'), 'X1 dead', 'it is dead');
COMMIT AND CHAIN;
SELECT is((SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('X5', 'only'))), 'queued', 'then the next may come');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('only'), 'X5', 'it runs');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('X5 completed'), 'X5 completed', 'and is done');
COMMIT AND CHAIN;
SELECT is((SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('X6', 'only'))), 'queued', 'the next');
INSERT INTO arvo.tombstone (lane, delivery, at) SELECT lane, delivery, arvo.clock() FROM arvo.log WHERE event ->> 'id' = 'X6';
COMMIT AND CHAIN;
SELECT is(pg_temp.take('only'), 'nothing', 'is withdrawn');
COMMIT AND CHAIN;
SELECT is((SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('X7', 'only'))), 'queued', 'which gives its place back');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('only'), 'X7', 'it runs, and its worker dies');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:06:26Z';
SELECT is(pg_temp.take('only'), 'nothing', 'its lease lapses');
COMMIT AND CHAIN;
SELECT is((SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('X8', 'only'))), 'throttled', 'it is to be retried');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('only'), 'X7/2', 'it runs');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:06:57Z';
SELECT is(pg_temp.take('only'), 'nothing', 'dies again');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('only'), 'X7/3', 'and again');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:07:28Z';
SELECT is(pg_temp.take('only'), 'nothing', 'and is dead');
COMMIT AND CHAIN;
SELECT is((SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('X9', 'only'))), 'queued', 'then the next may come');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');

-- stories: who waits and who is new

DO $$ BEGIN PERFORM arvo_v1.register_queue('fair', p_policy => 'ordered'); PERFORM pg_temp.send('fair', 'A1', 'A2'); END; $$;
COMMIT AND CHAIN;
SELECT is(pg_temp.take('fair', 1), 'A1', 'one runs, the next of its key is read and waits');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('fair', 1), 'nothing', 'with nobody else there');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('A1 completed'), 'A1 completed', 'now it could run');
COMMIT AND CHAIN;
-- A worker that takes one at a time and beats once in between, while new keys keep coming: by chance alone
-- the waiting one is passed over 60 times in 2^60 runs.
CREATE PROCEDURE pg_temp.flood()
LANGUAGE plpgsql AS $$
DECLARE
    v_lease bigint;
BEGIN
    FOR v_step IN 1..60 LOOP
        PERFORM arvo_v1.dispatch(pg_temp.event('new ' || v_step, 'fair', jsonb_build_object('subject', 'new ' || v_step)));
        COMMIT;
        PERFORM pg_temp.take('fair', 1);
        COMMIT;
        SELECT max(lease) INTO v_lease FROM held;
        PERFORM arvo_v1.extend(ARRAY[v_lease]);
        COMMIT;
    END LOOP;
END;
$$;
COMMIT;
CALL pg_temp.flood();
BEGIN;
SELECT is((SELECT count(*) FROM held WHERE id = 'A2'), 1::bigint, 'a flood of new keys does not starve one that waits');
SELECT is((SELECT count(*) > 0 FROM held WHERE id LIKE 'new %'), true, 'nor the other way round');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
DO $$ BEGIN PERFORM arvo_v1.register_queue('deep', p_policy => 'ordered');
PERFORM pg_temp.send('deep', VARIADIC ARRAY(SELECT 'B' || number FROM generate_series(1, 100) AS number) || '{C1}'::text[]); END; $$;
COMMIT AND CHAIN;
SELECT is(pg_temp.take('deep', 1), 'B1', 'one of very many of a key runs');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('deep', 1), 'C1', 'behind the others of it there is another key, which one claim finds');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');

SELECT * FROM finish();
ROLLBACK;
