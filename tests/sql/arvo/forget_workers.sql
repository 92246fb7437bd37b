-- arvo.forget_workers(after): contract, stories.
BEGIN;
SELECT plan(11);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.forget_workers(interval)',
    'bigint', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
INSERT INTO arvo.worker (worker, queues, details, rhythm, started_at, seen_at) VALUES
('old', '{a}', '{}', '10 seconds', '2029-12-01T00:00:00Z', '2029-12-30T23:59:59Z'),
('dead', '{a}', '{}', '10 seconds', '2029-12-01T00:00:00Z', '2029-12-31T23:00:00Z');
INSERT INTO arvo.registration (queue, worker, options, at) VALUES
('a', 'old', '{}', '2029-12-01T00:00:00Z'), ('a', 'dead', '{}', '2029-12-01T00:00:00Z'),
('a', 'silent', '{}', '2029-12-01T00:00:00Z'), ('a', 'new', '{}', '2029-12-31T12:00:00Z');
SELECT is(arvo.forget_workers(), 3::bigint, 'who was silent for a day, what it and one that never checked in had registered');
SELECT is((SELECT string_agg(worker, ', ') FROM arvo.worker), 'dead', 'the dead are kept for a while');
SELECT is((SELECT string_agg(worker, ', ' ORDER BY worker) FROM arvo.registration), 'dead, new', 'and so are their wishes');
SELECT is(arvo.forget_workers('1 minute'), 3::bigint, 'as long as is asked for');

SELECT * FROM finish();
ROLLBACK;
