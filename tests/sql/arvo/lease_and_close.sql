-- arvo.lease_and_close(head, reading): contract, stories.
BEGIN;
SELECT plan(16);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.lease_and_close(arvo.lease,arvo.reading)',
    'bigint', 'plpgsql', 'volatile', false,
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

SELECT lane FROM arvo.log WHERE event ->> 'id' = 'a1' \gset
INSERT INTO arvo.tombstone (lane, delivery, at) SELECT lane, delivery, now() FROM arvo.log WHERE event ->> 'id' = 'a2';
COMMIT AND CHAIN;
SELECT is(arvo.lease_and_close(head, arvo.read_window(head, 3)), 2::bigint, 'what was withdrawn before does not count') FROM arvo.head_of(:lane) AS head;
SELECT results_eq(
    $$ SELECT log.event ->> 'id', closure.outcomes[1] FROM arvo.closure CROSS JOIN LATERAL unnest(deliveries) AS gone
       INNER JOIN arvo.log ON log.delivery = gone ORDER BY 1 $$,
    $$ VALUES ('a1', 'cancelled'), ('a2', 'cancelled'), ('a3', 'cancelled') $$, 'all of them are closed'
);
SELECT is_empty('SELECT FROM arvo.tombstone', 'with nothing left over');
SELECT is((SELECT cardinality(deliveries) FROM arvo.head_of(:lane)), 3, 'under one lease');
SELECT is((SELECT xids FROM arvo.head_of(:lane)), ARRAY(SELECT xid FROM arvo.log WHERE lane = :lane ORDER BY delivery LIMIT 3), 'which says where they stand');
SELECT is((SELECT exhausted FROM arvo.head_of(:lane)), false, 'and where the cursor is');
COMMIT AND CHAIN;
SELECT is((SELECT array_agg(event ->> 'id') FROM arvo_v1.claim('{a}', 9)), '{a5,a4}', 'claims go on behind it');
COMMIT AND CHAIN;
DO $$ BEGIN PERFORM arvo_v1.register_queue('b', p_dead_letter => 'morgue'); END; $$;
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'failed')) FROM arvo_v1.claim('{b}', 9))) \gset
COMMIT AND CHAIN;
SELECT dead_letter_lane AS lane FROM arvo.dead \gset
SELECT is(arvo.lease_and_close(head, arvo.read_window(head, 3)), 1::bigint, 'one in a dead-letter queue') FROM arvo.head_of(:lane) AS head;
SELECT is((SELECT resolution FROM arvo.dead), 'discarded', 'is discarded with it');

SELECT * FROM finish();
ROLLBACK;
