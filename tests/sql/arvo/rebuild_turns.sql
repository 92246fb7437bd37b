-- arvo.rebuild_turns(queue): contract, stories.
BEGIN;
SELECT plan(93);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.rebuild_turns(arvo.queue)',
    'bigint', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY['search_path=pg_catalog, pg_temp', 'enable_seqscan=off']
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
CREATE FUNCTION pg_temp.change(p_queue text, p_policy text, p_max_active integer DEFAULT NULL, VARIADIC p_reset text[] DEFAULT '{}') RETURNS text
LANGUAGE sql AS $$
    SELECT change FROM arvo_v1.register_queue(p_queue, p_policy => p_policy, p_max_active => p_max_active, p_reset => p_reset)
$$;
CREATE FUNCTION pg_temp.turns(p_queue text) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(
        format('%s %s/%s', CASE WHEN key = 0 THEN 'all' WHEN key = 1 THEN 'one' ELSE coalesce(
            (SELECT left(min(id), 1) FROM held WHERE hashtextextended(left(id, 1), 0) = key), '?') END, active, waiting),
        ', ' ORDER BY key = 0 DESC, key)
    FROM arvo.turn INNER JOIN arvo.queue USING (queue) WHERE name = p_queue
$$;

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('o', p_policy => 'ordered', p_retry_delay => '10 seconds');
    PERFORM arvo_v1.register_queue('p');
    PERFORM arvo_v1.register_queue('m');
    PERFORM arvo_v1.register_queue('w', p_policy => 'ordered');
    PERFORM arvo_v1.register_queue('s', p_policy => 'short');
    PERFORM arvo_v1.register_queue('e', p_policy => 'exclusive');
    PERFORM arvo_v1.register_queue('x', p_policy => 'ordered');
    PERFORM arvo_v1.register_queue('y', p_policy => 'ordered');
END;
$$;
COMMIT AND CHAIN;
-- stories: limits come while deliveries are leased

SELECT pg_temp.send('p', 'a1', 'a2', 'a3', 'a4', 'a5');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('p', 2), 'a1 a2', 'two are leased without any limit');
COMMIT AND CHAIN;
SELECT is(pg_temp.change('p', NULL, 3), 'max_active', 'then there is one of three');
COMMIT AND CHAIN;
SELECT is(pg_temp.turns('p'), 'all 2/0', 'those two count');
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SELECT is(pg_temp.take('p'), 'a3', 'so there is room for one');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('a1 completed', 'a2 failed'), 'a1 completed, a2 retried', 'and for two when they are over');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SELECT is(pg_temp.take('p'), 'a4 a5', 'exactly');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SELECT is(pg_temp.change('p', NULL, NULL, 'max_active'), 'max_active', 'the limit goes');
COMMIT AND CHAIN;
SELECT is(pg_temp.turns('p'), NULL, 'and with it the counting');
SELECT is(pg_temp.settle('a3 completed', 'a4 completed', 'a5 completed'), 'a3 completed, a4 completed, a5 completed', 'which nobody misses');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('p'), 'a2/2', 'the retry is there');
COMMIT AND CHAIN;
SELECT is(pg_temp.change('p', NULL, 1), 'max_active', 'a limit again');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('p'), 'nothing', 'which that one uses up');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('a2 completed'), 'a2 completed', 'done');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');

-- stories: from ordered to standard: what is leased, parked and put off

