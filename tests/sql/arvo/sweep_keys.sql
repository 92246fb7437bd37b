-- arvo.sweep_keys(limit): contract, stories.
BEGIN;
SELECT plan(19);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.sweep_keys(integer)',
    'integer', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_bitmapscan=off',
        'enable_hashjoin=off',
        'enable_mergejoin=off',
        'jit=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('o', p_policy => 'ordered');
    PERFORM arvo_v1.register_queue('r', p_key_rate_limit => 5, p_key_rate_period => '1 day');
    PERFORM arvo_v1.register_queue('s', p_policy => 'short');
    PERFORM arvo_v1.register_queue('t', p_singleton_for => '1 minute');
    PERFORM arvo_v1.dispatch(pg_temp.event('1', queue, jsonb_build_object('subject', queue))) FROM unnest('{o,r,s,t}'::text[]) AS queue;
    PERFORM arvo_v1.dispatch(pg_temp.event('2', 'o'));
END;
$$;
COMMIT AND CHAIN;

CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.claim('{r,s,t,o}', 9);
CREATE FUNCTION pg_temp.left() RETURNS text
LANGUAGE sql AS $$
    SELECT concat_ws(' ', 'turns', (SELECT count(*) FROM arvo.turn), 'ready', (SELECT count(*) FROM arvo.ready),
                     'places', (SELECT count(*) FROM arvo.singleton), 'intervals', (SELECT count(*) FROM arvo.throttle))
$$;
SELECT is(pg_temp.left(), 'turns 5 ready 0 places 1 intervals 1', 'what there is: two keys and the queue, a key and the queue');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-05T00:00:00Z';

SELECT is(arvo.sweep_keys(99) || ' ' || pg_temp.left(), '2 turns 5 ready 0 places 0 intervals 0', 'a place that is free and an interval that is over; keys that are running stay');
SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery)) FROM held));
END;
$$;
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:59:59.999999Z';

SELECT is(arvo.sweep_keys(99), 0, 'an idle key is left alone for an hour');
SET arvo.frozen_clock = '2030-01-01T01:00:00Z';

SELECT is(arvo.sweep_keys(1), 1, 'no more than asked for');
SELECT is(arvo.sweep_keys(99), 2, 'the rest');
SELECT results_eq('SELECT DISTINCT name FROM arvo.turn INNER JOIN arvo.queue USING (queue)', $$ VALUES ('r') $$, 'a rate is remembered for its period');
SET arvo.frozen_clock = '2030-01-01T23:59:59.999999Z';

SELECT is(arvo.sweep_keys(99), 0, 'to its end');
SET arvo.frozen_clock = '2030-01-02T00:00:00Z';

SELECT is(arvo.sweep_keys(99), 2, 'and no longer');
COMMIT AND CHAIN;

INSERT INTO arvo.ready (queue, number, key) SELECT queue, number, 1 FROM arvo.queue, generate_series(1, 3) AS number WHERE name = 'o';
INSERT INTO arvo.lease
SELECT (head).slot, (head).lane, (head).number + 1, 0, NULL, (head).leased_at, (head).expires_at, false, '{}', NULL, NULL,
       (head).previous_snapshot, (head).snapshot, (head).last_xid, (head).last_delivery, (head).exhausted, (head).open_from, (head).sweep_at,
       NULL, NULL, NULL, 2
FROM (SELECT arvo.head_of(arvo.home_lane(queue)) AS head FROM arvo.queue WHERE name = 'o') AS newest;
SELECT is(arvo.sweep_keys(99), 2, 'ready keys that the cursor has passed');
SELECT results_eq('SELECT number FROM arvo.ready', $$ VALUES (3::bigint) $$, 'and no others');

-- stories: what is in use stays, however long

SELECT arvo_v1.register_queue('use', p_key_from => 'subject', p_key_max_active => 1) \gset
SELECT arvo_v1.dispatch(pg_temp.event('u1', 'use', '{"subject": "busy"}')) \gset
SELECT arvo_v1.dispatch(pg_temp.event('u2', 'use', '{"subject": "idle"}')) \gset
SELECT arvo_v1.register_queue('kept', p_policy => 'exclusive') \gset
SELECT arvo_v1.dispatch(pg_temp.event('k1', 'kept')) \gset
COMMIT AND CHAIN;
SELECT arvo_v1.settle(jsonb_agg(pg_temp.result(lease, delivery)))
FROM arvo_v1.claim('{use}', 9) WHERE event ->> 'subject' = 'idle' \gset
SET arvo.frozen_clock = '2030-02-01T00:00:00Z';
COMMIT AND CHAIN;
SELECT arvo.sweep_keys(99) \gset
SELECT results_eq(
    'SELECT turn.active FROM arvo.turn INNER JOIN arvo.queue USING (queue) WHERE name = $$use$$ AND turn.key <> 0', 'VALUES (1)', 'the key of a delivery under way is remembered'
);
SELECT isnt_empty(
    'SELECT FROM arvo.singleton INNER JOIN arvo.queue USING (queue) WHERE name = $$kept$$ AND delivery IS NOT NULL', 'and so is a place that somebody has'
);

SELECT * FROM finish();
ROLLBACK;
