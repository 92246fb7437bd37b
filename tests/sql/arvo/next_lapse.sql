-- arvo.next_lapse(lanes): contract, stories.
BEGIN;
SELECT plan(17);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.next_lapse(integer[])',
    'interval', 'sql', 'volatile', false,
    'nobody',
    ARRAY['search_path=pg_catalog, pg_temp', 'enable_seqscan=off']
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT count(arvo_v1.register_queue(queue)) FROM unnest('{a,b,idle}'::text[]) AS queue;
COMMIT AND CHAIN;
CREATE FUNCTION pg_temp.lapse(VARIADIC p_queues text[]) RETURNS interval
LANGUAGE sql AS $$
    SELECT arvo.next_lapse((
        SELECT array_agg(lane.lane) FROM arvo.lane INNER JOIN arvo.queue ON queue.queue = lane.queue
        WHERE queue.name = ANY (p_queues)
    ))
$$;
CREATE TEMPORARY TABLE held (queue text, lease bigint, delivery bigint);

SELECT is(arvo.next_lapse('{}'), NULL, 'no lanes');
SELECT is(pg_temp.lapse('a', 'b'), NULL, 'nothing is leased');
SELECT count(arvo_v1.dispatch(pg_temp.event('1', queue))) FROM unnest('{a,b}'::text[]) AS queue;
COMMIT AND CHAIN;
INSERT INTO held SELECT 'a', lease, delivery FROM arvo_v1.claim('{a}', 1, 'w1', NULL, '8 seconds');
INSERT INTO held SELECT 'b', lease, delivery FROM arvo_v1.claim('{b}', 1, 'w1', NULL, '30 seconds');
COMMIT AND CHAIN;
SELECT is(pg_temp.lapse('a'), interval '8 seconds', 'as long as the lease lasts');
SELECT is(pg_temp.lapse('a', 'b', 'idle'), interval '8 seconds', 'the soonest counts');
SELECT is(pg_temp.lapse('idle'), NULL, 'other lanes do not');
SELECT is(
    (SELECT wait FROM arvo_v1.work('[]', '{a,b}')), interval '8 seconds', 'an idle worker looks again then'
);
SELECT is((SELECT wait FROM arvo_v1.work('[]', '{idle}')), NULL, 'one of other queues need not');
SET arvo.frozen_clock = '2030-01-01T00:00:07.9Z';
SELECT is(pg_temp.lapse('a'), interval '0.5 seconds', 'not more often than a lane is swept');
SET arvo.frozen_clock = '2030-01-01T00:00:08Z';
SELECT is(
    (SELECT wait FROM arvo_v1.work('[]', '{a}')), interval '0',
    'when it has lapsed, what is taken back is for the next look'
);
COMMIT AND CHAIN;
SELECT is((SELECT attempt FROM arvo_v1.work('[]', '{a}')), 2, 'which finds it');

SELECT * FROM finish();
ROLLBACK;
