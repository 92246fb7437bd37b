-- arvo.let_in(events): contract, stories, nothing that arvo.event_fault refuses.
BEGIN;
SELECT plan(36);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.let_in(jsonb[])',
    'boolean', 'plpgsql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

-- One that has every attribute, most of them without a value, as ArvoEvent writes it.
CREATE FUNCTION pg_temp.whole(p_more jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE sql AS $$
    SELECT pg_temp.event('1', 'com.test.sink', '{
        "specversion": "1.0", "datacontenttype": "application/json", "dataschema": null, "accesscontrol": null,
        "redirectto": null, "executionunits": null, "traceparent": null, "tracestate": null, "parentid": null,
        "domain": null
    }') || p_more
$$;

SELECT is(
    arvo.let_in(array_fill(given.event, ARRAY[20])), true, given.what
)
FROM (VALUES
    ('plain ones', pg_temp.event('1', 'com.test.sink')),
    ('with all attributes', pg_temp.whole()),
    ('with values in them', pg_temp.whole(
        '{"domain": "human.review", "parentid": "0", "dataschema": "com.test/1.0.0", "redirectto": "com.test.other",
          "tracestate": "a=b", "traceparent": "00-1-2-01", "accesscontrol": "role:admin", "executionunits": 1.5}'
    )),
    ('with some of them', pg_temp.event('1', 'com.test.sink', '{"parentid": "0", "domain": null}')),
    ('with a time as JavaScript writes it', pg_temp.event('1', 'com.test.sink', '{"time": "2030-01-01T00:00:00.123Z"}')),
    ('without a time', pg_temp.event('1', 'com.test.sink') - 'time'),
    ('without a destination', pg_temp.event('1', 'com.test.sink') - 'to'),
    ('with none', pg_temp.whole('{"to": null}')),
    ('with an extension', pg_temp.event('1', 'q', '{"tenant": "acme"}')),
    ('with extensions of every kind', pg_temp.whole('{"a": "", "b1": "ü {}[],:", "c": -1.5e3, "d": true, "e": false, "2": null}'))
) AS given (what, event);
SELECT is(
    arvo.let_in(ARRAY[pg_temp.whole(), pg_temp.event('1', 'q') - 'time', pg_temp.event('2', 'q') - 'to', pg_temp.whole('{"domain": "a"}')]),
    true, 'different ones side by side'
);

-- What it lets in breaks no rule: every kind of value in every attribute, and attributes left out.
CREATE TEMPORARY TABLE told AS
SELECT
    changed.event,
    arvo.let_in(ARRAY[changed.event]) AS let_in,
    arvo.event_fault(changed.event) AS fault
FROM jsonb_object_keys(pg_temp.whole('{"camelCase": 1, "extension": 1, "2": 1}')) AS field (name)
CROSS JOIN unnest(ARRAY[pg_temp.whole(), pg_temp.event('1', 'com.test.sink')]) AS base (event)
CROSS JOIN unnest(ARRAY[
    '""', '"x"', '"com.test.event"', '"1.0"', '"2030-01-01T00:00:00.000+00:00"', '7', '1.0', 'true', 'null', '{}', '[]',
    '["x"]', '["com.test.event"]', '[1]', '[{}]', '[null]', '{"a": 1}', '"\n"', '"com.test.event\n"', '"a*"', '"ü"'
]::jsonb[]) AS value (given)
CROSS JOIN LATERAL (
    SELECT base.event || jsonb_build_object(field.name, value.given) AS event
    UNION ALL
    SELECT base.event - field.name
) AS changed;
SELECT is_empty(
    'SELECT event, fault FROM told WHERE let_in IS NOT FALSE AND fault IS NOT NULL', 'it lets in nothing that breaks a rule'
);
SELECT is_empty('SELECT event FROM told WHERE let_in IS NULL', 'and always knows');
SELECT cmp_ok((SELECT count(*) FROM told WHERE let_in), '>', 100::bigint, 'it lets in what does not');

-- refusals --------------------------------------------------------------------------------------

SELECT is(arvo.let_in(ARRAY[pg_temp.event('1', 'q'), given.event]), false, given.what)
FROM (VALUES
    ('no object'::text, 'null'::jsonb),
    ('an array of events', jsonb_build_array(pg_temp.event('1', 'q'))),
    ('an extension whose name is not in lower case', pg_temp.event('1', 'q', '{"camelCase": 1}')),
    ('one without a name', pg_temp.event('1', 'q', '{"": 1}')),
    ('one whose name holds an end of line', pg_temp.event('1', 'q', '{"a\n": 1}')),
    ('an extension that is an object', pg_temp.event('1', 'q', '{"a": 1, "mine": {}}')),
    ('an extension that is an array', pg_temp.event('1', 'q', '{"mine": ["a"]}')),
    ('an extension of many digits', pg_temp.event('1', 'q', '{"mine": 1e4000}')),
    ('more than 4096 bytes', pg_temp.event('1', 'q', jsonb_build_object('data', jsonb_build_object('a', repeat('x', 4096))))),
    ('a number of many digits', pg_temp.event('1', 'q', '{"data": {"n": 1e4000}}')),
    ('execution units of many digits', pg_temp.event('1', 'q', '{"executionunits": 1e4000}')),
    ('a long name of a queue', pg_temp.event('1', repeat('q', 513))),
    ('a long domain', pg_temp.event('1', 'q', jsonb_build_object('domain', repeat('d', 401))))
) AS given (what, event);
-- Lines of one event are no lines of another.
SELECT is(
    arvo.let_in(ARRAY[
        pg_temp.event('1', E'x\n\n2030-01-01T00:00:00.000Z\ncom.test.event\ny'), pg_temp.event('2', 'q') - 'type'
    ]),
    false, 'a destination of several lines beside an event that has none'
);
SELECT is(
    arvo.let_in(ARRAY[
        pg_temp.event('1', 'q', '{"time": "2030-01-01T00:00:00.000Z\ncom.test.event\nq\n\n2030-01-01T00:00:00.000Z"}')
    ]),
    false, 'a time of several lines'
);

SELECT * FROM finish();
ROLLBACK;
