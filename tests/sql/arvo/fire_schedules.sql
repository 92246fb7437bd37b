-- arvo.fire_schedules(): contract, stories.
BEGIN;
SELECT plan(41);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.fire_schedules()',
    'integer', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_bitmapscan=off',
        'enable_hashjoin=off',
        'enable_mergejoin=off',
        'jit=off',
        'plan_cache_mode=force_generic_plan',
        'lock_timeout=20ms'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SET timezone = 'UTC';
CREATE FUNCTION pg_temp.make(p_name text, p_cron text, p_key text DEFAULT '', p_to text DEFAULT 'com.test.sink') RETURNS void
LANGUAGE sql AS $$
    SELECT arvo_v1.schedule(
        p_name, p_cron, jsonb_build_object('type', 'com.test.tick', 'source', 'com.test.clock', 'subject', 's', 'data', '{}'::jsonb, 'to', p_to),
        p_key
    )
$$;
CREATE FUNCTION pg_temp.fired() RETURNS text[]
LANGUAGE sql AS $$ SELECT coalesce(array_agg(event ->> 'id' ORDER BY xid, delivery), '{}') FROM arvo.log WHERE event ? 'firetime' $$;

SELECT is(arvo.fire_schedules(), 0, 'there is no schedule');
SELECT pg_temp.make('a', '0 9 * * *', key) FROM (VALUES ('x'), ('y')) AS given (key) \g /dev/null
SELECT pg_temp.make('b', '5 9 * * *') \g /dev/null
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T08:59:59.999999Z';
SELECT is(arvo.fire_schedules(), 0, 'nothing is due yet');
SELECT pg_current_xact_id_if_assigned() IS NULL AS idle \gset
COMMIT AND CHAIN;
SELECT arvo.fire_schedules() \g /dev/null
SELECT pg_current_xact_id_if_assigned() IS NULL AS idle \gset
SELECT is(:'idle'::text, 't', 'and looking again writes nothing');
SET arvo.frozen_clock = '2030-01-01T09:00:00Z';
SELECT is(arvo.fire_schedules(), 2, 'each key is a schedule of its own');
SELECT is(pg_temp.fired(), '{schedule/a/x/2030-01-01T09:00:00Z,schedule/a/y/2030-01-01T09:00:00Z}', 'with an event of its own');
SELECT results_eq(
    $$ SELECT DISTINCT attempt, at, xid, event ->> 'time', queue.name
       FROM arvo.log INNER JOIN arvo.lane USING (lane) INNER JOIN arvo.queue USING (queue) $$,
    $$ VALUES (1, timestamptz '2030-01-01 09:00Z', pg_current_xact_id(), '2030-01-01T09:00:00.000+00:00', 'com.test.sink') $$,
    'appended as if somebody had dispatched it now'
);
SELECT is(arvo.fire_schedules(), 0, 'once');
SELECT results_eq(
    'SELECT key, last_at, last_delivery, last_outcome, fires, next_at FROM arvo.schedule WHERE name = $$a$$ ORDER BY key',
    $$ SELECT event ->> 'schedulekey', timestamptz '2030-01-01 09:00Z', delivery, 'unroutable', 1::bigint, timestamptz '2030-01-02 09:00Z'
       FROM arvo.log WHERE lane > 0 ORDER BY 1 $$,
    'the schedule knows its last delivery'
);
COMMIT AND CHAIN;
SELECT is(arvo.fire_schedules(), 0, 'also in the next transaction');

-- an undone transaction has fired nothing
SAVEPOINT before;
SET arvo.frozen_clock = '2030-01-01T09:05:00Z';
SELECT is(arvo.fire_schedules(), 1, 'the next one');
ROLLBACK TO SAVEPOINT before;
SET arvo.frozen_clock = '2030-01-01T09:05:00Z';
SELECT is(arvo.fire_schedules(), 1, 'is still due when that was undone');
COMMIT AND CHAIN;

-- stories: promote and next_due

SET arvo.frozen_clock = '2030-01-02T08:59:59Z';
SELECT is(arvo.next_due(), interval '1 second', 'who waits knows when the next one is due');
SET arvo.frozen_clock = '2030-01-02T09:00:00Z';
SELECT is(arvo.promote(), 0, 'a promotion promotes nothing');
SELECT is(cardinality(pg_temp.fired()), 5, 'but fires');
SELECT is(arvo.next_due(), interval '5 minutes', 'and the next one is');
COMMIT AND CHAIN;

-- stories: one that cannot fire does not stop the others

