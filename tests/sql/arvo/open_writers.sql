-- arvo.open_writers(): contract, stories. With others: tests/sql/isolation/specs/doze_vs_dispatch.spec.
BEGIN;
SELECT plan(12);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.open_writers()',
    'SETOF bigint', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

COMMIT AND CHAIN;
SELECT is_empty('SELECT arvo.open_writers()', 'nobody writes');
CREATE TABLE pg_temp.elsewhere AS SELECT pg_current_xact_id() AS own;
SELECT is_empty('SELECT arvo.open_writers()', 'who writes elsewhere does not count');
SAVEPOINT within;
DO $$ BEGIN PERFORM arvo_v1.register_queue('q'); END; $$;
SELECT results_eq(
    'SELECT arvo.open_writers()', 'SELECT own::text::bigint FROM pg_temp.elsewhere',
    'who writes here does, by the number of the whole transaction'
);
ROLLBACK TO within;
SELECT is_empty('SELECT arvo.open_writers()', 'what was undone is not waited for');
DO $$ BEGIN PERFORM arvo_v1.register_queue('q'); END; $$;
COMMIT AND CHAIN;
SELECT is_empty('SELECT arvo.open_writers()', 'nor what has ended');

SELECT * FROM finish();
ROLLBACK;
