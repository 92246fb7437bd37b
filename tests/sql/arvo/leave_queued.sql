-- arvo.leave_queued(queue, batch): contract, stories.
BEGIN;
SELECT plan(9);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.leave_queued(arvo.queue,arvo.log[])',
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
    PERFORM arvo_v1.register_queue('short', p_policy => 'short');
    PERFORM arvo_v1.register_queue('stately', p_policy => 'stately');
    PERFORM arvo_v1.register_queue('exclusive', p_policy => 'exclusive');
END;
$$;
COMMIT AND CHAIN;
SELECT pg_temp.send('short', '1');
COMMIT AND CHAIN;
SELECT pg_temp.send('stately', '2');
COMMIT AND CHAIN;
SELECT pg_temp.send('exclusive', '3');
COMMIT AND CHAIN;
DO $$ BEGIN
    PERFORM arvo.take_place(queue, 'retry', 1, (SELECT delivery FROM arvo.log WHERE event ->> 'id' = '2' AND lane > 0)) FROM arvo.queue WHERE name = 'stately';
END; $$;
CREATE FUNCTION pg_temp.places() RETURNS text
LANGUAGE sql AS $$ SELECT string_agg(concat_ws(' ', name, kind, log.event ->> 'id'), ', ' ORDER BY name, kind) FROM arvo.singleton INNER JOIN arvo.queue USING (queue) LEFT JOIN arvo.log USING (delivery) $$;
SELECT is(pg_temp.places(), 'exclusive any 3, short queued 1, stately queued 2, stately retry 2', 'each has its place');
DO $$ BEGIN PERFORM arvo.leave_queued(named, ARRAY(SELECT log FROM arvo.log WHERE lane = arvo.lane_for(named.name))) FROM arvo.queue AS named; END; $$;
SELECT is(pg_temp.places(), 'exclusive any 3, short queued, stately queued, stately retry', 'claimed, it gives back what was for waiting, and for being retried');

SELECT * FROM finish();
ROLLBACK;
