-- arvo.has_key(slot, event_key, dedup_key, since): contract, stories.
BEGIN;
SELECT plan(15);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.has_key(integer,bigint,bigint,timestamptz)',
    'boolean', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY['search_path=pg_catalog, pg_temp', 'enable_seqscan=off']
);

-- stories ---------------------------------------------------------------------------------------

INSERT INTO arvo.log (slot, lane, delivery, attempt, at, subject_key, event_key, event, dedup_key)
SELECT slot, 1, slot + 1, 1, '2030-01-01Z', 0, 10 + slot, '{}', 20 + slot FROM generate_series(0, 3) AS slot;
SELECT is(
    (SELECT array_agg(arvo.has_key(asked, 10 + stored, 20 + stored, '2029-12-31Z') ORDER BY stored) FROM generate_series(0, 3) AS stored),
    (SELECT array_agg(asked = stored ORDER BY stored) FROM generate_series(0, 3) AS stored), format('slot %s has its own', asked)
) FROM generate_series(0, 3) AS asked;
SELECT ok(NOT arvo.has_key(0, 10, 21, '2029-12-31Z'), 'another key');
SELECT ok(NOT arvo.has_key(0, 11, 20, '2029-12-31Z'), 'the same key of another id');
SELECT ok(arvo.has_key(0, 10, 20, '2029-12-31T23:59:59.999999Z'), 'a microsecond before the end of its window');
SELECT ok(NOT arvo.has_key(0, 10, 20, '2030-01-01Z'), 'at its end');

SELECT * FROM finish();
ROLLBACK;
