-- arvo.forget_keys(items): contract, stories.
BEGIN;
SELECT plan(12);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.forget_keys(arvo.arrival[])',
    'void', 'plpgsql', 'volatile', false,
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

DO $$ BEGIN PERFORM arvo_v1.register_queue('a'), arvo_v1.register_queue('b'); END; $$;
CREATE FUNCTION pg_temp.keys() RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', slot, name, known.id), ', ' ORDER BY slot, name, known.id)
    FROM arvo.log INNER JOIN arvo.queue ON queue.queue = log.key LEFT JOIN known ON known.delivery = -log.delivery
$$;
CREATE TEMPORARY TABLE arrived AS
SELECT item.* FROM unnest(arvo.mark_duplicates(pg_temp.arriving('1 a', '2 a', '3 a', '1 b', '2 a'))) AS item;
CREATE FUNCTION pg_temp.forget(p_outcome text, VARIADIC p_ordinals integer[]) RETURNS void
LANGUAGE sql AS $$
    SELECT arvo.forget_keys(array_agg((
        ordinal, event, queue, name, registered, lane, key, after, delivery,
        CASE WHEN ordinal = ANY (p_ordinals) THEN p_outcome ELSE outcome END, first_delivery, given, origin
    )::arvo.arrival ORDER BY ordinal))
    FROM arrived
$$;
INSERT INTO known SELECT delivery, event ->> 'id' FROM arrived;
INSERT INTO arvo.log (slot, lane, delivery, attempt, at, subject_key, event_key, event, key, dedup_key)
SELECT slot.slot, lane, delivery, attempt, at, subject_key, event_key, event, key, dedup_key FROM arvo.log, generate_series(1, 2) AS slot;
INSERT INTO arvo.generation (slot, opened_at) VALUES (1, arvo.clock()), (2, arvo.clock());
SELECT pg_temp.forget('debounced', 2) \gset
SELECT is(pg_temp.keys(), '0 a 1, 0 a 2, 0 a 3, 0 b 1, 1 a 1, 1 a 2, 1 a 3, 1 b 1, 2 a 1, 2 a 2, 2 a 3, 2 b 1', 'what goes in keeps its key');
SELECT pg_temp.forget('throttled', 1, 3) \gset
SELECT is(pg_temp.keys(), '0 a 2, 0 b 1, 1 a 2, 1 b 1, 2 a 2, 2 b 1', 'what was throttled is forgotten, in all slots that it may stand in, in its queue');
SELECT pg_temp.forget('throttled', 5) \gset
SELECT is(pg_temp.keys(), '0 a 2, 0 b 1, 1 a 2, 1 b 1, 2 a 2, 2 b 1', 'a key that another delivery has stays');
SELECT pg_temp.forget('throttled', 2) \gset
SELECT is(pg_temp.keys(), '0 b 1, 1 b 1, 2 b 1', 'until that is throttled');
SELECT pg_temp.forget('throttled', VARIADIC '{}') \gset
SELECT is(pg_temp.keys(), '0 b 1, 1 b 1, 2 b 1', 'nothing throttled, nothing forgotten');

SELECT * FROM finish();
ROLLBACK;
