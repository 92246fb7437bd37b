-- arvo.first_known(first, deliveries, known): contract, a table of cases.
BEGIN;
SELECT plan(11);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.first_known(bigint[],bigint[],bigint[])',
    'bigint[]', 'sql', 'immutable', false,
    'nobody'
);

-- cases -----------------------------------------------------------------------------------------

SELECT is(arvo.first_known(NULL, '{5,6}', NULL), '{NULL,NULL}', 'nothing was found');
SELECT is(arvo.first_known('{NULL,NULL}', '{5,6}', '{3,NULL}'), '{3,NULL}', 'one was found');
SELECT is(arvo.first_known('{1,NULL}', '{5,6}', '{3,4}'), '{1,4}', 'what was found before counts');
SELECT is(arvo.first_known(NULL, '{5,6,7}', '{5,0,5}'), '{NULL,NULL,5}', 'itself, or another event''s key, is nothing');

SELECT * FROM finish();
ROLLBACK;
