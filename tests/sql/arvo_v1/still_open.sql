-- arvo_v1.still_open(transactions): contract, stories. With others: tests/sql/isolation/specs/doze_vs_dispatch.spec.
BEGIN;
SELECT plan(11);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.still_open(bigint[])',
    'SETOF bigint', 'sql', 'volatile', true,
    'arvo_worker'
);

-- stories ---------------------------------------------------------------------------------------

CREATE TABLE pg_temp.noted AS SELECT pg_current_xact_id()::text::bigint AS xid;
SELECT results_eq(
    'SELECT arvo_v1.still_open(ARRAY[3, (SELECT xid FROM pg_temp.noted)])',
    'SELECT xid FROM pg_temp.noted', 'of an old one and this one, this one is'
);
COMMIT AND CHAIN;
SELECT is_empty(
    'SELECT arvo_v1.still_open(ARRAY[(SELECT xid FROM pg_temp.noted)])', 'until it has ended'
);
SELECT is_empty($$ SELECT arvo_v1.still_open('{}') $$, 'of none, none');
SELECT is_empty($$ SELECT arvo_v1.still_open(NULL) $$, 'nor without an array');

SELECT * FROM finish();
ROLLBACK;
