-- arvo.is_one_of: contract, stories.
BEGIN;
SELECT plan(16);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.is_one_of(text[])',
    'boolean', 'sql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

-- Helpers are called as other roles than their owner's, which may do everything.
GRANT USAGE ON SCHEMA arvo TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA arvo TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA arvo TO PUBLIC;
CREATE ROLE arvo_test_one_team NOLOGIN;
CREATE ROLE arvo_test_one_ann NOLOGIN IN ROLE arvo_test_one_team;
CREATE ROLE arvo_test_one_bob NOLOGIN NOINHERIT IN ROLE arvo_test_one_team;
SELECT is(
    pg_temp.as_role(given.role, format('SELECT arvo.is_one_of(%L)', given.roles)), given.answer, concat_ws(' ', given.role, given.roles)
)
FROM (
    VALUES
    ('arvo_test_one_ann', '{arvo_test_one_team}', 'true'), ('arvo_test_one_ann', '{arvo_test_one_ann}', 'true'),
    ('arvo_test_one_ann', '{arvo_monitor}', 'false'), ('arvo_test_one_ann', '{}', 'false'),
    ('arvo_test_one_ann', '{"no such role",arvo_test_one_team}', 'true'), ('arvo_test_one_ann', '{public}', 'true'),
    ('arvo_test_one_bob', '{arvo_test_one_team}', 'false')
) AS given (role, roles, answer);
SELECT ok(arvo.is_one_of('{}'), 'a superuser is everybody');
GRANT arvo_owner TO arvo_test_one_ann;
SELECT is(pg_temp.as_role('arvo_test_one_ann', $$ SELECT arvo.is_one_of('{}') $$), 'true', 'and so are members of the owner');

SELECT * FROM finish();
ROLLBACK;
