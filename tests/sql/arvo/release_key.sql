-- arvo.release_key(queue, key, delivery): contract, stories.
BEGIN;
SELECT plan(18);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.release_key(integer,bigint,bigint)',
    'boolean', 'plpgsql', 'volatile', false,
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
    PERFORM arvo_v1.register_queue('line', p_policy => 'ordered', p_retry_delay => '10 seconds');
END;
$$;
COMMIT AND CHAIN;
SELECT pg_temp.send('line', 'a1', 'a2');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('line', 1), 'a1', 'the first');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('a1 failed'), 'a1 retried', 'is put off');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('line'), 'nothing', 'the second waits for it');
COMMIT AND CHAIN;
SELECT queue, key, holder FROM arvo.turn WHERE holder IS NOT NULL \gset
SELECT is(arvo.release_key(:queue, :key, :holder - 1), false, 'another delivery holds nothing');
SELECT is(arvo.release_key(:queue, :key + 1, :holder), false, 'nor does it another key');
SELECT is(arvo.release_key(:queue + 1, :key, :holder), false, 'or another queue');
SELECT is((SELECT array_agg(holder) FROM arvo.turn WHERE key <> 0), ARRAY[:holder]::bigint[], 'nothing has changed');
SELECT is(arvo.release_key(:queue, :key, :holder), true, 'it is the holder');
SELECT is(arvo.release_key(:queue, :key, :holder), false, 'and is no longer');
COMMIT AND CHAIN;
SELECT is_empty('SELECT pg_temp.turn_faults()', 'keys and places agree with the ledger');
SELECT is(pg_temp.take('line'), 'a2', 'the others go on');
COMMIT AND CHAIN;

SELECT * FROM finish();
ROLLBACK;
