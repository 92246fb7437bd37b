-- arvo.open_event_keys(number): contract, stories.
BEGIN;
SELECT plan(11);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.open_event_keys(bigint)',
    'void', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';

SELECT pg_current_xact_id() AS own \gset
SELECT arvo.open_event_keys(7);
SELECT results_eq('SELECT opened_at FROM arvo.event_key_generation WHERE number = 7', $$ VALUES (timestamptz '2030-01-01 00:00:00Z') $$, 'it is open from now on');
SELECT ok((SELECT horizon > :'own'::xid8 FROM arvo.event_key_generation WHERE number = 7), 'the horizon is above the caller''s own transaction');
COMMIT AND CHAIN;

SELECT ok((SELECT horizon < pg_current_xact_id() FROM arvo.event_key_generation WHERE number = 7), 'and below the next one');
SELECT is(pg_temp.raised('SELECT arvo.open_event_keys(7)'), '23505 | duplicate key value violates unique constraint "event_key_generation_number_pkey" | Key (number)=(7) already exists.', 'once');

SELECT * FROM finish();
ROLLBACK;
