-- arvo.numbers_end(): contract, stories.
BEGIN;
SELECT plan(14);
\ir ../given.psql
\ir ../restored.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.numbers_end()',
    'xid8', 'sql', 'stable', false,
    'nobody',
    ARRAY['search_path=pg_catalog, pg_temp', 'enable_seqscan=off']
);

-- stories ---------------------------------------------------------------------------------------

UPDATE arvo.generation SET horizon = '0';
SELECT is(arvo.numbers_end(), '1', 'a new database has the first cursors only');
DO $$ BEGIN PERFORM arvo_v1.dispatch(pg_temp.event('1', 'q')); END; $$;
UPDATE arvo.log SET xid = '50';
SELECT is(arvo.numbers_end(), '51', 'what stands in a log');
UPDATE arvo.lease SET snapshot = '60:60:';
SELECT is(arvo.numbers_end(), '60', 'the window of a lane');
UPDATE arvo.promotion SET snapshot = '70:70:';
SELECT is(arvo.numbers_end(), '70', 'the cursor of the promotion');
INSERT INTO arvo.deferred (delivery, xid, due, lane, attempt, at, subject_key, event_key, event)
VALUES (99, '80', 'infinity', 1, 1, now(), 0, 0, '{}');
SELECT is(arvo.numbers_end(), '81', 'what is deferred');
UPDATE arvo.queue SET drained_to = '90:90:';
UPDATE arvo.generation SET horizon = '100';
SELECT is(arvo.numbers_end(), '100', 'drained queues and generations');
UPDATE arvo.lane SET successor = 1000;
UPDATE arvo.lease SET snapshot = '200:200:';
SELECT is(arvo.numbers_end(), '100', 'but no retired lane');

SELECT * FROM finish();
ROLLBACK;
