-- arvo_v1.purge_queue(queue, limit, dry_run): contract, stories, refusals.
BEGIN;
SELECT plan(26);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.purge_queue(text,integer,boolean)',
    'SETOF arvo_v1.purged', 'plpgsql', 'volatile', true,
    'arvo_operator',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_bitmapscan=off',
        'enable_hashjoin=off',
        'enable_mergejoin=off',
        'jit=off',
        'plan_cache_mode=force_generic_plan'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$ BEGIN
    PERFORM arvo_v1.register_queue('a');
    PERFORM arvo_v1.register_queue('b', p_retry_limit => 0);
    PERFORM arvo_v1.dispatch(pg_temp.event('a' || n, 'a', jsonb_build_object('subject', 's' || n))) FROM generate_series(1, 4) AS n;
    PERFORM arvo_v1.dispatch(pg_temp.event('a5', 'a', '{"data": {"amount": 99}}'), p_priority => 5);
    PERFORM arvo_v1.dispatch(pg_temp.event('due', 'a', '{"type": "org.test.event"}'), interval '1 hour');
    PERFORM arvo_v1.dispatch(pg_temp.event('b1', 'b'));
END; $$;
COMMIT AND CHAIN;

DO $$ BEGIN PERFORM arvo_v1.claim('{a}', 1); END; $$;
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT * FROM arvo_v1.purge_queue('a', p_dry_run => true) $$,
    $$ VALUES ('queued', 4::bigint, 0::bigint), ('parked', 0, 0), ('deferred', 1, 0), ('leased', 0, 1) $$, 'a dry run tells what would be done'
);
SELECT is_empty('SELECT FROM arvo.operation', 'and does nothing');
SELECT is((SELECT queued_count + deferred_count FROM arvo_v1.queue_stats('a')), 5::bigint, 'at all');
SELECT results_eq(
    $$ SELECT * FROM arvo_v1.purge_queue('a', 3) $$,
    $$ VALUES ('queued', 3::bigint, NULL::bigint), ('parked', 0, NULL), ('deferred', 0, NULL), ('leased', 0, 1) $$, 'up to a limit: there may be more'
);
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT * FROM arvo_v1.purge_queue('a') $$,
    $$ VALUES ('queued', 1::bigint, 0::bigint), ('parked', 0, 0), ('deferred', 1, 0), ('leased', 0, 1) $$, 'and then there is no more'
);
COMMIT AND CHAIN;
SELECT is_empty($$ SELECT FROM arvo_v1.claim('{a}', 9) $$, 'nothing of it is handed out');
SELECT is((SELECT queued_count + deferred_count FROM arvo_v1.queue_stats('a')), 0::bigint, 'nor counts');
SELECT is((SELECT active_count FROM arvo_v1.queue_stats('a')), 1::bigint, 'but for what is leased');
SELECT is(
    (SELECT array_agg(event_id || ' ' || outcome ORDER BY event_id) FROM arvo_v1.trace('order-1') WHERE queue = 'a'),
    '{"a5 active","due cancelled"}', 'the story tells'
);
SELECT results_eq(
    $$ SELECT verb, queue, details, touched FROM arvo.operation ORDER BY number $$,
    $$ VALUES ('purge_queue', 'a', '{"limit": 3}'::jsonb, 3::bigint), ('purge_queue', 'a', '{"limit": 10000}', 2) $$, 'it is written down'
);
COMMIT AND CHAIN;

-- a dead-letter queue
DO $$ BEGIN PERFORM arvo_v1.register_queue('b', p_dead_letter => 'morgue'); END; $$;
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'failed')) FROM arvo_v1.claim('{b}', 9))) \gset
COMMIT AND CHAIN;
SELECT is((SELECT sum(removed) FROM arvo_v1.purge_queue('b')), 0::numeric, 'dead letters of a queue are no deliveries of it');
SELECT is((SELECT removed FROM arvo_v1.purge_queue('morgue', NULL) WHERE place = 'queued'), 1::bigint, 'in their dead-letter queue they are');
SELECT is((SELECT resolution FROM arvo.dead), 'discarded', 'and are discarded with it');

-- stories: what was promoted and not swept yet

SELECT arvo_v1.register_queue('late') \gset
SELECT arvo_v1.dispatch(pg_temp.event('l1', 'late'), '1 second') \gset
COMMIT AND CHAIN;
SELECT set_config('arvo.frozen_clock', (arvo.clock() + interval '1 second')::text, false) \gset
SELECT arvo.promote() \gset
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT * FROM arvo_v1.purge_queue('late') $$,
    $$ VALUES ('queued', 1::bigint, 0::bigint), ('parked', 0, 0), ('deferred', 0, 0), ('leased', 0, 0) $$, 'is purged once, from where it stands now'
);
SELECT is((SELECT count(*) FROM arvo.deferred), 1::bigint, 'and its old row is left to the sweep');
COMMIT AND CHAIN;

-- refusals --------------------------------------------------------------------------------------

SELECT is(pg_temp.raised($$ SELECT arvo_v1.purge_queue('a', 0) $$), 'RV006 | argument is not valid | limit | limit: 0', 'a limit of nothing');
SELECT is(pg_temp.raised($$ SELECT arvo_v1.purge_queue('nobody') $$), 'RV003 | queue is not known | queue | queue: "nobody"', 'a queue that nobody knows');
COMMIT AND CHAIN;
UPDATE arvo.origin SET system_identifier = 1;
SELECT is(
    left(pg_temp.raised($$ SELECT arvo_v1.purge_queue('a') $$), 51), 'RV902 | transaction numbers are of another cluster ', 'another cluster''s numbers'
);
ROLLBACK AND CHAIN;
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.purge_queue('a') $$),
    'RV005 | transaction isolation level must be read committed | purge_queue was called under repeatable read.', 'a stale view of the ledger'
);

SELECT * FROM finish();
ROLLBACK;
