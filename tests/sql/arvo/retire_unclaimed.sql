-- arvo.retire_unclaimed(limit): contract, stories.
BEGIN;
SELECT plan(21);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.retire_unclaimed(integer)',
    'integer', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('a', p_retention => '1 day');
    PERFORM arvo_v1.dispatch(pg_temp.event('1', 'a'));
    PERFORM arvo_v1.dispatch(pg_temp.event('2', 'a'));
    PERFORM arvo_v1.dispatch(pg_temp.event('3', 'nobody'));
END;
$$;
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T12:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.dispatch(pg_temp.event('4', 'a'));
END;
$$;
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T23:59:59.999999Z';

SELECT is(arvo.retire_unclaimed(9), 0, 'one microsecond before');
SET arvo.frozen_clock = '2030-01-02T00:00:00Z';

SELECT is(arvo.retire_unclaimed(1), 1, 'exactly then; no more than asked for');
SELECT is(arvo.retire_unclaimed(9), 1, 'the rest');
SELECT is(arvo.retire_unclaimed(9), 0, 'once');
SELECT results_eq('SELECT event_id, reason, queue FROM arvo.dead ORDER BY dead', $$ VALUES ('1', 'retention', 'a'), ('2', 'retention', 'a') $$, 'dead letters');
COMMIT AND CHAIN;

SELECT is((SELECT array_agg(event ->> 'id') FROM arvo_v1.claim('{a}', 9)), '{4}', 'the younger one is claimed as ever');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-15T00:00:00Z';

SELECT is(arvo.retire_unclaimed(9), 1, 'a queue that nobody has registered: after fourteen days');
SELECT is((SELECT event_id FROM arvo.dead WHERE queue = 'nobody'), '3', 'is not lost either');
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('o', p_policy => 'ordered', p_retention => '1 day', p_max_active => 1);
    PERFORM arvo_v1.dispatch(pg_temp.event('5', 'o'));
    PERFORM arvo_v1.dispatch(pg_temp.event('6', 'o'));
END;
$$;
COMMIT AND CHAIN;

CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.claim('{o}');
SELECT count(*) AS settled FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'released')) FROM held)) \gset
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-16T00:00:00Z';

SELECT is((SELECT count(*) FROM arvo.turn WHERE holder IS NOT NULL), 1::bigint, 'the head of a key that was given back holds its key');
SELECT is(arvo.retire_unclaimed(9), 1, 'what came before it dies first, with its window');
SELECT is(arvo.retire_unclaimed(9), 1, 'then it does');
SELECT results_eq('SELECT DISTINCT active, waiting, holder FROM arvo.turn', $$ VALUES (0, 0, NULL::bigint) $$, 'the key is free');
SELECT results_eq($$ SELECT event_id, attempts FROM arvo.dead WHERE queue = 'o' ORDER BY event_id $$, $$ VALUES ('5', 0), ('6', 0) $$, 'a released run was not charged');
DO $$
BEGIN
    PERFORM arvo_v1.dispatch(pg_temp.event('7', 'o'));
END;
$$;
COMMIT AND CHAIN;

SELECT is((SELECT array_agg(event ->> 'id') FROM arvo_v1.claim('{o}', 9)), '{7}', 'and the queue goes on');

SELECT * FROM finish();
ROLLBACK;
