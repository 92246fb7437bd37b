-- stage: what the interleaving tests need in a database, beside the installation itself.
--
-- Short words for the steps of a spec, which print outcomes and never tokens or times, and the judge
-- of all engine tests: stage.faults() reads the rooms, not the functions' own account, and says what
-- contradicts the invariants. Sessions of the installation's owner only.

CREATE SCHEMA stage;

-- Deliveries that somebody has in hand, by name of the holder.
CREATE TABLE stage.held (
    holder text NOT NULL,
    lease bigint NOT NULL,
    delivery bigint NOT NULL,
    event_id text NOT NULL,
    attempt integer NOT NULL
);

CREATE FUNCTION stage.event(p_id text, p_to text, p_subject text DEFAULT NULL) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
SELECT jsonb_build_object(
    'id', p_id, 'source', 'test', 'type', 'com.test.happened', 'specversion', '1.0',
    'subject', coalesce(p_subject, p_id), 'to', p_to, 'data', '{}'::jsonb,
    'time', '2029-12-31T23:59:59.000+00:00'
);
$$;

CREATE FUNCTION stage.put(p_queue text, p_id text, p_after interval DEFAULT NULL) RETURNS text
LANGUAGE sql VOLATILE AS $$
SELECT (arvo_v1.dispatch(stage.event(p_id, p_queue), p_after)).outcome;
$$;

-- The event of a schedule. The fires so far, in order: "NAME: subject firetime, …".
CREATE FUNCTION stage.tick(p_subject text) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
SELECT jsonb_build_object(
    'source', 'test', 'type', 'com.test.ticked', 'subject', p_subject, 'to', 'q', 'data', '{}'::jsonb
);
$$;

CREATE FUNCTION stage.fires() RETURNS SETOF text
LANGUAGE sql VOLATILE AS $$
SELECT (event ->> 'schedulename') || ': ' || string_agg(
    (event ->> 'subject') || ' ' || substring(event ->> 'firetime' FROM 12 FOR 8), ', '
    ORDER BY event ->> 'firetime', delivery
)
FROM arvo.log
WHERE event ? 'firetime'
GROUP BY event ->> 'schedulename'
ORDER BY event ->> 'schedulename';
$$;

-- Claims and remembers: "event/attempt …".
CREATE FUNCTION stage.take(
    p_holder text, p_queue text, p_limit integer DEFAULT 10, p_lease interval DEFAULT '30 seconds'
) RETURNS text
LANGUAGE sql VOLATILE AS $$
WITH claimed AS MATERIALIZED (
    SELECT * FROM arvo_v1.claim(ARRAY[p_queue], p_limit, p_holder, NULL, p_lease)
), kept AS (
    INSERT INTO stage.held
    SELECT p_holder, lease, delivery, event ->> 'id', attempt FROM claimed
)
SELECT coalesce(
    string_agg((event ->> 'id') || '/' || attempt, ' ' ORDER BY delivery), 'nothing'
)
FROM claimed;
$$;

-- Looks for a holder at the plain queue q: as stage.take, or "idle" and for how long.
CREATE FUNCTION stage.look(p_holder text, p_limit integer DEFAULT 10) RETURNS text
LANGUAGE sql VOLATILE AS $$
WITH found AS MATERIALIZED (
    SELECT * FROM arvo_v1.look('{q}', p_limit, p_holder)
), kept AS (
    INSERT INTO stage.held
    SELECT p_holder, lease, delivery, event ->> 'id', attempt FROM found WHERE kind = 'claimed'
)
SELECT string_agg(
    CASE
        WHEN kind = 'claimed' THEN (event ->> 'id') || '/' || attempt
        ELSE concat_ws(' ', kind, wait)
    END,
    ' ' ORDER BY delivery
)
FROM found;
$$;

-- Settles what the holder has in hand: "event outcome [code] …".
CREATE FUNCTION stage.settle(p_holder text, p_outcome text, p_more jsonb DEFAULT '{}') RETURNS text
LANGUAGE sql VOLATILE AS $$
SELECT string_agg(
    concat_ws(' ', held.event_id, verdict.outcome, verdict.code), ', ' ORDER BY verdict.ordinal
)
FROM arvo_v1.settle((
    SELECT jsonb_agg(
        jsonb_build_object('lease', lease, 'delivery', delivery, 'outcome', p_outcome) || p_more
        ORDER BY delivery
    )
    FROM stage.held WHERE holder = p_holder
)) AS verdict
INNER JOIN stage.held ON held.holder = p_holder AND held.delivery = verdict.delivery;
$$;

