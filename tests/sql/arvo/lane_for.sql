-- arvo.lane_for(queue, priority): contract, stories, refusals.
BEGIN;
SELECT plan(25);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.lane_for(text,integer)',
    'integer', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT arvo.lane_for('com.test.sink') AS lane \gset
SELECT results_eq(
    'SELECT name, registered, stateful, priority, retry_limit, retry_delay, retry_backoff, retry_delay_max,
            expire_in, dead_letter, warning_queue_size, created_at, changed_at FROM arvo.queue',
    $$ VALUES ('com.test.sink', false, false, 0, 2, interval '0', false, NULL::interval, interval '15 minutes', NULL::text,
               10000, timestamptz '2030-01-01 00:00:00Z', timestamptz '2030-01-01 00:00:00Z') $$,
    'a queue that is not there is made, unregistered, with the defaults'
);
SELECT results_eq(
    'SELECT lane, queue.name, lane.priority FROM arvo.lane INNER JOIN arvo.queue USING (queue)',
    format($$ VALUES (%s, 'com.test.sink', 0) $$, :lane), 'with the lane of its priority'
);
SELECT results_eq(
    'SELECT slot, lane, number, token, worker, leased_at, expires_at, carried, deliveries, low_xid, high_xid,
            previous_snapshot::text, snapshot::text, last_xid, last_delivery, exhausted, open_from, sweep_at
     FROM arvo.lease',
    format(
        $$ VALUES (0::smallint, %s, 0::bigint, 0::bigint, NULL::text, timestamptz '2030-01-01 00:00:00Z',
                   timestamptz '-infinity', false, '{}'::bigint[], NULL::xid8, NULL::xid8, '1:1:', '1:1:',
                   '0'::xid8, 0::bigint, true, 1::bigint, timestamptz 'infinity') $$, :lane
    ),
    'and its first cursor, which has seen nothing'
);
SELECT is(arvo.lane_for('com.test.sink'), :lane, 'it is made once');
SELECT is(arvo.lane_for('com.test.sink', 0), :lane, 'also when its priority is named');
SELECT isnt(arvo.lane_for('com.test.sink', 5), :lane, 'another priority is another lane');
UPDATE arvo.queue SET priority = 5;
SELECT is(arvo.lane_for('com.test.sink'), arvo.lane_for('com.test.sink', 5), 'the queue''s own priority counts');
SELECT is(arvo.lane_for('com.test.sink', -2147483648) <> :lane, true, 'priorities may be negative');
SELECT results_eq(
    'SELECT priority FROM arvo.lane ORDER BY lane', 'VALUES (0), (5), (-2147483648)', 'three lanes were made'
);
SELECT is((SELECT count(*) FROM arvo.lease), 3::bigint, 'each with one cursor');
SELECT isnt(arvo.lane_for(repeat('q', 512)), NULL, 'a name may have 512 characters');

SELECT count(arvo.lane_for('com.test.full', priority)) FROM generate_series(1, 99) AS priority \gset

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised($$ SELECT arvo.lane_for(E'a\nFORGED') $$),
    'RV002 | queue name is not valid | queue | queue: "a\nFORGED"', 'a line feed'
);
SELECT is(
    pg_temp.raised($$ SELECT arvo.lane_for(repeat('q', 513)) $$),
    'RV002 | queue name is not valid | queue | queue: "' || repeat('q', 79), '513 characters'
);
SELECT is(
    pg_temp.raised($$ SELECT arvo.lane_for('') $$), 'RV002 | queue name is not valid | queue | queue: ""', 'none'
);
SELECT is(
    pg_temp.raised($$ SELECT arvo.lane_for(NULL) $$), 'RV002 | queue name is not valid | queue | queue: ', 'nothing'
);
SELECT is(
    pg_temp.raised($$ SELECT arvo.lane_for('com.test.full', 100) $$),
    'RV002 | queue has too many priorities | priority | queue com.test.full has 100 priorities; 100 would be one more',
    'a hundredth priority besides its own'
);
SELECT isnt(arvo.lane_for('com.test.full'), NULL, 'its own priority is always there to be had');
SELECT is((SELECT count(*) FROM arvo.queue), 3::bigint, 'nothing is made of them');

SELECT * FROM finish();
ROLLBACK;
