-- arvo.known_keys(slot, queues, keys): contract, stories.
BEGIN;
SELECT plan(14);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.known_keys(integer,integer[],bytea[])',
    'bigint[]', 'plpgsql', 'volatile', false,
    'nobody'
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
        p_slot, array_agg(named.queue ORDER BY ordinal), array_agg(split_part(item, ' ', 2)::bytea ORDER BY ordinal)
    )
    FROM unnest(p_given) WITH ORDINALITY AS i (item, ordinal)
    INNER JOIN arvo.queue AS named ON named.name = split_part(item, ' ', 1)
$$;
INSERT INTO arvo.event_key (slot, queue, key, delivery, at)
SELECT given.slot, named.queue, given.key::bytea, given.delivery, given.at
FROM (
    VALUES
    (0, 'week', 'a', 10, timestamptz '2030-01-08Z'),
    (0, 'week', 'b', 11, '2030-01-01 00:00:00.000001Z'),
    (0, 'week', 'c', 12, '2030-01-01 00:00:00Z'),
    (0, 'hour', 'a', 13, '2030-01-07 23:00:00.000001Z'),
    (0, 'hour', 'b', 14, '2030-01-07 23:00:00Z'),
    (1, 'week', 'a', 20, '2030-01-08Z'),
    (2, 'week', 'a', 30, '2030-01-08Z'),
    (0, 'off', 'a', 40, '2030-01-08Z')
) AS given (slot, queue, key, delivery, at)
INNER JOIN arvo.queue AS named ON named.name = given.queue;
SELECT is(
    pg_temp.known(0, 'week a', 'week b', 'week c', 'week d'), '{10,11,NULL,NULL}', 'what is younger than the window; its edge is outside'
);
SELECT is(pg_temp.known(0, 'hour b', 'hour a', 'week a'), '{NULL,13,10}', 'each queue has its own keys and its own window, in any order');
SELECT is(pg_temp.known(0, 'week a', 'week a'), '{10,10}', 'asked twice, answered twice');
SELECT is(pg_temp.known(1, 'week a', 'week b'), '{20,NULL}', 'another partition');
SELECT is(pg_temp.known(2, 'week a'), '{30}', 'and the third');
SELECT is(pg_temp.known(0, 'off a'), NULL, 'a window of nothing knows nothing');
SELECT is(pg_temp.known(0, 'week d', 'hour b'), NULL, 'none known, no array');

SELECT * FROM finish();
ROLLBACK;
