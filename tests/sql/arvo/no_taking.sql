-- arvo.no_taking(ready_from): contract, a story.
BEGIN;
SELECT plan(9);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.no_taking(bigint)',
    'arvo.taking', 'sql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(
    arvo.no_taking(41), ROW('{}', '{}', '{}', '{}', 0, 41)::arvo.taking, 'nothing, and where to go on reading'
);
SELECT is((arvo.no_taking(NULL)).ready_from, NULL::bigint, 'which may be left open');

SELECT * FROM finish();
ROLLBACK;
