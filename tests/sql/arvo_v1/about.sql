-- arvo_v1.about(): contract, stories.
BEGIN;
SELECT plan(12);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.about()',
    'arvo_v1.about', 'sql', 'stable', true,
    'arvo_client, arvo_monitor, arvo_operator, arvo_worker'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(
    (SELECT about.contract FROM arvo_v1.about() AS about), 1, 'this is the first contract'
);
SELECT is(
    (SELECT about.revision FROM arvo_v1.about() AS about),
    (SELECT max(number) FROM arvo.revision), 'the revision is that of the newest migration'
);
INSERT INTO arvo.revision (number, name, oldest_client)
VALUES (9001, '9001.after.test', 7), (9002, '9002.before.test', 5);
SELECT row_eq(
    'SELECT contract, revision, oldest_client, installation FROM arvo_v1.about()',
    ROW(1, 9002, 7, 'arvo'::text), 'each new migration tells; the strictest about clients counts'
);
SELECT is(
    (SELECT about.system_identifier FROM arvo_v1.about() AS about),
    (SELECT control.system_identifier::text FROM pg_control_system() AS control),
    'it names the cluster, as text: JavaScript could not hold the number'
);
SET LOCAL ROLE arvo_client;
SELECT contract FROM arvo_v1.about() \gset asked_
RESET ROLE;
SELECT is(:asked_contract, 1, 'the humblest client may ask, though it may not read the tables');

SELECT * FROM finish();
ROLLBACK;
