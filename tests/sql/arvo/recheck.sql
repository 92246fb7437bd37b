-- arvo.recheck(finding): contract, stories.
BEGIN;
SELECT plan(16);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.recheck(arvo.finding)',
    'arvo.finding', 'plpgsql', 'stable', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_bitmapscan=off'
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

CREATE TEMPORARY TABLE was AS SELECT id, (pg_temp.seen(id))[1] AS seen FROM unnest('{a1,a5,due}'::text[]) AS id;
SELECT results_eq(
    'SELECT id, (arvo.recheck(seen)).place FROM was', $$ VALUES ('a1', 'queued'), ('a5', 'queued'), ('due', 'deferred') $$, 'nothing has happened'
);
SELECT is((SELECT count(*) FROM arvo_v1.claim('{a}', 1)), 1::bigint, 'one is claimed');
SELECT is((arvo.recheck(seen)).place, 'leased', 'that one is leased now') FROM was WHERE id = 'a5';
SELECT is((arvo.recheck(seen)).token, (SELECT max(token) FROM arvo.lease), 'and its lease is known') FROM was WHERE id = 'a5';
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T01:00:00Z';
SELECT count(*) FROM arvo_v1.maintain() \gset
SELECT is((arvo.recheck(seen)).place, 'queued', 'what has been promoted is in the log') FROM was WHERE id = 'due';
SELECT is((arvo.recheck(seen)).xid, pg_current_xact_id(), 'where it is found again') FROM was WHERE id = 'due';
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery)) FROM arvo_v1.claim('{a}', 99))) \gset
SELECT is((arvo.recheck(seen)).place, 'closed', 'what has been settled is over') FROM was WHERE id = 'a1';
SELECT is((arvo.recheck(seen)).place, 'closed', 'also when it was due later') FROM was WHERE id = 'due';
SELECT is((arvo.recheck(jsonb_populate_record(NULL::arvo.finding, '{"place": "dead"}'))).place, 'dead', 'a dead letter stays one');

SELECT * FROM finish();
ROLLBACK;
