-- arvo.carried_body(delivery, lane, transaction): contract, stories.
BEGIN;
SELECT plan(16);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.carried_body(bigint,integer,xid8)',
    'jsonb', 'sql', 'stable', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('a');
    PERFORM arvo_v1.dispatch(pg_temp.event('e', 'a'));
END;
$$;

SELECT lane, xid, delivery FROM arvo.log \gset
SELECT is(arvo.carried_body(:delivery, :lane, :'xid'), NULL, 'of the generation in use: a reference will do');
INSERT INTO arvo.generation (slot, opened_at) VALUES (1, arvo.clock());

SELECT is(arvo.carried_body(:delivery, :lane, :'xid'), pg_temp.event('e', 'a'), 'of the one before: it must be written again');
SELECT is(arvo.carried_body(:delivery + 1, :lane, :'xid'), NULL, 'what is not there cannot be');
SELECT is(arvo.carried_body(NULL, NULL, NULL), NULL, 'nothing asked');
SELECT arvo.again(log, 2, '1 hour', NULL) AS again FROM arvo.log \gset
SELECT results_eq(
    'SELECT event, origin_delivery, origin_lane, origin_xid, cause FROM arvo.deferred',
    format($$ SELECT event, NULL::bigint, NULL::integer, NULL::xid8, jsonb_build_object('first', delivery) FROM arvo.log $$),
    'a further delivery has the event itself then, and names the first one in its cause'
);
SELECT arvo.again(log, 2, NULL, '{"outcome": "failed"}') AS again FROM arvo.log \gset
SELECT results_eq(
    format('SELECT slot, event, origin_delivery, cause FROM arvo.log WHERE delivery = %s', :again),
    format($$ VALUES (1::smallint, pg_temp.event('e', 'a'), NULL::bigint, '{"first": %s, "outcome": "failed"}'::jsonb) $$, :delivery),
    'at once or later'
);
SELECT arvo.again(log, 3, NULL, log.cause) AS third FROM arvo.log WHERE delivery = :again \gset
SELECT results_eq(
    format('SELECT event, origin_delivery, cause FROM arvo.log WHERE delivery = %s', :third),
    format($$ VALUES (NULL::jsonb, %s::bigint, '{"first": %s, "outcome": "failed"}'::jsonb) $$, :again, :delivery),
    'the next one refers to that one'
);
SELECT arvo.bury(log, target, 'failed', NULL) AS dead
FROM arvo.log INNER JOIN arvo.lane USING (lane) INNER JOIN arvo.queue AS target USING (queue) WHERE delivery = :delivery \gset
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('b', p_dead_letter => 'morgue');
    PERFORM arvo_v1.dispatch(pg_temp.event('f', 'b'));
END;
$$;

INSERT INTO arvo.generation (slot, opened_at) VALUES (2, arvo.clock());
SELECT arvo.bury(log, target, 'failed', NULL) AS dead
FROM arvo.log INNER JOIN arvo.lane USING (lane) INNER JOIN arvo.queue AS target USING (queue) WHERE event ->> 'id' = 'f' \gset
SELECT results_eq(
    $$ SELECT slot, event, origin_delivery, (cause ->> 'first')::bigint FROM arvo.log WHERE cause ->> 'outcome' = 'dead' $$,
    $$ SELECT 2::smallint, event, NULL::bigint, delivery FROM arvo.log WHERE event ->> 'id' = 'f' AND slot = 1 $$,
    'a dead letter that is delivered to another queue'
);
UPDATE arvo.deferred SET event = NULL, cause = NULL, origin_delivery = :delivery, origin_lane = :lane, origin_xid = :'xid';
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T01:00:00Z';

SELECT arvo.promote() AS promoted \gset
SELECT results_eq(
    format('SELECT event, cause FROM arvo.log WHERE log.delivery = %s', (SELECT delivery FROM arvo.deferred)),
    format($$ VALUES (pg_temp.event('e', 'a'), '{"first": %s}'::jsonb) $$, :delivery),
    'and a deferred one that is promoted'
);

SELECT * FROM finish();
ROLLBACK;
