-- arvo_v1.unsubscribe(queue, pattern): contract, stories.
BEGIN;
SELECT plan(11);
\ir ../given.psql

SELECT * FROM pg_temp.contract(
    'arvo_v1.unsubscribe(text, text)', 'integer', 'plpgsql', 'volatile', true, 'arvo_operator, arvo_worker'
);

SELECT arvo_v1.subscribe('q', pattern) FROM unnest(ARRAY['com.a.b', 'com.**', '**']) AS pattern;
SELECT arvo_v1.subscribe('r', '**');
SELECT is(arvo_v1.unsubscribe('q', 'com.**'), 1, 'one of them');
SELECT is(arvo_v1.unsubscribe('q', 'com.**'), 0, 'only once');
SELECT is(arvo_v1.unsubscribe('q'), 2, 'or all that are left');
SELECT results_eq('SELECT queue FROM arvo_v1.subscriptions()', $$ VALUES ('r') $$, 'those of others stay');

SELECT * FROM finish();
ROLLBACK;
