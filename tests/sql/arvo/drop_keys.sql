-- arvo.drop_keys(slot, ids, keys, deliveries): contract, stories.
BEGIN;
SELECT plan(14);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.drop_keys(integer,text[],bigint[],bigint[])',
    'integer', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY['search_path=pg_catalog, pg_temp', 'enable_seqscan=off']
);

-- stories ---------------------------------------------------------------------------------------

INSERT INTO arvo.log (slot, lane, delivery, attempt, at, subject_key, event_key, event, dedup_key)
SELECT slot, 0, -given.key, 0, '2030-01-01Z', 0, hashtextextended('e' || given.key, 0), '{}', given.key
FROM generate_series(0, 3) AS slot, generate_series(1, 3) AS given (key);
INSERT INTO arvo.log (slot, lane, delivery, attempt, at, subject_key, event_key, event, dedup_key)
VALUES (0, 1, 9, 1, '2030-01-01Z', 0, hashtextextended('e9', 0), '{}', 9);
CREATE FUNCTION pg_temp.left() RETURNS text
LANGUAGE sql AS $$ SELECT string_agg(slot || ':' || abs(delivery), ' ' ORDER BY slot, abs(delivery)) FROM arvo.log $$;

SELECT is(arvo.drop_keys(0, '{e1,e2}', '{1,2}', '{1,2}'), 2, 'those named');
SELECT is(pg_temp.left(), '0:3 0:9 1:1 1:2 1:3 2:1 2:2 2:3 3:1 3:2 3:3', 'in that slot');
SELECT is(arvo.drop_keys(1, '{e1}', '{1}', '{1}'), 1, 'another');
SELECT is(arvo.drop_keys(2, '{e2,e3}', '{2,3}', '{2,4}'), 1, 'not the key that another delivery has');
SELECT is(arvo.drop_keys(3, '{e1,e2}', '{1,1}', '{1,2}'), 1, 'not another key');
SELECT is(arvo.drop_keys(0, '{e9}', '{9}', '{9}'), 0, 'not a delivery');
SELECT is(pg_temp.left(), '0:3 0:9 1:2 1:3 2:1 2:3 3:2 3:3', 'the others stay');

SELECT * FROM finish();
ROLLBACK;
