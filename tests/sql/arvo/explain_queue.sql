-- arvo.explain_queue(queue): contract, stories.
BEGIN;
SELECT plan(17);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.explain_queue(arvo.queue)',
    'SETOF arvo_v1.explanation', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'jit=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
CREATE FUNCTION pg_temp.told() RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' | ', told.reason, told.detail, to_char(told.until AT TIME ZONE 'UTC', 'HH24:MI:SS')), '; ')
    FROM arvo.queue AS asked CROSS JOIN LATERAL arvo.explain_queue(asked) AS told WHERE asked.name = 'q'
$$;
SELECT arvo_v1.dispatch(pg_temp.event('1', 'q')) \gset
SELECT is(pg_temp.told(), 'unroutable | Nobody has registered this queue.', 'unregistered');
SELECT arvo_v1.register_queue('q') \gset
COMMIT AND CHAIN;
SELECT is(pg_temp.told(), 'worker | No claim from it is known, and no living worker names it.', 'nobody has ever claimed');
SELECT count(*) FROM arvo_v1.check_in('w', '{x*,q*}') \gset
SELECT is(pg_temp.told(), NULL, 'a worker that names it is there');
SELECT count(*) FROM arvo_v1.check_out('w') \gset
SELECT count(*) FROM arvo_v1.claim('{q}', 1) \gset
COMMIT AND CHAIN;
SELECT is(pg_temp.told(), NULL, 'or somebody has claimed lately');
SET arvo.frozen_clock = '2030-01-01T00:02:00Z';
SELECT is(pg_temp.told(), 'worker | No living worker names it; this was the last claim. | 00:00:00', 'not lately');
SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
UPDATE arvo.queue SET paused_at = '2029-12-31T23:00:00Z', paused_by = 'ann' WHERE name = 'q';
SELECT is(pg_temp.told(), 'paused | The queue was paused by "ann". | 23:00:00', 'paused');
UPDATE arvo.queue SET paused_at = NULL, max_active = 2 WHERE name = 'q';
INSERT INTO arvo.turn (queue, key, number, active, waiting, upto, ready, tally, at) VALUES
(1, 0, 1, 2, 0, 0, false, '{}', arvo.clock()), (1, 0, 2, 1, 0, 0, false, '{}', arvo.clock());
SELECT is(pg_temp.told(), NULL, 'a limit with room');
INSERT INTO arvo.turn (queue, key, number, active, waiting, upto, ready, tally, at) VALUES (1, 0, 3, 2, 0, 0, false, '{}', arvo.clock());
SELECT is(pg_temp.told(), 'limit | 2 of this queue run, and max_active is 2.', 'a limit that is reached');
UPDATE arvo.queue SET max_active = NULL WHERE name = 'q';
INSERT INTO arvo.registration (queue, worker, options, at) VALUES
('q', 'w1', '{"priority": 1}', arvo.clock()), ('q', 'w2', '{"priority": 2}', arvo.clock());
SELECT is(pg_temp.told(), 'registrations | Option priority: "w1" wants 1, "w2" wants 2.', 'processes that disagree');
DELETE FROM arvo.registration;
UPDATE arvo.origin SET system_identifier = 1;
SELECT matches(pg_temp.told(), '^cluster \| The stored transaction numbers are of cluster 1; this is [0-9]+\.$', 'another cluster');

SELECT * FROM finish();
ROLLBACK;