SELECT pg_temp.send('o', 'b1', 'b2', 'b3', 'c1', 'c2', 'd1');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o'), 'b1 b2 b3 c1 c2 d1', 'three runs');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('c1 failed', 'd1 completed'), 'c1 retried, d1 completed', 'of one the first has failed, so the rest of it waits');
COMMIT AND CHAIN;
SELECT pg_temp.send('o', 'b4', 'd2');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o', 1), 'd2', 'a fourth of the first run waits as well');
COMMIT AND CHAIN;
SELECT is((SELECT count(*) FROM arvo.parked), 2::bigint, 'that makes two');
SELECT is(pg_temp.change('o', 'standard'), 'policy', 'then order is given up');
COMMIT AND CHAIN;
SELECT is((SELECT count(*) FROM arvo.parked), 0::bigint, 'nobody waits any more');
SELECT is(pg_temp.take('o'), 'c2 b4', 'those who did are delivered again');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('b1 failed', 'b2 completed'), 'b1 retried, b2 completed', 'what failed in a run stops nobody now');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('c2 completed', 'b4 completed', 'd2 completed'), 'c2 completed, b4 completed, d2 completed', 'done');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:10Z';
SELECT is(pg_temp.take('o'), 'nothing', 'the retries are due');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('o'), 'c1/2 b1/2', 'and come in their time');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('c1 completed', 'b1 completed', 'b3 completed'), 'c1 completed, b1 completed, b3 completed', 'nothing is lost');
COMMIT AND CHAIN;
SELECT is((SELECT count(*) FROM arvo.log), (SELECT count(DISTINCT delivery) FROM arvo.closure, unnest(deliveries) AS delivery), 'and everything is closed');

-- stories: a run leased before, that lapses after the change

SELECT pg_temp.send('w', 'f1', 'f2', 'f3');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('w'), 'f1 f2 f3', 'a run of three');
COMMIT AND CHAIN;
SELECT is(pg_temp.change('w', 'standard'), 'policy', 'order is given up');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:01:00Z';
SELECT is(pg_temp.take('w'), 'nothing', 'then the lease lapses');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('w'), 'f1/2 f2/2 f3/2', 'all of them come back');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('f1 completed', 'f2 completed', 'f3 completed'), 'f1 completed, f2 completed, f3 completed', 'done');
COMMIT AND CHAIN;

-- stories: a run leased before, that fails after a change to another rule with keys

DO $$ BEGIN PERFORM pg_temp.change('w', 'ordered'); END; $$;
COMMIT AND CHAIN;
SELECT pg_temp.send('w', 'g1', 'g2', 'g3');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('w'), 'g1 g2 g3', 'a run of three');
COMMIT AND CHAIN;
SELECT is(pg_temp.change('w', 'standard', 5), 'max_active, policy', 'now it is a limit that counts');
COMMIT AND CHAIN;
SELECT is(pg_temp.turns('w'), 'all 3/0, g 3/0', 'what is leased counts under the keys that it was leased with');
SELECT is(pg_temp.settle('g1 failed 0', 'g2 released'), 'g1 retried, g2 released', 'the first fails');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SELECT is(pg_temp.take('w'), 'g1/2 g2', 'and comes back under the new rules, like the second');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('g1 completed', 'g2 completed', 'g3 completed'), 'g1 completed, g2 completed, g3 completed', 'done');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');

-- stories: limits come and go beside an order that stays

DO $$ BEGIN PERFORM arvo_v1.register_queue('w', p_policy => 'ordered', p_retry_delay => '10 seconds'); END; $$;
COMMIT AND CHAIN;
SELECT pg_temp.send('w', 'h1', 'h2');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('w', 1), 'h1', 'one runs');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('h1 failed'), 'h1 retried', 'fails, and is put off');
COMMIT AND CHAIN;
SELECT pg_temp.send('w', 'h3');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('w'), 'nothing', 'the others wait for it');
COMMIT AND CHAIN;
SELECT pg_temp.send('w', 'h4');
COMMIT AND CHAIN;
SELECT is((SELECT change FROM arvo_v1.register_queue('w', p_max_active => 1, p_key_from => 'subject')), 'key_from, max_active', 'a limit is set or lifted');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('w'), 'nothing', 'the order stays');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:01:10Z';
SELECT is(pg_temp.take('w'), 'nothing', 'now it is due');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('w'), 'h1/2', 'first the first');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('h1 completed'), 'h1 completed', 'then');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('w', 1), 'h2', 'the second');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('h2 completed'), 'h2 completed', 'then');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('w', 1), 'h3', 'the third');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('h3 completed'), 'h3 completed', 'and');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('w', 1), 'h4', 'the last');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('h4 completed'), 'h4 completed', 'done');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');

