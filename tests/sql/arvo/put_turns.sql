-- arvo.put_turns(queue, turns): contract, stories.
BEGIN;
SELECT plan(18);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.put_turns(arvo.queue,arvo.turn[])',
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

-- Writes a state of a key of queue q, changed in some of its fields.
CREATE FUNCTION pg_temp.put(p_key bigint, p_changed jsonb) RETURNS void
LANGUAGE sql AS $$
    SELECT arvo.put_turns(named, ARRAY[state])
    FROM arvo.queue AS named, LATERAL jsonb_populate_record(arvo.turn_of(named.queue, p_key), p_changed) AS state
    WHERE named.name = 'q'
$$;

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('q', p_policy => 'ordered');
END;
$$;
COMMIT AND CHAIN;
SELECT pg_temp.put(5, '{"active": 1, "upto": 9, "holder": 44, "tally": [1, 2]}') \gset
SELECT is((SELECT to_jsonb(turn) - 'queue' - 'number' FROM arvo.turn WHERE key = 5), '{"key": 5, "active": 1, "waiting": 0, "upto": 9, "holder": 44, "ready": false, "tally": [1, 2], "at": "2030-01-01T00:00:00+00:00"}', 'a key that was not known');
SELECT number AS first FROM arvo.turn WHERE key = 5 \gset
SELECT pg_temp.put(5, '{"waiting": 2}') \gset
SELECT is((SELECT count(*) FROM arvo.turn WHERE key = 5), 1::bigint, 'one row stays');
SELECT is((SELECT number > :first FROM arvo.turn WHERE key = 5), true, 'a newer one');
SELECT is((SELECT count(*) FROM arvo.ready), 0::bigint, 'while it has a holder, nobody is ready');
SELECT pg_temp.put(5, '{"holder": null}') \gset
SELECT is((SELECT count(*) FROM arvo.ready), 0::bigint, 'nor while one of it runs');
SELECT pg_temp.put(5, '{"active": 0}') \gset
SELECT is((SELECT array_agg(ready.key) FROM arvo.ready INNER JOIN arvo.turn USING (queue, key, number) WHERE turn.ready), '{5}', 'then it stands in the line of keys');
SELECT pg_temp.put(5, '{"waiting": 3}') \gset
SELECT is((SELECT count(*) FROM arvo.ready), 1::bigint, 'once');
SELECT pg_temp.put(6, '{"waiting": 1}') \gset
SELECT pg_temp.put(5, '{"ready": false}') \gset
SELECT is((SELECT array_agg(key ORDER BY number) FROM arvo.ready), '{5,6,5}', 'who has been served goes to the end, when more of it wait');
SELECT pg_temp.put(6, '{"ready": false, "waiting": 0}') \gset
SELECT is((SELECT count(*) FROM arvo.ready), 3::bigint, 'and not when none does');

SELECT arvo.put_turns(named, ARRAY[jsonb_populate_record(arvo.turn_of(named.queue, 5), '{"active": 4}'), jsonb_populate_record(arvo.turn_of(named.queue, 7), '{"waiting": 1}'), jsonb_populate_record(arvo.turn_of(named.queue, 6), '{"active": 2}')]) FROM arvo.queue AS named WHERE named.name = 'q' \gset
SELECT arvo.put_turns(named, '{}') FROM arvo.queue AS named WHERE named.name = 'q' \gset
SELECT is((SELECT array_agg(concat_ws(' ', key, active, waiting) ORDER BY key) FROM arvo.turn WHERE key <> 0), '{5 4 3,6 2 0,7 0 1}', 'several at once, or none');
SELECT is((SELECT array_agg(key ORDER BY number) FROM arvo.ready), '{5,6,5,7}', 'of which one is ready');

SELECT * FROM finish();
ROLLBACK;
