-- arvo_v1.write_state(subject, data, expected_version, parent, initiator, source, lock): contract, stories, refusals.
BEGIN;
SELECT plan(31);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.write_state(text,jsonb,bigint,text,text,text,bigint)',
    'bigint', 'plpgsql', 'volatile', true,
    'arvo_worker'
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT is(
    arvo_v1.write_state('order-1', '{"executionStatus": "normal", "n": 1}', 0, NULL, 'com.test.app', 'com.test.flow'),
    1::bigint, 'the first write expects version 0 and makes version 1'
);
SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:05Z';
SELECT is(arvo_v1.write_state('order-1', '{"n": 2}', 1), 2::bigint, 'the next expects 1 and makes 2');
SELECT results_eq(
    'SELECT subject, version, data, execution_status, initiator, source, created_at, changed_at FROM arvo.state',
    $$ VALUES ('order-1', 2::bigint, '{"n": 2}'::jsonb, 'unknown', 'com.test.app', 'com.test.flow',
               timestamptz '2030-01-01 00:00:00Z', timestamptz '2030-01-01 00:00:05Z') $$,
    'initiator, source and time of the first write stay; the data are replaced whole'
);
SELECT is(
    arvo_v1.write_state(repeat('s', 20000), '{}'), 1::bigint,
    'a subject may be longer than 10,000 characters; version 0 is expected by default'
);
SELECT is(
    (SELECT length(subject) FROM arvo.state WHERE subject <> 'order-1'), 20000, 'and is kept whole'
);

SELECT token FROM arvo_v1.acquire_lock('order-1', '10 seconds') \gset
SELECT is(
    arvo_v1.write_state('order-1', '{"n": 3}', 2, p_lock => :token), 3::bigint,
    'the holder of the lock writes under it'
);
SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:14.999999Z';
SELECT is(
    arvo_v1.write_state('order-1', '{"n": 4}', 3, p_lock => :token), 4::bigint,
    'until the last microsecond'
);

-- refusals --------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:15Z';
SELECT is(
    pg_temp.raised(format($$ SELECT arvo_v1.write_state('order-1', '{}', 4, p_lock => %s) $$, :token)),
    format('RV302 | lock is not held | subject "order-1", token %s', :token),
    'a lock whose time is over, though nobody took it'
);
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.write_state('order-1', '{}', 4, p_lock => 0) $$),
    'RV302 | lock is not held | subject "order-1", token 0', 'a lock that never was'
);
SELECT is(
    pg_temp.raised(format($$ SELECT arvo_v1.write_state(E'a\nFORGED', '{}', 0, p_lock => %s) $$, :token)),
    format('RV302 | lock is not held | subject "a\nFORGED", token %s', :token),
    'the lock of another subject; a subject forges no line of a log'
);
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.write_state('order-1', '{}', 3) $$),
    'RV101 | version mismatch: the state has moved on | subject "order-1" is not at version 3',
    'a version that is over'
);
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.write_state('order-1', '{}', 5) $$),
    'RV101 | version mismatch: the state has moved on | subject "order-1" is not at version 5',
    'a version that is not yet'
);
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.write_state('order-1', '{}') $$),
    'RV101 | version mismatch: the state has moved on | subject "order-1" is not at version 0',
    'a first write where there is a state'
);
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.write_state(E'a\nFORGED', '{}', 1) $$),
    'RV101 | version mismatch: the state has moved on | subject "a\nFORGED" is not at version 1',
    'a next write where there is none; nor does it forge here'
);
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.write_state(NULL, '{}') $$),
    'RV006 | argument is not valid | subject | argument: subject', 'no subject'
);
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.write_state('', '{}') $$),
    'RV006 | argument is not valid | subject | argument: subject', 'an empty subject'
);
SELECT is(
    pg_temp.raised(format($$ SELECT arvo_v1.write_state('order-3', %L::jsonb) $$, given.data)),
    'RV006 | argument is not valid | data | argument: data', 'data: ' || coalesce(given.data, 'nothing')
)
FROM unnest(ARRAY[NULL, 'null', '[]', '7', '"x"']) AS given (data);
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.write_state('order-3', '{}', -1) $$),
    'RV006 | argument is not valid | expected_version | argument: expected_version', 'a negative version'
);
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.write_state('order-3', '{}', NULL) $$),
    'RV006 | argument is not valid | expected_version | argument: expected_version', 'no version'
);
SELECT results_eq(
    $$ SELECT left(subject, 10), version, data FROM arvo.state ORDER BY subject $$,
    $$ VALUES ('order-1', 4::bigint, '{"n": 4}'::jsonb), ('ssssssssss', 1, '{}') $$,
    'none of that has written anything'
);

SELECT * FROM finish();
ROLLBACK;
