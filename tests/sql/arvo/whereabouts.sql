-- arvo.whereabouts(): contract, stories.
BEGIN;
SELECT plan(13);
\ir ../given.psql
\ir ../restored.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.whereabouts()',
    'text', 'sql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(arvo.whereabouts(), 'home', 'where it was migrated it is at home');
UPDATE arvo.origin SET relation = NULL;
SELECT is(arvo.whereabouts(), 'home', 'also when the migration was an older one');
UPDATE arvo.origin SET relation = 'arvo.origin'::regclass::oid, system_identifier = 1;
SELECT is(arvo.whereabouts(), 'upgraded', 'another identity, the same tables: pg_upgrade');
UPDATE arvo.origin SET relation = 1;
SELECT is(arvo.whereabouts(), 'ahead', 'other tables: a dump, and all its numbers are behind');
UPDATE arvo.origin
SET system_identifier = control.system_identifier
FROM pg_control_system() AS control;
SELECT is(
    arvo.whereabouts(), 'ahead', 'the same for a dump that came back to its own cluster'
);
SELECT pg_temp.restore();
SELECT is(arvo.whereabouts(), 'foreign', 'a dump whose numbers this cluster has not reached');

SELECT * FROM finish();
ROLLBACK;
