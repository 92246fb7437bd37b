-- arvo.finish(queue, lease, deliveries): contract, stories.
BEGIN;
SELECT plan(16);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.finish(arvo.queue,arvo.lease,bigint[])',
    'void', 'plpgsql', 'volatile', false,
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
    PERFORM arvo_v1.register_queue('line', p_policy => 'ordered');
    PERFORM arvo_v1.register_queue('exclusive', p_policy => 'exclusive');
    PERFORM arvo_v1.register_queue('plain');
END;
$$;
COMMIT AND CHAIN;
SELECT pg_temp.send('line', 'a1', 'a2', 'b1');
COMMIT AND CHAIN;
SELECT pg_temp.send('exclusive', '1');
COMMIT AND CHAIN;
SELECT pg_temp.send('plain', '2');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('line'), 'a1 a2 b1', 'a run of two, and another key');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('exclusive'), '1', 'one with a place');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('plain'), '2', 'one with nothing');
COMMIT AND CHAIN;
CREATE FUNCTION pg_temp.finish(p_queue text, VARIADIC p_ids text[]) RETURNS void
LANGUAGE sql AS $$
    WITH closed AS (
        INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
        SELECT 0, min(lease), arvo.clock(), array_agg(delivery), '{cancelled}', array_agg(NULL::integer) FROM held WHERE id = ANY (p_ids)
        RETURNING token, deliveries
    )
    SELECT arvo.finish(named, lease, closed.deliveries) FROM closed INNER JOIN arvo.lease USING (token), arvo.queue AS named WHERE named.name = p_queue
$$;
SELECT pg_temp.finish('line', 'a1') \gset
SELECT pg_temp.finish('exclusive', '1') \gset
SELECT pg_temp.finish('plain', '2') \gset
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SELECT is((SELECT active FROM arvo.turn WHERE key = 0), 2, 'one fewer is leased');
SELECT pg_temp.send('line', 'a3');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('line'), 'nothing', 'the rest of the run goes on, and is waited for');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('a2 completed'), 'a2 completed', 'until that is done');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('line'), 'a3', 'then the key goes on');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');

SELECT * FROM finish();
ROLLBACK;
