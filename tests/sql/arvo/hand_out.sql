-- arvo.hand_out(queue, lease, batch): contract, stories.
BEGIN;
SELECT plan(10);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.hand_out(arvo.queue,arvo.lease,arvo.log[])',
    'SETOF arvo_v1.claimed', 'plpgsql', 'stable', false,
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
    PERFORM arvo_v1.register_queue('plain', p_expire_in => '77 s');
    PERFORM arvo_v1.register_queue('line', p_policy => 'ordered');
    PERFORM arvo_v1.register_queue('flow', p_stateful => true, p_policy => 'standard');
END;
$$;
COMMIT AND CHAIN;
SELECT arvo_v1.write_state('a', '{"n": 1}') \gset
SELECT pg_temp.send('plain', 'a1');
COMMIT AND CHAIN;
SELECT pg_temp.send('line', 'a2', 'b2');
COMMIT AND CHAIN;
SELECT pg_temp.send('flow', 'a3', 'b3');
COMMIT AND CHAIN;
SELECT arvo_v1.dispatch(pg_temp.event('c1', 'plain'), p_options => '{"expire_in": 5}') \gset
COMMIT AND CHAIN;
CREATE FUNCTION pg_temp.hand_out(p_queue text) RETURNS SETOF arvo_v1.claimed
LANGUAGE sql AS $$
    SELECT handed.* FROM arvo.queue AS named, LATERAL arvo.hand_out(
        named, jsonb_populate_record(NULL::arvo.lease, '{"token": 9, "expires_at": "2030-01-01T00:00:30Z"}'),
        ARRAY(SELECT log FROM arvo.log WHERE lane = arvo.lane_for(p_queue) ORDER BY delivery DESC)
    ) AS handed WHERE named.name = p_queue
$$;
SELECT results_eq(
    $$ SELECT lease, delivery, queue, attempt, expires_at, expire_in, event ->> 'id', cause, state, state_version, key FROM pg_temp.hand_out('plain') $$,
    $$ SELECT 9::bigint, delivery, 'plain', 1, timestamptz '2030-01-01 00:00:30Z', CASE event ->> 'id' WHEN 'c1' THEN interval '5 s' ELSE '77 s' END, event ->> 'id', NULL::jsonb, NULL::jsonb, NULL::bigint, NULL::bigint
       FROM arvo.log WHERE lane = arvo.lane_for('plain') ORDER BY delivery DESC $$, 'in the order of the batch; its own time to run comes before the queue''s');
SELECT results_eq($$ SELECT event ->> 'id', state, state_version, key FROM pg_temp.hand_out('line') $$,
    $$ VALUES ('b2', NULL::jsonb, NULL::bigint, hashtextextended('b', 0)), ('a2', NULL, NULL, hashtextextended('a', 0)) $$, 'an ordered queue tells the key');
SELECT results_eq($$ SELECT event ->> 'id', state, state_version, key FROM pg_temp.hand_out('flow') $$,
    $$ VALUES ('b3', NULL::jsonb, 0::bigint, NULL::bigint), ('a3', '{"n": 1}', 1, NULL) $$, 'a stateful one the state');

SELECT * FROM finish();
ROLLBACK;
