-- arvo.is_queue_name(name): contract, stories, refusals.
BEGIN;
SELECT plan(38);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.is_queue_name(text)',
    'boolean', 'sql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT ok(arvo.is_queue_name('com.test.sink'), 'a dotted name');
SELECT ok(arvo.is_queue_name('https://a.example/b?c=d&e#f'), 'a URI');
SELECT ok(arvo.is_queue_name('.-_~:/?#@!$&()+,;=%'), 'every mark that a URI may have');
SELECT ok(arvo.is_queue_name('q'), 'one character');
SELECT ok(arvo.is_queue_name(repeat('q', 512)), '512 characters');

-- refusals --------------------------------------------------------------------------------------

SELECT is(arvo.is_queue_name(repeat('q', 513)), false, '513 characters');
SELECT is(arvo.is_queue_name(''), false, 'no character');
SELECT is(arvo.is_queue_name(NULL), false, 'nothing');
SELECT is(arvo.is_queue_name(given.name), false, to_json(given.name)::text)
FROM unnest(ARRAY[
    'a b', ' a', 'a ', E'a\tb', E'a\n', E'\na', 'a''b', 'a"b', 'a`b', 'a\b', 'a*', '*', 'a|b', 'a<b', 'a>b',
    'a{b', 'a}b', 'a[b', 'a]b', 'a^b', 'ü', 'a' || chr(160) || 'b', 'a' || chr(127)
]) AS given (name);

SELECT * FROM finish();
ROLLBACK;
