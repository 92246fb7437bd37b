-- arvo.vitals_of_server(): contract, stories.
BEGIN;
SELECT plan(18);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.vitals_of_server()',
    'SETOF arvo_v1.vital', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
CREATE FUNCTION pg_temp.told(p_topic text) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' | ', level, value, detail), '; ') FROM arvo.vitals_of_server() WHERE topic = p_topic
$$;
SELECT results_eq(
    'SELECT topic FROM arvo.vitals_of_server()',
    $$ VALUES ('cluster'), ('clock'), ('oldest_snapshot'), ('idle_in_transaction'), ('listeners'), ('notifications'), ('sequence') $$,
    'its topics'
);
SELECT is_empty(
    $$ SELECT topic FROM arvo.vitals_of_server() WHERE level <> 'ok' AND topic NOT IN ('oldest_snapshot', 'idle_in_transaction', 'clock') $$, 'all is well'
);
UPDATE arvo.promotion SET at = '2030-01-01T00:00:00Z';
SELECT is(pg_temp.told('clock'), 'ok | 2030-01-01T00:00:00.000Z | No row is newer than the server''s clock.', 'the clock');
SELECT arvo_v1.register_queue('q') \gset
SET arvo.frozen_clock = '2029-12-31T23:50:00Z';
SELECT is(
    pg_temp.told('clock'), 'warning | 2029-12-31T23:50:00.000Z | The newest row is 00:10:00 ahead of the server''s clock: it was set back.', 'set back'
);
SELECT is(pg_temp.told('sequence'), 'ok | No sequence has used more than 80 % of its numbers.', 'sequences');
SELECT setval('arvo.lease_number', 15000000000000) \gset
SELECT is(pg_temp.told('sequence'), 'notice | lease_number | 85.3 % of its numbers are used.', 'one that nears its end');
SELECT setval('arvo.lease_number', 17592186044415) \gset
SELECT is(pg_temp.told('sequence'), 'warning | lease_number | 100.0 % of its numbers are used.', 'and one that is there');
UPDATE arvo.origin SET system_identifier = 1;
SELECT matches(pg_temp.told('cluster'), '^warning .* of cluster 1: claims are refused\.$', 'another cluster');
-- The sessions of other files idle between two of their statements: by this clock not for a minute yet.
SET arvo.frozen_clock = '2000-01-01T00:00:00Z';
SELECT is(pg_temp.told('idle_in_transaction'), 'ok | 0 | No session is seen to have been so for a minute.', 'nobody idles in a transaction');
SET arvo.frozen_clock = '2029-12-31T23:50:00Z';
SELECT matches(
    pg_temp.told('oldest_snapshot'), '^[a-z]+ \| (0 \| Nobody else holds a snapshot\.|[0-9]+ \| .+ holds back cleaning by [0-9]+ transactions)', 'who holds back cleaning, if anybody does'
);
SELECT unalike(pg_temp.told('oldest_snapshot'), '%hidden%', 'who may see everything is told nothing of hidden sessions');

SELECT * FROM finish();
ROLLBACK;
