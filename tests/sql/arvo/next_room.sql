-- arvo.next_room(queues): contract, stories.
BEGIN;
SELECT plan(19);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.next_room(text[])',
    'interval', 'sql', 'volatile', false,
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
    PERFORM arvo_v1.register_queue('r', p_rate_limit => 1, p_rate_period => '20 seconds');
    PERFORM arvo_v1.register_queue('r.two', p_rate_limit => 2, p_rate_period => '2 seconds');
    PERFORM arvo_v1.register_queue('free');
END;
$$;
COMMIT AND CHAIN;
SELECT is(arvo.next_room('{r,r.two,free}'), NULL, 'nothing has started');
SELECT pg_temp.send('r', '1', '2');
COMMIT AND CHAIN;
SELECT pg_temp.send('r.two', '3', '4');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('r.two', 1), '3', 'one of two');
COMMIT AND CHAIN;
SELECT is(arvo.next_room('{r.two}'), NULL, 'leaves room');
SELECT is(pg_temp.take('r'), '1', 'one of one');
COMMIT AND CHAIN;
SELECT is(arvo.next_room('{r}'), interval '21 s', 'does not');
SELECT is(arvo.next_room('{free,r.two}'), NULL, 'other queues do not ask');
SELECT is(pg_temp.take('r.two'), '4', 'now that is full, too');
COMMIT AND CHAIN;
SELECT is(arvo.next_room('{r,r.two}'), interval '2.1 s', 'the soonest counts');
SELECT is(arvo.next_room('{r.*}'), interval '2.1 s', 'a star stands for all that begin so');
SELECT is(arvo.next_room('{*}'), interval '2.1 s', 'or for all');
SET arvo.frozen_clock = '2030-01-01T00:00:02.100Z';
SELECT is(arvo.next_room('{r.two}'), NULL, 'when the time has come there is room');
SELECT is(arvo.next_room('{r,r.two}'), interval '18.9 s', 'and the other is next');

SELECT * FROM finish();
ROLLBACK;
