-- arvo.generation_pins(limit): contract, stories.
BEGIN;
SELECT plan(12);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.generation_pins(integer)',
    'SETOF arvo.pin', 'sql', 'volatile', false,
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
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('a');
    PERFORM arvo_v1.dispatch(pg_temp.event('1', 'a'));
END;
$$;
COMMIT AND CHAIN;

SELECT is_empty('SELECT * FROM arvo.generation_pins()', 'the one in use is not asked about');
INSERT INTO arvo.generation (slot, opened_at) VALUES (1, arvo.clock());

SELECT results_eq(
    'SELECT generation, kind, queue, delivery, at FROM arvo.generation_pins()',
    $$ SELECT 1::bigint, 'unclaimed', 'a', delivery, timestamptz '2030-01-01 00:00:00Z' FROM arvo.log $$,
    'a delivery that nobody claimed keeps the first one'
);
UPDATE arvo.generation SET finished_at = arvo.clock() WHERE number = 1;
SELECT is_empty('SELECT * FROM arvo.generation_pins()', 'one that is finished has no pins');
UPDATE arvo.generation SET finished_at = NULL, emptied_at = arvo.clock() WHERE number = 1;
SELECT is_empty('SELECT * FROM arvo.generation_pins()', 'nor one that was emptied');
UPDATE arvo.generation SET emptied_at = NULL WHERE number = 1;
SELECT is_empty('SELECT * FROM arvo.generation_pins(0)', 'no more than asked for');

SELECT * FROM finish();
ROLLBACK;
