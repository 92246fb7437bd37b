-- arvo.merge_patch(target, patch): contract, stories.
BEGIN;
SELECT plan(24);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.merge_patch(jsonb,jsonb)',
    'jsonb', 'plpgsql', 'immutable', false,
    'nobody'
);

-- stories: the examples of RFC 7396, appendix A ---------------------------------------------------

SELECT is(
    arvo.merge_patch(example.target::jsonb, example.patch::jsonb), example.result::jsonb,
    format('%s with %s', example.target, example.patch)
)
FROM (VALUES
    ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
    ('{"a":"b"}', '{"a":null}', '{}'),
    ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
    ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
    ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
    ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
    ('["a","b"]', '["c","d"]', '["c","d"]'),
    ('{"a":"b"}', '["c"]', '["c"]'),
    ('{"a":"foo"}', 'null', 'null'),
    ('{"a":"foo"}', '"bar"', '"bar"'),
    ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'),
    ('[1,2]', '{"a":"b","c":null}', '{"a":"b"}'),
    ('{}', '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}')
) AS example (target, patch, result);

SELECT is(arvo.merge_patch('{"a":1}', '{}'), '{"a":1}', 'an empty patch changes nothing');
SELECT is(arvo.merge_patch('{"a":1}', NULL), NULL, 'no patch, no document');

SELECT * FROM finish();
ROLLBACK;
