-- arvo.empty_event_keys(slot): contract, stories.
BEGIN;
SELECT plan(13);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.empty_event_keys(integer)',
    'boolean', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'lock_timeout=100ms'
    ]
);

-- stories ---------------------------------------------------------------------------------------

INSERT INTO arvo.event_key (slot, queue, key, delivery, at) SELECT slot, 1, '\x00', 1, now() FROM generate_series(0, 2) AS slot;
SELECT ok(arvo.empty_event_keys(0), 'partition 0');
SELECT results_eq('SELECT slot FROM arvo.event_key ORDER BY slot', $$ SELECT slot::smallint FROM generate_series(1, 2) AS slot $$, 'is empty, the others are not');
SELECT ok(arvo.empty_event_keys(1), 'partition 1');
SELECT results_eq('SELECT slot FROM arvo.event_key ORDER BY slot', $$ SELECT slot::smallint FROM generate_series(2, 2) AS slot $$, 'is empty, the others are not');
SELECT ok(arvo.empty_event_keys(2), 'partition 2');
SELECT results_eq('SELECT slot FROM arvo.event_key ORDER BY slot', $$ SELECT slot::smallint FROM generate_series(3, 2) AS slot $$, 'is empty, the others are not');

SELECT * FROM finish();
ROLLBACK;
