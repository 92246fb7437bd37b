-- arvo_v1.maintain(): contract, stories, refusals.
BEGIN;
SELECT plan(30);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.maintain()',
    'SETOF arvo_v1.maintained', 'plpgsql', 'volatile', true,
    'arvo_operator, arvo_worker',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_bitmapscan=off',
        'enable_hashjoin=off',
        'enable_mergejoin=off',
        'jit=off',
        'plan_cache_mode=force_generic_plan'
    ]
);

CREATE FUNCTION pg_temp.maintain() RETURNS text
LANGUAGE sql AS $$
    SELECT coalesce(string_agg(task || ' ' || touched, ', ' ORDER BY ordinality) FILTER (WHERE touched <> 0 AND task <> 'tallied'), 'nothing')
    FROM arvo_v1.maintain() WITH ORDINALITY
$$;
UPDATE arvo.generation SET opened_at = '2030-01-01T00:00:00Z';

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT is(pg_temp.maintain(), 'nothing', 'nothing to do');
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('a', p_retry_limit => 0);
    PERFORM arvo_v1.dispatch(pg_temp.event('later', 'a'), '10 seconds');
    PERFORM arvo_v1.dispatch(pg_temp.event('much later', 'a'), '1 day');
    PERFORM arvo_v1.dispatch(pg_temp.event('now', 'a'));
    PERFORM arvo_v1.acquire_lock('order-1', '10 seconds');
    PERFORM arvo_v1.acquire_lock('order-2', '20 seconds');
END;
$$;
COMMIT AND CHAIN;
SELECT lease, delivery FROM arvo_v1.claim('{a}') \gset
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:09.999999Z';
SELECT is(pg_temp.maintain(), 'nothing', 'one microsecond early nothing is due');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:10Z';
SELECT is(pg_temp.maintain(), 'promoted 1, swept 1', 'exactly then it is promoted, and its old row swept away');
SELECT results_eq(
    $$ SELECT event ->> 'id' FROM arvo.deferred $$, $$ VALUES ('much later') $$, 'what is not due stays'
);
SELECT is((SELECT count(*) FROM arvo.promotion), 1::bigint, 'old rows of the cursor go, too');
COMMIT AND CHAIN;

SET arvo.frozen_clock = '2030-01-01T00:00:29.999999Z';
SELECT is(pg_temp.maintain(), 'nothing', 'one microsecond before a lease lapses');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:30Z';
SELECT is(pg_temp.maintain(), 'healed 1', 'exactly then it is taken back, without any claim');
SELECT results_eq(
    'SELECT event_id, reason, attempts FROM arvo.dead', $$ VALUES ('now', 'lease_expired', 1) $$,
    'a poison event whose only attempt never reports back is dead'
);
SELECT results_eq(
    'SELECT token, deliveries, outcomes FROM arvo.closure',
    format($$ VALUES (%s::bigint, ARRAY[%s::bigint], '{expired}'::text[]) $$, :lease, :delivery), 'the journal says so'
);
COMMIT AND CHAIN;
SELECT is(pg_temp.maintain(), 'nothing', 'once');
SELECT is(
    (SELECT array_agg(event ->> 'id') FROM arvo_v1.claim('{a}', 9)), '{later}', 'claims go on where they were'
);
COMMIT AND CHAIN;

SET arvo.frozen_clock = '2030-01-01T01:00:09.999999Z';
SELECT is(pg_temp.maintain(), 'healed 2', 'a lapsed lock is left alone for an hour');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T01:00:10Z';
SELECT is(pg_temp.maintain(), 'unlocked 1', 'then it is removed');
SELECT results_eq('SELECT subject FROM arvo.state_lock', $$ VALUES ('order-2') $$, 'that one only');
COMMIT AND CHAIN;

SELECT results_eq(
    'SELECT task FROM arvo_v1.maintain()',
    $$ VALUES ('promoted'), ('tallied'), ('healed'), ('retired'), ('expired'), ('swept'), ('unlocked'), ('forgotten'), ('keys'), ('notes'), ('workers'),
              ('finished'), ('opened'), ('emptied') $$,
    'one row for each task, the one that locks most at the end'
);
COMMIT AND CHAIN;

-- retention, and a whole turn of history
SET arvo.frozen_clock = '2030-01-15T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.dispatch(pg_temp.event('waits', 'b'));
END;
$$;
COMMIT AND CHAIN;
SELECT is(pg_temp.maintain(), 'promoted 1, swept 1, unlocked 1, opened 1', 'a new generation');
COMMIT AND CHAIN;
SELECT is(pg_temp.maintain(), 'nothing', 'the old one is pinned by what was promoted into it');
SELECT results_eq('SELECT kind, queue FROM arvo.generation_pins()', $$ VALUES ('unclaimed', 'a'), ('unclaimed', 'b') $$, 'so it says');
-- transactions of other tests' databases count, too: as if they had ended
UPDATE arvo.generation SET horizon = '0';
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-29T00:00:00Z';
SELECT is(pg_temp.maintain(), 'retired 2, opened 1', 'after fourteen days these are dead letters');
COMMIT AND CHAIN;
SELECT is(pg_temp.maintain(), 'healed 3, finished 2', 'and both old generations are finished');
UPDATE arvo.generation SET horizon = '0';
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-02-05T00:00:00Z';
SELECT is(regexp_replace(pg_temp.maintain(), '^.*, ', ''), 'emptied 1', 'seven days later it is emptied');
SELECT is_empty('SELECT FROM arvo.log', 'history has come to its end');
COMMIT AND CHAIN;

-- refusals --------------------------------------------------------------------------------------

SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SELECT is(
    pg_temp.raised('SELECT * FROM arvo_v1.maintain()'),
    'RV005 | transaction isolation level must be read committed | maintain was called under repeatable read.', 'a stale view of the ledger'
);

SELECT * FROM finish();
ROLLBACK;
