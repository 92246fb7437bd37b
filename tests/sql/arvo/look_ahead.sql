-- arvo.look_ahead(): contract, stories.
BEGIN;
SELECT plan(22);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.look_ahead()',
    'arvo.ahead', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT arvo_v1.register_queue('q') \gset
-- a fresh installation's cursor begins at the first transaction
SELECT arvo.promote() \gset
COMMIT AND CHAIN;
SELECT results_eq('SELECT * FROM arvo.look_ahead()', $$ VALUES (false, NULL::timestamptz) $$, 'nothing waits');
SELECT (arvo_v1.dispatch(pg_temp.event('a', 'q'), interval '10 seconds')).delivery \gset
COMMIT AND CHAIN;
SELECT is((arvo.look_ahead()).due, true, 'what was deferred since the last promotion moves its cursor');
SELECT is(arvo.promote(), 0, 'only that');
COMMIT AND CHAIN;
SELECT results_eq(
    'SELECT * FROM arvo.look_ahead()', $$ VALUES (false, timestamptz '2030-01-01 00:00:10Z') $$, 'it is not due yet'
);
SET arvo.frozen_clock = '2030-01-01T00:00:09.999999Z';
SELECT is((arvo.look_ahead()).due, false, 'nor then');
SET arvo.frozen_clock = '2030-01-01T00:00:10Z';
SELECT is((arvo.look_ahead()).due, true, 'but then');
SELECT is(arvo.promote(), 1, 'it is promoted');
COMMIT AND CHAIN;
SELECT results_eq('SELECT * FROM arvo.look_ahead()', $$ VALUES (false, NULL::timestamptz) $$, 'and nothing waits');

-- a schedule
SELECT arvo_v1.schedule('s', '0 0 * * * *', pg_temp.event('x', 'q') - 'id' - 'time') \gset
COMMIT AND CHAIN;
SELECT is((arvo.look_ahead()).due, true, 'a schedule is looked for from the beginning of time');
SELECT is(arvo.promote(), 0, 'every ten seconds');
COMMIT AND CHAIN;
SELECT results_eq(
    'SELECT * FROM arvo.look_ahead()', $$ VALUES (false, timestamptz '2030-01-01 01:00:00Z') $$, 'then it is known when it fires'
);
SET arvo.frozen_clock = '2030-01-01T01:00:00Z';
SELECT is((arvo.look_ahead()).due, true, 'when that is now, it is due');

-- a cursor that has fallen behind
SELECT arvo_v1.unschedule('s') \gset
INSERT INTO arvo.promotion (number, due, delivery, snapshot, promoted, at)
SELECT number + 1, due, delivery, pg_current_snapshot(), 0, now() FROM arvo.promotion ORDER BY number DESC LIMIT 1;
COMMIT AND CHAIN;
SELECT is((arvo.look_ahead()).due, false, 'a fresh cursor stays');
INSERT INTO arvo.promotion (number, due, delivery, snapshot, promoted, at)
SELECT number + 1, due, delivery,
       format('%1$s:%1$s:', pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1001)::pg_snapshot, 0, now()
FROM arvo.promotion ORDER BY number DESC LIMIT 1;
SELECT is((arvo.look_ahead()).due, true, 'one that lies far back is moved on');

-- a schedule at its very moment, when the beginning of time need not be looked at
SELECT arvo_v1.schedule('t', '0 0 * * * *', pg_temp.event('x', 'q') - 'id' - 'time') \gset
SET arvo.frozen_clock = '2030-01-01T01:59:58Z';
COMMIT AND CHAIN;
SELECT arvo.promote() \gset
SET arvo.frozen_clock = '2030-01-01T02:00:00Z';
COMMIT AND CHAIN;
SELECT is((arvo.look_ahead()).due, true, 'it is due at its very moment');

SELECT * FROM finish();
ROLLBACK;
