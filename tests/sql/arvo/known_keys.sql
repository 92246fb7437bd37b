-- arvo.known_keys(slot, queues, sources, ids, keys): contract, stories.
BEGIN;
SELECT plan(19);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.known_keys(integer,integer[],text[],text[],bigint[])',
    'bigint[]', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY['search_path=pg_catalog, pg_temp', 'enable_seqscan=off']
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-08T00:00:00Z';
DO $$ BEGIN
    PERFORM arvo_v1.register_queue('week'), arvo_v1.register_queue('hour', p_deduplicate_for => '1 hour'),
            arvo_v1.register_queue('off', p_deduplicate_for => '0');
END; $$;
CREATE FUNCTION pg_temp.known(p_slot integer, VARIADIC p_given text[]) RETURNS bigint[]
LANGUAGE sql AS $$
    SELECT arvo.known_keys(
        p_slot, array_agg(named.queue ORDER BY ordinal), array_agg('s'::text ORDER BY ordinal),
        array_agg(split_part(item, ' ', 2) ORDER BY ordinal),
        array_agg(arvo.dedup_key(named.queue, 's', split_part(item, ' ', 2)) ORDER BY ordinal)
    )
    FROM unnest(p_given) WITH ORDINALITY AS i (item, ordinal)
    INNER JOIN arvo.queue AS named ON named.name = split_part(item, ' ', 1)
$$;
-- in lane 0, or (deliveries above 50) in a lane of the queue
INSERT INTO arvo.log (slot, lane, delivery, attempt, at, subject_key, event_key, event, key, dedup_key)
SELECT
    given.slot, CASE WHEN given.delivery > 50 THEN lane.lane ELSE 0 END,
    CASE WHEN given.delivery > 50 THEN given.delivery ELSE -given.delivery END, 1, given.at, 0, hashtextextended(given.id, 0),
    jsonb_build_object('id', given.id, 'source', 's'), CASE WHEN given.delivery <= 50 THEN named.queue END,
    arvo.dedup_key(named.queue, 's', given.id)
FROM (
    VALUES
    (0, 'week', 'a', 10, timestamptz '2030-01-08Z'),
    (0, 'week', 'b', 51, '2030-01-01 00:00:00.000001Z'),
    (0, 'week', 'c', 12, '2030-01-01 00:00:00Z'),
    (0, 'hour', 'a', 53, '2030-01-07 23:00:00.000001Z'),
    (0, 'hour', 'b', 14, '2030-01-07 23:00:00Z'),
    (1, 'week', 'a', 20, '2030-01-08Z'),
    (2, 'week', 'a', 30, '2030-01-08Z'),
    (3, 'week', 'a', 70, '2030-01-08Z'),
    (0, 'off', 'a', 40, '2030-01-08Z')
) AS given (slot, queue, id, delivery, at)
INNER JOIN arvo.queue AS named ON named.name = given.queue
INNER JOIN arvo.lane ON lane.queue = named.queue;
SELECT is(
    pg_temp.known(0, 'week a', 'week b', 'week c', 'week d'), '{10,51,NULL,NULL}', 'what is younger than the window; its edge is outside'
);
SELECT is(pg_temp.known(0, 'hour b', 'hour a', 'week a'), '{NULL,53,10}', 'each queue has its own keys and its own window, in any order');
SELECT is(pg_temp.known(0, 'week a', 'week a'), '{10,10}', 'asked twice, answered twice');
SELECT is(pg_temp.known(1, 'week a', 'week b'), '{20,NULL}', 'another slot');
SELECT is(pg_temp.known(2, 'week a'), '{30}', 'the third');
SELECT is(pg_temp.known(3, 'week a'), '{70}', 'and the fourth');
SELECT is(pg_temp.known(0, 'off a'), NULL, 'a window of nothing knows nothing');
SELECT is(pg_temp.known(0, 'week d', 'hour b'), NULL, 'none known, no array');

-- another event under the same key, as if by chance
UPDATE arvo.log SET event = event || '{"source": "t"}' WHERE delivery = -20;
SELECT is(pg_temp.known(1, 'week a'), '{0}', 'of another source');
UPDATE arvo.log SET event = event || '{"id": "x"}' WHERE delivery = -30;
SELECT is(pg_temp.known(2, 'week a'), '{0}', 'of another id');
UPDATE arvo.log SET lane = (SELECT lane.lane FROM arvo.lane INNER JOIN arvo.queue USING (queue) WHERE name = 'hour') WHERE delivery = 70;
SELECT is(pg_temp.known(3, 'week a'), '{0}', 'in another queue');
UPDATE arvo.log SET key = key + 1 WHERE delivery = -10;
SELECT is(pg_temp.known(0, 'week a'), '{0}', 'of another queue');

SELECT * FROM finish();
ROLLBACK;