-- Completes what the holder has in hand, with one item for each lease: "event outcome [code] …".
CREATE FUNCTION stage.complete(p_holder text) RETURNS text
LANGUAGE sql VOLATILE AS $$
SELECT string_agg(
    concat_ws(' ', held.event_id, verdict.outcome, verdict.code), ', ' ORDER BY held.delivery
)
FROM arvo_v1.settle((
    SELECT jsonb_agg(jsonb_build_object('lease', own.lease, 'deliveries', own.deliveries, 'outcome', 'completed'))
    FROM (
        SELECT lease, jsonb_agg(delivery ORDER BY delivery) AS deliveries
        FROM stage.held WHERE holder = p_holder GROUP BY lease ORDER BY lease DESC
    ) AS own
)) AS verdict
INNER JOIN stage.held ON held.holder = p_holder AND held.delivery = verdict.delivery;
$$;

-- A heartbeat for what the holder has in hand: held, lost.
CREATE FUNCTION stage.extend(p_holder text, p_for interval DEFAULT '30 seconds') RETURNS text
LANGUAGE sql VOLATILE AS $$
SELECT string_agg(CASE WHEN beat.held THEN 'held' ELSE 'lost' END, ', ' ORDER BY beat.lease)
FROM arvo_v1.extend(
    (SELECT array_agg(DISTINCT lease) FROM stage.held WHERE holder = p_holder), p_for
) AS beat;
$$;

-- Everything that was ever delivered, in order: how it stands now, read from the rooms.
CREATE VIEW stage.story AS
WITH entry AS (
    (
        -- what a rebase has moved stands in a retired lane as well
        SELECT DISTINCT ON (log.delivery)
            log.delivery, log.lane, log.xid, log.attempt, log.event, log.origin_delivery, log.cause,
            false AS postponed
        FROM arvo.log
        ORDER BY log.delivery, log.lane DESC
    )
    UNION ALL
    SELECT waiting.delivery, waiting.lane, waiting.xid, waiting.attempt, waiting.event,
           waiting.origin_delivery, waiting.cause, true
    FROM arvo.deferred AS waiting
    WHERE NOT EXISTS (SELECT FROM arvo.log WHERE log.delivery = waiting.delivery)
),
leased AS MATERIALIZED (
    -- the last time: a delivery of an ordered run that went back to its place is leased again
    SELECT DISTINCT ON (taken.delivery) taken.delivery, lease.token
    FROM arvo.lease CROSS JOIN LATERAL unnest(lease.deliveries) AS taken (delivery)
    WHERE lease.token <> 0 AND NOT lease.carried
    ORDER BY taken.delivery, lease.token DESC
),
closed AS MATERIALIZED (
    SELECT DISTINCT ON (gone.delivery, closure.token) gone.delivery, closure.token,
           closure.outcomes[least(gone.ordinal, cardinality(closure.outcomes))] AS outcome
    FROM arvo.closure
    CROSS JOIN LATERAL unnest(closure.deliveries) WITH ORDINALITY AS gone (delivery, ordinal)
    ORDER BY gone.delivery, closure.token, closure.at
)
SELECT
    entry.delivery,
    entry.lane,
    queue.name AS queue,
    coalesce(entry.event, origin.event) ->> 'id' AS event_id,
    entry.attempt,
    entry.cause,
    entry.xid,
    CASE
        WHEN parked.delivery IS NOT NULL THEN 'parked'
        WHEN closed.outcome IS NOT NULL THEN closed.outcome
        WHEN leased.token IS NOT NULL THEN 'leased'
        WHEN entry.postponed THEN 'deferred'
        WHEN EXISTS (SELECT FROM arvo.parked WHERE parked.delivery = entry.delivery) THEN 'parked'
        ELSE 'queued'
    END AS place
