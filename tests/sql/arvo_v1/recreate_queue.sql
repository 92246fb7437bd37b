-- arvo_v1.recreate_queue(queue, dry_run): contract, stories, refusals.
BEGIN;
SELECT plan(17);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.recreate_queue(text,boolean)',
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

DO $$ BEGIN
    PERFORM arvo_v1.register_queue('a', p_retry_limit => 9, p_priority => 5, p_dead_letter => 'morgue');
    PERFORM arvo_v1.claim('{a}', 1);
END; $$;
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.pause_queue('a') \gset
SELECT results_eq(
    $$ SELECT * FROM arvo_v1.recreate_queue('a', true) $$,
    $$ VALUES ('queued', 4::bigint, 0::bigint), ('parked', 0, 0), ('deferred', 1, 0), ('leased', 0, 1) $$, 'a dry run tells what would be done'
);
SELECT is((SELECT retry_limit FROM arvo.queue WHERE name = 'a'), 9, 'and does nothing');
SELECT results_eq(
    $$ SELECT * FROM arvo_v1.recreate_queue('a') $$,
    $$ VALUES ('queued', 4::bigint, 0::bigint), ('parked', 0, 0), ('deferred', 1, 0), ('leased', 0, 1) $$, 'it is empty, but for what is leased'
);
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT registered, retry_limit, priority, dead_letter, paused_at FROM arvo.queue WHERE name = 'a' $$,
    $$ VALUES (true, 2, 0, NULL::text, NULL::timestamptz) $$, 'registered, with the options of a new one'
);
DO $$ BEGIN PERFORM arvo_v1.dispatch(pg_temp.event('new', 'a')); END; $$;
COMMIT AND CHAIN;
SELECT is((SELECT array_agg(event ->> 'id') FROM arvo_v1.claim('{a}', 9)), '{new}', 'what comes is handed out');
SELECT is((SELECT active_count FROM arvo_v1.queue_stats('a')), 2::bigint, 'what was leased still is');
SELECT results_eq(
    $$ SELECT verb, queue, touched FROM arvo.operation WHERE verb <> 'pause_queue' $$, $$ VALUES ('recreate_queue', 'a', 5::bigint) $$, 'it is written down'
);

-- refusals --------------------------------------------------------------------------------------

SELECT is(pg_temp.raised($$ SELECT arvo_v1.recreate_queue('nobody') $$), 'RV003 | queue is not known | queue | queue: "nobody"', 'a queue that nobody knows');
COMMIT AND CHAIN;
UPDATE arvo.origin SET system_identifier = 1;
SELECT is(
    left(pg_temp.raised($$ SELECT arvo_v1.recreate_queue('a') $$), 51), 'RV902 | transaction numbers are of another cluster ', 'another cluster''s numbers'
);
ROLLBACK AND CHAIN;
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.recreate_queue('a') $$),
    'RV005 | transaction isolation level must be read committed | recreate_queue was called under repeatable read.', 'a stale view of the ledger'
);

SELECT * FROM finish();
ROLLBACK;
