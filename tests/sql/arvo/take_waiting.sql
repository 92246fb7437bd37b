-- arvo.take_waiting(queue, ready_from, room): contract, stories.
BEGIN;
SELECT plan(16);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.take_waiting(arvo.queue,bigint,integer)',
    'arvo.taking', 'plpgsql', 'volatile', false,
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
    PERFORM arvo_v1.register_queue('one', p_policy => 'singleton', p_key_from => 'tenant');
END;
$$;
COMMIT AND CHAIN;
SELECT pg_temp.send('one', 'a1', 'a2', 'a3', 'b1', 'b2', 'c1');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('one'), 'a1 b1 c1', 'one of each key; the others wait');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('a1 completed', 'b1 completed'), 'a1 completed, b1 completed', 'two keys are free');
COMMIT AND CHAIN;
CREATE FUNCTION pg_temp.told(p_taking arvo.taking) RETURNS text
LANGUAGE sql AS $$
    SELECT concat_ws(' ', (SELECT array_agg(entry.event ->> 'id') FROM unnest(p_taking.batch) AS entry)::text, p_taking.taken, p_taking.put_off::text,
                     cardinality(p_taking.keys), cardinality(p_taking.places), p_taking.ready_from = (SELECT max(number) FROM arvo.ready))
$$;
SELECT array_agg(key ORDER BY number) AS line FROM arvo.ready \gset
SAVEPOINT before;
SELECT is(pg_temp.told(arvo.take_waiting((SELECT named FROM arvo.queue AS named WHERE name = 'one'), 0, 0)), '0 {} 0 0 f', 'no room, nothing taken');
SELECT is((SELECT count(*) FROM arvo.parked), 3::bigint, 'nobody moves');
SELECT is(pg_temp.told(arvo.take_waiting((SELECT named FROM arvo.queue AS named WHERE name = 'one'), 0, 1)) IN ('{a2} 1 {} 1 1 f', '{b2} 1 {} 1 1 f'), true, 'room for one: of the key that was ready first');
ROLLBACK TO SAVEPOINT before;
SELECT is((SELECT array_agg(entry.event ->> 'id' ORDER BY 1) FROM unnest((arvo.take_waiting((SELECT named FROM arvo.queue AS named WHERE name = 'one'), 0, 9)).batch) AS entry), '{a2,b2}', 'room for more: one of each');
SELECT is((SELECT array_agg(log.event ->> 'id') FROM arvo.parked INNER JOIN arvo.log USING (delivery)), '{a3}', 'the third of a key goes on waiting');
SELECT is((SELECT array_agg(active || '/' || waiting ORDER BY active, waiting) FROM arvo.turn WHERE key <> 0), '{1/0,1/0,1/1}', 'and is counted');
ROLLBACK TO SAVEPOINT before;
SELECT is(pg_temp.told(arvo.take_waiting((SELECT named FROM arvo.queue AS named WHERE name = 'one'), (SELECT max(number) FROM arvo.ready), 9)), '0 {} 0 0 t', 'behind the end of the line there is nobody');

SELECT * FROM finish();
ROLLBACK;