FROM entry
INNER JOIN arvo.lane ON lane.lane = entry.lane
INNER JOIN arvo.queue ON queue.queue = lane.queue
LEFT JOIN arvo.log AS origin
    ON origin.delivery = entry.origin_delivery AND origin.event IS NOT NULL
LEFT JOIN leased ON leased.delivery = entry.delivery
LEFT JOIN closed ON closed.token = leased.token AND closed.delivery = entry.delivery
LEFT JOIN arvo.parked ON parked.delivery = entry.delivery;

-- "event: place, place …" in order of delivery, for all events of a queue.
CREATE FUNCTION stage.see(p_queue text DEFAULT NULL) RETURNS SETOF text
LANGUAGE sql VOLATILE AS $$
SELECT told.event_id || ': ' || string_agg(told.place, ', ' ORDER BY told.delivery)
FROM stage.story AS told
WHERE p_queue IS NULL OR told.queue = p_queue
GROUP BY told.event_id
ORDER BY told.event_id;
$$;

-- What is wrong with keys and places: leases, closures and parked rows against turn, ready and singleton.
CREATE FUNCTION stage.turn_faults() RETURNS SETOF text
LANGUAGE sql VOLATILE AS $$
WITH turn AS MATERIALIZED (
    SELECT DISTINCT ON (state.queue, state.key) state.*
    FROM arvo.turn AS state ORDER BY state.queue, state.key, state.number DESC
),
newest AS MATERIALIZED (
    SELECT DISTINCT ON (lease.token) lease.*
    FROM arvo.lease WHERE lease.token <> 0 ORDER BY lease.token, lease.number DESC
),
held AS MATERIALIZED (
    SELECT lane.queue, taken.delivery, taken.key
    FROM newest
    INNER JOIN arvo.lane ON lane.lane = newest.lane
    CROSS JOIN LATERAL unnest(newest.deliveries, newest.keys) AS taken (delivery, key)
    WHERE NOT EXISTS (
        SELECT FROM arvo.closure
        WHERE closure.token = newest.token AND taken.delivery = ANY (closure.deliveries)
    )
),
-- deliveries that are still to come, or in hand, and the first one of each event
pending AS MATERIALIZED (
    SELECT entry.delivery, entry.first
    FROM (
        SELECT deferred.delivery, coalesce(deferred.origin_delivery, deferred.delivery) AS first
        FROM arvo.deferred
        UNION
        SELECT log.delivery, coalesce(log.origin_delivery, log.delivery) FROM arvo.log
    ) AS entry
    WHERE entry.delivery NOT IN (SELECT unnest(newest.deliveries) FROM newest)
    OR entry.delivery IN (SELECT held.delivery FROM held)
    OR entry.delivery IN (SELECT parked.delivery FROM arvo.parked)
)
SELECT format('queue %s, key %s has %s states', state.queue, state.key, count(*))
FROM arvo.turn AS state GROUP BY state.queue, state.key HAVING count(*) > 1
UNION ALL
SELECT format('queue %s: %s are leased, %s are counted', named.name, count(held.delivery),
              coalesce(max(turn.active), 0))
FROM arvo.queue AS named
LEFT JOIN held ON held.queue = named.queue
LEFT JOIN turn ON turn.queue = named.queue AND turn.key = 0
WHERE named.gated
GROUP BY named.name HAVING count(held.delivery) <> coalesce(max(turn.active), 0)
UNION ALL
SELECT format('queue %s: %s are leased, and no more than %s may be', named.name,
              count(held.delivery), max(named.max_active))
FROM arvo.queue AS named
INNER JOIN held ON held.queue = named.queue
GROUP BY named.name HAVING count(held.delivery) > max(named.max_active)
UNION ALL
SELECT format('key %s: %s are leased, %s are counted', coalesce(turn.key, counted.key),
              coalesce(counted.active, 0), coalesce(turn.active, 0))
FROM (SELECT turn.* FROM turn WHERE turn.key <> 0) AS turn
FULL JOIN (
    SELECT held.queue, held.key, count(*) AS active
    FROM held INNER JOIN arvo.queue AS named ON named.queue = held.queue AND named.gated
    WHERE held.key IS NOT NULL GROUP BY held.queue, held.key
) AS counted ON counted.queue = turn.queue AND counted.key = turn.key
WHERE coalesce(counted.active, 0) <> coalesce(turn.active, 0)
UNION ALL
SELECT format('key %s: %s are parked, %s are counted', coalesce(turn.key, line.key),
              coalesce(line.waiting, 0), coalesce(turn.waiting, 0))
