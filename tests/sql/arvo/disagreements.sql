-- arvo.disagreements(queue): contract, stories.
BEGIN;
SELECT plan(13);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.disagreements(text)',
    'SETOF arvo.disagreement', 'sql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
CREATE FUNCTION pg_temp.told(p_queue text DEFAULT NULL) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' | ', queue, option, detail), '; ') FROM arvo.disagreements(p_queue)
$$;
SELECT is(pg_temp.told(), NULL, 'nobody, no disagreement');
INSERT INTO arvo.registration (queue, worker, options, at) VALUES
('a', 'w1', '{"priority": 1, "retry_limit": 2}', arvo.clock()),
('a', 'w2', '{"priority": 1, "stateful": true}', arvo.clock()),
('b', 'w1', '{"priority": 5}', arvo.clock());
SELECT is(pg_temp.told(), NULL, 'what is not named is left as it is');
INSERT INTO arvo.registration (queue, worker, options, at) VALUES ('b', 'w2', '{"priority": 7}', arvo.clock() + interval '1 second');
SELECT is(pg_temp.told(), 'b | priority | "w1" wants 5, "w2" wants 7', 'two that differ, in order of time');
SELECT is(pg_temp.told('a'), NULL, 'of one queue');
INSERT INTO arvo.worker (worker, queues, details, rhythm, started_at, seen_at)
VALUES ('w1', '{a,b}', '{}', '10 seconds', arvo.clock(), arvo.clock());
SET arvo.frozen_clock = '2030-01-01T00:00:29Z';
SELECT is(pg_temp.told(), 'b | priority | "w1" wants 5, "w2" wants 7', 'while both live');
SET arvo.frozen_clock = '2030-01-01T00:00:30Z';
SELECT is(pg_temp.told(), NULL, 'the dead do not disagree');

SELECT * FROM finish();
ROLLBACK;
