-- arvo.append_plain(events, ignore_domain, emitted): contract, stories.
BEGIN;
SELECT plan(46);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.append_plain(jsonb[],boolean,boolean)',
    'SETOF arvo_v1.dispatched', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$ BEGIN
    PERFORM arvo_v1.register_queue('plain'), arvo_v1.register_queue('keyed', p_key_from => 'data.amount'),
            arvo_v1.register_queue('line', p_policy => 'ordered'), arvo_v1.register_queue('forgetful', p_deduplicate_for => '0'),
            arvo_v1.register_queue('short', p_policy => 'short'), arvo_v1.register_queue('late', p_start_after => '1 hour'),
            arvo_v1.register_queue('slow', p_singleton_for => '1 hour'), arvo_v1.register_queue('arvo.domain.human'),
            arvo_v1.register_queue('q' || n) FROM generate_series(1, 17) AS n;
END; $$;
-- What it says of some events, 'id queue [domain]' each, and what arvo.append says.
CREATE FUNCTION pg_temp.events(p_prefix text, VARIADIC p_given text[]) RETURNS jsonb[]
LANGUAGE sql AS $$
    SELECT array_agg(
        pg_temp.event(p_prefix || word[1], word[2], jsonb_build_object('domain', word[3]))
        - CASE WHEN word[1] = 'timeless' THEN 'time' ELSE '' END ORDER BY ordinal
    )
    FROM unnest(p_given) WITH ORDINALITY AS given (item, ordinal) CROSS JOIN LATERAL string_to_array(item, ' ') AS word
$$;
CREATE FUNCTION pg_temp.plain(p_events jsonb[], p_ignore boolean DEFAULT false, p_emitted boolean DEFAULT false) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', ordinal, substr(event_id, 2), queue, outcome), ', ')
    FROM arvo.append_plain(p_events, p_ignore, p_emitted)
$$;
CREATE FUNCTION pg_temp.any(p_events jsonb[], p_ignore boolean DEFAULT false, p_emitted boolean DEFAULT false) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', ordinal, substr(event_id, 2), queue, outcome), ', ')
    FROM arvo.append(p_events, NULL, p_ignore, p_emitted)
$$;
CREATE FUNCTION pg_temp.rows(p_prefix text) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' | ', queue.name, lane.priority, log.slot, log.attempt, log.at, log.subject_key,
                                substr(log.event ->> 'id', 2), log.event - 'id', log.key, log.options, log.cause,
                                log.event_key = hashtextextended(log.event ->> 'id', 0), log.xid = pg_current_xact_id()),
                      E'\n' ORDER BY log.delivery)
    FROM arvo.log INNER JOIN arvo.lane USING (lane) INNER JOIN arvo.queue USING (queue)
    WHERE starts_with(log.event ->> 'id', p_prefix) AND log.lane > 0
$$;

