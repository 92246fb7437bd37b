-- arvo_v1.workers(): contract, stories.
BEGIN;
SELECT plan(9);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.workers()',
    'SETOF arvo_v1.presence', 'sql', 'volatile', true,
    'arvo_monitor, arvo_operator, arvo_worker'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT is_empty('SELECT * FROM arvo_v1.workers()', 'nobody has checked in');
DO $$
BEGIN
    PERFORM arvo_v1.check_in('w', '{a}', p_details => '{"host": "h"}');
    PERFORM arvo_v1.check_in('v', '{a,b}', '1 minute');
END;
$$;
SET arvo.frozen_clock = '2030-01-01T00:00:30Z';
SELECT results_eq(
    'SELECT * FROM arvo_v1.workers()',
    $$ VALUES ('v', true, '{a,b}'::text[], '{}'::jsonb, timestamptz '2030-01-01T00:00:00Z', timestamptz '2030-01-01T00:00:00Z'),
              ('w', false, '{a}', '{"host": "h"}', '2030-01-01T00:00:00Z', '2030-01-01T00:00:00Z') $$,
    'one lives, the other was silent for three rhythms'
);

SELECT * FROM finish();
ROLLBACK;
