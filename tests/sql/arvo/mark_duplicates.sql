-- arvo.mark_duplicates(items): contract, stories, the turn of a generation.
BEGIN;
SELECT plan(27);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.mark_duplicates(arvo.arrival[])',
    'arvo.arrival[]', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

-- Arriving events, as append() hands them on: 'id queue [key]' each.
CREATE FUNCTION pg_temp.arriving(VARIADIC p_given text[]) RETURNS arvo.arrival[]
LANGUAGE sql AS $$
    SELECT array_agg((
        given.ordinal::integer, pg_temp.event(given.words[1], given.words[2]), named.queue, named.name, true, arvo.lane_for(named.name),
        nullif(given.words[3], '')::bigint, coalesce(given.words[4]::interval, '0'), nextval('arvo.delivery_number'), NULL, NULL, NULL, NULL
    )::arvo.arrival ORDER BY given.ordinal)
    FROM (SELECT string_to_array(item, ' ') AS words, ordinal FROM unnest(p_given) WITH ORDINALITY AS i (item, ordinal)) AS given
    INNER JOIN arvo.queue AS named ON named.name = given.words[2]
$$;
-- What became of them: 'id outcome [id of the one in the way]'. Those that went in are remembered.
CREATE TEMPORARY TABLE known (delivery bigint, id text);
CREATE FUNCTION pg_temp.told(p_items arvo.arrival[]) RETURNS text
LANGUAGE sql AS $$
    WITH kept AS (
        INSERT INTO known SELECT delivery, event ->> 'id' FROM unnest(p_items) AS item
    )
    SELECT string_agg(concat_ws(
        ' ', item.event ->> 'id', coalesce(item.outcome, 'new'),
        coalesce((SELECT min(id) FROM known WHERE known.delivery = item.first_delivery),
                 (SELECT min(other.event ->> 'id') FROM unnest(p_items) AS other WHERE other.delivery = item.first_delivery),
                 item.first_delivery::text)
    ), ', ' ORDER BY item.ordinal)
    FROM unnest(p_items) AS item
$$;

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$ BEGIN
    PERFORM arvo_v1.register_queue('a'), arvo_v1.register_queue('b'), arvo_v1.register_queue('hour', p_deduplicate_for => '1 hour'),
            arvo_v1.register_queue('off', p_deduplicate_for => '0');
END; $$;
CREATE FUNCTION pg_temp.mark(VARIADIC p_given text[]) RETURNS text
LANGUAGE sql AS $$ SELECT pg_temp.told(arvo.mark_duplicates(pg_temp.arriving(VARIADIC p_given))) $$;
CREATE FUNCTION pg_temp.keys() RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(format('%s:%s', slot, stored), ' ' ORDER BY slot) FROM (
        SELECT slot, count(dedup_key) AS stored FROM arvo.log GROUP BY slot
    ) AS counted
$$;

SELECT is(pg_temp.mark('1 a', '2 a'), '1 new, 2 new', 'new ones');
SELECT is(pg_temp.mark('2 a', '3 a', '1 a'), '2 duplicate 2, 3 new, 1 duplicate 1', 'the same again, and the first delivery of each');
SELECT is(pg_temp.mark('1 b'), '1 new', 'to another queue it is another one');
SELECT is(pg_temp.mark('4 a', '4 b', '4 a', '4 a'), '4 new, 4 new, 4 duplicate 4, 4 duplicate 4', 'twice in one call: the first counts');
SELECT is(pg_temp.mark('1 off', '1 off'), '1 new, 1 new', 'a queue may have it switched off');
SELECT is(pg_temp.mark('1 off', '1 a', '5 a'), '1 new, 1 duplicate 1, 5 new', 'beside others that have not');
SELECT is(pg_temp.keys(), '0:7', 'what is switched off stores nothing');

-- stories: the edge of the window

SELECT is(pg_temp.mark('1 hour'), '1 new', 'a window of an hour');
SET LOCAL arvo.frozen_clock = '2030-01-01T00:59:59.999999Z';
SELECT is(pg_temp.mark('1 hour'), '1 duplicate 1', 'a microsecond before its end');
SET LOCAL arvo.frozen_clock = '2030-01-01T01:00:00Z';
SELECT is(pg_temp.mark('1 hour', '1 hour'), '1 new, 1 duplicate 1', 'at its end the event is new, and opens the next one');
SELECT is(
    (SELECT array_agg(at) FROM arvo.log INNER JOIN arvo.queue ON queue.queue = log.key WHERE name = 'hour' AND dedup_key IS NOT NULL),
    '{2030-01-01 01:00:00Z}'::timestamptz[], 'under the same key'
);

-- stories: the turn of the log
--
-- A horizon in the future: transactions may be running that know only slot 0. Keys go into both.

INSERT INTO arvo.generation (slot, opened_at, horizon) VALUES (1, '2030-01-01T01:00:00Z', '9223372036854775807');
SELECT is(pg_temp.mark('1 a', '6 a', '6 a'), '1 duplicate 1, 6 new, 6 duplicate 6', 'during the turn the one before is looked at');
SELECT is(pg_temp.keys(), '0:9 1:1', 'and what is new goes into both');
DELETE FROM arvo.log WHERE slot = 1;
SELECT is(pg_temp.mark('6 a'), '6 duplicate 6', 'whoever wrote only the one before is found');
INSERT INTO arvo.log (slot, lane, delivery, attempt, at, subject_key, event_key, event, key, dedup_key)
SELECT 1, 0, -4711, 0, arvo.clock(), 0, hashtextextended('7', 0), pg_temp.event('7', 'a'), queue, arvo.dedup_key(queue, 'com.test.source', '7')
FROM arvo.queue WHERE name = 'a';
SELECT is(pg_temp.mark('7 a'), '7 duplicate 4711', 'and whoever wrote only the new one');

-- The horizon has passed: the one before is only looked at.
UPDATE arvo.generation SET horizon = '0';
DELETE FROM arvo.log WHERE slot = 0 AND event ->> 'id' = '7';
SELECT pg_temp.keys() AS before \gset
SELECT is(pg_temp.mark('8 a', '1 a', '7 a'), '8 new, 1 duplicate 1, 7 duplicate 4711', 'after it both count');
SELECT is(:'before' || ' then ' || pg_temp.keys(), '0:9 1:1 then 0:9 1:2', 'and only the new one is written');

-- A number whose row is not to be seen yet counts as a turn.
SELECT setval('arvo.generation_number_seq', 3) \gset
SELECT is(pg_temp.mark('9 a', '8 a'), '9 new, 8 duplicate 8', 'a generation that somebody is opening at this moment');
SELECT is(pg_temp.keys(), '0:9 1:3 2:1', 'keys go into both');
INSERT INTO arvo.generation (number, slot, opened_at) OVERRIDING SYSTEM VALUE VALUES (3, 2, '2030-01-02T01:00:00Z');
UPDATE arvo.generation SET emptied_at = '2030-01-03T00:00:00Z' WHERE number = 1;
SELECT is(pg_temp.mark('1 a', '9 a'), '1 new, 9 duplicate 9', 'what was in a slot that has been emptied is forgotten');

SELECT * FROM finish();
ROLLBACK;
