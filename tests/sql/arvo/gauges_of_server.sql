-- arvo.gauges_of_server(): contract, stories.
BEGIN;
SELECT plan(12);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.gauges_of_server()',
    'SETOF arvo_v1.gauge', 'sql', 'volatile', false,
    'nobody',
    ARRAY['search_path=pg_catalog, pg_temp', 'enable_seqscan=off', 'jit=off']
);

CREATE FUNCTION pg_temp.told(p_like text) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', regexp_replace(name, '^arvo.', ''), state, round(value::numeric, 3)), ', ' ORDER BY name, state)
    FROM arvo.gauges_of_server()
    WHERE name ~ p_like
$$;

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
UPDATE arvo.generation SET opened_at = '2029-12-31T23:00:00Z';
SELECT is(
    pg_temp.told('maintenance|promotion|generation|workers|schedule'),
    'generation.age 3600.000, generation.kept history 0.000, generation.kept needed 0.000, generation.number 1.000, promotion.lag 0.000, '
    'schedule.lag 0.000, schedules active 0.000, schedules failing 0.000, schedules paused 0.000, workers alive 0.000, workers dead 0.000',
    'nothing has happened yet; maintenance that was never done has no age'
);
DO $$
BEGIN
    PERFORM arvo_v1.check_in('w1', '{a}', '10 seconds');
    PERFORM arvo_v1.dispatch(pg_temp.event('1', 'a'), '5 seconds');
    PERFORM arvo_v1.schedule('nightly', '* * * * *', pg_temp.event('x', 'a') - 'id' - 'time');
    PERFORM arvo_v1.maintain();
END;
$$;
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:01:30Z';
DO $$ BEGIN PERFORM arvo_v1.check_in('w2', '{a}', '10 seconds'); END; $$;
SELECT is(
    pg_temp.told('maintenance|promotion|workers|schedule'),
    'maintenance.age 90.000, promotion.lag 85.000, schedule.lag 30.000, schedules active 1.000, schedules failing 0.000, '
    'schedules paused 0.000, workers alive 1.000, workers dead 1.000',
    'who is there, and what is late'
);
SELECT ok(
    (SELECT bool_and(value > 0) AND count(*) = 7 FROM arvo.gauges_of_server() WHERE name = 'arvo.room.size'),
    'every room has a size'
);
SELECT ok(
    (SELECT value BETWEEN 0 AND 1 FROM arvo.gauges_of_server() WHERE name = 'arvo.notification.usage'),
    'a share is a share'
);
SELECT ok(
    (SELECT value >= 0 FROM arvo.gauges_of_server() WHERE name = 'arvo.snapshot.age'),
    'somebody''s snapshot has an age, or nobody''s'
);

SELECT * FROM finish();
ROLLBACK;
