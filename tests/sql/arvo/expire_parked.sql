-- arvo.expire_parked(limit): contract, stories.
BEGIN;
SELECT plan(20);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.expire_parked(integer)',
    'integer', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('o', p_policy => 'ordered', p_retention => '1 minute');
    PERFORM arvo_v1.dispatch(pg_temp.event(number::text, 'o')) FROM generate_series(1, 3) AS number;
END;
$$;
COMMIT AND CHAIN;

SELECT count(*) AS claimed FROM arvo_v1.claim('{o}', p_lease => '5 minutes') \gset
DO $$
BEGIN
    PERFORM arvo_v1.claim('{o}', 9);
END;
$$;
COMMIT AND CHAIN;

SELECT is((SELECT count(*) FROM arvo.parked), 2::bigint, 'two stand in line');
SET arvo.frozen_clock = '2030-01-01T00:00:59.999999Z';

SELECT is(arvo.expire_parked(9), 0, 'one microsecond before');
SET arvo.frozen_clock = '2030-01-01T00:01:00Z';

SELECT is(arvo.expire_parked(1), 1, 'exactly then; no more than asked for');
SELECT results_eq('SELECT active, waiting FROM arvo.turn WHERE key <> 0', $$ VALUES (1, 1) $$, 'one has left the line; the head is still running');
SELECT is(arvo.expire_parked(9), 1, 'the other one');
SELECT is(arvo.expire_parked(9), 0, 'once');
SELECT is_empty('SELECT FROM arvo.parked', 'nobody stands in line');
SELECT results_eq('SELECT event_id, reason, attempts FROM arvo.dead ORDER BY event_id', $$ VALUES ('2', 'retention', 0), ('3', 'retention', 0) $$, 'dead letters');
SELECT results_eq('SELECT active, waiting FROM arvo.turn WHERE key <> 0', $$ VALUES (1, 0) $$, 'the key knows');
SELECT is((SELECT active FROM arvo.turn WHERE key = 0), 1, 'and the queue');
DO $$
BEGIN
    PERFORM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(token, deliveries[1])) FROM arvo.lease WHERE token <> 0 AND worker IS NULL));
    PERFORM arvo_v1.dispatch(pg_temp.event('4', 'o'));
END;
$$;
COMMIT AND CHAIN;

SELECT is((SELECT array_agg(event ->> 'id') FROM arvo_v1.claim('{o}', 9)), '{4}', 'the line goes on');

-- what is younger stays in line

DO $$
BEGIN
    PERFORM arvo_v1.dispatch(pg_temp.event('5', 'o'));
END;
$$;
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.claim('{o}', 9) \gset
SET arvo.frozen_clock = '2030-01-01T00:01:40Z';
DO $$
BEGIN
    PERFORM arvo_v1.dispatch(pg_temp.event('6', 'o'));
END;
$$;
COMMIT AND CHAIN;
SELECT count(*) FROM arvo_v1.claim('{o}', 9) \gset
SET arvo.frozen_clock = '2030-01-01T00:02:10Z';
SELECT is(arvo.expire_parked(9), 1, 'of two in one line only the one whose time has come');
SELECT is((SELECT count(*) FROM arvo.parked), 1::bigint, 'the other waits on');

SELECT * FROM finish();
ROLLBACK;
