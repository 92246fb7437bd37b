-- arvo.mark_throttled(items, options): contract, stories.
BEGIN;
SELECT plan(35);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.mark_throttled(arvo.arrival[],arvo.options)',
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

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:09.5Z';
DO $$ BEGIN
    PERFORM arvo_v1.register_queue('plain'), arvo_v1.register_queue('ten', p_singleton_for => '10 seconds'),
            arvo_v1.register_queue('next', p_singleton_for => '10 seconds', p_singleton_next_slot => true),
            arvo_v1.register_queue('short', p_policy => 'short'), arvo_v1.register_queue('stately', p_policy => 'stately'),
            arvo_v1.register_queue('exclusive', p_policy => 'exclusive'),
            arvo_v1.register_queue('shorten', p_policy => 'short', p_singleton_for => '10 seconds'),
            arvo_v1.register_queue('line', p_policy => 'ordered', p_singleton_for => '10 seconds');
END; $$;
CREATE FUNCTION pg_temp.mark(p_options jsonb, VARIADIC p_given text[]) RETURNS text
LANGUAGE sql AS $$
    SELECT pg_temp.told(arvo.mark_throttled(pg_temp.arriving(VARIADIC p_given), arvo.read_options(p_options)))
$$;
CREATE FUNCTION pg_temp.slots(p_queue text) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', key, to_char(slot_at AT TIME ZONE 'UTC', 'MI:SS'), to_char(until AT TIME ZONE 'UTC', 'MI:SS'),
                                (SELECT min(id) FROM known WHERE known.delivery = throttle.delivery)), ', ' ORDER BY key, slot_at)
    FROM arvo.throttle INNER JOIN arvo.queue USING (queue) WHERE name = p_queue
$$;

-- stories: one per interval

SELECT is(pg_temp.mark(NULL, '1 plain', '2 plain'), '1 new, 2 new', 'a queue that asks for nothing');
SELECT is(pg_temp.mark(NULL, '1 ten', '2 ten', '3 ten 7'), '1 new, 2 throttled 1, 3 new', 'one per interval and key');
SELECT is(pg_temp.slots('ten'), '1 00:00 00:10 1, 7 00:00 00:10 3', 'intervals begin with the epoch, not with the first event');
SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:09.999999Z';
SELECT is(pg_temp.mark(NULL, '4 ten'), '4 throttled 1', 'a microsecond before the next begins');
SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:10Z';
SELECT is(pg_temp.mark(NULL, '5 ten'), '5 new', 'exactly then');
SELECT is(pg_temp.mark(NULL, '6 ten  10s'), '6 new', 'one that starts later belongs to a later interval');
SELECT is(pg_temp.mark('{"singleton_for": 3600}', '7 ten 8'), '7 new', 'a dispatch may ask for an interval of its own');
SELECT is(pg_temp.mark('{"singleton_for": 3600}', '8 ten 8', '9 plain'), '8 throttled 7, 9 new', 'which holds for those that ask');
SELECT is(pg_temp.mark('{"singleton_for": 3600}', '10 plain'), '10 throttled 9', 'of any queue');

-- stories: the next one

SELECT is(
    pg_temp.mark(NULL, '1 next', '2 next', '3 next'), '1 new, 2 debounced, 3 throttled 2', 'the second goes to the next interval, the third is too much'
);
SELECT is(pg_temp.slots('next'), '1 00:10 00:20 1, 1 00:20 00:30 2', 'each has its own');
SELECT is(
    (arvo.mark_throttled(pg_temp.arriving('4 next 9', '5 next 9'), NULL))[2].after, interval '10 seconds', 'it starts when that begins'
);
SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:19.75Z';
SELECT is(
    (arvo.mark_throttled(pg_temp.arriving('6 next 11', '7 next 11'), NULL))[2].after, interval '0.25 seconds', 'which may be soon'
);
SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:20Z';
SELECT is(pg_temp.mark(NULL, '8 next'), '8 debounced', 'the interval that was lent is not free any more: the next one is');
SELECT is(pg_temp.mark('{"singleton_next_slot": true}', '11 ten', '12 ten'), '11 debounced, 12 throttled 11',
          'a dispatch may ask for that, too');
