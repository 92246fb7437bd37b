-- arvo.sweep_locks(limit): contract, stories.
BEGIN;
SELECT plan(11);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.sweep_locks(integer)',
    'integer', 'sql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.acquire_lock('s' || number, '10 seconds') FROM generate_series(1, 3) AS number;
    PERFORM arvo_v1.acquire_lock('longer', '20 seconds');
END;
$$;
SET arvo.frozen_clock = '2030-01-01T01:00:09.999999Z';

SELECT is(arvo.sweep_locks(9), 0, 'a lapsed lock is left alone for an hour');
SET arvo.frozen_clock = '2030-01-01T01:00:10Z';

SELECT is(arvo.sweep_locks(2), 2, 'then it is removed; no more than asked for');
SELECT is(arvo.sweep_locks(9), 1, 'the rest');
SELECT results_eq('SELECT subject FROM arvo.state_lock', $$ VALUES ('longer') $$, 'one that lapsed later stays');

SELECT * FROM finish();
ROLLBACK;
