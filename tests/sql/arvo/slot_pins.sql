-- arvo.slot_pins(slot, until, limit): contract, stories.
BEGIN;
SELECT plan(19);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.slot_pins(smallint,timestamptz,integer)',
    'SETOF arvo.pin', 'sql', 'stable', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_bitmapscan=off',
        'enable_hashjoin=off',
        'enable_mergejoin=off',
        'jit=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';

CREATE FUNCTION pg_temp.pins(p_slot integer DEFAULT 0, p_until timestamptz DEFAULT 'infinity') RETURNS TABLE (kind text, queue text)
LANGUAGE sql AS $$ SELECT pin.kind, pin.queue FROM arvo.slot_pins(p_slot::smallint, p_until, 9) AS pin ORDER BY 1, 2 $$;
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('a');
    PERFORM arvo_v1.register_queue('o', p_policy => 'ordered');
END;
$$;

SELECT is_empty('SELECT * FROM pg_temp.pins()', 'empty');
DO $$
BEGIN
    PERFORM arvo_v1.dispatch(pg_temp.event('1', 'a'));
END;
$$;
COMMIT AND CHAIN;

SELECT results_eq('SELECT * FROM pg_temp.pins()', $$ VALUES ('unclaimed', 'a') $$, 'a delivery that nobody claimed');
SELECT is_empty('SELECT * FROM pg_temp.pins(1)', 'in its slot only');
CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.claim('{a}');
COMMIT AND CHAIN;

SELECT results_eq('SELECT * FROM pg_temp.pins()', $$ VALUES ('leased', 'a') $$, 'one that is leased');
INSERT INTO arvo.generation (slot, opened_at) VALUES (1, arvo.clock());

SELECT is_empty('SELECT * FROM pg_temp.pins(1)', 'the next slot is not touched by it');
SELECT count(*) AS extended FROM held, arvo_v1.extend(ARRAY[held.lease]) \gset
COMMIT AND CHAIN;

SELECT results_eq('SELECT kind, count(*) FROM (SELECT * FROM pg_temp.pins() UNION ALL SELECT * FROM pg_temp.pins(1)) AS pin GROUP BY 1', $$ VALUES ('leased', 2::bigint) $$, 'carried forward: its delivery stands in one slot, its newest lease row in another');
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

SELECT is_empty('SELECT * FROM pg_temp.pins()', 'settled, lapsed and swept');
SELECT is_empty('SELECT * FROM pg_temp.pins(1)', 'in both slots');
DO $$
BEGIN
    PERFORM arvo_v1.dispatch(pg_temp.event('2', 'o'));
    PERFORM arvo_v1.dispatch(pg_temp.event('3', 'o'));
END;
$$;
COMMIT AND CHAIN;

SELECT count(*) AS claimed FROM arvo_v1.claim('{o}') \gset
SELECT count(*) AS claimed FROM arvo_v1.claim('{o}') \gset
COMMIT AND CHAIN;

SELECT results_eq('SELECT * FROM pg_temp.pins(1)', $$ VALUES ('leased', 'o'), ('parked', 'o') $$, 'one that stands in line behind another of its key');
SELECT is_empty($$ SELECT * FROM pg_temp.pins(0, '2030-01-01T00:00:59.999999Z') $$, 'not what was appended after the slot was closed');
SELECT results_eq($$ SELECT * FROM pg_temp.pins(0, '2030-01-01T00:01:00Z') $$, $$ VALUES ('parked', 'o') $$, 'at the very moment it was closed');
SELECT is((SELECT count(*) FROM arvo.slot_pins(1::smallint, 'infinity', 1)), 1::bigint, 'no more than asked for');

SELECT * FROM finish();
ROLLBACK;
