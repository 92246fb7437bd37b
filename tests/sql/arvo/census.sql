-- arvo.census(queue, snapshot): contract, stories.
BEGIN;
SELECT plan(15);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.census(integer,pg_snapshot)',
    'arvo.census', 'plpgsql', 'stable', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_bitmapscan=off',
        'jit=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$ BEGIN
    PERFORM arvo_v1.register_queue('a');
    PERFORM arvo_v1.register_queue('b');
    PERFORM arvo_v1.dispatch(pg_temp.event(n::text, 'a'), p_priority => n % 2) FROM generate_series(1, 7) AS n;
    PERFORM arvo_v1.dispatch(pg_temp.event('due', 'a'), interval '1 hour');
    PERFORM arvo_v1.dispatch(pg_temp.event('other', 'b'));
END; $$;
COMMIT AND CHAIN;
SELECT queue FROM arvo.queue WHERE name = 'a' \gset
SELECT is(arvo.census(:queue), '(7,0,1,0)'::arvo.census, 'queued, over all priorities, and deferred');
SELECT pg_current_snapshot() AS before \gset
SELECT is((SELECT count(*) FROM arvo_v1.claim('{a}', 3)), 3::bigint, 'three are claimed');
SELECT is(arvo.census(:queue), '(4,0,1,3)'::arvo.census, 'they are leased then');
INSERT INTO arvo.tombstone (lane, delivery, at) SELECT lane, delivery, now() FROM arvo.log WHERE event ->> 'id' = '6' AND lane > 0;
SELECT is(arvo.census(:queue), '(3,0,1,3)'::arvo.census, 'what is withdrawn does not count');
INSERT INTO arvo.parked (queue, key, place, delivery, lane, xid, at)
SELECT :queue, 5, row_number() OVER (), log.delivery, log.lane, log.xid, log.at
FROM arvo.log WHERE log.event ->> 'id' IN ('1', '6') AND lane > 0;
SELECT is(arvo.census(:queue), '(3,1,1,3)'::arvo.census, 'nor in line');
COMMIT AND CHAIN;
SELECT arvo_v1.dispatch(pg_temp.event('new', 'a')) \gset
COMMIT AND CHAIN;
SELECT is((arvo.census(:queue)).queued, 4::bigint, 'one has come');
SELECT is((arvo.census(:queue, :'before')).queued, 3::bigint, 'which a snapshot from before has not seen');
SET arvo.frozen_clock = '2030-01-01T01:00:00Z';
SELECT count(*) FROM arvo_v1.maintain() \gset
SELECT is((arvo.census(:queue)).deferred, 0::bigint, 'what has been promoted is not deferred any more');

SELECT * FROM finish();
ROLLBACK;