-- stories: what was withdrawn while it waited

SELECT pg_temp.send('x', 'i1', 'i2', 'i3');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('x', 1), 'i1', 'the first runs');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('x'), 'nothing', 'the others wait');
COMMIT AND CHAIN;
INSERT INTO arvo.tombstone (lane, delivery, at) SELECT lane, delivery, arvo.clock() FROM arvo.log WHERE event ->> 'id' = 'i2';
COMMIT AND CHAIN;
SELECT is(pg_temp.change('x', 'standard'), 'policy', 'the order is given up');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('x'), 'i3', 'what was withdrawn does not come back');
COMMIT AND CHAIN;
SELECT is((SELECT count(*) FROM arvo.tombstone), 0::bigint, 'it is closed');
SELECT is((SELECT string_agg(DISTINCT outcome, ' ') FROM arvo.closure, unnest(outcomes) AS outcome, arvo.log WHERE log.delivery = ANY (deliveries) AND event ->> 'id' = 'i2'), 'cancelled', 'as withdrawn');
SELECT is(pg_temp.settle('i1 completed', 'i3 completed'), 'i1 completed, i3 completed', 'done');
COMMIT AND CHAIN;

-- stories: from one policy with places to another, and back

SELECT pg_temp.send('s', 'j1');
COMMIT AND CHAIN;
SELECT is((SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('j2', 's'))), 'throttled', 'short: one that waits');
SELECT is(pg_temp.change('s', 'exclusive'), 'policy', 'then exclusive');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('s'), 'j1', 'it runs');
COMMIT AND CHAIN;
SELECT is((SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('j3', 's'))), 'queued', 'it never had a place of that kind');
SELECT is((SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('j4', 's'))), 'throttled', 'the next one has');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('j1 completed'), 'j1 completed', 'done');
COMMIT AND CHAIN;
SELECT is(pg_temp.change('s', 'short'), 'policy', 'short again');
COMMIT AND CHAIN;
SELECT is((SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('j5', 's'))), 'queued', 'no place is held for ever');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('s'), 'j3 j5', 'they run');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('j3 completed', 'j5 completed'), 'j3 completed, j5 completed', 'done');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SELECT pg_temp.send('e', 'k1');
COMMIT AND CHAIN;
SELECT arvo_v1.register_queue('e', p_max_active => 5) \gset
COMMIT AND CHAIN;
SELECT is((SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('k2', 'e'))), 'throttled', 'another limit leaves the places as they are');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('e'), 'k1', 'it runs');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('k1 completed'), 'k1 completed', 'done');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');

-- stories: what it answers, and what stays idle

SELECT pg_temp.send('y', 'l1', 'l2', 'm1', 'm2');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('y', 1), 'l1', 'one runs');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('y'), 'm1 m2', 'another run');
COMMIT AND CHAIN;
UPDATE arvo.queue SET policy = 'standard' WHERE name = 'y';
SELECT is((SELECT arvo.rebuild_turns(named) FROM arvo.queue AS named WHERE name = 'y'), 1::bigint, 'how many were delivered again');
SELECT is((SELECT arvo.rebuild_turns(named) FROM arvo.queue AS named WHERE name = 'p'), 0::bigint, 'or none');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('y'), 'l2', 'that one');
COMMIT AND CHAIN;
SELECT is((SELECT cause - 'delivery' FROM arvo.log WHERE cause ->> 'reason' = 'new_options' AND lane = arvo.lane_for('y')), '{"outcome": "released", "reason": "new_options"}'::jsonb, 'with the reason');

SELECT * FROM finish();
ROLLBACK;
