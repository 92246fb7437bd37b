-- arvo.pass_turns(queue, items): contract, stories.
BEGIN;
SELECT plan(20);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.pass_turns(arvo.queue,arvo.result[])',
    'void', 'plpgsql', 'volatile', false,
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

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('line', p_policy => 'ordered', p_retry_delay => '10 seconds');
    PERFORM arvo_v1.register_queue('key', p_key_max_active => 4, p_key_from => 'tenant');
END;
$$;
COMMIT AND CHAIN;
SELECT pg_temp.send('line', 'a1', 'a2', 'a3', 'b1');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('line'), 'a1 a2 a3 b1', 'a run of three, and one');
COMMIT AND CHAIN;
SELECT pg_temp.send('line', 'a4');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('line'), 'nothing', 'which waits');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('a1 completed', 'a2 snoozed 5'), 'a1 completed, a2 snoozed', 'the second goes to sleep');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SELECT is((SELECT array_agg(place ORDER BY place) FROM arvo.parked), (SELECT array_agg(place ORDER BY place) FROM arvo.parked INNER JOIN arvo.log USING (delivery) WHERE log.event ->> 'id' IN ('a3', 'a4')), 'the third stands in line again');
SELECT is((SELECT array_agg(log.event ->> 'id' ORDER BY place) FROM arvo.parked INNER JOIN arvo.log USING (delivery)), '{a3,a4}', 'at its old place, before what came later');
SELECT is((SELECT array_agg(outcomes::text ORDER BY at, cardinality(outcomes) DESC) FROM arvo.closure), '{"{completed,snoozed}","{released}"}', 'its lease is closed as released');
SELECT is((SELECT holder FROM arvo.turn WHERE key = hashtextextended('a', 0)), (SELECT delivery FROM arvo.deferred), 'the further delivery holds the key');
-- One key in two leases, settled in one call.
SELECT pg_temp.send('key', 'c1', 'c2', 'c3');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('key', 2), 'c1 c2', 'a lease');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('key', 2), 'c3', 'and another');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('c1 completed', 'c3 completed', 'c2 failed'), 'c1 completed, c3 completed, c2 retried', 'of one key');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SELECT is((SELECT sum(active) FROM arvo.turn INNER JOIN arvo.queue USING (queue) WHERE name = 'key'), 0::bigint, 'all are over');

SELECT * FROM finish();
ROLLBACK;
