-- arvo.admit(queue, batch): contract, stories.
BEGIN;
SELECT plan(15);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.admit(arvo.queue,arvo.log[])',
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
    PERFORM arvo_v1.register_queue('slow', p_key_from => 'tenant', p_key_rate_limit => 2, p_key_rate_period => '10 seconds');
END;
$$;
COMMIT AND CHAIN;
CREATE FUNCTION pg_temp.told(p_taking arvo.taking) RETURNS text
LANGUAGE sql AS $$
    SELECT concat_ws(' ', ARRAY(SELECT entry.event ->> 'id' FROM unnest(p_taking.batch) AS entry)::text, p_taking.taken, cardinality(p_taking.put_off),
                     cardinality(p_taking.keys), cardinality(p_taking.places))
$$;
CREATE FUNCTION pg_temp.admit(p_queue text, VARIADIC p_ids text[]) RETURNS text
LANGUAGE sql AS $$
    SELECT pg_temp.told(arvo.admit(named, ARRAY(SELECT log FROM unnest(p_ids) WITH ORDINALITY AS i (id, ordinal) INNER JOIN arvo.log ON log.event ->> 'id' = id ORDER BY ordinal)))
    FROM arvo.queue AS named WHERE named.name = p_queue
$$;
SELECT pg_temp.send('one', 'a1', 'b1', 'a2', 'b2', 'c1');
COMMIT AND CHAIN;
SELECT pg_temp.send('slow', 'd1', 'd2', 'd3', 'd4', 'e1');
COMMIT AND CHAIN;
SELECT is(pg_temp.admit('one', 'a1', 'b1', 'a2'), '{a1,b1} 2 0 2 2', 'one of each key passes, in order');
SELECT is((SELECT array_agg(log.event ->> 'id') FROM arvo.parked INNER JOIN arvo.log USING (delivery)), '{a2}', 'the other waits');
SELECT is(pg_temp.admit('one', 'b2', 'c1'), '{c1} 1 0 1 1', 'a key that is busy lets nobody pass');
SELECT is(pg_temp.admit('slow', 'd1', 'd2', 'd3', 'd4', 'e1'), '{d1,d2,d3,e1} 3 1 4 4', 'a rate of two: the third is put off, the fourth waits behind it');
SELECT is((SELECT count(*) FROM arvo.deferred), 1::bigint, 'with one timer');
SELECT is((SELECT array_agg(active || '/' || waiting || CASE WHEN holder IS NULL THEN '' ELSE '/' || (holder = (SELECT delivery FROM arvo.deferred)) END ORDER BY active, waiting) FROM arvo.turn INNER JOIN arvo.queue USING (queue) WHERE name = 'slow' AND key <> 0), '{1/0,2/1/true}', 'and it holds the key');

-- Nobody of the key runs any more, but one waits: whoever comes later stands behind it.
UPDATE arvo.turn SET active = 0 FROM arvo.queue WHERE queue.queue = turn.queue AND queue.name = 'one' AND turn.waiting > 0;
SELECT pg_temp.send('one', 'a3', 'b3', 'f1');
COMMIT AND CHAIN;
SELECT is(pg_temp.admit('one', 'a3', 'f1', 'b3'), '{f1} 1 0 1 1', 'a key that is free, but waited for, lets nobody pass');
SELECT is((SELECT string_agg(log.event ->> 'id', ' ' ORDER BY place) FROM arvo.parked INNER JOIN arvo.log USING (delivery) INNER JOIN arvo.queue USING (queue) WHERE name = 'one'), 'a2 b2 a3 b3', 'the line is in order');

SELECT * FROM finish();
ROLLBACK;
