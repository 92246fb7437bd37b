-- arvo.let_go(log row): contract, stories.
BEGIN;
SELECT plan(13);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.let_go(arvo.log)',
    'void', 'plpgsql', 'volatile', false,
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
    PERFORM arvo_v1.dispatch(pg_temp.event('1', 'a'));
END; $$;
SELECT queue FROM arvo.queue \gset
INSERT INTO arvo.turn (queue, key, number, active, waiting, upto, holder, ready, tally, at)
SELECT :queue, log.subject_key, nextval('arvo.turn_number'), 0, 0, 1, log.delivery, false, '{}', now() FROM arvo.log;
INSERT INTO arvo.singleton (queue, kind, key, number, delivery, at)
SELECT :queue, 'queued', 1, 1, log.delivery, now() FROM arvo.log
UNION ALL SELECT :queue, 'retry', 1, 1, 999, now();
CREATE FUNCTION pg_temp.holder() RETURNS bigint
LANGUAGE sql AS $$ SELECT holder FROM arvo.turn ORDER BY number DESC LIMIT 1 $$;
CREATE FUNCTION pg_temp.has(p_kind text) RETURNS bigint
LANGUAGE sql AS $$ SELECT delivery FROM arvo.singleton WHERE kind = p_kind ORDER BY number DESC LIMIT 1 $$;

SELECT arvo.let_go(log) FROM arvo.log \gset
SELECT isnt(pg_temp.holder(), NULL, 'a queue without keys: nothing to let go');
SELECT isnt(pg_temp.has('queued'), NULL, 'nor places');
UPDATE arvo.queue SET policy = 'ordered';
SELECT arvo.let_go(log) FROM arvo.log \gset
SELECT is(pg_temp.holder(), NULL, 'a key that waits for it goes on');
SELECT isnt(pg_temp.has('queued'), NULL, 'places are for other policies');
UPDATE arvo.queue SET policy = 'short';
SELECT arvo.let_go(log) FROM arvo.log \gset
SELECT is(pg_temp.has('queued'), NULL, 'the place that it has is free');
SELECT is(pg_temp.has('retry'), 999::bigint, 'that of another is not');

SELECT * FROM finish();
ROLLBACK;
