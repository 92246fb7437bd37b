-- arvo_v1.resume_queue(queue): contract, stories, refusals.
BEGIN;
SELECT plan(15);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.resume_queue(text)',
    'SETOF arvo_v1.switched', 'plpgsql', 'volatile', true,
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
    PERFORM arvo_v1.register_queue(name) FROM unnest('{a,b,c}'::text[]) AS name;
    PERFORM arvo_v1.dispatch(pg_temp.event('1', 'a'));
    PERFORM arvo_v1.pause_queue('a');
    PERFORM arvo_v1.drain_queue('b');
END; $$;
COMMIT AND CHAIN;
SELECT is(pg_temp.claimed('a'), NULL, 'a paused queue');
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT * FROM arvo_v1.resume_queue('*') $$,
    $$ VALUES ('a', 'resumed', NULL::timestamptz, NULL::text, false, NULL::bigint), ('b', 'resumed', NULL, NULL, false, NULL),
              ('c', 'unchanged', NULL, NULL, false, NULL) $$, 'ends a pause and a drain, and says where there was none'
);
SELECT is_empty($$ SELECT FROM arvo.queue WHERE paused_at IS NOT NULL OR paused_by IS NOT NULL OR drained_to IS NOT NULL $$, 'nothing is left of them');
COMMIT AND CHAIN;
SELECT is(pg_temp.claimed('a'), '{1}', 'is claimed from again');
SELECT results_eq(
    $$ SELECT verb, queue, touched FROM arvo.operation ORDER BY number DESC LIMIT 1 $$, $$ VALUES ('resume_queue', '*', 2::bigint) $$, 'it is written down'
);

-- refusals --------------------------------------------------------------------------------------

SELECT is(pg_temp.raised($$ SELECT arvo_v1.resume_queue('nobody') $$), 'RV003 | queue is not known | queue | queue: "nobody"', 'a queue that nobody knows');
COMMIT AND CHAIN;
UPDATE arvo.origin SET system_identifier = 1;
SELECT is(
    left(pg_temp.raised($$ SELECT arvo_v1.resume_queue('a') $$), 51), 'RV902 | transaction numbers are of another cluster ', 'another cluster''s numbers'
);
ROLLBACK AND CHAIN;
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.resume_queue('a') $$),
    'RV005 | transaction isolation level must be read committed | resume_queue was called under repeatable read.', 'a stale view of the ledger'
);

SELECT * FROM finish();
ROLLBACK;
