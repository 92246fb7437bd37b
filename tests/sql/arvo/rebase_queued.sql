-- arvo.rebase_queued(own, drained, first): contract, stories.
BEGIN;
SELECT plan(18);
\ir ../given.psql
\ir ../restored.psql

-- What stands in the log of a new lane, in the order of claims; transactions and deliveries.
CREATE FUNCTION pg_temp.moved(p_queue text) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(format('%s/%s', log.xid, log.delivery), ' ' ORDER BY log.xid, log.delivery)
    FROM arvo.log
    INNER JOIN arvo.lane ON lane.lane = log.lane AND NOT lane.retired
    INNER JOIN arvo.queue ON queue.queue = lane.queue AND queue.name = p_queue
$$;
-- A row of a log as some transaction wrote it.
CREATE FUNCTION pg_temp.row(p_queue text, p_xid bigint, p_delivery bigint) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO arvo.log (slot, lane, xid, delivery, attempt, at, subject_key, event_key, event)
    VALUES (
        0, arvo.lane_for(p_queue), p_xid::text::xid8, p_delivery, 1, now(), 0, 0,
        pg_temp.event(p_delivery::text, p_queue)
    )
$$;

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.rebase_queued(bigint, boolean, bigint)',
    'bigint[]', 'sql', 'volatile', false,
    'nobody',
    ARRAY['search_path=pg_catalog, pg_temp', 'enable_seqscan=off']
);

-- stories ---------------------------------------------------------------------------------------

-- q: read up to 900/20 in the window between 500 (with 400 open) and 1000 (with 800 open).
SELECT pg_temp.row('q', 300, 1), pg_temp.row('q', 850, 2);  -- read
SELECT pg_temp.row('q', 400, 11), pg_temp.row('q', 800, 9), pg_temp.row('q', 900, 21);
SELECT pg_temp.row('q', 950, 22), pg_temp.row('q', 1100, 5), pg_temp.row('q', 1200, 40);
UPDATE arvo.lease
SET previous_snapshot = '400:500:400', snapshot = '800:1000:800',
    last_xid = '900', last_delivery = '20', exhausted = false
WHERE lane = arvo.lane_for('q');
-- drain: read to the end of 1000; 1100 had been seen when draining began, 1050 had not.
SELECT pg_temp.row('drain', 1050, 60), pg_temp.row('drain', 1100, 61), pg_temp.row('drain', 1100, 62);
UPDATE arvo.queue SET drained_to = '1050:1101:1050' WHERE name = 'drain';
UPDATE arvo.lease SET previous_snapshot = '1000:1000:', snapshot = '1000:1000:'
WHERE lane = arvo.lane_for('drain');
INSERT INTO arvo.dead (
    delivery, queue, dead_letter, dead_letter_lane, dead_letter_xid, dead_letter_delivery,
    event_id, subject_key, event_key, event, attempts, reason, died_at
)
VALUES (1, 'x', 'q', arvo.lane_for('q'), '800', 9, '9', 0, 0, '{}', 1, 'failed', now());
SELECT pg_temp.row('q', pg_current_xact_id()::text::bigint, 70);  -- own

DO $$ BEGIN PERFORM arvo.retire_lanes(); END; $$;
SELECT is(
    arvo.rebase_queued(69, true, 3), '{2,4}', 'first what a draining queue is still to hand out'
);
SELECT is(pg_temp.moved('drain'), '3/61 3/62', 'which was seen when the draining began');
-- 400 was open in the older snapshot and committed since, but the position is past it.
SELECT is(arvo.rebase_queued(69, false, 4), '{6,7}', 'then everything else');
SELECT is(pg_temp.moved('drain'), '3/61 3/62 4/60', 'also of the draining queue');
SELECT is(
    pg_temp.moved('q'), '4/21 4/22 5/9 6/5 6/40 6/70',
    'in order: the rest of the window, who committed late, what is newer, what is of this transaction'
);
SELECT results_eq(
    'SELECT dead_letter_lane, dead_letter_xid, dead_letter_delivery FROM arvo.dead',
    format($$ VALUES (%s, '5'::xid8, 9::bigint) $$, arvo.lane_for('q')),
    'dead letters point to where their deliveries stand now'
);
SELECT is(
    (
        SELECT string_agg(DISTINCT arvo.event_of(log) ->> 'id', ' ')
        FROM arvo.log
        WHERE log.lane = arvo.lane_for('drain')
    ),
    '60 61 62', 'events are found, and not written again'
);

-- A body of an older generation.
SELECT pg_temp.row('old', 500, 90);
UPDATE arvo.log SET slot = 3 WHERE delivery = 90;
INSERT INTO arvo.log (
    slot, lane, xid, delivery, attempt, at, subject_key, event_key,
    origin_delivery, origin_lane, origin_xid, cause
)
VALUES (0, arvo.lane_for('old'), '600', 91, 2, now(), 0, 0, 90, arvo.lane_for('old'), '500', '{"a": 1}');
UPDATE arvo.lane SET successor = nextval('arvo.lane_lane_seq') WHERE lane = arvo.lane_for('old');
INSERT INTO arvo.lane (lane, queue, priority) OVERRIDING SYSTEM VALUE
SELECT successor, queue, priority FROM arvo.lane
WHERE queue = (SELECT queue FROM arvo.queue WHERE name = 'old');
UPDATE arvo.lane SET successor = 1000000
WHERE queue <> (SELECT queue FROM arvo.queue WHERE name = 'old');
SELECT is(arvo.rebase_queued(99, false, 3), '{2,4}', 'of rows that refer to a body far away');
SELECT results_eq(
    $$ SELECT delivery, event ->> 'id', origin_delivery, cause FROM arvo.log
       WHERE lane = arvo.lane_for('old') ORDER BY delivery $$,
    $$ VALUES (90::bigint, '90', NULL::bigint, NULL::jsonb),
              (91, '90', NULL, '{"a": 1, "first": 90}') $$,
    'each carries it on, and says which delivery was the first'
);
UPDATE arvo.lane SET successor = 1000000;
SELECT count(pg_temp.row('long', 500, 1000 + n)) FROM generate_series(1, 10001) AS n \gset
UPDATE arvo.lane SET successor = nextval('arvo.lane_lane_seq') WHERE lane = arvo.lane_for('long');
INSERT INTO arvo.lane (lane, queue, priority) OVERRIDING SYSTEM VALUE
SELECT successor, queue, priority FROM arvo.lane
WHERE queue = (SELECT queue FROM arvo.queue WHERE name = 'long');
SELECT is(
    arvo.rebase_queued(20000, false, 3), '{10001,5}', 'ten thousand rows have one number'
);
SELECT is(arvo.rebase_queued(0, false, 3), '{0,3}', 'without rows the next number is the first');

SELECT * FROM finish();
ROLLBACK;
