-- arvo.close_lanes(): contract, stories.
BEGIN;
SELECT plan(14);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.close_lanes()',
    'integer', 'sql', 'volatile', false,
    'nobody',
    ARRAY['search_path=pg_catalog, pg_temp', 'enable_seqscan=off']
);

-- stories ---------------------------------------------------------------------------------------

DO $$
BEGIN
    PERFORM arvo_v1.register_queue('q');
    PERFORM arvo_v1.dispatch(pg_temp.event(n::text, 'q')) FROM generate_series(1, 3) AS n;
END;
$$;
COMMIT AND CHAIN;
DO $$ BEGIN PERFORM arvo_v1.claim('{q}'); END; $$;
COMMIT AND CHAIN;
SELECT arvo.lane_for('q') AS old \gset
SELECT is(arvo.close_lanes(), 0, 'a lane in use is left alone');
DO $$ BEGIN PERFORM arvo.retire_lanes(); END; $$;
SELECT is(arvo.close_lanes(), 1, 'a retired one is closed');
SELECT is(
    (SELECT (queued_count, active_count)::text FROM arvo_v1.queue_stats('q')), '(0,0)',
    'nothing in it waits or is leased any more'
);
SELECT is(arvo.is_worth_claiming(:old), false, 'nor is it worth a look');
SELECT is(
    (
        SELECT count(*)
        FROM arvo.log AS entry
        CROSS JOIN LATERAL (
            SELECT newest FROM arvo.lease AS newest WHERE lane = :old ORDER BY number DESC LIMIT 1
        ) AS head
        WHERE arvo.is_unclaimed(head.newest, entry.xid, entry.delivery)
    ),
    0::bigint, 'whoever asks'
);
SELECT is((SELECT count(*) FROM arvo.log WHERE lane = :old), 3::bigint, 'it stays as history');
SELECT is(arvo.close_lanes(), 0, 'and is closed once');

SELECT * FROM finish();
ROLLBACK;
