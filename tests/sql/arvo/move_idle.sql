-- arvo.move_idle(slot, limit): contract, stories.
BEGIN;
SELECT plan(13);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.move_idle(smallint,integer)',
    'integer', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('a');
    PERFORM arvo_v1.register_queue('b');
    PERFORM arvo_v1.register_queue('c');
    PERFORM arvo_v1.dispatch(pg_temp.event('1', 'a'));
END;
$$;
COMMIT AND CHAIN;

SELECT count(*) AS claimed FROM arvo_v1.claim('{a}', 9) \gset
COMMIT AND CHAIN;
INSERT INTO arvo.generation (slot, opened_at) VALUES (1, arvo.clock());

SELECT is(arvo.move_idle(1::smallint, 9), 0, 'none stands in the slot in use');
SELECT is(arvo.move_idle(0::smallint, 2), 2, 'no more than asked for');
SELECT is(arvo.move_idle(0::smallint, 9), 1, 'the last one');
SELECT is(arvo.move_idle(0::smallint, 9), 0, 'all have moved');
SELECT results_eq(
    'SELECT slot, token, number, deliveries FROM arvo.lease WHERE lane = (SELECT min(lane) FROM arvo.lane) ORDER BY number OFFSET 2',
    $$ VALUES (1::smallint, 0::bigint, 2::bigint, '{}'::bigint[]) $$,
    'by a row that leases nothing'
);
SELECT results_eq(
    'SELECT previous_snapshot::text, snapshot::text, last_xid, last_delivery, exhausted, open_from, sweep_at FROM arvo.lease WHERE lane = (SELECT min(lane) FROM arvo.lane) ORDER BY number DESC LIMIT 1',
    'SELECT previous_snapshot::text, snapshot::text, last_xid, last_delivery, exhausted, open_from, sweep_at FROM arvo.lease WHERE lane = (SELECT min(lane) FROM arvo.lane) ORDER BY number DESC OFFSET 1 LIMIT 1',
    'and says what the one before said'
);

SELECT * FROM finish();
ROLLBACK;
