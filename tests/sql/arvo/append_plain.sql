-- arvo.append_plain(events, ignore_domain, emitted): contract, stories.
BEGIN;
SELECT plan(29);
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
    WHERE starts_with(log.event ->> 'id', p_prefix)
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
    (SELECT string_agg(delivery::text, ' ' ORDER BY delivery) FROM arvo.event_key),
    (SELECT string_agg(delivery::text, ' ' ORDER BY delivery) FROM arvo.log), 'all are remembered with their deliveries'
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

-- stories: what it leaves to append, without a trace

CREATE TEMPORARY TABLE before AS SELECT (SELECT count(*) FROM arvo.log) AS logged, (SELECT count(*) FROM arvo.event_key) AS known,
    (SELECT count(*) FROM arvo.deferred) AS deferred, (SELECT count(*) FROM arvo.queue) AS queues;
SELECT is(pg_temp.plain(pg_temp.events('e', VARIADIC '{1 plain}'::text[] || given.items)), NULL, given.items::text)
FROM (VALUES ('{2 nobody}'::text[]), ('{2 short}'), ('{2 late}'), ('{2 slow}'), ('{2 arvo.publish}'), ('{2 forgetful}')) AS given (items);
SELECT is(
    pg_temp.plain((SELECT array_agg(pg_temp.event('e' || n, 'q' || n)) FROM generate_series(1, 17) AS n)), NULL, 'more than sixteen queues'
);
SELECT is(pg_temp.plain('{}'), NULL, 'nothing');
SELECT is(
    (SELECT concat_ws(' ', (SELECT count(*) FROM arvo.log) - logged, (SELECT count(*) FROM arvo.event_key) - known,
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
