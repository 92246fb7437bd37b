-- arvo.vitals_of_upkeep(): contract, stories.
BEGIN;
SELECT plan(17);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.vitals_of_upkeep()',
    'SETOF arvo_v1.vital', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'jit=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
CREATE FUNCTION pg_temp.told(p_topic text) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' | ', level, value, detail), '; ') FROM arvo.vitals_of_upkeep() WHERE topic = p_topic
$$;
SELECT is(
    pg_temp.told('maintenance'), 'warning | maintain() has not been called yet.', 'never maintained'
);
SELECT arvo.tally_lanes() \gset
SET arvo.frozen_clock = '2030-01-01T00:10:00Z';
SELECT is(pg_temp.told('maintenance'), 'ok | 00:10:00 | Time since maintain() was called.', 'ten minutes ago');
SET arvo.frozen_clock = '2030-01-01T00:10:01Z';
SELECT is(pg_temp.told('maintenance'), 'warning | 00:10:01 | Time since maintain() was called.', 'longer ago');
SELECT is(pg_temp.told('promotion'), 'ok | 00:00:00 | Nothing deferred is overdue.', 'nothing is deferred');
DO $$ BEGIN PERFORM arvo_v1.dispatch(pg_temp.event('1', 'q'), '10 seconds'); END; $$;
SET arvo.frozen_clock = '2030-01-01T00:10:11Z';
SELECT matches(pg_temp.told('promotion'), '^ok \| 00:00:00 \| So long ago', 'just due');
SET arvo.frozen_clock = '2030-01-01T00:10:22Z';
SELECT matches(pg_temp.told('promotion'), '^notice \| 00:00:11 \|', 'due for a while');
SET arvo.frozen_clock = '2030-01-01T00:11:12Z';
SELECT matches(pg_temp.told('promotion'), '^warning \| 00:01:01 \|', 'due for too long');
SELECT matches(pg_temp.told('workers'), '^ok \| 0 \|', 'no workers');
DO $$ BEGIN PERFORM arvo_v1.check_in('w', '{a,b}'); PERFORM arvo_v1.check_in('v', '{a}', '1 minute'); END; $$;
SET arvo.frozen_clock = '2030-01-01T00:11:42Z';
SELECT is(pg_temp.told('dead_worker'), 'warning | "w" | Not seen for 00:00:30; it works on 2 queues.', 'one that is silent for three of its rhythms');
SELECT matches(pg_temp.told('workers'), '^ok \| 1 \|', 'the other lives');

SELECT * FROM finish();
ROLLBACK;
