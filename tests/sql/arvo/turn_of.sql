-- arvo.turn_of(queue, key): contract, stories.
BEGIN;
SELECT plan(11);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.turn_of(integer,bigint)',
    'arvo.turn', 'plpgsql', 'stable', false,
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
    PERFORM arvo_v1.register_queue('a', p_max_active => 3);
END;
$$;
COMMIT AND CHAIN;
SELECT is(to_jsonb(arvo.turn_of((SELECT queue FROM arvo.queue WHERE name = 'a'), 77)) - 'queue', '{"key": 77, "number": null, "active": 0, "waiting": 0, "upto": 0, "holder": null, "ready": false, "tally": [], "at": null}', 'a key that is not known has nothing');
INSERT INTO arvo.turn (queue, key, number, active, waiting, upto, holder, ready, tally, at)
SELECT queue, given.* FROM arvo.queue, (VALUES (77::bigint, 5::bigint, 1, 2, 3::bigint, 4::bigint, true, '{6,7}'::bigint[], arvo.clock()), (77, 6, 9, 0, 0, NULL, false, '{}', arvo.clock()), (78, 7, 0, 0, 0, NULL, false, '{}', arvo.clock())) AS given WHERE name = 'a';
SELECT is((arvo.turn_of((SELECT queue FROM arvo.queue WHERE name = 'a'), 77)).active, 9, 'the newest row counts');
SELECT is((arvo.turn_of((SELECT queue FROM arvo.queue WHERE name = 'a'), 78)).number, 7::bigint, 'of this key');
SELECT is((arvo.turn_of((SELECT queue FROM arvo.queue WHERE name = 'a') + 1, 77)).number, NULL, 'and this queue');

SELECT * FROM finish();
ROLLBACK;
