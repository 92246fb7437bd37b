-- arvo.reset_queue(queue, registered): contract, stories.
BEGIN;
SELECT plan(13);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.reset_queue(arvo.queue,boolean)',
    'void', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$ BEGIN
    PERFORM arvo_v1.register_queue('a', true, 5, 7, '1 second', true, '1 minute', '1 hour', 'morgue', 5);
    PERFORM arvo_v1.register_queue('b');
END; $$;
UPDATE arvo.queue
SET policy = 'ordered', key_from = 'data.a', max_active = 3, rate_limit = 4, rate_period = '1 minute', error_rules = '{"A": "dead"}',
    paused_at = now(), paused_by = 'me', drained_to = pg_current_snapshot(), retention = '1 hour'
WHERE name = 'a';
INSERT INTO arvo.registration (queue, worker, options, at) VALUES ('a', 'w', '{}', now()), ('b', 'w', '{}', now());
SET arvo.frozen_clock = '2030-01-01T00:00:05Z';
SELECT arvo.reset_queue(arvo.known_queue('a'), true) \gset
SELECT is(
    (SELECT to_jsonb(queue.*) - '{queue,name,created_at,changed_at}'::text[] FROM arvo.queue WHERE name = 'a'),
    (SELECT to_jsonb(queue.*) - '{queue,name,created_at,changed_at}'::text[] FROM arvo.queue WHERE name = 'b'),
    'it is like a queue that named no option'
);
SELECT is((SELECT changed_at FROM arvo.queue WHERE name = 'a'), '2030-01-01T00:00:05Z', 'it has changed');
SELECT is((SELECT created_at FROM arvo.queue WHERE name = 'a'), '2030-01-01T00:00:00Z', 'but it is the same');
SELECT is((SELECT array_agg(queue) FROM arvo.registration), '{b}', 'what processes asked for is forgotten');
SELECT is(
    (SELECT array_agg(lane.priority ORDER BY lane.priority) FROM arvo.lane INNER JOIN arvo.queue USING (queue) WHERE name = 'a'), '{0,5}',
    'its own priority has a lane'
);
SELECT arvo.reset_queue(arvo.known_queue('a'), false) \gset
SELECT is((SELECT registered FROM arvo.queue WHERE name = 'a'), false, 'not registered, if so asked');

SELECT * FROM finish();
ROLLBACK;
