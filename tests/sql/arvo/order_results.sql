-- arvo.order_results(items): contract, stories.
BEGIN;
SELECT plan(18);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.order_results(arvo.result[])',
    'arvo.result[]', 'plpgsql', 'stable', false,
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
END;
$$;
COMMIT AND CHAIN;
SELECT pg_temp.send('line', 'a1', 'a2', 'a3', 'b1', 'b2');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('line'), 'a1 a2 a3 b1 b2', 'two runs in one lease');
COMMIT AND CHAIN;
CREATE FUNCTION pg_temp.judge(VARIADIC p_items text[]) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', held.id, coalesce(item.verdict, 'passes'), item.code), ', ' ORDER BY item.ordinal)
    FROM unnest(arvo.order_results(arvo.judge_results(ARRAY(
        SELECT read FROM arvo.read_results((
            SELECT jsonb_agg(pg_temp.result(held.lease, held.delivery, split_part(item, ' ', 2), CASE split_part(item, ' ', 2) WHEN 'snoozed' THEN '{"after": 1}' ELSE '{}'::jsonb END) ORDER BY ordinal)
            FROM unnest(p_items) WITH ORDINALITY AS i (item, ordinal) INNER JOIN held ON held.id = split_part(item, ' ', 1)
        )) AS read
    )))) AS item INNER JOIN held USING (lease, delivery)
$$;
SELECT is(pg_temp.judge('a1 completed', 'a2 completed', 'b1 completed'), 'a1 passes, a2 passes, b1 passes', 'in order, each run for itself');
SELECT is(pg_temp.judge('b1 completed', 'a2 completed', 'a1 completed'), 'b1 passes, a2 passes, a1 passes', 'the order of the call does not matter');
SELECT is(pg_temp.judge('a2 completed', 'b1 completed'), 'a2 refused RV303, b1 passes', 'what comes before it is open');
SELECT is(pg_temp.judge('a1 completed', 'a3 completed'), 'a1 passes, a3 refused RV303', 'or is left out');
SELECT is(pg_temp.judge('a1 failed', 'a2 completed', 'b1 released', 'b2 completed'), 'a1 passes, a2 refused RV301, b1 passes, b2 refused RV301', 'or does not complete');
SELECT is(pg_temp.judge('a1 snoozed', 'a2 failed', 'a3 rejected'), 'a1 passes, a2 refused RV301, a3 refused RV301', 'whatever becomes of the rest');
SELECT is(pg_temp.judge('a1 completed', 'a2 nonsense', 'a3 completed'), 'a1 passes, a2 refused RV006, a3 refused RV303', 'a malformed one is not completed');
SELECT is(pg_temp.judge('a3 completed', 'a2 failed'), 'a3 refused RV303, a2 refused RV303', 'the first open one decides');
SELECT is(pg_temp.settle('a1 completed', 'b1 rejected'), 'a1 completed, b1 dead', 'some are settled');
COMMIT AND CHAIN;
SELECT is(pg_temp.judge('a1 completed', 'a2 completed', 'b2 completed'), 'a1 already, a2 passes, b2 refused RV301', 'what is closed stands in nobody''s way; what went back is not the caller''s');

SELECT * FROM finish();
ROLLBACK;