SELECT is(pg_temp.mark('{"singleton_next_slot": false}', '9 next'), '9 throttled 2', 'or not to be put off');

-- stories: policies

SELECT is(pg_temp.mark(NULL, '1 short', '2 short', '3 short 7'), '1 new, 2 throttled 1, 3 new', 'short: one that waits, per key');
SELECT is(pg_temp.mark(NULL, '1 stately', '2 stately'), '1 new, 2 throttled 1', 'stately: the same');
SELECT is(pg_temp.mark(NULL, '1 exclusive', '2 exclusive 7', '3 exclusive 7'), '1 new, 2 new, 3 throttled 2', 'exclusive: one at all');
SELECT results_eq(
    $$ SELECT name, kind, key, id FROM arvo.singleton INNER JOIN arvo.queue USING (queue) INNER JOIN known USING (delivery) ORDER BY 1, 3 $$,
    $$ VALUES ('exclusive', 'any', 1::bigint, '1'), ('exclusive', 'any', 7, '2'), ('short', 'queued', 1, '1'), ('short', 'queued', 7, '3'),
              ('stately', 'queued', 1, '1') $$,
    'each in the place of its policy'
);
SELECT is(pg_temp.mark(NULL, '1 shorten', '2 shorten'), '1 new, 2 throttled 1', 'an interval and a policy');
SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:30Z';
SELECT is(pg_temp.mark(NULL, '3 shorten'), '3 throttled 1', 'in the next interval it is the policy that keeps it out');
SELECT is(pg_temp.slots('shorten'), '1 00:20 00:30 1', 'and then it has used up no interval');

-- stories: keys

SELECT is(
    (SELECT string_agg(coalesce(item.outcome, 'new'), ', ' ORDER BY item.ordinal) FROM unnest(arvo.mark_throttled(ARRAY(
        SELECT jsonb_populate_record(arrived, jsonb_build_object('event', arrived.event || jsonb_build_object('subject', arrived.event ->> 'id')))
        FROM unnest(pg_temp.arriving('x line', 'y line')) AS arrived
    ), NULL)) AS item),
    'new, new', 'in an ordered queue without keys each subject is one'
);
SELECT is(pg_temp.mark(NULL, '3 line', '4 line'), '3 new, 4 throttled 3', 'of the same subject one goes in');

-- stories: duplicates of what is throttled here

SELECT is(
    pg_temp.told(arvo.mark_throttled(arvo.mark_duplicates(pg_temp.arriving('one short', 'two short', 'two short', 'one short')), NULL)),
    'one throttled 1, two throttled 1, two throttled 1, one throttled 1', 'twice in one call and not let in: neither is a duplicate of the other'
);

-- stories: two batches must not wait for each other
SELECT arvo_v1.register_queue('lined', p_policy => 'ordered', p_singleton_for => '1 hour');
SELECT count(*) FROM arvo_v1.dispatch_many((
    SELECT jsonb_agg(pg_temp.event('l' || n, 'lined', jsonb_build_object('subject', 's' || n))) FROM generate_series(1, 9) AS n
)) \gset
SELECT is(count(*), 9::bigint, 'subjects are keys of an ordered queue')
FROM arvo.throttle INNER JOIN arvo.queue USING (queue) WHERE queue.name = 'lined';
SELECT is(array_agg(throttle.key ORDER BY throttle.ctid), array_agg(throttle.key ORDER BY throttle.key), 'and are taken in their order, whatever that of the batch')
FROM arvo.throttle INNER JOIN arvo.queue USING (queue) WHERE queue.name = 'lined';

SELECT * FROM finish();
ROLLBACK;
