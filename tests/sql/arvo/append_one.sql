-- arvo.append_one(event, ignore_domain, emitted): contract, stories.
BEGIN;
SELECT plan(45);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.append_one(jsonb,boolean,boolean)',
    'arvo_v1.dispatched', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$ BEGIN
    PERFORM arvo_v1.register_queue('plain'), arvo_v1.register_queue('keyed', p_key_from => 'data.amount'),
            arvo_v1.register_queue('line', p_policy => 'ordered'), arvo_v1.register_queue('forgetful', p_deduplicate_for => '0'),
            arvo_v1.register_queue('short', p_policy => 'short'), arvo_v1.register_queue('late', p_start_after => '1 hour'),
            arvo_v1.register_queue('slow', p_singleton_for => '1 hour'), arvo_v1.register_queue('arvo.domain.human');
END; $$;
-- What one says, and what arvo.append says of the same event: in words, without numbers.
CREATE FUNCTION pg_temp.one(p_event jsonb, p_ignore boolean DEFAULT false, p_emitted boolean DEFAULT false) RETURNS text
LANGUAGE sql AS $$
    SELECT concat_ws(' ', said.ordinal, said.event_id, said.queue, said.outcome)
    FROM arvo.append_one(p_event, p_ignore, p_emitted) AS said
$$;
CREATE FUNCTION pg_temp.all(p_event jsonb, p_ignore boolean DEFAULT false) RETURNS text
LANGUAGE sql AS $$
    SELECT concat_ws(' ', said.ordinal, said.event_id, said.queue, said.outcome)
    FROM arvo.append(ARRAY[p_event], NULL, p_ignore) AS said
$$;
CREATE FUNCTION pg_temp.row(p_id text) RETURNS text
LANGUAGE sql AS $$
    SELECT concat_ws(' | ', queue.name, lane.priority, log.slot, log.attempt, log.at, log.subject_key,
                     log.event - 'id', log.key, log.options, log.cause, log.origin_delivery, log.xid = pg_current_xact_id())
    FROM arvo.log INNER JOIN arvo.lane USING (lane) INNER JOIN arvo.queue USING (queue)
    WHERE log.event_key = hashtextextended(p_id, 0) AND log.lane > 0
$$;

SELECT is(pg_temp.one(pg_temp.event('1', 'plain')), '1 1 plain queued', 'a plain event');
SELECT is(pg_temp.all(pg_temp.event('2', 'plain')), '1 2 plain queued', 'as append says');
SELECT is(pg_temp.row('1'), pg_temp.row('2'), 'and as it writes it');
SELECT results_eq(
    $$ SELECT event ->> 'id', dedup_key, lane > 0, delivery > 0 FROM arvo.log WHERE dedup_key IS NOT NULL ORDER BY 1 $$,
    $$ SELECT id, arvo.dedup_key(queue, 'com.test.source', id), id = '1', id = '1' FROM arvo.queue, unnest('{1,2}'::text[]) AS id
       WHERE name = 'plain' ORDER BY 1 $$,
    'its own row holds its key, where append writes one for that'
);
SELECT is(pg_temp.one(pg_temp.event('3', 'plain') - 'time'), '1 3 plain queued', 'one without a time');
SELECT is(pg_temp.all(pg_temp.event('4', 'plain') - 'time'), '1 4 plain queued', 'as append says');
SELECT is(pg_temp.row('3'), pg_temp.row('4'), 'gets the same time');
SELECT ok(pg_temp.row('3') LIKE '%2030-01-01T00:00:00.000+00:00%', 'which is now');
SELECT is(pg_temp.one(pg_temp.event('5', 'keyed')), '1 5 keyed queued', 'to a queue with keys');
SELECT is(pg_temp.all(pg_temp.event('6', 'keyed')), '1 6 keyed queued', 'as append says');
SELECT is(pg_temp.row('5'), pg_temp.row('6'), 'with the same key');
SELECT is(pg_temp.one(pg_temp.event('7', 'line')), '1 7 line queued', 'to an ordered queue');
SELECT is(pg_temp.one(pg_temp.event('8', 'plain', '{"domain": "human"}')), '1 8 arvo.domain.human domained', 'to the queue of its domain');
SELECT is(pg_temp.one(pg_temp.event('9', 'plain', '{"domain": "human"}'), true), '1 9 plain queued', 'unless that is ignored');
SELECT is(
    (SELECT count(dedup_key) FROM arvo.log INNER JOIN arvo.lane USING (lane) INNER JOIN arvo.queue USING (queue) WHERE name = 'forgetful'), 0::bigint,
    'nothing is remembered where deduplication is off: before'
);
SELECT is(
    ARRAY[pg_temp.one(pg_temp.event('10', 'forgetful')), pg_temp.one(pg_temp.event('10', 'forgetful'))],
    '{1 10 forgetful queued,1 10 forgetful queued}', 'there the same again is another one'
);
SELECT is(
    ARRAY[pg_temp.one(pg_temp.event('1', 'plain'), false, true), pg_temp.one(pg_temp.event('1', 'plain'), false, true)],
    '{1 1 plain queued,1 1 plain queued}', 'and so it is when it is emitted'
);