FROM turn
FULL JOIN (
    SELECT parked.queue, parked.key, count(*) AS waiting
    FROM arvo.parked GROUP BY parked.queue, parked.key
) AS line ON line.queue = turn.queue AND line.key = turn.key
WHERE coalesce(line.waiting, 0) <> coalesce(turn.waiting, 0)
UNION ALL
SELECT format('key %s: ready is %s, and the line of keys says otherwise', turn.key, turn.ready)
FROM turn
WHERE turn.ready <> EXISTS (
    SELECT FROM arvo.ready
    WHERE ready.queue = turn.queue AND ready.key = turn.key
    AND ready.number > (arvo.head_of(arvo.home_lane(turn.queue))).ready_from
)
UNION ALL
SELECT format('key %s: %s wait, there is room, and nobody will look', turn.key, turn.waiting)
FROM turn INNER JOIN arvo.queue AS named ON named.queue = turn.queue
WHERE turn.waiting > 0 AND NOT turn.ready AND arvo.key_room(named, turn) > 0
UNION ALL
SELECT format('key %s: delivery %s stands before the place up to which all were taken', turn.key,
              parked.delivery)
FROM turn
INNER JOIN arvo.parked
    ON parked.queue = turn.queue AND parked.key = turn.key AND parked.place <= turn.upto
UNION ALL
SELECT format('key %s: its holder %s is not to come', turn.key, turn.holder)
FROM turn
WHERE turn.holder IS NOT NULL
AND (
    turn.holder NOT IN (SELECT pending.delivery FROM pending)
    OR turn.holder IN (SELECT held.delivery FROM held)
    OR turn.holder IN (SELECT parked.delivery FROM arvo.parked)
)
UNION ALL
SELECT format('delivery %s is parked and leased', parked.delivery)
FROM arvo.parked INNER JOIN held ON held.delivery = parked.delivery
UNION ALL
SELECT format('place %s of key %s has %s rows', place.kind, place.key, count(*))
FROM arvo.singleton AS place
GROUP BY place.queue, place.kind, place.key HAVING count(*) > 1
UNION ALL
SELECT format('place %s of key %s belongs to %s, which is finished', place.kind, place.key,
              place.delivery)
FROM arvo.singleton AS place
WHERE place.delivery IS NOT NULL
AND place.delivery NOT IN (SELECT pending.first FROM pending)
UNION ALL
SELECT format('event %s of queue %s has a key in slot %s, and no delivery %s', known.event ->> 'id',
              known.key, known.slot, -known.delivery)
FROM arvo.log AS known
WHERE known.lane = 0 AND -known.delivery NOT IN (
    SELECT log.delivery FROM arvo.log UNION ALL SELECT deferred.delivery FROM arvo.deferred
)
-- what stood in a generation that was emptied is gone, its key may not be
AND NOT EXISTS (SELECT FROM arvo.generation WHERE generation.emptied_at IS NOT NULL);
$$;

-- What contradicts the invariants; no rows when nothing does. Meant for a quiet moment.
CREATE FUNCTION stage.faults() RETURNS SETOF text
LANGUAGE sql VOLATILE AS $$
WITH head AS MATERIALIZED (
    SELECT DISTINCT ON (lease.lane) lease.* FROM arvo.lease ORDER BY lease.lane, lease.number DESC
),
held AS MATERIALIZED (
    SELECT lease.lane, lease.number, lease.token, lease.carried, taken.delivery
    FROM arvo.lease CROSS JOIN LATERAL unnest(lease.deliveries) AS taken (delivery)
    WHERE lease.token <> 0
),
closed AS MATERIALIZED (
    SELECT closure.token, gone.delivery,
           closure.outcomes[least(gone.ordinal, cardinality(closure.outcomes))] AS outcome
    FROM arvo.closure
    CROSS JOIN LATERAL unnest(closure.deliveries) WITH ORDINALITY AS gone (delivery, ordinal)
),
story AS MATERIALIZED (SELECT * FROM stage.story),
successor AS MATERIALIZED (
    SELECT (story.cause ->> 'delivery')::bigint AS delivery, count(*) AS times
    FROM story
    WHERE story.cause ->> 'outcome' NOT IN ('dead', 'redriven', 'replayed')
    GROUP BY 1
)
SELECT format('delivery %s was leased %s times', held.delivery, count(*))
FROM held WHERE NOT held.carried
GROUP BY held.delivery
HAVING count(*) > 1 + (
    SELECT count(*) FROM closed
    WHERE closed.delivery = held.delivery AND closed.outcome = 'released'
)
UNION ALL
SELECT format('delivery %s was closed %s times under lease %s', closed.delivery, count(*),
              closed.token)
