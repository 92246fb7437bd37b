-- arvo.shown(queue, change): contract, a story.
BEGIN;
SELECT plan(9);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.shown(arvo.queue,text)',
    'arvo_v1.queue', 'sql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$ BEGIN
    PERFORM arvo_v1.register_queue(
        'a', true, 1, 3, '2 s', true, '9 s', '7 s', 'morgue', 12, 'short', 'tenant', NULL, '4 s', '5 days', '6 days', '8 days', '10 s',
        true, 13, 14, 15, '16 s', 17, '18 s', 19, '{"E": "dead"}'
    );
    UPDATE arvo.queue SET paused_at = '2030-01-01Z' WHERE name = 'a';
END; $$;
SELECT is(
    (SELECT to_jsonb(arvo.shown(named, 'created')) - 'queue' - 'change' FROM arvo.queue AS named WHERE name = 'a'),
    (SELECT to_jsonb(named) - '{queue,name,created_at,changed_at,paused_by,drained_to,gated,slotted,guarded}'::text[] FROM arvo.queue AS named
     WHERE name = 'a'),
    'every option, each under its own name'
);
SELECT results_eq(
    $$ SELECT shown.queue, shown.change FROM arvo.queue AS named, LATERAL arvo.shown(named, 'created') AS shown WHERE named.name = 'a' $$,
    $$ VALUES ('a', 'created') $$, 'with the name, and what was done'
);

SELECT * FROM finish();
ROLLBACK;