-- stories: what it leaves to append, without a trace

CREATE TEMPORARY TABLE before AS SELECT (SELECT count(*) FROM arvo.log) AS logged, (SELECT count(dedup_key) FROM arvo.log) AS known,
    (SELECT count(*) FROM arvo.deferred) AS deferred, (SELECT count(*) FROM arvo.queue) AS queues;
SELECT is(pg_temp.one(pg_temp.event('1', 'plain')), '', 'a duplicate');
SELECT is(pg_temp.one(pg_temp.event('20', 'nobody')), '', 'a queue that nobody has named');
SELECT is(
    (SELECT string_agg(name || ':' || pg_temp.one(pg_temp.event('21', name)), ' ' ORDER BY name) FROM unnest('{short,late,slow}'::text[]) AS name),
    'late: short: slow:', 'queues that defer or limit what comes in'
);
SELECT is(pg_temp.one(pg_temp.event('22', 'arvo.publish')), '', 'what is published');
SAVEPOINT turn;
INSERT INTO arvo.generation (slot, opened_at, horizon) VALUES (1, arvo.clock(), '9000000000');
SELECT is(pg_temp.one(pg_temp.event('23', 'plain')), '', 'everything that is to be remembered, while the log turns');
SELECT is(pg_temp.one(pg_temp.event('23', 'forgetful')), '1 23 forgetful queued', 'not what is not remembered');
SELECT is(
    (SELECT slot FROM arvo.log WHERE event ->> 'id' = '23'), 1::smallint, 'which goes where everybody writes'
);
ROLLBACK TO SAVEPOINT turn;
SELECT setval('arvo.generation_number_seq', 2) \gset
SELECT is(pg_temp.one(pg_temp.event('23', 'plain')), '', 'also while somebody opens a generation at this moment');
SELECT setval('arvo.generation_number_seq', 1) \gset
SELECT is(
    (SELECT concat_ws(' ', (SELECT count(*) FROM arvo.log) - logged, (SELECT count(dedup_key) FROM arvo.log) - known,
                      (SELECT count(*) FROM arvo.deferred) - deferred, (SELECT count(*) FROM arvo.queue) - queues) FROM before),
    '0 0 0 0', 'and nothing of them is written'
);
SELECT is(
    (SELECT (arvo_v1.dispatch(pg_temp.event('1', 'plain'))).outcome), 'duplicate', 'dispatch has append say what they are'
);

-- stories: the window, and what is older

INSERT INTO arvo.generation (slot, opened_at) VALUES (1, '2030-01-01Z');
SELECT is(pg_temp.one(pg_temp.event('1', 'plain')), '', 'what the slot before knows is left to append');
SELECT is(pg_temp.one(pg_temp.event('24', 'plain')), '1 24 plain queued', 'what it does not know is new');
SET LOCAL arvo.frozen_clock = '2030-01-07T23:59:59.999999Z';
SELECT is(pg_temp.one(pg_temp.event('1', 'plain')), '', 'to the end of the window');
SELECT is(pg_temp.one(pg_temp.event('24', 'plain')), '', 'in the slot in use, too');
INSERT INTO arvo.generation (slot, opened_at) VALUES (2, '2030-01-06Z');
UPDATE arvo.generation SET opened_at = '2030-01-05Z' WHERE number = 2;
SELECT is(pg_temp.one(pg_temp.event('1', 'plain')), '', 'and in the one before that, where the window has become longer');
SELECT is(pg_temp.one(pg_temp.event('25', 'plain')), '1 25 plain queued', 'which does not have everything');
SET LOCAL arvo.frozen_clock = '2030-01-08Z';
SELECT is(pg_temp.one(pg_temp.event('1', 'plain')), '1 1 plain queued', 'then it is new');
SELECT is((SELECT slot FROM arvo.log WHERE event ->> 'id' = '1' AND at = arvo.clock()), 2::smallint, 'in the slot in use');
SET LOCAL arvo.frozen_clock = '2030-01-15Z';
SELECT is(pg_temp.one(pg_temp.event('1', 'plain')), '', 'when its window is over there, its key is still in the way: that is left to append');
SELECT is((arvo_v1.dispatch(pg_temp.event('1', 'plain'))).outcome, 'queued', 'which lets it in');
SELECT is((arvo_v1.dispatch(pg_temp.event('1', 'plain'))).outcome, 'duplicate', 'once');

SELECT * FROM finish();
ROLLBACK;