SELECT is(
    pg_temp.plain(pg_temp.events('a', '2 plain', '1 keyed', '3 line', '4 plain human', 'timeless plain')),
    '1 2 plain queued, 2 1 keyed queued, 3 3 line queued, 4 4 arvo.domain.human domained, 5 timeless plain queued', 'plain events, in order'
);
SELECT is(
    pg_temp.any(pg_temp.events('b', '2 plain', '1 keyed', '3 line', '4 plain human', 'timeless plain')),
    '1 2 plain queued, 2 1 keyed queued, 3 3 line queued, 4 4 arvo.domain.human domained, 5 timeless plain queued', 'as append says'
);
SELECT is(pg_temp.rows('a'), pg_temp.rows('b'), 'and as it writes them');
SELECT is(
    (SELECT string_agg(concat_ws(' ', event ->> 'id', lane > 0, sign(delivery)), ', ' ORDER BY abs(delivery)) FROM arvo.log WHERE dedup_key IS NOT NULL),
    'a2 t 1, a1 t 1, a3 t 1, a4 t 1, atimeless t 1, b2 f -1, b1 f -1, b3 f -1, b4 f -1, btimeless f -1',
    'their own rows hold their keys, where append writes others for that'
);
SELECT is(
    pg_temp.plain(pg_temp.events('a', '2 plain', '5 plain', '2 keyed', '5 plain')),
    '1 2 plain duplicate, 2 5 plain queued, 3 2 keyed queued, 4 5 plain duplicate', 'duplicates, of before and of the same call'
);
SELECT is(
    (SELECT count(*) FILTER (WHERE delivery = first.number) FROM arvo.append_plain(pg_temp.events('a', '5 plain')),
        (SELECT max(delivery) - 1 AS number FROM arvo.log) AS first),
    1::bigint, 'they are answered with the first delivery'
);
SELECT is((SELECT count(*) FROM arvo.log WHERE starts_with(event ->> 'id', 'a')), 7::bigint, 'and not written');
SELECT is(pg_temp.plain(pg_temp.events('c', '1 plain human'), true), '1 1 plain queued', 'a domain may be ignored');
SELECT is(
    ARRAY[pg_temp.plain(pg_temp.events('d', '1 forgetful', '1 forgetful')), pg_temp.plain(pg_temp.events('d', '1 forgetful'))],
    '{"1 1 forgetful queued, 2 1 forgetful queued","1 1 forgetful queued"}', 'deduplication may be off'
);
SELECT is(
    pg_temp.plain(pg_temp.events('a', '2 plain', '2 plain'), false, true), '1 2 plain queued, 2 2 plain queued', 'emitted ones are not asked'
);

SELECT is(
    ARRAY[pg_temp.plain(pg_temp.events('h', '1 forgetful', '1 plain')), pg_temp.plain(pg_temp.events('h', '1 forgetful', '1 plain', '2 plain'))],
    '{"1 1 forgetful queued, 2 1 plain queued","1 1 forgetful queued, 2 1 plain duplicate, 3 2 plain queued"}', 'or off for some'
);

-- stories: many at once are inserted without a look, and looked up when one of them is known

CREATE FUNCTION pg_temp.many(p_from integer, p_to integer DEFAULT NULL) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', times, outcome), ', ' ORDER BY outcome) FROM (
        SELECT outcome, count(*) AS times
        FROM arvo.append_plain((SELECT array_agg(pg_temp.event('m' || coalesce(p_to, n), 'plain') ORDER BY n) FROM generate_series(p_from, p_from + 119) AS n))
        GROUP BY outcome
    ) AS counted
$$;
CREATE FUNCTION pg_temp.kept() RETURNS text
LANGUAGE sql AS $$
    SELECT concat_ws(' ', count(*) FILTER (WHERE lane > 0), count(DISTINCT event ->> 'id') FILTER (WHERE lane > 0), count(dedup_key), count(*) FILTER (WHERE lane = 0))
    FROM arvo.log WHERE starts_with(event ->> 'id', 'm')
$$;
SELECT is(pg_temp.many(1), '120 queued', 'a hundred and more that are new');
SELECT is(pg_temp.many(101), '20 duplicate, 100 queued', 'some of many were known');
SELECT is(pg_temp.kept(), '220 220 220 0', 'each is stored once, with its key');
SELECT is(pg_temp.many(1, 999), '119 duplicate, 1 queued', 'many times the same');
SELECT is(pg_temp.kept(), '221 221 221 0', 'is stored once');
SELECT ok(
    (SELECT bool_and(delivery > before) FROM (
        SELECT delivery, lag(delivery) OVER (ORDER BY substr(event ->> 'id', 2)::integer) AS before FROM arvo.log WHERE starts_with(event ->> 'id', 'm')
    ) AS numbered), 'in the order in which they were given'
);

-- stories: what is older than its window

