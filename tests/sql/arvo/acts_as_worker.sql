-- arvo.acts_as_worker: contract, stories.
BEGIN;
SELECT plan(13);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.acts_as_worker()',
    'boolean', 'sql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

-- Helpers are called as other roles than their owner's, which may do everything.
GRANT USAGE ON SCHEMA arvo TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA arvo TO PUBLIC;
CREATE ROLE arvo_test_acts_worker NOLOGIN IN ROLE arvo_worker;
CREATE ROLE arvo_test_acts_operator NOLOGIN IN ROLE arvo_operator;
CREATE ROLE arvo_test_acts_both NOLOGIN IN ROLE arvo_worker, arvo_operator;
CREATE ROLE arvo_test_acts_neither NOLOGIN;
CREATE ROLE arvo_test_acts_owner NOLOGIN IN ROLE arvo_owner, arvo_operator;
SELECT is(pg_temp.as_role(given.role, 'SELECT arvo.acts_as_worker()'), given.answer, given.role)
FROM (
    VALUES
    ('arvo_test_acts_worker', 'true'), ('arvo_test_acts_operator', 'false'), ('arvo_test_acts_both', 'false'),
    ('arvo_test_acts_neither', 'false'), ('arvo_test_acts_owner', 'true')
) AS given (role, answer);
SELECT ok(arvo.acts_as_worker(), 'superusers count as workers');

SELECT * FROM finish();
ROLLBACK;
