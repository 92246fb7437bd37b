-- arvo.would_empty(queue): contract, stories.
BEGIN;
SELECT plan(9);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.would_empty(arvo.queue)',
    'SETOF arvo_v1.purged', 'sql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$ BEGIN
    PERFORM arvo_v1.register_queue('a');
    PERFORM arvo_v1.dispatch(pg_temp.event(n::text, 'a')) FROM generate_series(1, 3) AS n;
    PERFORM arvo_v1.dispatch(pg_temp.event('due', 'a'), interval '1 hour');
END; $$;
COMMIT AND CHAIN;
SELECT is((SELECT count(*) FROM arvo_v1.claim('{a}', 1)), 1::bigint, 'one is leased');
SELECT results_eq(
    $$ SELECT place, removed, kept FROM arvo.would_empty(arvo.known_queue('a')) $$,
    $$ VALUES ('queued', 2::bigint, 0::bigint), ('parked', 0, 0), ('deferred', 1, 0), ('leased', 0, 1) $$,
    'by place: what would go, and what would stay'
);

SELECT * FROM finish();
ROLLBACK;
