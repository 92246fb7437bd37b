-- arvo.heal_lanes(limit): contract, stories.
BEGIN;
SELECT plan(13);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.heal_lanes(integer)',
    'integer', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('a');
    PERFORM arvo_v1.register_queue('b');
    PERFORM arvo_v1.register_queue('o', p_policy => 'ordered');
    PERFORM arvo_v1.dispatch(pg_temp.event('1', queue)) FROM unnest('{a,b,o}'::text[]) AS queue;
END;
$$;
COMMIT AND CHAIN;

SELECT count(*) AS claimed FROM arvo_v1.claim('{a,b,o}', 9) \gset
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:29.999999Z';

SELECT is(arvo.heal_lanes(9), 0, 'one microsecond before the leases lapse');
SET arvo.frozen_clock = '2030-01-01T00:00:30Z';

SELECT is(arvo.heal_lanes(2), 2, 'exactly then; no more lanes than asked for');
SELECT is(arvo.heal_lanes(9), 1, 'the last one');
SELECT is(arvo.heal_lanes(9), 0, 'once');
SELECT results_eq('SELECT attempt, count(*) FROM arvo.log GROUP BY attempt ORDER BY attempt', $$ VALUES (1, 3::bigint), (2, 3) $$, 'all go back as the next attempt');
SELECT is((SELECT count(*) FROM arvo.turn WHERE active > 0), 0::bigint, 'and the key of the ordered queue is free');

SELECT * FROM finish();
ROLLBACK;
