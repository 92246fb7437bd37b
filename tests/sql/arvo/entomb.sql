-- arvo.entomb(log row, reason): contract, stories.
BEGIN;
SELECT plan(12);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.entomb(arvo.log,text)',
    'void', 'sql', 'volatile', false,
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

SELECT arvo.entomb(log, 'moved') FROM arvo.log WHERE event ->> 'id' = 'a1' \gset
SELECT arvo.entomb(log, 'cancelled') FROM arvo.log WHERE event ->> 'id' = 'a1' \gset
SELECT arvo.entomb(log, 'cancelled') FROM arvo.log WHERE event ->> 'id' = 'a2' \gset
SELECT results_eq(
    $$ SELECT log.event ->> 'id', tombstone.reason, tombstone.by = session_user, tombstone.at
       FROM arvo.tombstone INNER JOIN arvo.log USING (lane, delivery) ORDER BY 1 $$,
    $$ VALUES ('a1', 'moved', true, timestamptz '2030-01-01Z'), ('a2', 'cancelled', true, '2030-01-01Z') $$,
    'with its reason, by whom and when; once'
);
COMMIT AND CHAIN;
SELECT is((SELECT array_agg(event ->> 'id' ORDER BY delivery) FROM arvo_v1.claim('{a}', 9)), '{a3,a4,a5}', 'it is not handed out');
SELECT is(
    (SELECT array_agg(outcome ORDER BY outcome) FROM arvo.closure CROSS JOIN LATERAL unnest(outcomes) AS outcome), '{cancelled,moved}',
    'but closed for its reason'
);
COMMIT AND CHAIN;
DO $$ BEGIN PERFORM arvo_v1.register_queue('b', p_dead_letter => 'morgue'); END; $$;
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'failed')) FROM arvo_v1.claim('{b}', 9))) \gset
SELECT arvo.entomb(log, 'moved') FROM arvo.log INNER JOIN arvo.dead ON dead_letter_delivery = log.delivery \gset
SELECT is((SELECT resolution FROM arvo.dead), NULL, 'a dead letter that is moved stays open');
SELECT arvo.entomb(log, 'cancelled') FROM arvo.log INNER JOIN arvo.dead ON dead_letter_delivery = log.delivery \gset
SELECT results_eq(
    'SELECT resolution, resolved_at, resolved_by = session_user FROM arvo.dead', $$ VALUES ('discarded', timestamptz '2030-01-01Z', true) $$,
    'one that is cancelled in its dead-letter queue is discarded'
);

SELECT * FROM finish();
ROLLBACK;
