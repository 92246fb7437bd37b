-- arvo.rebase_deferred(own): contract, stories.
BEGIN;
SELECT plan(13);
\ir ../given.psql
\ir ../restored.psql
SET arvo.frozen_clock = '2030-01-01T00:00:00Z';

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.rebase_deferred(bigint)',
    'bigint', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

DO $$
BEGIN
    PERFORM arvo_v1.dispatch(pg_temp.event('1', 'q'), interval '1 minute');
    PERFORM arvo_v1.dispatch(pg_temp.event('2', 'q'), interval '2 minutes');
    PERFORM arvo_v1.dispatch(pg_temp.event('3', 'q'), interval '3 minutes');
END;
$$;
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:01:30Z';
SELECT is(arvo.promote(), 1, 'one is due');
COMMIT AND CHAIN;
SELECT pg_temp.restore();
SELECT max(delivery) AS own FROM arvo.deferred \gset
DO $$
BEGIN
    PERFORM arvo.lane_for('q');
    INSERT INTO arvo.deferred (due, lane, delivery, attempt, at, subject_key, event_key, event)
    VALUES ('2030-01-01T00:00:00Z', arvo.lane_for('q'), 1000000, 1, now(), 0, 0, '{"id": "own"}');
    INSERT INTO arvo.dead (
        delivery, queue, dead_letter, dead_letter_lane, dead_letter_xid, dead_letter_delivery,
        event_id, subject_key, event_key, event, attempts, reason, died_at
    )
    VALUES (1, 'x', 'q', arvo.lane_for('q'), NULL, 2, '3', 0, 0, '{}', 1, 'failed', now());
    PERFORM arvo.retire_lanes();
END;
$$;
SELECT is(arvo.rebase_deferred(:own), 2::bigint, 'what is not due stays deferred');
SELECT is(
    (SELECT string_agg(event ->> 'id', ' ' ORDER BY due) FROM arvo.deferred), 'own 2 3',
    'and what had been promoted is swept away'
);
SELECT is(
    (SELECT array_agg(DISTINCT lane) FROM arvo.deferred), ARRAY[arvo.lane_for('q')],
    'it goes to the new lane'
);
SELECT is((SELECT dead_letter_lane FROM arvo.dead), arvo.lane_for('q'), 'dead letters know');
SET arvo.frozen_clock = '2030-01-01T00:02:30Z';
SELECT is(arvo.promote(), 2, 'everything is promoted when it is due, once');

SELECT * FROM finish();
ROLLBACK;
