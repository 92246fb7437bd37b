-- arvo_v1.operations(queue, since, limit): contract, stories.
BEGIN;
SELECT plan(14);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.operations(text,timestamp with time zone,integer)',
    'SETOF arvo_v1.operation', 'sql', 'stable', true,
    'arvo_monitor, arvo_operator'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT is_empty('SELECT FROM arvo_v1.operations()', 'nobody has done anything');
DO $$ BEGIN PERFORM arvo_v1.register_queue('a'); PERFORM arvo_v1.register_queue('b'); PERFORM arvo_v1.pause_queue('a'); END; $$;
SET arvo.frozen_clock = '2030-01-01T00:01:00Z';
DO $$ BEGIN PERFORM arvo_v1.purge_queue('b', 7); PERFORM arvo_v1.resume_queue('a'); END; $$;
SELECT results_eq(
    'SELECT at, by = session_user, verb, queue, details, touched FROM arvo_v1.operations()',
    $$ VALUES (timestamptz '2030-01-01T00:01Z', true, 'resume_queue', 'a', '{}'::jsonb, 1::bigint),
              ('2030-01-01T00:01Z', true, 'purge_queue', 'b', '{"limit": 7}', 0),
              ('2030-01-01T00:00Z', true, 'pause_queue', 'a', '{}', 1) $$, 'who did what, the newest first'
);
SELECT results_eq($$ SELECT verb FROM arvo_v1.operations('a') $$, '{resume_queue,pause_queue}'::text[], 'to one queue');
SELECT results_eq($$ SELECT verb FROM arvo_v1.operations(p_since => '2030-01-01T00:01Z') $$, '{resume_queue,purge_queue}'::text[], 'since a time');
SELECT results_eq($$ SELECT verb FROM arvo_v1.operations(p_limit => 1) $$, '{resume_queue}'::text[], 'so many');
SELECT is_empty('SELECT FROM arvo_v1.operations(p_limit => -2147483648)', 'less than none are none');
SELECT ok((SELECT bool_and(later.number > earlier.number) FROM arvo_v1.operations('a', p_limit => 1) AS later CROSS JOIN arvo_v1.operations('b') AS earlier), 'they are numbered');

SELECT * FROM finish();
ROLLBACK;
