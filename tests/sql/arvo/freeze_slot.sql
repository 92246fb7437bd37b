-- arvo.freeze_slot(slot): contract, stories.
BEGIN;
SELECT plan(11);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.freeze_slot(smallint)',
    'void', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.locked() RETURNS SETOF text
LANGUAGE sql AS $$
    SELECT replace(relation::regclass::text, 'arvo.', '') FROM pg_locks
    WHERE pid = pg_backend_pid() AND mode = 'ShareLock' AND relation::regclass::text ~ '_[0-3]$' ORDER BY 1
$$;
SELECT arvo.freeze_slot(0::smallint);
SELECT results_eq('SELECT * FROM pg_temp.locked()', $$ VALUES ('closure_0'), ('lease_0'), ('log_0') $$, 'slot 0');
COMMIT AND CHAIN;
SELECT arvo.freeze_slot(1::smallint);
SELECT results_eq('SELECT * FROM pg_temp.locked()', $$ VALUES ('closure_1'), ('lease_1'), ('log_1') $$, 'slot 1');
COMMIT AND CHAIN;
SELECT arvo.freeze_slot(2::smallint);
SELECT results_eq('SELECT * FROM pg_temp.locked()', $$ VALUES ('closure_2'), ('lease_2'), ('log_2') $$, 'slot 2');
COMMIT AND CHAIN;
SELECT arvo.freeze_slot(3::smallint);
SELECT results_eq('SELECT * FROM pg_temp.locked()', $$ VALUES ('closure_3'), ('lease_3'), ('log_3') $$, 'slot 3');
COMMIT AND CHAIN;

SELECT * FROM finish();
ROLLBACK;
