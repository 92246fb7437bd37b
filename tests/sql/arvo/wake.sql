-- arvo.wake(queues): contract, stories. With sleepers: tests/sql/isolation/specs/doze_vs_dispatch.spec.
BEGIN;
SELECT plan(13);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.wake(text[])',
    'void', 'plpgsql', 'volatile', false,
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
SELECT is(
    (SELECT count(*) FROM arvo.wake(ARRAY(
        SELECT lpad(number::text, 512, 'q') FROM generate_series(1, 40) AS number
    ))),
    1::bigint, 'it answers one row, whatever the queues'
);
COMMIT AND CHAIN;
SELECT is(
    pg_notification_queue_usage(), 0::double precision, 'nobody sleeps: nobody is notified'
);
SELECT is_empty(
    $$ SELECT objid FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' $$,
    'and no lock is left'
);

SELECT * FROM finish();
ROLLBACK;
