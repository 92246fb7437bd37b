-- arvo_v1.rebase(dry_run): contract, stories, refusals.
BEGIN;
SELECT plan(38);
\ir ../given.psql
\ir ../restored.psql
SET arvo.frozen_clock = '2030-01-01T00:00:00Z';

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.rebase(boolean)',
    'arvo_v1.rebased', 'plpgsql', 'volatile', true,
    'arvo_operator',
    ARRAY[
        'search_path=pg_catalog, pg_temp', 'enable_seqscan=off', 'jit=off', 'work_mem=64MB'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(arvo_v1.rebase()::text, '(home,0,0,0,0)', 'at home there is nothing to do');
SELECT is((SELECT count(*) FROM arvo.operation), 0::bigint, 'and nothing is written down');

DO $$
BEGIN
    PERFORM arvo_v1.register_queue('q', p_retry_limit => 1);
    PERFORM arvo_v1.register_queue('dying', p_retry_limit => 0, p_dead_letter => 'dlq');
    PERFORM arvo_v1.dispatch(pg_temp.event(n::text, 'q')) FROM generate_series(1, 9) AS n;
    PERFORM arvo_v1.dispatch(pg_temp.event('urgent', 'q'), NULL, 5);
    PERFORM arvo_v1.dispatch(pg_temp.event('later', 'q'), interval '1 hour');
    PERFORM arvo_v1.dispatch(pg_temp.event('dying', 'dying'));
    PERFORM arvo_v1.register_queue('arvo.unroutable');
    PERFORM arvo_v1.dispatch(pg_temp.event('nobody', 'unknown'));
END;
$$;
COMMIT AND CHAIN;
SELECT lease AS urgent_lease, delivery AS urgent FROM arvo_v1.claim('{q}') \gset
SELECT arvo_v1.settle(jsonb_build_array(pg_temp.result(:urgent_lease, :urgent)));
SELECT lease, array_agg(delivery ORDER BY delivery) AS taken
FROM arvo_v1.claim('{q}', 2) GROUP BY lease \gset
SELECT arvo_v1.settle(jsonb_build_array(pg_temp.result(:lease, (:'taken'::bigint[])[1])));
SELECT lease AS dying_lease, delivery AS dying FROM arvo_v1.claim('{dying}') \gset
SELECT arvo_v1.settle(
    jsonb_build_array(pg_temp.result(:dying_lease, :dying, 'rejected', '{"error": {"name": "No", "message": "no", "stack": null}}'))
);
COMMIT AND CHAIN;
-- One is withdrawn.
INSERT INTO arvo.tombstone (lane, delivery, at)
SELECT lane, delivery, now() FROM arvo.log WHERE event ->> 'id' = '8';
SELECT delivery AS nine, at FROM arvo.log WHERE event ->> 'id' = '9' \gset
SELECT pg_temp.restore();
SELECT nextval('arvo.lease_number') AS lease_number, nextval('arvo.lock_token') AS lock_token \gset

SELECT is(
    arvo_v1.rebase(true)::text, '(rebased,1,0,10,1)',
    'a dry run says what is live'
);
SELECT is(
    ARRAY[
        (SELECT count(*) FROM arvo.lane WHERE retired), (SELECT count(*) FROM arvo.operation),
        (SELECT count(*) FROM arvo.origin)
    ],
    '{0,0,1}', 'and changes nothing'
);
SELECT is(arvo_v1.rebase()::text, '(rebased,1,0,10,1)', 'a dump is taken over');
SELECT is(arvo.whereabouts(), 'home', 'and is at home from then on');
SELECT is(arvo_v1.rebase()::text, '(home,0,0,0,0)', 'a second call has nothing to do');
SELECT results_eq(
    'SELECT verb, touched FROM arvo.operation', $$ VALUES ('rebase', 12::bigint) $$,
    'it is written down'
);
SELECT cmp_ok(
    nextval('arvo.lease_number'), '>', :lease_number::bigint + 999999999, 'leases go on far above'
);
SELECT cmp_ok(
    nextval('arvo.lock_token'), '>', :lock_token::bigint + 999999999, 'and locks'
);
COMMIT AND CHAIN;
SELECT is(
    (SELECT (deferred_count, queued_count, active_count)::text FROM arvo_v1.queue_stats('q')),
    '(1,7,0)', 'everything is counted once'
);
SELECT is(
    (
        SELECT string_agg(outcome, ' ' ORDER BY delivery)
        FROM arvo_v1.trace(p_event_id => '9')
        WHERE event_id IN ('2', '8', '9')
    ),
    'expired cancelled queued queued', 'histories show each delivery once'
);
SELECT is(
    pg_temp.raised(format('SELECT * FROM arvo_v1.settle(%L)', jsonb_build_array(
        pg_temp.result(:lease, (:'taken'::bigint[])[2])
    ))),
    'nothing', 'an old lease may report'
);
SELECT is(
    (
        SELECT code
        FROM arvo_v1.settle(jsonb_build_array(pg_temp.result(:lease, (:'taken'::bigint[])[2])))
    ),
    'RV301', 'and is told that it is lost'
);
SELECT is(pg_temp.drained('q'), '3 4 5 6 7 9 2', 'what waited comes in order, what was leased after it');
SELECT is(
    (SELECT array_agg(DISTINCT attempt) FROM arvo.log WHERE cause ->> 'outcome' = 'expired'), '{2}',
    'with one attempt charged'
);
SELECT is(
    (
        SELECT array_agg(DISTINCT entry.at)
        FROM arvo.log AS entry
        WHERE entry.delivery = :nine
    ),
    ARRAY[:'at'::timestamptz], 'time of acceptance and number stay'
);
SELECT is((SELECT count(*) FROM arvo.tombstone), 0::bigint, 'what was withdrawn was met');
SELECT is(pg_temp.drained('unknown'), 'nobody', 'unroutable events wait as before');
SELECT is(pg_temp.drained('arvo.unroutable'), 'nobody', 'and so do their notices');
SELECT is(
    (SELECT dead FROM arvo_v1.redrive('dying')), 1::bigint,
    'a dead letter is redriven, for its delivery has not been claimed'
);
COMMIT AND CHAIN;
SELECT is(pg_temp.drained('dlq'), '', 'which is withdrawn then');
SELECT is(pg_temp.drained('dying'), 'dying', 'and runs again');
SET arvo.frozen_clock = '2030-01-01T01:00:01Z';
DO $$ BEGIN PERFORM arvo_v1.maintain(); END; $$;
COMMIT AND CHAIN;
SELECT ok(pg_temp.drained('q') ~ '\mlater\M', 'what was deferred comes when it is due');
DO $$ BEGIN PERFORM arvo_v1.dispatch(pg_temp.event('new', 'q')); END; $$;
COMMIT AND CHAIN;
SELECT is(pg_temp.drained('q'), 'new', 'new events come once');

-- A second move, of a database that has been moved.
DO $$ BEGIN PERFORM arvo_v1.dispatch(pg_temp.event('again', 'q')); END; $$;
COMMIT AND CHAIN;
SELECT pg_temp.restore();
SELECT is((arvo_v1.rebase()).queued, 1::bigint, 'it can be moved again');
COMMIT AND CHAIN;
SELECT is(pg_temp.drained('q'), 'again', 'and goes on again');

-- Where this cluster is past all numbers, they stay as they are.
DO $$ BEGIN PERFORM arvo_v1.dispatch(pg_temp.event('behind', 'q')); END; $$;
UPDATE arvo.log SET xid = '100' WHERE event ->> 'id' = 'behind';
UPDATE arvo.log SET xid = '10' WHERE xid > '100';
UPDATE arvo.lease SET previous_snapshot = '90:90:', snapshot = '90:90:'
WHERE pg_snapshot_xmax(snapshot) <> '9223372036854775807';
UPDATE arvo.promotion SET snapshot = '90:90:';
UPDATE arvo.deferred SET xid = '80';
UPDATE arvo.origin SET system_identifier = 1, relation = 1;
SELECT count(*) AS lanes FROM arvo.lane \gset
SELECT is((arvo_v1.rebase()).outcome, 'accepted', 'numbers that are behind are accepted');
SELECT is((SELECT count(*) FROM arvo.lane), :lanes::bigint, 'no lane is retired then');
COMMIT;
BEGIN;
SELECT is(pg_temp.drained('q'), 'behind', 'and what waits goes on');
COMMIT;

-- refusals --------------------------------------------------------------------------------------

BEGIN;
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SELECT is(
    left(pg_temp.raised('SELECT arvo_v1.rebase()'), 5), 'RV005',
    'under a fixed snapshot it would not see what others have done'
);

SELECT * FROM finish();
ROLLBACK;
