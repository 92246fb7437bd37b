-- arvo.event_fault(event): contract, stories, one refusal for each rule.
BEGIN;
SELECT plan(134);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.event_fault(jsonb)',
    'text', 'plpgsql', 'immutable', false,
    'nobody'
);

CREATE FUNCTION pg_temp.fault(p_more jsonb, p_without text DEFAULT NULL) RETURNS text
LANGUAGE sql AS $$
    SELECT arvo.event_fault(CASE
        WHEN p_without IS NULL THEN pg_temp.event('1', 'com.test.sink', p_more)
        ELSE pg_temp.event('1', 'com.test.sink', p_more) - p_without
    END)
$$;

-- stories ---------------------------------------------------------------------------------------

SELECT is(pg_temp.fault('{}'), NULL, 'a plain event breaks no rule');
SELECT is(
    pg_temp.fault(
        '{"specversion": "1.0", "datacontenttype": "application/cloudevents+json;charset=UTF-8",
          "time": "2030-01-01T00:00:00.000Z", "dataschema": "com.test/1.0.0", "domain": "human.review",
          "redirectto": "com.test.other", "accesscontrol": "role:admin", "parentid": "0",
          "executionunits": 1.5, "traceparent": "00-1-2-01", "tracestate": "a=b"}'
    ),
    NULL, 'every field of an Arvo event may be given'
);
SELECT is(
    pg_temp.fault(
        '{"to": null, "domain": null, "redirectto": null, "accesscontrol": null, "parentid": null,
          "executionunits": null, "traceparent": null, "tracestate": null, "dataschema": null}'
    ),
    NULL, 'those that may be null may be null'
);
SELECT is(pg_temp.fault('{}', 'to'), NULL, 'without "to", the type names the queue');
SELECT is(
    pg_temp.fault('{"text1": "x", "2": 2, "flag": true, "none": null}'), NULL,
    'extensions are texts, numbers, booleans or null'
);
SELECT is(
    pg_temp.fault(jsonb_build_object('subject', repeat('ü', 20000))), NULL,
    'a subject may be longer than 10,000 characters'
);
SELECT is(pg_temp.fault(jsonb_build_object('domain', repeat('d', 400))), NULL, 'a domain of 400');
SELECT is(pg_temp.fault(jsonb_build_object('to', repeat('q', 512))), NULL, 'a queue of 512');

-- The size of an event is that of its text as PostgreSQL prints it.
SELECT is(
    pg_temp.fault(jsonb_build_object(
        'data', jsonb_build_object('a', repeat(
            'x', 1048576 - octet_length(pg_temp.event('1', 'com.test.sink', '{"data": {"a": ""}}')::text)
        ))
    )),
    NULL, 'exactly 1,048,576 bytes are not too large'
);

-- refusals --------------------------------------------------------------------------------------

SELECT is(arvo.event_fault(NULL), 'event: must be a JSON object', 'nothing');
SELECT is(arvo.event_fault('null'), 'event: must be a JSON object', 'null');
SELECT is(arvo.event_fault('[]'), 'event: must be a JSON object', 'an array');
SELECT is(arvo.event_fault('"x"'), 'event: must be a JSON object', 'a text');
SELECT is(
    pg_temp.fault(jsonb_build_object(
        'data', jsonb_build_object('a', repeat(
            'x', 1048577 - octet_length(pg_temp.event('1', 'com.test.sink', '{"data": {"a": ""}}')::text)
        ))
    )),
    'event: must not be larger than 1048576 bytes', 'one byte more'
);
SELECT is(
    pg_temp.fault(format('{"data": {"a": [%s]}}', trim(repeat('1e131071,', 9), ','))::jsonb),
    'event: must not be larger than 1048576 bytes',
    'a few bytes of JSON that PostgreSQL prints as more than a mebibyte of digits'
);
-- What Python cannot read would stop the claim that hands it out, with all that it has leased.
SELECT is(
    pg_temp.fault(format('{"data": {"n": [1%s]}}', repeat('0', 3999))::jsonb), NULL,
    'a number of 4000 digits is let in'
);
SELECT is(
    pg_temp.fault(format('{"data": {"n": [%s1%s]}}', given.sign, repeat('0', 4000))::jsonb),
    'event: must not have numbers of more than 4000 digits',
    'one digit more is not' || given.sign
)
FROM unnest('{"",-}'::text[]) AS given (sign);
SELECT is(
    pg_temp.fault('{"executionunits": 1e131071}'),
    'event: must not have numbers of more than 4000 digits', 'nor is a short text of a long number'
);
SELECT is(
    pg_temp.fault(format('{"data": {"n": %s%s}}', repeat('[', 511), repeat(']', 511))::jsonb), NULL,
    'values may be nested 512 deep'
);
SELECT is(
    pg_temp.fault(format('{"data": {"n": %s%s}}', repeat('[', given.depth), repeat(']', given.depth))::jsonb),
    'event: must not be nested deeper than 512 levels', 'no deeper: ' || given.depth
)
FROM unnest('{512,4000}'::integer[]) AS given (depth);
CREATE TEMPORARY TABLE outbox (event jsonb);
INSERT INTO outbox
VALUES (pg_temp.event('1', 'com.test.sink', jsonb_build_object(
    'data', jsonb_build_object('a', repeat('x', 2000000))
)));
SELECT is(
    (SELECT arvo.event_fault(outbox.event) FROM outbox),
    'event: must not be larger than 1048576 bytes',
    'also when it comes compressed out of a table'
);

