-- arvo.note_keys(queues, sources, ids, deliveries): contract, stories. The turn of the log: mark_duplicates.sql.
BEGIN;
SELECT plan(21);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.note_keys(integer[],text[],text[],bigint[])',
    'bigint[]', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
UPDATE arvo.generation SET opened_at = '2029-12-31Z';
DO $$ BEGIN PERFORM arvo_v1.register_queue('a', p_deduplicate_for => '1 hour'), arvo_v1.register_queue('b'); END; $$;
SELECT queue AS a FROM arvo.queue WHERE name = 'a' \gset
SELECT queue AS b FROM arvo.queue WHERE name = 'b' \gset
CREATE FUNCTION pg_temp.note(p_queues integer[], p_ids text[], p_deliveries bigint[]) RETURNS bigint[]
LANGUAGE sql AS $$ SELECT arvo.note_keys(p_queues, array_fill('s'::text, ARRAY[cardinality(p_ids)]), p_ids, p_deliveries) $$;

SELECT is(pg_temp.note(ARRAY[:a, :b, :a], '{k1,k1,k2}', '{1,2,3}'), NULL, 'all are new');
SELECT results_eq(
    'SELECT slot::integer, lane, delivery, attempt, at, subject_key, event_key, event, key, dedup_key FROM arvo.log ORDER BY delivery DESC LIMIT 1',
    format(
        $$ VALUES (0, 0, -1::bigint, 0, timestamptz '2030-01-01Z', 0::bigint, hashtextextended('k1', 0), jsonb '{"id": "k1", "source": "s"}',
                   %1$s::bigint, arvo.dedup_key(%1$s, 's', 'k1')) $$, :a
    ), 'a row that nobody claims, for each'
);
SELECT is(pg_temp.note(ARRAY[:a, :a, :b], '{k2,k3,k1}', '{4,5,6}'), '{3,NULL,2}', 'those that were known, with their first');
SELECT is(pg_temp.note(ARRAY[:a, :a, :a], '{k4,k4,k4}', '{7,8,9}'), '{NULL,7,7}', 'the same in one call');
SELECT is(
    (SELECT string_agg(abs(delivery)::text, ' ' ORDER BY -delivery) FROM arvo.log WHERE dedup_key IS NOT NULL), '1 2 3 5 7', 'each is noted once'
);
SET LOCAL arvo.frozen_clock = '2030-01-01T01:00:00Z';
SELECT is(pg_temp.note(ARRAY[:a, :b], '{k1,k1}', '{10,11}'), '{NULL,2}', 'each queue has a window of its own');
SELECT is(
    (SELECT string_agg(concat_ws(' ', delivery, dedup_key IS NULL), ', ' ORDER BY -delivery) FROM arvo.log WHERE event ->> 'id' = 'k1' AND key = :a),
    '-1 t, -10 f', 'and begins anew at its end: the row from before gives its key away'
);
SELECT is(arvo.note_keys(ARRAY[:a], '{t}', '{k1}', '{12}'), NULL, 'of another source it is another one');
SELECT is(
    pg_temp.note(ARRAY[:a, :a, :a, :a], '{k2,k1,k3,k2}', '{20,21,22,23}'), '{NULL,10,NULL,20}', 'over, known, and twice in one call'
);

-- another event that has the same key by chance
UPDATE arvo.log SET event = event || '{"source": "other"}' WHERE delivery = -10;
SELECT is(pg_temp.note(ARRAY[:a, :a], '{k1,k5}', '{24,25}'), NULL, 'is no duplicate');
SELECT is(
    (SELECT string_agg(delivery::text, ' ' ORDER BY -delivery) FROM arvo.log WHERE delivery <= -24), '-25', 'and has no key of its own'
);

INSERT INTO arvo.generation (slot, opened_at) VALUES (1, arvo.clock());
SELECT is(pg_temp.note(ARRAY[:b, :b], '{k1,k5}', '{30,31}'), '{2,NULL}', 'the slot before is looked at');
SELECT is(
    (SELECT string_agg(delivery::text, ' ') FROM arvo.log WHERE slot = 1), '-31', 'and not written'
);
SELECT is(pg_temp.note('{}', '{}', '{}'), NULL, 'nothing is nothing');

SELECT * FROM finish();
ROLLBACK;
