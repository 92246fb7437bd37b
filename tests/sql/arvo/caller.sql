-- arvo.caller: contract, stories.
BEGIN;
SELECT plan(10);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.caller()',
    'text', 'sql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

-- Helpers are called as other roles than their owner's, which may do everything.
GRANT USAGE ON SCHEMA arvo TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA arvo TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA arvo TO PUBLIC;
CREATE ROLE arvo_test_caller_team NOLOGIN;
CREATE ROLE arvo_test_caller_client NOLOGIN IN ROLE arvo_client;
SELECT is(arvo.caller(), session_user::text, 'the login role');
SELECT is(pg_temp.as_role('arvo_test_caller_team', 'SELECT arvo.caller()'), 'arvo_test_caller_team', 'or what SET ROLE has chosen');
SELECT is(
    pg_temp.as_role('arvo_test_caller_client', 'SELECT (arvo_v1.grant_queue(''q'', ''public'', ''{read}'')).changed_by'), '42501 | permission denied for function grant_queue',
    'the privilege to call is asked of the same role'
);

SELECT * FROM finish();
ROLLBACK;
