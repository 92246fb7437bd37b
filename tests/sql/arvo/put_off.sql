-- arvo.put_off(queue, turn, log row): contract, stories.
BEGIN;
SELECT plan(10);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.put_off(arvo.queue,arvo.turn,arvo.log)',
    'bigint', 'plpgsql', 'volatile', false,
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
    PERFORM arvo_v1.register_queue('a', p_key_rate_limit => 1, p_key_rate_period => '20 seconds');
END;
$$;
COMMIT AND CHAIN;
SELECT pg_temp.send('a', '1');
COMMIT AND CHAIN;
SELECT arvo.put_off(named, jsonb_populate_record(NULL::arvo.turn, jsonb_build_object('tally', ARRAY[floor(extract(epoch FROM arvo.clock()))::bigint, 1])), log) AS next FROM arvo.queue AS named, arvo.log WHERE named.name = 'a' \gset
SELECT results_eq('SELECT delivery, due, attempt, cause - ''delivery'' FROM arvo.deferred', $$ SELECT max(delivery), timestamptz '2030-01-01 00:00:21Z', 1, '{"outcome": "snoozed", "reason": "key_rate_limit"}'::jsonb FROM arvo.deferred $$, 'a further delivery, when there is room again, not charged, with the reason');
SELECT is((SELECT delivery FROM arvo.deferred), :next::bigint, 'whose number is answered');
SELECT is((SELECT (cause ->> 'delivery')::bigint FROM arvo.deferred), (SELECT min(delivery) FROM arvo.log), 'and which tells of the one before');

SELECT * FROM finish();
ROLLBACK;
