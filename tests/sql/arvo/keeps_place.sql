-- arvo.keeps_place(finding): contract, stories.
BEGIN;
SELECT plan(12);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.keeps_place(arvo.finding)',
    'boolean', 'plpgsql', 'stable', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$ BEGIN
    PERFORM arvo_v1.register_queue('a');
    PERFORM arvo_v1.register_queue('b', p_retry_limit => 0);
    PERFORM arvo_v1.dispatch(pg_temp.event('a' || n, 'a', jsonb_build_object('subject', 's' || n))) FROM generate_series(1, 4) AS n;
    PERFORM arvo_v1.dispatch(pg_temp.event('a5', 'a', '{"data": {"amount": 99}}'), p_priority => 5);
    PERFORM arvo_v1.dispatch(pg_temp.event('due', 'a', '{"type": "org.test.event"}'), interval '1 hour');
    PERFORM arvo_v1.dispatch(pg_temp.event('b1', 'b'));
END; $$;
COMMIT AND CHAIN;

CREATE FUNCTION pg_temp.seen(p_id text) RETURNS arvo.finding[]
LANGUAGE sql AS $$
    SELECT array_agg(seen ORDER BY seen.delivery)
    FROM arvo.find_deliveries(
        NULL, NULL, p_id, NULL, NULL, NULL, NULL, NULL, NULL, '{queued,parked,deferred,leased,dead}', 9
    ) AS seen
$$;

CREATE TEMPORARY TABLE was AS SELECT id, (pg_temp.seen(id))[1] AS seen FROM unnest('{a1,due}'::text[]) AS id;
SELECT is(arvo.keeps_place(seen), false, 'what waits can be moved: ' || id) FROM was WHERE id = 'a1';
SELECT is(arvo.keeps_place(jsonb_populate_record(seen, '{"place": "leased"}')), true, 'what is held cannot') FROM was WHERE id = 'a1';
SELECT is(arvo.keeps_place(jsonb_populate_record(seen, '{"place": "parked"}')), false, 'what stands in line can') FROM was WHERE id = 'a1';
UPDATE arvo.queue SET policy = 'ordered' WHERE name = 'a';
SELECT is(arvo.keeps_place(jsonb_populate_record(seen, '{"place": "parked"}')), true, 'unless the line is ordered') FROM was WHERE id = 'a1';
SELECT is(arvo.keeps_place(seen), true, 'an ordered queue knows no priorities: ' || id) FROM was WHERE id = 'due';

SELECT * FROM finish();
ROLLBACK;