SELECT is(
    array_agg(pg_temp.fault('{}', field.name) ORDER BY field.name),
    ARRAY['data: is missing', 'id: is missing', 'source: is missing', 'subject: is missing', 'type: is missing'],
    'five fields may not be left out'
)
FROM unnest(ARRAY['id', 'source', 'type', 'subject', 'data']) AS field (name);
SELECT is(
    pg_temp.fault(jsonb_build_object(field.name, value.given)),
    field.name || ': must be a text that is not empty',
    field.name || ' may not be ' || value.given
)
FROM unnest(ARRAY['id', 'source', 'subject', 'type', 'specversion', 'datacontenttype', 'time'])
    AS field (name)
CROSS JOIN unnest(ARRAY['""', '7', 'null', '{}']::jsonb[]) AS value (given);
SELECT is(
    pg_temp.fault(jsonb_build_object(field.name, value.given)),
    field.name || ': must be a text that is not empty, or null',
    field.name || ' may not be ' || value.given
)
FROM unnest(ARRAY[
    'to', 'domain', 'redirectto', 'accesscontrol', 'parentid', 'dataschema', 'traceparent', 'tracestate'
]) AS field (name)
CROSS JOIN unnest(ARRAY['""', '7', '{}']::jsonb[]) AS value (given);
SELECT is(
    pg_temp.fault(format('{"data": {"a": [%s]}}', trim(repeat('1e131071,', 100000), ','))::jsonb),
    'event: must not be larger than 1048576 bytes',
    'a mebibyte of JSON that would print as twelve gigabytes'
);

-- One that has every attribute, as ArvoEvent writes it, is let in by the first look: whatever is wrong with it
-- must not pass there. Every attribute is given every kind of value.
CREATE FUNCTION pg_temp.whole() RETURNS jsonb
LANGUAGE sql AS $$
    SELECT pg_temp.event('1', 'com.test.sink', '{
        "specversion": "1.0", "datacontenttype": "application/json", "dataschema": null, "accesscontrol": null,
        "redirectto": null, "executionunits": null, "traceparent": null, "tracestate": null, "parentid": null,
        "domain": null
    }')
$$;
SELECT is(arvo.event_fault(pg_temp.whole()), NULL, 'an event with every attribute');
CREATE TEMPORARY TABLE told AS
SELECT
    base.event IS NULL AS brief,
    field.name,
    value.given,
    arvo.event_fault(coalesce(base.event, pg_temp.event('1', 'com.test.sink')) || jsonb_build_object(field.name, value.given)) AS fault
