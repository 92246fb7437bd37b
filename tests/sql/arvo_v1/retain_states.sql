-- arvo_v1.retain_states(source, age): contract, stories, refusals.
BEGIN;
SELECT plan(21);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.retain_states(text, interval)',
    'SETOF arvo_v1.state_retention', 'plpgsql', 'volatile', true,
    'arvo_operator, arvo_worker'
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT results_eq(
    $$ SELECT * FROM arvo_v1.retain_states('com.flow', '7 days') $$,
    $$ VALUES ('com.flow', interval '7 days', timestamptz '2030-01-01 00:00:00Z', session_user::text COLLATE "default") $$,
    'a rule for one handler'
);
SET LOCAL arvo.frozen_clock = '2030-01-02T00:00:00Z';
SELECT results_eq(
    $$ SELECT source, age FROM arvo_v1.retain_states(NULL, '30 days') $$,
    $$ VALUES (NULL, interval '30 days'), ('com.flow', interval '7 days') $$, 'a rule for all others'
);
SELECT results_eq(
    $$ SELECT changed_at FROM arvo_v1.retain_states('com.flow', '7 days') WHERE source = 'com.flow' $$,
    $$ VALUES (timestamptz '2030-01-01 00:00:00Z') $$, 'the same again changes nothing'
);
SELECT results_eq(
    $$ SELECT age FROM arvo_v1.retain_states('com.flow', '8 days') WHERE source = 'com.flow' $$,
    $$ VALUES (interval '8 days') $$, 'another age is the rule from now on'
);
SELECT results_eq(
    $$ SELECT source FROM arvo_v1.retain_states('com.flow') $$, $$ VALUES (NULL::text) $$, 'a rule is removed'
);
SELECT is_empty($$ SELECT * FROM arvo_v1.retain_states() $$, 'so is that for all others');

-- the audit: of operators, not of workers, which say it whenever they start
CREATE ROLE arvo_test_operator IN ROLE arvo_operator;
CREATE ROLE arvo_test_worker IN ROLE arvo_worker;
SELECT is(
    pg_temp.as_role('arvo_test_worker', $$ SELECT count(*) FROM arvo_v1.retain_states('com.a', '1 day') $$), '1', 'a worker may'
);
SELECT is(
    pg_temp.as_role('arvo_test_operator', $$ SELECT count(*) FROM arvo_v1.retain_states('com.a', '2 days') AS one, arvo_v1.retain_states('com.a', '2 days') AS two $$),
    '1', 'so may an operator'
);
SELECT results_eq(
    $$ SELECT details, touched FROM arvo.operation WHERE verb = 'retain_states' $$,
    $$ VALUES ('{"source": "com.a", "age": "2 days"}'::jsonb, 1::bigint) $$, 'what an operator changed is in the audit, once'
);

CREATE ROLE arvo_test_both IN ROLE arvo_operator, arvo_worker;
SELECT is(
    pg_temp.as_role('arvo_test_both', $$ SELECT count(*) FROM arvo_v1.retain_states('com.a', '3 days') $$), '1', 'so may who is both'
);
SELECT results_eq(
    $$ SELECT role, details ->> 'age' FROM arvo.operation WHERE verb = 'retain_states' ORDER BY number DESC LIMIT 1 $$,
    $$ VALUES ('arvo_test_both', '3 days') $$, 'who is in the audit, too'
);

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.retain_states('', '1 day') $$),
    'RV006 | argument is not valid | source | age: 1 day', 'a handler has a name'
);
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.retain_states('a', '59.999999 seconds') $$),
    'RV006 | argument is not valid | age | age: 00:00:59.999999', 'a minute at least'
);
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.retain_states('a', '3651 days') $$),
    'RV006 | argument is not valid | age | age: 3651 days', 'ten years at most'
);

SELECT * FROM finish();
ROLLBACK;
