-- arvo.heal(head): contract, stories.
BEGIN;
SELECT plan(16);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.heal(arvo.lease)',
    'arvo.lease', 'plpgsql', 'volatile', false,
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
    PERFORM arvo_v1.register_queue('a', p_retry_delay => '0');
END;
$$;
COMMIT AND CHAIN;
SELECT pg_temp.send('a', '1', '2');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('a', 1), '1', 'a lease until 30 s');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:10Z';
SELECT is(pg_temp.take('a', 1), '2', 'and one until 40 s');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:29.999999Z';
SELECT is((SELECT concat_ws(' ', open_from, sweep_at = '2030-01-01 00:00:30Z') FROM arvo.heal(arvo.head_of(arvo.lane_for('a')))), '1 t', 'before the first lapses nothing is looked at');
SELECT is((SELECT count(*) FROM arvo.closure), 0::bigint, 'nor taken back');
SET arvo.frozen_clock = '2030-01-01T00:00:30Z';
SELECT is((SELECT concat_ws(' ', open_from, sweep_at = '2030-01-01 00:00:40Z') FROM arvo.heal(arvo.head_of(arvo.lane_for('a')))), '2 t', 'then the first is behind, and the second is the next');
SELECT is((SELECT array_agg(outcomes[1]) FROM arvo.closure), '{expired}', 'it is taken back');
SELECT is((SELECT count(*) FROM arvo.lease WHERE lane = arvo.lane_for('a')), 3::bigint, 'without a row of its own');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:39.900Z';
SELECT is((SELECT concat_ws(' ', open_from, sweep_at = '2030-01-01 00:00:40.4Z') FROM arvo.heal(arvo.head_of(arvo.lane_for('a')))), '2 t', 'nobody looks again before half a second has passed');
SET arvo.frozen_clock = '2030-01-01T00:00:41Z';
SELECT is((SELECT concat_ws(' ', open_from, sweep_at) FROM arvo.heal(arvo.head_of(arvo.lane_for('a')))), '3 infinity', 'when all are behind there is nothing to look for');

SELECT * FROM finish();
ROLLBACK;
