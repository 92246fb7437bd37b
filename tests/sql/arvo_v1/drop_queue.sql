-- arvo_v1.drop_queue(queue, purge, dry_run): contract, stories, refusals.
BEGIN;
SELECT plan(20);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.drop_queue(text,boolean,boolean)',
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

SELECT results_eq(
    $$ SELECT * FROM arvo_v1.drop_queue('a', p_dry_run => true) $$,
    $$ VALUES ('queued', 5::bigint, 0::bigint), ('parked', 0, 0), ('deferred', 1, 0), ('leased', 0, 0) $$, 'a dry run tells what there is'
);
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.drop_queue('a') $$),
    'RV006 | queue is not empty | purge | 5 queued, 0 parked, 1 deferred, 0 leased', 'what waits is not dropped by mistake'
);
COMMIT AND CHAIN;
CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.claim('{a}', 1);
COMMIT AND CHAIN;
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.drop_queue('a', true) $$),
    'RV006 | queue is not empty | queue | 4 queued, 0 parked, 1 deferred, 1 leased', 'nor is what somebody holds'
);
SELECT is((SELECT registered FROM arvo.queue WHERE name = 'a'), true, 'nothing has happened');
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery)) FROM held)) \gset
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT * FROM arvo_v1.drop_queue('a', true) $$,
    $$ VALUES ('queued', 4::bigint, 0::bigint), ('parked', 0, 0), ('deferred', 1, 0), ('leased', 0, 0) $$, 'what waits is cancelled, if so asked'
);
COMMIT AND CHAIN;
SELECT is((SELECT registered FROM arvo.queue WHERE name = 'a'), false, 'it is no queue of a handler any more');
SELECT is((arvo_v1.dispatch(pg_temp.event('new', 'a'))).outcome, 'unroutable', 'what comes is unroutable');
SELECT is((SELECT count(*) FROM arvo_v1.trace('s1')), 1::bigint, 'its history stays');
SELECT results_eq($$ SELECT verb, queue, details, touched FROM arvo.operation $$, $$ VALUES ('drop_queue', 'a', '{"purge": true}'::jsonb, 5::bigint) $$, 'it is written down');
COMMIT AND CHAIN;
DO $$ BEGIN PERFORM arvo_v1.register_queue('c'); END; $$;
SELECT is((SELECT sum(removed) FROM arvo_v1.drop_queue('c')), 0::numeric, 'an empty one is just dropped');

-- refusals --------------------------------------------------------------------------------------

SELECT is(pg_temp.raised($$ SELECT arvo_v1.drop_queue('nobody') $$), 'RV003 | queue is not known | queue | queue: "nobody"', 'a queue that nobody knows');
COMMIT AND CHAIN;
UPDATE arvo.origin SET system_identifier = 1;
SELECT is(
    left(pg_temp.raised($$ SELECT arvo_v1.drop_queue('b') $$), 51), 'RV902 | transaction numbers are of another cluster ', 'another cluster''s numbers'
);
ROLLBACK AND CHAIN;
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.drop_queue('b') $$),
    'RV005 | transaction isolation level must be read committed | drop_queue was called under repeatable read.', 'a stale view of the ledger'
);

SELECT * FROM finish();
ROLLBACK;
