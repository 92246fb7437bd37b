-- arvo_v1.pause_queue(queue): contract, stories, refusals.
BEGIN;
SELECT plan(18);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.pause_queue(text)',
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
    PERFORM arvo_v1.register_queue(name) FROM unnest('{arvo.domain.a,arvo.domain.b,q}'::text[]) AS name;
    PERFORM arvo_v1.dispatch(pg_temp.event('1', 'q'));
END; $$;
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT queue, change, paused_at, paused_by = session_user, draining, waiting FROM arvo_v1.pause_queue('q') $$,
    $$ VALUES ('q', 'paused', timestamptz '2030-01-01Z', true, false, NULL::bigint) $$, 'it says what has changed'
);
COMMIT AND CHAIN;
SELECT is(pg_temp.claimed('q'), NULL, 'nothing is claimed');
SELECT is(pg_temp.claimed('*'), NULL, 'in any way');
SET arvo.frozen_clock = '2030-01-01T00:01:00Z';
SELECT results_eq(
    $$ SELECT queue, change, paused_at, paused_by = session_user, draining, waiting FROM arvo_v1.pause_queue('q') $$,
    $$ VALUES ('q', 'unchanged', timestamptz '2030-01-01Z', true, false, NULL::bigint) $$, 'a second time nothing changes'
);
SELECT results_eq(
    $$ SELECT queue, change FROM arvo_v1.pause_queue('arvo.domain.*') $$,
    $$ VALUES ('arvo.domain.a', 'paused'), ('arvo.domain.b', 'paused') $$, 'all that begin so'
);
SELECT is_empty($$ SELECT FROM arvo_v1.pause_queue('nobody*') $$, 'which may be none');
SELECT results_eq(
    $$ SELECT verb, queue, touched FROM arvo.operation ORDER BY number $$,
    $$ VALUES ('pause_queue', 'q', 1::bigint), ('pause_queue', 'q', 0), ('pause_queue', 'arvo.domain.*', 2), ('pause_queue', 'nobody*', 0) $$,
    'it is written down'
);
DO $$ BEGIN PERFORM arvo_v1.resume_queue('q'); PERFORM arvo_v1.drain_queue('q'); PERFORM arvo_v1.pause_queue('q'); END; $$;
SELECT is((SELECT drained_to FROM arvo.queue WHERE name = 'q')::text, NULL, 'a pause ends a drain');

-- refusals --------------------------------------------------------------------------------------

SELECT is(pg_temp.raised($$ SELECT arvo_v1.pause_queue('nobody') $$), 'RV003 | queue is not known | queue | queue: "nobody"', 'a queue that nobody knows');
COMMIT AND CHAIN;
UPDATE arvo.origin SET system_identifier = 1;
SELECT is(
    left(pg_temp.raised($$ SELECT arvo_v1.pause_queue('q') $$), 51), 'RV902 | transaction numbers are of another cluster ', 'another cluster''s numbers'
);
ROLLBACK AND CHAIN;
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.pause_queue('q') $$),
    'RV005 | transaction isolation level must be read committed | pause_queue was called under repeatable read.', 'a stale view of the ledger'
);

SELECT * FROM finish();
ROLLBACK;