FROM closed GROUP BY closed.delivery, closed.token HAVING count(*) > 1
UNION ALL
SELECT format('delivery %s was closed for good %s times', closed.delivery, count(*))
FROM closed WHERE closed.outcome <> 'released'
GROUP BY closed.delivery HAVING count(*) > 1
UNION ALL
SELECT format('delivery %s is parked, and the cursor of lane %s has not reached it',
              story.delivery, story.lane)
FROM story
WHERE story.place = 'parked'
AND arvo.is_unclaimed(
    (SELECT newest FROM arvo.lease AS newest
     WHERE newest.lane = story.lane ORDER BY newest.number DESC LIMIT 1),
    story.xid, story.delivery
)
UNION ALL
SELECT stage.turn_faults()
UNION ALL
SELECT format('delivery %s was closed under lease %s, which does not hold it',
              closed.delivery, closed.token)
FROM closed
WHERE NOT EXISTS (
    SELECT FROM held WHERE held.token = closed.token AND held.delivery = closed.delivery
    AND NOT held.carried
)
-- a lease of an emptied generation may have been settled in the next
AND closed.token > coalesce((SELECT min(held.token) FROM held), 0)
UNION ALL
SELECT format('delivery %s is twice in the log', log.delivery)
FROM arvo.log INNER JOIN arvo.lane ON lane.lane = log.lane AND NOT lane.retired
GROUP BY log.delivery HAVING count(*) > 1
UNION ALL
SELECT format('delivery %s of lane %s is queued, and the cursor has passed it',
              story.delivery, story.lane)
FROM story INNER JOIN head ON head.lane = story.lane
WHERE story.place = 'queued'
AND NOT arvo.is_unclaimed(
    (SELECT newest FROM arvo.lease AS newest
     WHERE newest.lane = story.lane ORDER BY newest.number DESC LIMIT 1),
    story.xid, story.delivery
)
UNION ALL
SELECT format('delivery %s of lane %s is leased, and the cursor has not reached it',
              held.delivery, held.lane)
FROM held INNER JOIN story ON story.delivery = held.delivery
WHERE NOT held.carried
AND arvo.is_unclaimed(
    (SELECT newest FROM arvo.lease AS newest
     WHERE newest.lane = story.lane ORDER BY newest.number DESC LIMIT 1),
    story.xid, story.delivery
)
UNION ALL
SELECT format('delivery %s is deferred, and the promotion has passed it', waiting.delivery)
FROM arvo.deferred AS waiting
CROSS JOIN (SELECT * FROM arvo.promotion ORDER BY number DESC LIMIT 1) AS passed
WHERE (waiting.due, waiting.delivery) <= (passed.due, passed.delivery)
AND pg_visible_in_snapshot(waiting.xid, passed.snapshot)
AND NOT EXISTS (SELECT FROM arvo.log WHERE log.delivery = waiting.delivery)
UNION ALL
SELECT format('delivery %s is %s and has %s successors', story.delivery, story.place,
              coalesce(successor.times, 0))
FROM story LEFT JOIN successor ON successor.delivery = story.delivery
LEFT JOIN arvo.dead
    ON dead.delivery = story.delivery
    -- a dead letter that dies again in its dead-letter queue stays one
    OR (story.cause ? 'hops' AND story.place IN ('dead', 'expired') AND successor.delivery IS NULL
        AND dead.dead = (story.cause ->> 'dead')::bigint)
