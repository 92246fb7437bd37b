-- arvo.as_bigint(value): contract, stories.
BEGIN;
SELECT plan(29);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.as_bigint(jsonb)',
    'bigint', 'sql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(arvo.as_bigint('7'), 7::bigint, 'a number is itself');
SELECT is(arvo.as_bigint('"7"'), 7::bigint, 'so is a text of digits');
SELECT is(arvo.as_bigint('0'), 0::bigint, 'nought is a number');
SELECT is(arvo.as_bigint('"007"'), 7::bigint, 'leading noughts do not count');
SELECT is(arvo.as_bigint('1e3'), 1000::bigint, 'a number may be written with an exponent');
SELECT is(
    arvo.as_bigint('9223372036854775807'), 9223372036854775807, 'the greatest bigint fits'
);
SELECT is(
    arvo.as_bigint('"9223372036854775807"'), 9223372036854775807, 'also as a text of digits'
);

-- refusals --------------------------------------------------------------------------------------

SELECT is(arvo.as_bigint('9223372036854775808'), NULL, 'one more does not fit');
SELECT is(arvo.as_bigint('"9999999999999999999"'), NULL, 'nor does the greatest of 19 digits');
SELECT is(arvo.as_bigint('10000000000000000000'), NULL, 'nor 20 digits');
SELECT is(arvo.as_bigint('1e100'), NULL, 'nor a hundred');
SELECT is(arvo.as_bigint('-1'), NULL, 'a negative number is none of ours');
SELECT is(arvo.as_bigint('1.5'), NULL, 'nor is a fraction');
SELECT is(arvo.as_bigint('"1 "'), NULL, 'nor a text with a blank');
SELECT is(arvo.as_bigint(to_jsonb(E'1\n'::text)), NULL, 'nor one with a line feed');
SELECT is(arvo.as_bigint(to_jsonb('٣'::text)), NULL, 'nor digits of another script');
SELECT is(arvo.as_bigint('""'), NULL, 'nor an empty text');
SELECT is(arvo.as_bigint('true'), NULL, 'nor true');
SELECT is(arvo.as_bigint('null'), NULL, 'nor null');
SELECT is(arvo.as_bigint('[7]'), NULL, 'nor an array');
SELECT is(arvo.as_bigint('{"a": 7}'), NULL, 'nor an object');
SELECT is(arvo.as_bigint(NULL), NULL, 'and of nothing comes nothing');

SELECT * FROM finish();
ROLLBACK;
