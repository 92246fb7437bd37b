-- arvo.standing(lane, xid, delivery): contract, stories.
BEGIN;
SELECT plan(17);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.standing(integer,xid8,bigint)',
    'arvo.standing', 'plpgsql', 'stable', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_bitmapscan=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$ BEGIN
    PERFORM arvo_v1.register_queue('a');
    PERFORM arvo_v1.dispatch(pg_temp.event(n::text, 'a')) FROM generate_series(1, 6) AS n;
END; $$;
COMMIT AND CHAIN;
CREATE FUNCTION pg_temp.stands(p_id text) RETURNS arvo.standing
LANGUAGE sql AS $$ SELECT arvo.standing(lane, xid, delivery) FROM arvo.log WHERE event ->> 'id' = p_id $$;
SELECT is((pg_temp.stands('1')).place, 'queued', 'not claimed');
CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.claim('{a}', 4);
SELECT is((pg_temp.stands('1')).place, 'leased', 'claimed');
SELECT is((pg_temp.stands('1')).token, (SELECT min(lease) FROM held), 'and by which lease');
SELECT is((pg_temp.stands('5')).place, 'queued', 'the next one is not');
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery)) FROM held WHERE event ->> 'id' = '2')) \gset
SELECT is((pg_temp.stands('2')).place, 'closed', 'settled');
SELECT is((pg_temp.stands('1')).place, 'leased', 'which says nothing of others of the lease');
INSERT INTO arvo.tombstone (lane, delivery, at) SELECT lane, delivery, now() FROM arvo.log WHERE event ->> 'id' = '5';
SELECT is((pg_temp.stands('5')).place, 'withdrawn', 'with a tombstone');
INSERT INTO arvo.parked (queue, key, place, delivery, lane, xid, at)
SELECT lane.queue, 5, 1, log.delivery, log.lane, log.xid, log.at
FROM arvo.log INNER JOIN arvo.lane USING (lane) WHERE log.event ->> 'id' = '2';
SELECT is((pg_temp.stands('2')).place, 'parked', 'in line');
INSERT INTO arvo.tombstone (lane, delivery, at) SELECT lane, delivery, now() FROM arvo.log WHERE event ->> 'id' = '2';
SELECT is((pg_temp.stands('2')).place, 'withdrawn', 'also withdrawn from there');
SELECT is((arvo.standing(lane, xid, 0)).place, 'closed', 'what never was is over') FROM arvo.log WHERE event ->> 'id' = '1';

SELECT * FROM finish();
ROLLBACK;