FROM jsonb_object_keys(pg_temp.whole()) AS field (name)
CROSS JOIN unnest(ARRAY[pg_temp.whole(), NULL]) AS base (event)
CROSS JOIN unnest(ARRAY[
    '""', '"x"', '"com.test.event"', '"1.0"', '"2030-01-01T00:00:00.000+00:00"', '7', '1.0', 'true', 'null', '{}', '[]',
    '["x"]', '["com.test.event"]', '[1]', '[{}]', '[null]', '{"a": 1}', '"\n"', '"com.test.event\n"', '"a*"', '"ü"'
]::jsonb[]) AS value (given);
-- What is allowed, said once more in another way.
SELECT set_eq(
    $$ SELECT brief, name, given FROM told WHERE fault IS NULL $$,
    $$ SELECT told.brief, told.name, told.given
       FROM told
       CROSS JOIN LATERAL (SELECT told.given #>> '{}' AS text, jsonb_typeof(told.given) AS type) AS the
       WHERE CASE
           WHEN name = 'data' THEN type = 'object'
           WHEN name = 'executionunits' THEN type IN ('number', 'null')
           WHEN name = 'specversion' THEN given = '"1.0"'
           WHEN name = 'type' THEN given = '"com.test.event"'
           WHEN name = 'time' THEN given = '"2030-01-01T00:00:00.000+00:00"'
           WHEN name = 'domain' THEN type = 'null' OR type = 'string' AND text ~ '^[a-z0-9.]+$'
           WHEN name = 'to' THEN type = 'null' OR type = 'string' AND text ~ '^[a-zA-Z0-9.:+-]+$'
           WHEN name IN ('id', 'source', 'subject', 'datacontenttype') THEN type = 'string' AND text <> ''
           ELSE type = 'null' OR type = 'string' AND text <> ''
       END $$,
    'of every kind of value in every attribute, the allowed ones pass, whatever else is there'
);
SELECT is(
    array_agg(arvo.event_fault(pg_temp.whole() || more.given)),
    ARRAY['to: must be at most 512 characters of a URI, without quotes', 'domain: must be lower-case letters, digits and dots, at most 400',
          'to: must be at most 512 characters of a URI, without quotes',
          '"camelCase": names of extensions are lower-case letters and digits'],
    'what is too long, and a name that is none'
)
FROM (VALUES (1, jsonb_build_object('to', repeat('q', 513))), (2, jsonb_build_object('domain', repeat('d', 401))),
             (3, jsonb_build_object('to', NULL, 'type', 'a.b.' || repeat('c', 509))), (4, '{"camelCase": null}')) AS more (ordinal, given);

SELECT is(pg_temp.fault('{"data": []}'), 'data: must be a JSON object', 'data: an array');
SELECT is(pg_temp.fault('{"data": null}'), 'data: must be a JSON object', 'data: null');
SELECT is(
    pg_temp.fault('{"executionunits": "1"}'), 'executionunits: must be a number or null',
    'execution units as a text'
);
SELECT is(
    pg_temp.fault('{"camelCase": 1}'),
    '"camelCase": names of extensions are lower-case letters and digits',
    'an extension with a capital letter'
);
SELECT is(
    pg_temp.fault(jsonb_build_object(E'a\nFORGED', 1)),
    '"a\nFORGED": names of extensions are lower-case letters and digits',
    'what is no name is quoted, so that it forges no line of a log'
);
SELECT is(
    pg_temp.fault(jsonb_build_object(repeat('A', 500), 1)),
    '"' || repeat('A', 79) || ': names of extensions are lower-case letters and digits',
    'and cut'
);
SELECT is(
    pg_temp.fault('{"extension": {"a": 1}}'),
    'extension: extensions are texts, numbers, booleans or null', 'an extension as an object'
);
SELECT is(
    pg_temp.fault('{"extension": 1e4000}'),
    'event: must not have numbers of more than 4000 digits', 'an extension of many digits'
);
SELECT is(
    pg_temp.fault('{"extension": []}'),
    'extension: extensions are texts, numbers, booleans or null', 'an extension as an array'
);
SELECT is(pg_temp.fault('{"specversion": "0.3"}'), 'specversion: must be 1.0', 'another specversion');
SELECT is(
    pg_temp.fault(jsonb_build_object('time', given.time)),
    CASE WHEN NOT given.valid THEN 'time: must be an ISO 8601 time with its offset from UTC' END,
    'time ' || to_json(given.time)
)
FROM (VALUES ('2030-01-01T00:00Z', true), ('2030-01-01T00:00:00.123456+05:30', true),
             ('2030-01-01T00:00:00.123Z', true), ('2030-01-01T00:00:00.123-0530', true),
             ('2030-01-01T00:00:00.1-05:30', true), ('2030-01-01T00:00:00.12Z0+00:00', false),
             ('2030-01-01T00:00:00.+00:00', false), ('2030-01-01T00:00:00.Z', false),
             ('2030-01-01T00:00:00.1+0:000', false), ('2030-01-01T00:00:00.1+00:00Z', false),
             ('20300-1-01T00:00:00.1+00:00', false), ('2030-01-01T00:00:00.1٣+00:00', false),
             ('2030-01-01T00:00:00.1+00:0٣', false), (E'2030-01-01T00:00:00.1Z\n', false),
             (E'2030-01-01T00:00:00.1\nZ', false), ('2030-01-01 00:00:00.1Z', false),
             ('2030-01-01T00:00:00', false), ('2030-01-01', false), ('yesterday', false)) AS given (time, valid);
SELECT is(
    pg_temp.fault(jsonb_build_object('type', given.type)),
    'type: must be three or more dotted segments of lower-case letters and digits',
    'type ' || to_json(given.type)
)
FROM unnest(ARRAY['com.test', 'Com.test.event', 'com..event', 'com.test.', 'com.test.a-b', E'com.test.event\n'])
    AS given (type);
SELECT is(
    pg_temp.fault(jsonb_build_object('domain', given.domain)),
    'domain: must be lower-case letters, digits and dots, at most 400',
    'domain ' || left(to_json(given.domain)::text, 40)
)
FROM unnest(ARRAY['Human', 'a b', 'a-b', 'a*', repeat('d', 401)]) AS given (domain);
SELECT is(
    pg_temp.fault(jsonb_build_object('to', given.queue)),
    'to: must be at most 512 characters of a URI, without quotes',
    'to ' || left(to_json(given.queue)::text, 40)
)
FROM unnest(ARRAY['a b', 'a*', 'a''b', 'a"b', E'a\nb', 'ü', repeat('q', 513)]) AS given (queue);

SELECT * FROM finish();
ROLLBACK;
