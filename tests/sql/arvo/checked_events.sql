-- arvo.checked_events(events, ignore_domain): contract, stories, refusals.
BEGIN;
SELECT plan(22);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.checked_events(jsonb,boolean)',
    'jsonb[]', 'plpgsql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

-- So many plain events, with another in the place of one of them.
CREATE FUNCTION pg_temp.among(p_count integer, p_place integer, p_event jsonb) RETURNS jsonb
LANGUAGE sql AS $$
    SELECT jsonb_agg(
        CASE WHEN number = p_place THEN p_event ELSE pg_temp.event(number::text, 'com.test.sink') END ORDER BY number
    )
    FROM generate_series(1, p_count) AS number
$$;

SELECT is(arvo.checked_events('[]', false), '{}', 'none');
SELECT is(
    (SELECT string_agg(event ->> 'id', ' ' ORDER BY ordinal)
     FROM unnest(arvo.checked_events(pg_temp.among(given.count, 3, pg_temp.event('x', 'q', '{"mine": 1}')), false))
         WITH ORDINALITY AS item (event, ordinal)),
    given.ids, given.count || ' in order, one of them with an extension'
)
FROM (VALUES (4, '1 2 x 4'), (12, '1 2 x 4 5 6 7 8 9 10 11 12')) AS given (count, ids);
SELECT is(
    cardinality(arvo.checked_events(pg_temp.among(500, 0, NULL), false)), 500, 'many plain ones'
);

-- refusals --------------------------------------------------------------------------------------

-- One that is not valid is found and named among few, of which each is looked at, and among many.
SELECT is(
    pg_temp.raised(format('SELECT arvo.checked_events(%L, false)', pg_temp.among(given.count, given.place, bad.event))),
    format('RV001 | event is not valid | %s | event %s of %s: %s', split_part(bad.fault, ':', 1), given.place, given.count, bad.fault),
    format('%s of %s: %s', given.place, given.count, bad.fault)
)
FROM (VALUES (7, 2), (8, 8), (100, 50)) AS given (count, place)
CROSS JOIN (VALUES
    (pg_temp.event('1', 'q', '{"id": ""}'), 'id: must be a text that is not empty'),
    (pg_temp.event('1', 'a b'), 'to: must be at most 512 characters of a URI, without quotes')
) AS bad (event, fault);
SELECT is(
    pg_temp.raised(format('SELECT arvo.checked_events(%L, false)', pg_temp.among(20, 5, '7') - 3 || jsonb_build_array(7))),
    'RV001 | event is not valid | event | event 4 of 20: event: must be a JSON object', 'the first of several'
);
SELECT is(
    pg_temp.raised(format('SELECT arvo.checked_events(%L, false)', given.value)),
    'RV006 | argument is not valid | events | events is of type ' || given.type || '.', given.type
)
FROM (VALUES ('{}'::jsonb, 'object'), (NULL, 'null')) AS given (value, type);

-- Helpers are called as other roles than their owner's, which may do everything.
GRANT USAGE ON SCHEMA arvo TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA arvo TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA arvo TO PUBLIC;
CREATE ROLE arvo_test_check NOLOGIN IN ROLE arvo_client;
INSERT INTO arvo.queue_guard (queue, may, roles, changed_at, changed_by)
VALUES ('com.closed', 'dispatch', '{}', arvo.clock(), 'test');
SELECT is(
    pg_temp.as_role('arvo_test_check', format(
        'SELECT cardinality(arvo.checked_events(%L, %L))',
        pg_temp.among(9, 4, pg_temp.event('x', 'com.closed', '{"domain": "human"}')), given.ignore_domain
    )),
    given.told, 'a queue that is closed, ' || given.what
)
FROM (VALUES
    (true, 'RV007 | queue is closed to this role | queue: "com.closed", right: dispatch, role: "arvo_test_check"', 'when the event goes there'),
    (false, '9', 'when it goes to its domain')
) AS given (ignore_domain, told, what);

SELECT * FROM finish();
ROLLBACK;