SAVEPOINT later;
SET LOCAL arvo.frozen_clock = '2030-01-08T00:00:00Z';
SELECT is(pg_temp.many(1), '120 queued', 'their window is over');
SELECT is(pg_temp.many(1), '120 duplicate', 'and has begun again');
SELECT is(pg_temp.kept(), '341 221 221 120', 'the keys have gone over');
SELECT is(
    pg_temp.plain(pg_temp.events('a', '2 plain', '99 plain', '1 keyed', '2 plain')),
    '1 2 plain queued, 2 99 plain queued, 3 1 keyed queued, 4 2 plain duplicate', 'some of few'
);
ROLLBACK TO SAVEPOINT later;
INSERT INTO arvo.generation (slot, opened_at) VALUES (1, arvo.clock());
SELECT is(pg_temp.many(121), '100 duplicate, 20 queued', 'the slot before is looked at');
SELECT is(
    pg_temp.plain(pg_temp.events('a', '2 plain', '98 plain')), '1 2 plain duplicate, 2 98 plain queued', 'also for few'
);
SELECT is((SELECT count(dedup_key) FROM arvo.log WHERE slot = 1), 21::bigint, 'and not written');
SET LOCAL arvo.frozen_clock = '2030-01-08T00:00:00Z';
SELECT is(pg_temp.many(1), '120 queued', 'but not beyond the window');
ROLLBACK TO SAVEPOINT later;
SELECT setval('arvo.generation_number_seq', 1) \gset

-- stories: another event that has the same key by chance

UPDATE arvo.log SET event = event || '{"source": "other"}' WHERE event ->> 'id' = 'm7';
SELECT is(pg_temp.many(1), '119 duplicate, 1 queued', 'is no duplicate');
SELECT is(pg_temp.kept(), '222 221 221 0', 'and has no key of its own');

-- stories: what it leaves to append, without a trace

CREATE TEMPORARY TABLE before AS SELECT (SELECT count(*) FROM arvo.log) AS logged, (SELECT count(dedup_key) FROM arvo.log) AS known,
    (SELECT count(*) FROM arvo.deferred) AS deferred, (SELECT count(*) FROM arvo.queue) AS queues;
SELECT is(pg_temp.plain(pg_temp.events('e', VARIADIC '{1 plain}'::text[] || given.items)), NULL, given.items::text)
FROM (VALUES ('{2 nobody}'::text[]), ('{2 short}'), ('{2 late}'), ('{2 slow}'), ('{2 arvo.publish}')) AS given (items);
SELECT is(
    pg_temp.plain((SELECT array_agg(pg_temp.event('e' || n, 'q' || n)) FROM generate_series(1, 17) AS n)), NULL, 'more than sixteen queues'
);
SELECT is(pg_temp.plain('{}'), NULL, 'nothing');
SELECT setval('arvo.generation_number_seq', 3) \gset
SELECT is(pg_temp.plain(pg_temp.events('e', '30 plain')), NULL, 'everything that is to be remembered, while the log turns');
SELECT setval('arvo.generation_number_seq', 1) \gset
SELECT is(
    (SELECT concat_ws(' ', (SELECT count(*) FROM arvo.log) - logged, (SELECT count(dedup_key) FROM arvo.log) - known,
                      (SELECT count(*) FROM arvo.deferred) - deferred, (SELECT count(*) FROM arvo.queue) - queues) FROM before),
    '0 0 0 0', 'and nothing of them is written'
);
SELECT is(
    (SELECT string_agg(outcome, ' ' ORDER BY ordinal) FROM arvo_v1.dispatch_many(to_jsonb(
        pg_temp.events('f', '1 plain', '1 plain', '2 nobody', '3 forgetful', '4 late', '5 plain human')
    ))),
    'queued duplicate unroutable queued deferred domained', 'dispatch_many has append do them'
);
-- stories: a queue that is known, and has no handler
SELECT arvo.lane_for('com.test.known') \gset
SELECT is_empty(
    $$ SELECT * FROM arvo.append_plain(ARRAY[pg_temp.event('k1', 'com.test.known'), pg_temp.event('k2', 'com.test.known')]) $$,
    'is left to arvo.append, which tells so'
);

UPDATE arvo.origin SET system_identifier = 1;
SELECT is(left(pg_temp.raised($$ SELECT arvo.append_plain(pg_temp.events('g', '1 plain')) $$), 5), 'RV902', 'only at home');

SELECT * FROM finish();
ROLLBACK;
