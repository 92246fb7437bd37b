-- arvo.require_read_committed(function): contract, stories, refusals.
BEGIN;
SELECT plan(10);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.require_read_committed(text)',
    'void', 'plpgsql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised($$ SELECT arvo.require_read_committed('claim') $$), 'nothing',
    'READ COMMITTED is good'
);

-- refusals --------------------------------------------------------------------------------------

COMMIT AND CHAIN;
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SELECT is(
    pg_temp.raised($$ SELECT arvo.require_read_committed('claim') $$),
    'RV005 | transaction isolation level must be read committed | claim was called under repeatable read.',
    'REPEATABLE READ is refused'
);
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT is(
    pg_temp.raised($$ SELECT arvo.require_read_committed('settle') $$),
    'RV005 | transaction isolation level must be read committed | settle was called under serializable.',
    'so is SERIALIZABLE'
);

SELECT * FROM finish();
ROLLBACK;
