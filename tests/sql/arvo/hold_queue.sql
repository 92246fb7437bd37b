-- arvo.hold_queue(queue): contract, stories.
BEGIN;
SELECT plan(13);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.hold_queue(integer)',
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
CREATE FUNCTION pg_temp.locks() RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', (SELECT 'lease of ' || string_agg(id, ' ' ORDER BY id) FROM held
        WHERE arvo.lease_key(lease) = ((classid::bigint << 32) | objid::bigint) AND objsubid = 1),
        (SELECT 'lane of ' || name || ' ' || lane.priority FROM arvo.lane INNER JOIN arvo.queue USING (queue)
         WHERE hashtext('arvo') = classid::bigint::bit(32)::integer AND objid = lane AND objsubid = 2)), ', ' ORDER BY objsubid, objid)
    FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
$$;

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('a');
    PERFORM arvo_v1.register_queue('b');
END;
$$;
COMMIT AND CHAIN;
SELECT pg_temp.send('a', '1', '2');
COMMIT AND CHAIN;
SELECT pg_temp.send('b', '3');
COMMIT AND CHAIN;
SELECT arvo_v1.dispatch(pg_temp.event('5', 'a'), p_priority => 7) \gset
COMMIT AND CHAIN;
SELECT is(pg_temp.take('a'), '5 1 2', 'leased');
COMMIT AND CHAIN;
SELECT is(pg_temp.take('b'), '3', 'and elsewhere');
COMMIT AND CHAIN;
SELECT is(pg_temp.locks(), NULL, 'nothing is locked');
SELECT arvo.hold_queue((SELECT queue FROM arvo.queue WHERE name = 'a')) \gset
SELECT is((SELECT array_agg(part ORDER BY part) FROM unnest(string_to_array(pg_temp.locks(), ', ')) AS part), '{lane of a 0,lane of a 7,lease of 1 2,lease of 5}', 'the open leases and all lanes of the queue are');
COMMIT AND CHAIN;
SELECT is(pg_temp.settle('1 completed', '2 completed', '5 completed'), '1 completed, 2 completed, 5 completed', 'when nothing is leased');
COMMIT AND CHAIN;
SELECT arvo.hold_queue((SELECT queue FROM arvo.queue WHERE name = 'a')) \gset
SELECT is((SELECT array_agg(part ORDER BY part) FROM unnest(string_to_array(pg_temp.locks(), ', ')) AS part), '{lane of a 0,lane of a 7}', 'the lanes alone');

SELECT * FROM finish();
ROLLBACK;
