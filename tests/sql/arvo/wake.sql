-- arvo.wake(queues): contract, stories.
BEGIN;
SELECT plan(14);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.wake(text[])',
    'void', 'sql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

-- The server tells how full its queue of notifications is in whole pages: 40 names of 512 bytes are
-- more than one. This session listens, and inside a transaction it does not yet read them.
LISTEN arvo_wake;
COMMIT AND CHAIN;
SELECT is(
    (SELECT array_agg(channel) FROM pg_listening_channels() AS channel), ARRAY['arvo_wake'],
    'this session listens'
);
SELECT is(pg_temp.raised('SELECT arvo.wake(NULL)'), 'nothing', 'no queues: nothing happens');
SELECT is(pg_temp.raised($$ SELECT arvo.wake('{}') $$), 'nothing', 'also for an empty array');
COMMIT AND CHAIN;
SELECT is(pg_notification_queue_usage(), 0::double precision, 'nobody was woken');

SELECT is(
    (SELECT count(*) FROM arvo.wake(ARRAY(
        SELECT lpad(number::text, 512, 'q') FROM generate_series(1, 40) AS number
    ))),
    1::bigint, 'it answers one row, whatever the queues; the longest names fit'
);
SELECT is(
    pg_notification_queue_usage(), 0::double precision, 'nothing is sent before the commit'
);
SAVEPOINT nothing_happened;
SELECT arvo.wake('{a,a,b}');
ROLLBACK TO SAVEPOINT nothing_happened;
COMMIT AND CHAIN;
SELECT cmp_ok(
    pg_notification_queue_usage(), '>', 0::double precision, 'the commit sends it'
);

SELECT * FROM finish();
ROLLBACK;