WHERE coalesce(successor.times, 0) + (dead.delivery IS NOT NULL)::integer <> CASE
    WHEN story.place IN ('retried', 'released', 'snoozed', 'conflict', 'expired', 'dead', 'moved')
        THEN 1
    -- withdrawn, and not met by a claim yet
    WHEN story.place IN ('queued', 'parked') AND EXISTS (
        SELECT FROM arvo.tombstone
        WHERE tombstone.delivery = story.delivery AND tombstone.reason = 'moved'
    ) THEN 1
    ELSE 0
END
UNION ALL
SELECT format('lane %s: lease numbers have a gap', lease.lane)
FROM arvo.lease GROUP BY lease.lane
HAVING count(*) <> max(lease.number) - min(lease.number) + 1 OR count(*) <> count(DISTINCT lease.number)
UNION ALL
SELECT format('lane %s, number %s: %s decreases', later.lane, later.number, later.which)
FROM (
    SELECT lease.lane, lease.number, 'the expiry' AS which,
           lease.expires_at < lag(lease.expires_at) OVER by_number AS wrong
    FROM arvo.lease WINDOW by_number AS (PARTITION BY lease.lane ORDER BY lease.number)
    UNION ALL
    SELECT lease.lane, lease.number, 'the token',
           lease.token <= lag(lease.token) OVER by_number
    FROM arvo.lease WHERE lease.token <> 0 AND NOT lease.carried
    WINDOW by_number AS (PARTITION BY lease.lane ORDER BY lease.number)
    UNION ALL
    SELECT lease.lane, lease.number, 'the lower bound of open leases',
           lease.open_from < lag(lease.open_from) OVER by_number
    FROM arvo.lease WINDOW by_number AS (PARTITION BY lease.lane ORDER BY lease.number)
) AS later
WHERE later.wrong
UNION ALL
SELECT format('token %s names %s leases', lease.token, count(*))
FROM arvo.lease WHERE lease.token <> 0 AND NOT lease.carried
GROUP BY lease.token HAVING count(*) > 1
UNION ALL
SELECT format('delivery %s is open below the lower bound of lane %s', held.delivery, held.lane)
FROM held INNER JOIN head ON head.lane = held.lane
WHERE held.number < head.open_from
AND NOT EXISTS (SELECT FROM held AS newer
                WHERE newer.token = held.token AND newer.number > held.number)
AND NOT EXISTS (SELECT FROM closed
                WHERE closed.token = held.token AND closed.delivery = held.delivery)
UNION ALL
SELECT format('delivery %s is open and nobody will look for it: sweep_at %s', held.delivery,
              head.sweep_at)
FROM held INNER JOIN head ON head.lane = held.lane
WHERE head.sweep_at = 'infinity'
AND NOT EXISTS (SELECT FROM closed
                WHERE closed.token = held.token AND closed.delivery = held.delivery)
UNION ALL
SELECT format('subject %s: %s', state.subject, state.version)
FROM arvo.state WHERE state.version < 1;
$$;

-- As if the first generation of history had been opened then, and none since.
CREATE FUNCTION stage.begin_generations(p_at timestamptz) RETURNS void
LANGUAGE sql VOLATILE AS $$
TRUNCATE arvo.log;
DELETE FROM arvo.generation;
SELECT setval('arvo.generation_number_seq', 1);
INSERT INTO arvo.generation (number, slot, opened_at) OVERRIDING SYSTEM VALUE VALUES (1, 0, p_at);
$$;

-- An empty house again: a spec's teardown.
CREATE FUNCTION stage.clear() RETURNS void
LANGUAGE sql VOLATILE AS $$
TRUNCATE stage.held, arvo.log, arvo.lease, arvo.closure, arvo.deferred, arvo.promotion, arvo.dead,
         arvo.tombstone, arvo.state, arvo.state_lock, arvo.lineage, arvo.lane, arvo.queue,
         arvo.turn, arvo.parked, arvo.ready, arvo.singleton, arvo.throttle,
         arvo.omission, arvo.registration, arvo.schedule, arvo.fire_pass, arvo.operation;
INSERT INTO arvo.fire_pass (done_to, swept_at) VALUES ('-infinity', '-infinity');
INSERT INTO arvo.promotion (number, due, delivery, snapshot, promoted, at)
VALUES (0, '-infinity', 0, '1:1:', 0, clock_timestamp());
$$;
