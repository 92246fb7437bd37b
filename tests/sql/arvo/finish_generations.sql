-- arvo.finish_generations(): contract, stories.
BEGIN;
SELECT plan(15);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.finish_generations()',
    'integer', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';

CREATE FUNCTION pg_temp.seen() RETURNS TABLE (number bigint, closed_at timestamptz, finished_at timestamptz)
LANGUAGE sql AS $$ SELECT number, closed_at, finished_at FROM arvo.generation ORDER BY number $$;
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('a');
    PERFORM arvo_v1.dispatch(pg_temp.event('1', 'a'));
END;
$$;
COMMIT AND CHAIN;

SELECT is(arvo.finish_generations(), 0, 'the one in use is neither closed nor finished');
INSERT INTO arvo.generation (slot, opened_at) VALUES (1, arvo.clock());

SELECT is(arvo.finish_generations(), 0, 'the next was opened by this very transaction');
SELECT is((SELECT closed_at FROM pg_temp.seen() LIMIT 1), NULL, 'others may still use the one before: it is not closed');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:01Z';

SELECT is(arvo.finish_generations(), 0, 'somebody else''s opening');
SELECT results_eq('SELECT * FROM pg_temp.seen()', $$ VALUES (1::bigint, timestamptz '2030-01-01 00:00:01Z', NULL::timestamptz), (2, NULL, NULL) $$, 'closes it, but it is pinned');
CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.claim('{a}');
DO $$
BEGIN
    PERFORM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery)) FROM held));
END;
$$;
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:01:00Z';
DO $$
BEGIN
    PERFORM arvo.heal_lanes(9);
END;
$$;

SELECT is(arvo.finish_generations(), 1, 'when nothing pins it');
SELECT results_eq('SELECT * FROM pg_temp.seen()', $$ VALUES (1::bigint, timestamptz '2030-01-01 00:00:01Z', timestamptz '2030-01-01 00:01:00Z'), (2, NULL, NULL) $$, 'it is finished');
SELECT is(arvo.finish_generations(), 0, 'once');

SELECT * FROM finish();
ROLLBACK;
