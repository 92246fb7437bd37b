-- arvo.bring_forward(delivery): contract, stories.
BEGIN;
SELECT plan(15);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.bring_forward(bigint)',
    'arvo.log', 'plpgsql', 'volatile', false,
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

SELECT delivery AS due FROM arvo.deferred \gset
CREATE TEMPORARY TABLE entry AS SELECT brought.* FROM arvo.bring_forward(:due) AS brought;
SELECT results_eq(
    'SELECT delivery, lane, attempt, event, xid, at FROM arvo.log WHERE delivery = (SELECT delivery FROM entry)',
    $$ SELECT delivery, lane, 1, pg_temp.event('due', 'a', '{"type": "org.test.event"}'), pg_current_xact_id(), timestamptz '2030-01-01Z' FROM entry $$,
    'it is in the log, under its number'
);
SELECT is_empty('SELECT FROM arvo.deferred', 'and not deferred any more');
SELECT is((arvo.bring_forward(:due)).delivery, NULL, 'once');
SELECT is((arvo.bring_forward(0)).delivery, NULL, 'what never was is not brought');
ROLLBACK AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T01:00:00Z';
SELECT arvo.promote() \gset
SELECT is((arvo.bring_forward(:due)).delivery, NULL, 'nor what has been promoted');
SELECT is((SELECT count(*) FROM arvo.deferred), 1::bigint, 'whose row is left to be swept');
COMMIT AND CHAIN;

-- a dead letter that its consumer has put off
DO $$ BEGIN PERFORM arvo_v1.register_queue('b', p_dead_letter => 'morgue'); END; $$;
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'failed')) FROM arvo_v1.claim('{b}', 9))) \gset
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'snoozed', '{"after": 60}')) FROM arvo_v1.claim('{morgue}', 9))) \gset
SELECT is((SELECT dead_letter_xid FROM arvo.dead), NULL, 'is nowhere in the log');
SELECT arvo.bring_forward(dead_letter_delivery) FROM arvo.dead \gset
SELECT is((SELECT dead_letter_xid FROM arvo.dead), pg_current_xact_id(), 'until it is brought there');

SELECT * FROM finish();
ROLLBACK;
