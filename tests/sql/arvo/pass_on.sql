-- arvo.pass_on(items): contract, stories.
BEGIN;
SELECT plan(21);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.pass_on(arvo.result[])',
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
    PERFORM arvo_v1.register_queue('limit', p_max_active => 2);
    PERFORM arvo_v1.register_queue('exclusive', p_policy => 'exclusive');
    PERFORM arvo_v1.register_queue('plain');
END;
$$;
COMMIT AND CHAIN;
SELECT pg_temp.send('line', 'a1', 'b1');
COMMIT AND CHAIN;
SELECT pg_temp.send('limit', '1', '2');
COMMIT AND CHAIN;
SELECT pg_temp.send('exclusive', '3');
COMMIT AND CHAIN;
SELECT pg_temp.send('plain', '4');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('line'), 'a1 b1', 'of four queues');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('limit'), '1 2', 'all');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('exclusive'), '3', 'are');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('plain'), '4', 'leased');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('a1 completed', '1 completed', '3 completed', '4 completed', 'b1 failed 5'), 'a1 completed, 1 completed, 3 completed, 4 completed, b1 retried', 'settled in one call');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SELECT is((SELECT array_agg(name || ' ' || active ORDER BY name) FROM arvo.turn INNER JOIN arvo.queue USING (queue) WHERE key = 0), '{limit 1,line 0}', 'each queue counts its own');
SELECT is(pg_temp.settle('1 completed', '3 completed'), '1 already, 3 already', 'what was settled before frees nothing again');
COMMIT AND CHAIN;
SELECT is((SELECT array_agg(name || ' ' || active ORDER BY name) FROM arvo.turn INNER JOIN arvo.queue USING (queue) WHERE key = 0), '{limit 1,line 0}', 'as it was');
SET arvo.frozen_clock = '2030-01-01T00:00:40Z';
SELECT is(pg_temp.take('limit'), 'nothing', 'a lease lapses');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('2 completed'), '2 refused RV301', 'what is refused frees nothing');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('limit'), '2/2', 'it runs again');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SELECT is((SELECT arvo.pass_on('{}')::text), '', 'nothing is nothing');

SELECT * FROM finish();
ROLLBACK;
