-- arvo.leave_places(queue, lease, deliveries): contract, stories.
BEGIN;
SELECT plan(12);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.leave_places(arvo.queue,arvo.lease,bigint[])',
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

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('short', p_policy => 'short');
    PERFORM arvo_v1.register_queue('exclusive', p_policy => 'exclusive', p_key_from => 'tenant', p_retry_delay => '0');
END;
$$;
COMMIT AND CHAIN;
SELECT pg_temp.send('short', 'a1');
COMMIT AND CHAIN;
SELECT pg_temp.send('exclusive', 'a2', 'b2', 'c2');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('exclusive'), 'a2 b2 c2', 'three keys');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('c2 failed'), 'c2 retried', 'one is retried');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('exclusive'), 'c2/2', 'and runs again');
COMMIT AND CHAIN;
DO $$ BEGIN PERFORM arvo.leave_places(named, lease, CASE named.name WHEN 'short' THEN '{}' ELSE ARRAY(SELECT delivery FROM held WHERE id IN ('b2', 'c2')) END)
FROM arvo.queue AS named, arvo.lease WHERE lease.token IN (SELECT held.lease FROM held) AND named.name = 'exclusive'; END; $$;
SELECT is((SELECT array_agg(log.event ->> 'id' ORDER BY 1) FROM arvo.singleton INNER JOIN arvo.log USING (delivery) WHERE kind = 'any'), '{a2}', 'what is finished gives its place back, also under a later number');
SELECT is((SELECT count(*) FROM arvo.singleton WHERE kind = 'queued' AND delivery IS NOT NULL), 1::bigint, 'other policies keep theirs');

SELECT * FROM finish();
ROLLBACK;
