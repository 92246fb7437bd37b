-- arvo_v1.schedules(name): contract, stories.
BEGIN;
SELECT plan(11);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.schedules(text)',
    'SETOF arvo_v1.schedule', 'sql', 'stable', true,
    'arvo_monitor, arvo_operator'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT is_empty('SELECT * FROM arvo_v1.schedules()', 'there is none');
CREATE TEMPORARY TABLE made AS
SELECT made.*
FROM (VALUES ('b', ''), ('a', 'y'), ('a', 'x')) AS given (name, key)
CROSS JOIN LATERAL arvo_v1.schedule(name, '@daily', '{"type": "com.test.tick", "source": "/clock", "data": {}}', key) AS made;
SELECT results_eq(
    'SELECT name, key FROM arvo_v1.schedules()', $$ VALUES ('a', 'x'), ('a', 'y'), ('b', '') $$, 'all of them, by name and key'
);
SELECT results_eq('SELECT key FROM arvo_v1.schedules($$a$$)', $$ VALUES ('x'), ('y') $$, 'those of a name');
UPDATE made SET change = NULL;
SELECT set_eq('SELECT * FROM arvo_v1.schedules()', 'SELECT * FROM made', 'each as it was made; nothing is changed');

SELECT * FROM finish();
ROLLBACK;
