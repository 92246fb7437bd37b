-- arvo.read_results(results): contract, stories, one refusal for each rule.
BEGIN;
SELECT plan(68);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.read_results(jsonb)',
    'SETOF arvo.result', 'plpgsql', 'immutable', false,
    'nobody'
);

CREATE FUNCTION pg_temp.fault(p_item jsonb) RETURNS text
LANGUAGE sql AS $$
    SELECT concat_ws(' ', item.verdict, item.code, item.detail)
    FROM arvo.read_results(jsonb_build_array(p_item)) AS item
$$;

-- stories ---------------------------------------------------------------------------------------

SELECT results_eq(
    $$ SELECT ordinal, lease, delivery, asked, events, state, error, after, run_time, lane, low_xid, high_xid, verdict, code,
              detail, state_version
       FROM arvo.read_results($r$[
           {"lease": 7, "delivery": 1, "outcome": "completed"},
           {"lease": "9223372036854775807", "delivery": "2", "outcome": "completed", "events": [], "run_time": 1500,
            "state": {"subject": "a", "data": {}, "expected_version": 0}},
           {"lease": 7, "delivery": 3, "outcome": "failed", "error": {"name": "E"}, "after": 1.5},
           {"lease": 7, "delivery": 4, "outcome": "failed", "events": [], "state": null, "after": null, "error": null},
           {"lease": 7, "delivery": 5, "outcome": "snoozed", "after": 315360000},
           {"lease": 7, "delivery": 6, "outcome": "released", "run_time": 3000000000},
           {"lease": 7, "delivery": 7, "outcome": "rejected", "after": 0, "run_time": -1}
       ]$r$) $$,
    $$ VALUES
       (1, 7::bigint, 1::bigint, 'completed', NULL::jsonb, NULL::jsonb, NULL::jsonb, NULL::interval, NULL::integer,
        NULL::integer, NULL::xid8, NULL::xid8, NULL::text, NULL::text, NULL::text, NULL::bigint),
       (2, 9223372036854775807, 2, 'completed', '[]', '{"subject": "a", "data": {}, "expected_version": 0}', NULL, NULL, 1500,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL),
       (3, 7, 3, 'failed', NULL, NULL, '{"name": "E"}', '1.5 seconds', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
       (4, 7, 4, 'failed', '[]', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
       (5, 7, 5, 'snoozed', NULL, NULL, NULL, '87600:00:00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
       (6, 7, 6, 'released', NULL, NULL, NULL, NULL, 2147483647, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
       (7, 7, 7, 'rejected', NULL, NULL, NULL, '0', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL) $$,
    'well-formed items are read in their order; no verdict on them yet'
);
SELECT results_eq(
    $$ SELECT ordinal, named_in, lease, delivery, asked, run_time, verdict, detail FROM arvo.read_results($r$[
           {"lease": 7, "delivery": 1, "outcome": "completed"},
           {"lease": 7, "deliveries": [3, "2", 9223372036854775807, 1, 3], "outcome": "completed", "run_times": [5, null, -1, 3000000000, "6"],
            "events": []},
           {"lease": 7, "deliveries": [4, 5], "outcome": "failed"},
           {"lease": 7, "deliveries": [6, 7], "outcome": "completed"},
           {"lease": 7, "delivery": 7, "deliveries": null, "outcome": "failed"}
       ]$r$) $$,
    $$ VALUES (1, 1, 7::bigint, 1::bigint, 'completed', NULL::integer, NULL::text, NULL::text),
              (2, 2, 7, 3, 'completed', 5, NULL, NULL),
              (3, 2, 7, 2, 'completed', NULL, NULL, NULL),
              (4, 2, 7, 9223372036854775807, 'completed', NULL, NULL, NULL),
              (5, 2, 7, 1, 'completed', 2147483647, 'refused', 'delivery: is named twice in one call'),
              (6, 2, 7, 3, 'completed', 6, 'refused', 'delivery: is named twice in one call'),
              (7, 3, 7, NULL, 'failed', NULL, 'refused', 'outcome: several deliveries at once can only be completed'),
              (8, 4, 7, 6, 'completed', NULL, NULL, NULL),
              (9, 4, 7, 7, 'completed', NULL, NULL, NULL),
              (10, 5, 7, 7, 'failed', NULL, 'refused', 'delivery: is named twice in one call') $$,
    'an item for several deliveries stands for as many items in that order; a malformed one for one'
);
SELECT is(
    (SELECT count(*) FROM arvo.read_results(jsonb_build_array(jsonb_build_object(
        'lease', 7, 'outcome', 'completed', 'deliveries', (SELECT jsonb_agg(n) FROM generate_series(1, 10000) AS n)))) AS item
     WHERE item.delivery = item.ordinal AND item.verdict IS NULL),
    10000::bigint, 'also for very many'
);
SELECT is_empty($$ SELECT FROM arvo.read_results('[]') $$, 'no items: no rows');
SELECT results_eq(
    $$ SELECT ordinal, verdict, detail FROM arvo.read_results($r$[
           {"lease": 7, "delivery": 1, "outcome": "completed"}, 7, {"lease": 7, "delivery": 1, "outcome": "failed"},
           {"lease": 8, "delivery": 1, "outcome": "completed"}
       ]$r$) $$,
    $$ VALUES (1, NULL::text, NULL::text), (2, 'refused', 'lease: must be a number'),
              (3, 'refused', 'delivery: is named twice in one call'), (4, NULL, NULL) $$,
    'a malformed item spoils no other; the second of two for one delivery is refused'
);
SELECT is(
    (SELECT error FROM arvo.read_results(jsonb_build_array(pg_temp.result(7, 1, 'failed', jsonb_build_object(
        'error', jsonb_build_object('name', repeat('n', 300), 'message', repeat('m', 3000), 'stack', repeat('s', 70000), 'more', 1)
    ))))),
    jsonb_build_object('name', repeat('n', 200), 'message', repeat('m', 2000), 'stack', repeat('s', 20000), 'truncated', true),
    'an error that is too long is cut'
);
SELECT is(
    (SELECT error ->> 'stack' FROM arvo.read_results(jsonb_build_array(pg_temp.result(7, 1, 'failed', jsonb_build_object(
        'error', jsonb_build_object('stack', repeat('s', 65000))
    ))))),
    repeat('s', 65000), 'one that is not is kept'
);

-- refusals --------------------------------------------------------------------------------------

SELECT is(pg_temp.fault(given.item), 'refused RV006 ' || given.fault, left(given.item::text, 140))
FROM (
    VALUES
    ('null'::jsonb, 'lease: must be a number'),
    ('"x"', 'lease: must be a number'),
    ('[1]', 'lease: must be a number'),
    ('{}', 'lease: must be a number'),
    ('{"lease": -1, "delivery": 1, "outcome": "completed"}', 'lease: must be a number'),
    ('{"lease": 7, "outcome": "completed"}', 'delivery: must be a number'),
    ('{"lease": 7, "delivery": 1.5, "outcome": "completed"}', 'delivery: must be a number'),
    ('{"lease": 7, "delivery": 9223372036854775808, "outcome": "completed"}', 'delivery: must be a number'),
    ('{"lease": 7, "delivery": 1}', 'outcome: must be completed, failed, released, snoozed or rejected'),
    ('{"lease": 7, "delivery": 1, "outcome": null}', 'outcome: must be completed, failed, released, snoozed or rejected'),
    ('{"lease": 7, "delivery": 1, "outcome": "expired"}', 'outcome: must be completed, failed, released, snoozed or rejected'),
    ('{"lease": 7, "delivery": 1, "outcome": "Completed"}', 'outcome: must be completed, failed, released, snoozed or rejected'),
    ('{"lease": 7, "delivery": 1, "outcome": "completed", "events": {}}', 'events: must be an array'),
    ('{"lease": 7, "delivery": 1, "outcome": "completed", "events": "[]"}', 'events: must be an array'),
    ('{"lease": 7, "delivery": 1, "outcome": "failed", "events": [{}]}', 'outcome: only a completed delivery emits events or writes a state'),
    ('{"lease": 7, "delivery": 1, "outcome": "snoozed", "after": 1, "state": {"subject": "a", "data": {}, "expected_version": 0}}',
     'outcome: only a completed delivery emits events or writes a state'),
    ('{"lease": 7, "delivery": 1, "outcome": "completed", "state": []}', 'state: must be an object'),
    ('{"lease": 7, "delivery": 1, "outcome": "completed", "state": {"data": {}, "expected_version": 0}}',
     'state.subject: must be a text that is not empty'),
    ('{"lease": 7, "delivery": 1, "outcome": "completed", "state": {"subject": "", "data": {}, "expected_version": 0}}',
     'state.subject: must be a text that is not empty'),
    ('{"lease": 7, "delivery": 1, "outcome": "completed", "state": {"subject": 7, "data": {}, "expected_version": 0}}',
     'state.subject: must be a text that is not empty'),
    ('{"lease": 7, "delivery": 1, "outcome": "completed", "state": {"subject": "a", "expected_version": 0}}',
     'state.data: must be an object'),
    ('{"lease": 7, "delivery": 1, "outcome": "completed", "state": {"subject": "a", "data": [], "expected_version": 0}}',
     'state.data: must be an object'),
    ('{"lease": 7, "delivery": 1, "outcome": "completed", "state": {"subject": "a", "data": {}}}',
     'state.expected_version: must be a number'),
    ('{"lease": 7, "delivery": 1, "outcome": "completed", "state": {"subject": "a", "data": {}, "expected_version": -1}}',
     'state.expected_version: must be a number'),
    ('{"lease": 7, "delivery": 1, "outcome": "failed", "after": "1"}', 'after: must be seconds, 0 to 315360000'),
    ('{"lease": 7, "delivery": 1, "outcome": "failed", "after": -0.001}', 'after: must be seconds, 0 to 315360000'),
    ('{"lease": 7, "delivery": 1, "outcome": "snoozed", "after": 315360001}', 'after: must be seconds, 0 to 315360000'),
    ('{"lease": 7, "delivery": 1, "outcome": "snoozed", "after": 1e100000}', 'after: must be seconds, 0 to 315360000'),
    ('{"lease": "x", "deliveries": [1], "outcome": "completed"}', 'lease: must be a number'),
    ('{"lease": 7, "deliveries": [], "outcome": "completed"}', 'deliveries: must be an array of numbers, of one at least'),
    ('{"lease": 7, "deliveries": {}, "outcome": "completed"}', 'deliveries: must be an array of numbers, of one at least'),
    ('{"lease": 7, "deliveries": 1, "outcome": "completed"}', 'deliveries: must be an array of numbers, of one at least'),
    ('{"lease": 7, "deliveries": [1, null], "outcome": "completed"}', 'deliveries: must be an array of numbers, of one at least'),
    ('{"lease": 7, "deliveries": [1, 2.5], "outcome": "completed"}', 'deliveries: must be an array of numbers, of one at least'),
    ('{"lease": 7, "deliveries": [1, -2], "outcome": "completed"}', 'deliveries: must be an array of numbers, of one at least'),
    ('{"lease": 7, "deliveries": [[1]], "outcome": "completed"}', 'deliveries: must be an array of numbers, of one at least'),
    ('{"lease": 7, "deliveries": [1, "x"], "outcome": "completed"}', 'deliveries: must be an array of numbers, of one at least'),
    ('{"lease": 7, "deliveries": [9223372036854775808], "outcome": "completed"}', 'deliveries: must be an array of numbers, of one at least'),
    ('{"lease": 7, "delivery": 1, "deliveries": [1], "outcome": "completed"}',
     'delivery: stands for one, deliveries for several; give one of the two'),
    ('{"lease": 7, "deliveries": [1]}', 'outcome: must be completed, failed, released, snoozed or rejected'),
    ('{"lease": 7, "deliveries": [1], "outcome": "failed"}', 'outcome: several deliveries at once can only be completed'),
    ('{"lease": 7, "deliveries": [1], "outcome": "completed", "events": [{}]}',
     'deliveries: several at once have no events, state, error or after'),
    ('{"lease": 7, "deliveries": [1], "outcome": "completed", "state": {}}',
     'deliveries: several at once have no events, state, error or after'),
    ('{"lease": 7, "deliveries": [1], "outcome": "completed", "error": {}}',
     'deliveries: several at once have no events, state, error or after'),
    ('{"lease": 7, "deliveries": [1], "outcome": "completed", "after": 1}',
     'deliveries: several at once have no events, state, error or after'),
    ('{"lease": 7, "deliveries": [1], "outcome": "completed", "run_times": 5}', 'run_times: must be an array, with one for each delivery'),
    ('{"lease": 7, "deliveries": [1], "outcome": "completed", "run_times": []}', 'run_times: must be an array, with one for each delivery'),
    ('{"lease": 7, "deliveries": [1], "outcome": "completed", "run_times": [1, 2]}',
     'run_times: must be an array, with one for each delivery'),
    ('{"lease": 7, "delivery": 1, "outcome": "snoozed"}', 'after: is missing'),
    ('{"lease": 7, "delivery": 1, "outcome": "snoozed", "after": null}', 'after: is missing')
) AS given (item, fault);

SELECT is(
    (SELECT concat_ws(' ', read.verdict, read.after)
     FROM arvo.read_results('[{"lease": 7, "delivery": 1, "outcome": "snoozed", "after": 1e-16383}]') AS read),
    '00:00:00', 'a time that no double precision can be is no time at all, and no error of the whole call'
);

SELECT is(
    (SELECT read.error FROM arvo.read_results(format(
        '[{"lease": 7, "delivery": 1, "outcome": "failed", "error": {"name": "E", "message": [%s], "stack": "s"}}]',
        trim(repeat('1e131071,', 50000), ','))::jsonb) AS read),
    '{"name": "E", "stack": "s", "truncated": true}', 'an error that would print as gigabytes is cut, not printed'
);
SELECT is(
    (SELECT concat_ws(' ', read.verdict, read.code, read.detail) FROM arvo.read_results(
        '[{"lease": 7, "delivery": 1, "outcome": "completed", "state": {"subject": "s", "expected_version": 0, "data": {"n": 1e131071}}}]') AS read),
    'refused RV006 state.data: must not have numbers of more than 4000 digits', 'a state that clients could not read'
);
SELECT is(
    (SELECT concat_ws(' ', read.verdict, read.code, read.detail) FROM arvo.read_results(format(
        '[{"lease": 7, "delivery": 1, "outcome": "completed", "state": {"subject": "s", "expected_version": 0, "data": {"n": [%s]}}}]',
        trim(repeat('1e131071,', 9), ','))::jsonb) AS read),
    'refused RV006 state.data: must not have numbers of more than 4000 digits', 'or that would print as more than was sent'
);

SELECT * FROM finish();
ROLLBACK;
