-- arvo.rebase_parked(): contract, stories.
BEGIN;
SELECT plan(13);
\ir ../given.psql
\ir ../restored.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.rebase_parked()',
    'bigint', 'sql', 'volatile', false,
    'nobody',
    ARRAY['search_path=pg_catalog, pg_temp', 'enable_seqscan=off']
);

-- stories ---------------------------------------------------------------------------------------

DO $$
BEGIN
    PERFORM arvo_v1.dispatch(pg_temp.event(n::text, 'q')) FROM generate_series(1, 3) AS n;
END;
$$;
INSERT INTO arvo.parked (queue, key, place, delivery, lane, xid, at)
SELECT lane.queue, 7, 100 - log.delivery, log.delivery, log.lane, log.xid, log.at
FROM arvo.log INNER JOIN arvo.lane ON lane.lane = log.lane
WHERE log.event ->> 'id' <> '3';
-- The first has its body in an older generation.
UPDATE arvo.log SET slot = 1 WHERE event ->> 'id' = '1';
SELECT pg_temp.restore();
DO $$ BEGIN PERFORM arvo.retire_lanes(); END; $$;
SELECT is(arvo.rebase_parked(), 2::bigint, 'what is parked moves');
SELECT is(
    (
        SELECT array_agg(arvo.event_of(log) ->> 'id' ORDER BY parked.place)
        FROM arvo.parked
        INNER JOIN arvo.log
            ON log.lane = parked.lane AND log.xid = parked.xid AND log.delivery = parked.delivery
        INNER JOIN arvo.lane ON lane.lane = log.lane AND NOT lane.retired
    ),
    '{2,1}', 'it stands in the new lane, in its place'
);
SELECT is(
    (
        SELECT array_agg(arvo.is_unclaimed(head, log.xid, log.delivery))
        FROM arvo.log
        INNER JOIN arvo.lease AS head ON head.lane = log.lane AND head.number = 0
        INNER JOIN arvo.lane ON lane.lane = log.lane AND NOT lane.retired
    ),
    '{f,f}', 'where it counts as read'
);
SELECT results_eq(
    $$ SELECT event ->> 'id', origin_delivery IS NULL, slot::integer
       FROM arvo.log WHERE xid = '2' ORDER BY delivery $$,
    $$ VALUES ('1', true, 0), (NULL, false, 0) $$,
    'a body of an older generation comes along, another is referred to'
);
SELECT is(arvo.rebase_parked(), 0::bigint, 'and it moves once');
SELECT is(
    (SELECT count(*) FROM arvo.log WHERE event ->> 'id' = '3' AND lane > 0), 1::bigint,
    'what is not parked stays'
);

SELECT * FROM finish();
ROLLBACK;
