-- arvo.note_start(): contract, stories.
BEGIN;
SELECT plan(13);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.note_start()',
    'void', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT system_identifier AS here FROM pg_control_system() \gset
CREATE FUNCTION pg_temp.noted() RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', started_at = pg_postmaster_start_time(), system_identifier), ', ' ORDER BY started_at)
    FROM arvo.server_start
$$;
DELETE FROM arvo.server_start;
SELECT arvo.note_start() \gset
SELECT is(pg_temp.noted(), 't ' || :'here', 'this start is this cluster');
SELECT arvo.note_start() \gset
SELECT is(pg_temp.noted(), 't ' || :'here', 'it is noted once');
UPDATE arvo.server_start SET started_at = started_at - interval '1 microsecond', system_identifier = 1;
SELECT is(pg_temp.raised('SELECT arvo.require_home()'), 'nothing', 'what is noted of another start says nothing of this one');
SELECT arvo.note_start() \gset
SELECT is(pg_temp.noted(), 'f 1, t ' || :'here', 'a start later');
SELECT is(arvo.sweep_notes(10) || ': ' || pg_temp.noted(), '1: t ' || :'here', 'what is noted of others is swept');
DELETE FROM arvo.server_start;
DO $$ BEGIN PERFORM arvo_v1.register_queue('q'); END; $$;
SELECT is(pg_temp.noted(), 't ' || :'here', 'who registers a queue notes it');

SELECT * FROM finish();
ROLLBACK;
