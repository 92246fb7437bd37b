-- arvo_v1.drain_queue(queue): contract, stories, refusals.
BEGIN;
SELECT plan(16);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.drain_queue(text)',
    'arvo_v1.switched', 'plpgsql', 'volatile', true,
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
CREATE FUNCTION pg_temp.claimed(p_queue text) RETURNS text[]
LANGUAGE sql AS $$ SELECT array_agg(event ->> 'id' ORDER BY delivery) FROM arvo_v1.claim(ARRAY[p_queue], 9) $$;

DO $$ BEGIN
    PERFORM arvo_v1.register_queue('q');
    PERFORM arvo_v1.dispatch(pg_temp.event(n::text, 'q'), p_priority => n % 2) FROM generate_series(1, 4) AS n;
    PERFORM arvo_v1.dispatch(pg_temp.event('due', 'q'), interval '1 minute');
END; $$;
COMMIT AND CHAIN;
CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.claim('{q}', 1);
COMMIT AND CHAIN;
DO $$ BEGIN PERFORM arvo_v1.pause_queue('q'); END; $$;
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT * FROM arvo_v1.drain_queue('q') $$, $$ VALUES ('q', 'draining', NULL::timestamptz, NULL::text, true, 4::bigint) $$,
    'it ends a pause, and says how many are left, with those in hands'
);
COMMIT AND CHAIN;
DO $$ BEGIN PERFORM arvo_v1.dispatch(pg_temp.event('new', 'q')); PERFORM arvo_v1.dispatch(pg_temp.event('new lane', 'q'), p_priority => 9); END; $$;
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'failed')) FROM held)) \gset
SET arvo.frozen_clock = '2030-01-01T00:01:00Z';
COMMIT AND CHAIN;
SELECT is(pg_temp.claimed('q'), '{2,3,4}', 'what waited is worked off; what came, failed or became due since waits');
COMMIT AND CHAIN;
SELECT is(pg_temp.claimed('q'), NULL, 'and goes on waiting');
COMMIT AND CHAIN;
SELECT is((SELECT change || ' ' || waiting FROM arvo_v1.drain_queue('q')), 'unchanged 3', 'asked again, the line stays where it was drawn');
SELECT count(*) FROM arvo_v1.resume_queue('q') \gset
COMMIT AND CHAIN;
SELECT is((SELECT array_agg(id ORDER BY id) FROM unnest(pg_temp.claimed('q')) AS id), '{1,due,new,"new lane"}', 'until the queue is resumed');
SELECT results_eq(
    $$ SELECT verb, queue, touched FROM arvo.operation WHERE verb = 'drain_queue' ORDER BY number $$,
    $$ VALUES ('drain_queue', 'q', 1::bigint), ('drain_queue', 'q', 0) $$, 'it is written down'
);

-- refusals --------------------------------------------------------------------------------------

SELECT is(pg_temp.raised($$ SELECT arvo_v1.drain_queue('nobody') $$), 'RV003 | queue is not known | queue | queue: "nobody"', 'a queue that nobody knows');
COMMIT AND CHAIN;
UPDATE arvo.origin SET system_identifier = 1;
SELECT is(
    left(pg_temp.raised($$ SELECT arvo_v1.drain_queue('q') $$), 51), 'RV902 | transaction numbers are of another cluster ', 'another cluster''s numbers'
);
ROLLBACK AND CHAIN;
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.drain_queue('q') $$),
    'RV005 | transaction isolation level must be read committed | drain_queue was called under repeatable read.', 'a stale view of the ledger'
);

SELECT * FROM finish();
ROLLBACK;
