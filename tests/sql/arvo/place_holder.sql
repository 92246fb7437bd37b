-- arvo.place_holder(queue, kind, key): contract, stories.
BEGIN;
SELECT plan(11);
\ir ../given.psql

SELECT * FROM pg_temp.contract(
    'arvo.place_holder(integer, text, bigint)', 'bigint', 'sql', 'stable', false, 'nobody',
    ARRAY['search_path=pg_catalog, pg_temp', 'enable_seqscan=off']
);

SELECT is(arvo.place_holder(1, 'any', 7), NULL, 'nobody has it');
SELECT arvo.take_place(1, 'any', 7, 41);
SELECT is(arvo.place_holder(1, 'any', 7), 41::bigint, 'who took it has it');
SELECT is(arvo.place_holder(1, 'queued', 7), NULL, 'another kind is another place');
SELECT arvo.free_places(1, 'any', '{7}', '{41}');
SELECT is(arvo.place_holder(1, 'any', 7), NULL, 'and nobody, once it is free again');

SELECT * FROM finish();
ROLLBACK;
