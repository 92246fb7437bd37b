-- arvo.grasp_dead(dead, wait): contract, stories.
BEGIN;
SELECT plan(18);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.grasp_dead(bigint[],boolean)',
    'bigint[]', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('plain');
    PERFORM arvo_v1.register_queue('a', p_dead_letter => 'morgue');
    PERFORM arvo_v1.dispatch(pg_temp.event('plain', 'plain'));
    PERFORM arvo_v1.dispatch(pg_temp.event('a' || number, 'a')) FROM generate_series(1, 3) AS number;
END;
$$;
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.settle((
    SELECT jsonb_agg(pg_temp.result(lease, delivery, 'rejected') ORDER BY event ->> 'id') FROM arvo_v1.claim('{plain,a}', 9))) \gset
COMMIT AND CHAIN;
CREATE FUNCTION pg_temp.grasped(p_wait boolean DEFAULT true) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(dead.event_id, ' ' ORDER BY free.ordinality)
    FROM unnest(arvo.grasp_dead((SELECT array_agg(dead ORDER BY dead DESC) FROM arvo.dead) || 0::bigint, p_wait)) WITH ORDINALITY AS free (dead)
    INNER JOIN arvo.dead USING (dead)
$$;
CREATE FUNCTION pg_temp.lanes() RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(DISTINCT queue.name || '/' || lane.priority, ' ' ORDER BY queue.name || '/' || lane.priority)
    FROM pg_locks
    INNER JOIN arvo.lane ON (lane.lane::bigint & 4294967295) = pg_locks.objid::bigint
    INNER JOIN arvo.queue USING (queue)
    WHERE pg_locks.locktype = 'advisory' AND pg_locks.objsubid = 2 AND pg_locks.classid::bigint = (hashtext('arvo')::bigint & 4294967295)
$$;

SELECT is(pg_temp.grasped(), 'a1 a2 a3 plain', 'all that are open and in nobody''s hands, in order');
SELECT is(pg_temp.lanes(), 'morgue/0', 'the lane of their dead-letter queue is held');
COMMIT AND CHAIN;
SELECT is(pg_temp.lanes(), NULL, 'until the end of the transaction');
SELECT is(pg_temp.grasped(false), 'a1 a2 a3 plain', 'without waiting the same');
SELECT is(pg_temp.lanes(), 'morgue/0', 'under the same lock');
UPDATE arvo.dead SET resolution = 'discarded', resolved_at = arvo.clock() WHERE event_id = 'a3';
SELECT is(pg_temp.grasped(), 'a1 a2 plain', 'what is resolved is not');
COMMIT AND CHAIN;
CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.claim('{morgue}', 1);
SELECT is(pg_temp.grasped(), 'a2 plain', 'nor what a consumer has');
COMMIT AND CHAIN;

-- A gated dead-letter queue: its deliveries are parked behind others, under the lock of its own lane.
UPDATE arvo.queue SET policy = 'ordered', priority = 3 WHERE name = 'morgue';
INSERT INTO arvo.lane (lane, queue, priority) OVERRIDING SYSTEM VALUE SELECT -7, queue, 3 FROM arvo.queue WHERE name = 'morgue';
INSERT INTO arvo.parked (queue, key, place, delivery, lane, xid, at)
SELECT lane.queue, 1, 1, held.delivery, lane.lane, '7', arvo.clock()
FROM held
CROSS JOIN arvo.lane
WHERE lane.queue = (SELECT queue.queue FROM arvo.queue WHERE queue.name = 'morgue') AND lane.priority = 0;
COMMIT AND CHAIN;
SELECT is(pg_temp.grasped(), 'a1 a2 plain', 'what is parked behind another is in nobody''s hands');
SELECT is(pg_temp.lanes(), 'morgue/0 morgue/3', 'and the queue''s home lane is held');
COMMIT AND CHAIN;
SELECT is(pg_temp.grasped(false), 'a1 a2 plain', 'also without waiting');

COMMIT AND CHAIN;
DELETE FROM arvo.parked;
DELETE FROM arvo.lease WHERE lane = (SELECT dead_letter_lane FROM arvo.dead WHERE event_id = 'a1');
SELECT is(pg_temp.grasped(), 'a1 a2 plain', 'of a lane that is no more, nobody has anything in hand');

SELECT * FROM finish();
ROLLBACK;
