-- arvo.slot(): contract, stories.
BEGIN;
SELECT plan(12);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.slot()',
    'smallint', 'plpgsql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(arvo.slot(), 0::smallint, 'an installation begins with slot 0');
INSERT INTO arvo.generation (slot, opened_at) VALUES (1, '2019-01-01Z'), (2, '2020-01-01Z');
SELECT is(arvo.slot(), 2::smallint, 'the newest generation counts, by its number');
INSERT INTO arvo.generation (slot, opened_at) VALUES (3, '2019-01-01Z');
SELECT is(arvo.slot(), 3::smallint, 'not by its time');

SELECT arvo_v1.dispatch(pg_temp.event('1', 'com.test.sink')) \gset
SELECT results_eq(
    'SELECT DISTINCT tableoid::regclass::text, slot FROM arvo.log',
    $$ VALUES ('arvo.log_3', 3::smallint) $$,
    'what is written now goes into that partition'
);

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    left(pg_temp.raised($$ INSERT INTO arvo.generation (slot, opened_at) VALUES (4, now()) $$), 91),
    '23514 | new row for relation "generation" violates check constraint "generation_slot_check"',
    'there is no fifth slot, nor one out of turn'
);

SELECT * FROM finish();
ROLLBACK;
