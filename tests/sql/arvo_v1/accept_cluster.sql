-- arvo_v1.accept_cluster(): contract, stories, refusals.
BEGIN;
SELECT plan(17);
\ir ../given.psql
\ir ../restored.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.accept_cluster()',
    'boolean', 'plpgsql', 'volatile', true,
    'arvo_operator',
    ARRAY['search_path=pg_catalog, pg_temp']
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(arvo_v1.accept_cluster(), false, 'at home there is nothing to accept');
SELECT is((SELECT count(*) FROM arvo.origin), 1::bigint, 'and nothing is written');

DO $$
BEGIN
    PERFORM arvo_v1.register_queue('q');
    PERFORM arvo_v1.dispatch(pg_temp.event('1', 'q'));
END;
$$;
COMMIT AND CHAIN;
-- What pg_upgrade leaves: another identity, and numbers that are all behind.
UPDATE arvo.log SET xid = '100';
UPDATE arvo.origin SET system_identifier = 1;
SELECT is(arvo_v1.accept_cluster(), true, 'after an upgrade it is accepted');
SELECT is(
    (SELECT system_identifier FROM arvo.origin ORDER BY number DESC LIMIT 1),
    (SELECT system_identifier FROM pg_control_system()), 'this cluster is home now'
);
SELECT is(
    (SELECT relation FROM arvo.origin ORDER BY number DESC LIMIT 1),
    'arvo.origin'::regclass::oid, 'and these are its tables'
);
SELECT results_eq(
    'SELECT verb, touched FROM arvo.operation', $$ VALUES ('accept_cluster', 0::bigint) $$,
    'it is written down'
);
SELECT is(
    (SELECT event ->> 'id' FROM arvo_v1.claim('{q}')), '1', 'and what was waiting is delivered'
);

-- refusals --------------------------------------------------------------------------------------

SELECT pg_temp.restore();
SELECT is(
    left(pg_temp.raised('SELECT arvo_v1.accept_cluster()'), 81),
    'RV902 | transaction numbers are of another cluster | The stored numbers go up to ',
    'a cluster that has not reached the numbers cannot have kept them'
);
SELECT is((SELECT count(*) FROM arvo.origin WHERE system_identifier <> 1), 0::bigint, 'nothing is accepted then');
COMMIT AND CHAIN;
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SELECT is(
    left(pg_temp.raised('SELECT arvo_v1.accept_cluster()'), 5), 'RV005',
    'nor under a stale view of what others have accepted'
);

SELECT * FROM finish();
ROLLBACK;
