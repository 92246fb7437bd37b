-- arvo.head_of(lane): contract, stories.
BEGIN;
SELECT plan(10);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.head_of(integer)',
    'arvo.lease', 'sql', 'stable', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$ BEGIN PERFORM arvo_v1.register_queue('a'); END; $$;
SELECT lane FROM arvo.lane \gset
SELECT is((arvo.head_of(:lane)).number, 0::bigint, 'a new lane has its first row');
INSERT INTO arvo.lease
SELECT (jsonb_populate_record(lease, '{"number": 1, "last_delivery": 77}')).* FROM arvo.lease;
SELECT is((arvo.head_of(:lane)).last_delivery, 77::bigint, 'the newest row is the cursor');
SELECT is((arvo.head_of(0)).lane, NULL, 'a lane that does not exist has none');

SELECT * FROM finish();
ROLLBACK;
