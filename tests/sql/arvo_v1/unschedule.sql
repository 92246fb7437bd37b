-- arvo_v1.unschedule(name, key, dry_run): contract, stories, refusals.
BEGIN;
SELECT plan(18);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.unschedule(text,text,boolean)',
    'SETOF arvo_v1.schedule', 'plpgsql', 'volatile', true,
    'arvo_operator'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT arvo_v1.schedule(name, '@hourly', '{"type": "com.test.tick", "source": "/clock", "data": {}}', key)
FROM (VALUES ('a', 'x'), ('a', 'y'), ('a', 'z'), ('b', '')) AS given (name, key) \g /dev/null
COMMIT AND CHAIN;
SELECT count(*) AS operations FROM arvo.operation \gset
SELECT results_eq(
    $$ SELECT name, key, change FROM arvo_v1.unschedule('a', p_dry_run => true) $$,
    $$ VALUES ('a', 'x', 'removed'), ('a', 'y', 'removed'), ('a', 'z', 'removed') $$, 'a dry run tells what would be removed'
);
SELECT is((SELECT count(*) FROM arvo_v1.schedules()), 4::bigint, 'and removes nothing');
SELECT is((SELECT count(*) FROM arvo.operation), :operations::bigint, 'nor is it written down');
SET arvo.frozen_clock = '2030-01-01T01:00:00Z';
SELECT is(arvo.fire_schedules(), 4, 'all of them fire');
COMMIT AND CHAIN;
SELECT results_eq(
    $$ SELECT key, cron, fires FROM arvo_v1.unschedule('a', 'y') $$, $$ VALUES ('y', '@hourly', 1::bigint) $$, 'one, by name and key, as it was'
);
SELECT results_eq(
    $$ SELECT verb, details, touched FROM arvo.operation ORDER BY number DESC LIMIT 1 $$,
    $$ VALUES ('unschedule', '{"name": "a", "key": "y"}'::jsonb, 1::bigint) $$, 'which is written down'
);
SELECT results_eq($$ SELECT key FROM arvo_v1.unschedule('a') $$, $$ VALUES ('x'), ('z') $$, 'all of a name');
SELECT is_empty($$ SELECT * FROM arvo_v1.unschedule('a') $$, 'then there are none');
SELECT results_eq('SELECT name FROM arvo_v1.schedules()', $$ VALUES ('b') $$, 'but those of other names');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T02:00:00Z';
SELECT is(arvo.fire_schedules(), 1, 'what was removed fires no more');

-- refusals --------------------------------------------------------------------------------------

COMMIT AND CHAIN;
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.unschedule('a') $$),
    'RV005 | transaction isolation level must be read committed | unschedule was called under repeatable read.', 'a stale view'
);

SELECT * FROM finish();
ROLLBACK;
