-- arvo_v1.check_out(worker): contract, stories.
BEGIN;
SELECT plan(11);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.check_out(text)',
    'boolean', 'plpgsql', 'volatile', true,
    'arvo_worker'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$ BEGIN PERFORM arvo_v1.check_in('w', '{a}'); PERFORM arvo_v1.check_in('v', '{a}'); END; $$;
INSERT INTO arvo.registration (queue, worker, options, at) VALUES ('a', 'w', '{}', arvo.clock()), ('a', 'v', '{}', arvo.clock());
SELECT is(arvo_v1.check_out('w'), true, 'it was known');
SELECT is((SELECT string_agg(worker, ', ') FROM arvo.worker), 'v', 'it has left');
SELECT is((SELECT string_agg(worker, ', ') FROM arvo.registration), 'v', 'and wants nothing any more');
SELECT is(arvo_v1.check_out('w'), false, 'a second time it is not');

SELECT * FROM finish();
ROLLBACK;