SELECT pg_temp.make('c' || n, '0 10 * * *') FROM generate_series(1, 4) AS n \g /dev/null
UPDATE arvo.schedule SET time_zone = 'Europe/Atlantis' WHERE name = 'c1';
UPDATE arvo.schedule SET event = event - 'data' WHERE name = 'c2';
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-02T10:00:00Z';
SELECT is(arvo.fire_schedules(), 3, 'those that can fire do: b, c3, c4');
SELECT results_eq(
    $$ SELECT name, next_at, error, error_at, failures, fires FROM arvo.schedule WHERE name ~ 'c' ORDER BY name $$,
    $$ VALUES
       ('c1', NULL::timestamptz,
        '{"code": "RV006", "message": "time zone is not known any more", "detail": "Europe/Atlantis", "fire_at": "2030-01-02T10:00:00+00:00"}'::jsonb,
        timestamptz '2030-01-02 10:00Z', 1::bigint, 0::bigint),
       ('c2', '2030-01-03 10:00Z',
        '{"code": "RV001", "message": "event is not valid", "detail": "data: is missing", "fire_at": "2030-01-02T10:00:00+00:00"}',
        '2030-01-02 10:00Z', 1, 0),
       ('c3', '2030-01-03 10:00Z', NULL, NULL, 0, 1),
       ('c4', '2030-01-03 10:00Z', NULL, NULL, 0, 1) $$,
    'the others say why; without its zone one is stopped, else it goes on with its next fire'
);
COMMIT AND CHAIN;
UPDATE arvo.schedule SET event = event || '{"data": {}}' WHERE name = 'c2';
SET arvo.frozen_clock = '2030-01-03T10:00:00Z';
SELECT is(arvo.fire_schedules(), 6, 'a and b were missed; c2, c3, c4');
SELECT results_eq(
    $$ SELECT error, failures, fires FROM arvo.schedule WHERE name = 'c2' $$, $$ VALUES (NULL::jsonb, 1::bigint, 1::bigint) $$,
    'a fire that succeeds clears the error'
);
COMMIT AND CHAIN;

-- What no check foresees: a table that does not take the event.
ALTER TABLE arvo.log ADD CONSTRAINT poison CHECK (event ->> 'schedulename' <> 'c3' OR event ->> 'firetime' < '2030-01-04');
SET arvo.frozen_clock = '2030-01-04T10:00:00Z';
SELECT is(arvo.fire_schedules(), 5, 'all but that one');
SELECT results_eq(
    $$ SELECT name, next_at, error ->> 'code', error ->> 'message' ~ 'poison', failures FROM arvo.schedule
       WHERE name IN ('c2', 'c3', 'c4') ORDER BY name $$,
    $$ VALUES ('c2', timestamptz '2030-01-05 10:00Z', NULL, NULL::boolean, 1::bigint), ('c3', '2030-01-05 10:00Z', '23514', true, 1),
              ('c4', '2030-01-05 10:00Z', NULL, NULL, 0) $$,
    'which says why, and goes on with its next fire'
);
SELECT results_eq(
    $$ SELECT DISTINCT xid = pg_current_xact_id() FROM arvo.log WHERE event ->> 'firetime' = '2030-01-04T10:00:00Z' $$,
    'VALUES (true)', 'their events are the transaction''s own'
);
ALTER TABLE arvo.log DROP CONSTRAINT poison;
COMMIT AND CHAIN;

-- An error of the session or the server is not the schedule's.
ALTER TABLE arvo.origin RENAME TO gone;
CREATE TABLE arvo.origin (LIKE arvo.gone);
SET arvo.frozen_clock = '2030-01-05T10:00:00Z';
SELECT alike(pg_temp.raised('SELECT arvo.fire_schedules()'), 'RV902%', 'in another cluster nothing is fired');
DROP TABLE arvo.origin;
ALTER TABLE arvo.gone RENAME TO origin;
SELECT is((SELECT sum(failures) FROM arvo.schedule), 3::numeric, 'and nobody is to blame');
SELECT is(arvo.fire_schedules(), 6, 'they are still due');
COMMIT AND CHAIN;

-- stories: many

SELECT arvo_v1.unschedule(name) FROM (VALUES ('a'), ('b')) AS given (name) \g /dev/null
SELECT pg_temp.make('many', '0 11 * * *', n::text) FROM generate_series(1, 120) AS n \g /dev/null
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-05T11:00:00Z';
SELECT is(arvo.fire_schedules(), 100, 'a hundred schedules at once');
SELECT is(arvo.fire_schedules(), 20, 'the next call goes on');
SELECT is(arvo.fire_schedules(), 0, 'until all have fired');
SELECT is(
    (SELECT count(DISTINCT event ->> 'id') FROM arvo.log WHERE event ->> 'schedulename' = 'many'), 120::bigint, 'each once'
);

-- stories: a fire that comes again all the same, here by hand, is the same event

SELECT is((SELECT count(*) FROM arvo.omission), 0::bigint, 'nothing was left out so far');
SELECT delivery AS first FROM arvo.log WHERE event ->> 'id' = 'schedule/many/7/2030-01-05T11:00:00Z' AND lane > 0 \gset
UPDATE arvo.schedule SET next_at = last_at WHERE name = 'many' AND key = '7';
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-05T11:00:30Z';
SELECT is(arvo.fire_schedules(), 1, 'it is dispatched again');
SELECT results_eq(
    $$ SELECT last_outcome, last_delivery, next_at FROM arvo.schedule WHERE name = 'many' AND key = '7' $$,
    format($$ VALUES ('duplicate', %s::bigint, timestamptz '2030-01-06 11:00Z') $$, :first), 'and found to be a duplicate of the first'
);
SELECT results_eq(
    'SELECT at, queue, outcome, first_delivery, event_id, event ->> $$id$$ FROM arvo.omission',
    format($$ VALUES (timestamptz '2030-01-05 11:00:30Z', 'com.test.sink', 'duplicate', %s::bigint, 'schedule/many/7/2030-01-05T11:00:00Z',
                      'schedule/many/7/2030-01-05T11:00:00Z') $$, :first),
    'which is written down, for nobody was there to be told'
);
SELECT is(
    (SELECT count(*) FROM arvo.log WHERE event ->> 'id' = 'schedule/many/7/2030-01-05T11:00:00Z' AND lane > 0), 1::bigint, 'it was delivered once'
);

SELECT * FROM finish();
ROLLBACK;
