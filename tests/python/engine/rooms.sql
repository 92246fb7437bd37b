-- Fills every room that grows, as the engine itself would have filled it, but by whole sets. The
-- settings say how: rooms.many is how many rows a room gets; rooms.xid is a transaction number,
-- with rooms.many / 50 further ones after it that have all been committed; rooms.delivery and
-- rooms.lease are numbers with none in use after them. Each part between two lines of dashes may run
-- in a session of its own. The clock stands at 2030-01-01.

CREATE SCHEMA rooms;

CREATE FUNCTION rooms.many() RETURNS bigint
LANGUAGE sql STABLE AS $$ SELECT current_setting('rooms.many')::bigint $$;

CREATE FUNCTION rooms.xid(p_hundreds bigint) RETURNS xid8
LANGUAGE sql STABLE AS $$
SELECT (current_setting('rooms.xid')::bigint + p_hundreds)::text::xid8
$$;

CREATE FUNCTION rooms.delivery(p_number bigint) RETURNS bigint
LANGUAGE sql STABLE AS $$ SELECT current_setting('rooms.delivery')::bigint + p_number $$;

CREATE FUNCTION rooms.token(p_number bigint) RETURNS bigint
LANGUAGE sql STABLE AS $$ SELECT (current_setting('rooms.lease')::bigint + p_number) << 12 $$;

CREATE FUNCTION rooms.lane(p_queue text) RETURNS integer
LANGUAGE sql STABLE AS $$
SELECT lane.lane FROM arvo.lane INNER JOIN arvo.queue ON queue.queue = lane.queue WHERE queue.name = p_queue
$$;

CREATE FUNCTION rooms.queue(p_queue text) RETURNS integer
LANGUAGE sql STABLE AS $$ SELECT queue.queue FROM arvo.queue WHERE queue.name = p_queue $$;

-- Hashes are what makes filling slow. Only the first few thousand rows of a room have real ones, and
-- events of their own; keys of the others come in 64 rising streams, in no order of the rows.
CREATE FUNCTION rooms.key(p_number bigint, p_text text) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
SELECT CASE
    WHEN p_number < 5000 THEN hashtextextended(p_text, 0)
    ELSE p_number % 64 * 100000000000000000 + p_number
END
$$;

CREATE FUNCTION rooms.busy(p_number bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$ SELECT -1 - p_number % 64 * 100000000000000000 - p_number $$;

CREATE FUNCTION rooms.digest(p_number bigint, p_text text) RETURNS bytea
LANGUAGE sql IMMUTABLE AS $$
SELECT CASE
    WHEN p_number < 5000 THEN sha256(convert_to(p_text, 'UTF8'))
    ELSE int8send(p_number % 64 * 100000000000000000 + p_number)
END
$$;

CREATE FUNCTION rooms.event(p_number bigint, p_id text, p_subject text, p_to text) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
SELECT CASE
    WHEN p_number < 5000 THEN jsonb_build_object(
        'id', p_id, 'source', 'test', 'type', 'com.test.happened', 'specversion', '1.0',
        'subject', p_subject, 'to', p_to, 'data', '{}'::jsonb
    )
    ELSE '{"id": "any", "source": "test", "type": "com.test.happened", "specversion": "1.0",
           "subject": "some subject", "to": "plain", "data": {}}'
END
$$;

-- Half of the transactions have been read: this snapshot saw them.
CREATE FUNCTION rooms.seen() RETURNS pg_snapshot
LANGUAGE sql STABLE AS $$
SELECT format('%s:%s:', rooms.xid(rooms.many() / 100), rooms.xid(rooms.many() / 100))::pg_snapshot
$$;

-- Deliveries p_from to p_to of a lane, a hundred to a transaction, the first of them p_hundreds. Their
-- subjects: one for each ("own"); one for as many ("run"), every second of them busy ("mixed"); busy.
CREATE FUNCTION rooms.put(
    p_queue text, p_from bigint, p_to bigint, p_hundreds bigint, p_subjects text DEFAULT 'own',
    p_busy bigint DEFAULT 0, p_keyed boolean DEFAULT false
) RETURNS void
LANGUAGE sql VOLATILE AS $$
WITH base AS MATERIALIZED (
    SELECT rooms.lane(p_queue) AS lane, rooms.delivery(0) AS delivery
),
hundred AS MATERIALIZED (
    SELECT p_from + h * 100 AS first, rooms.xid(p_hundreds + h) AS xid
    FROM generate_series(0, (p_to - p_from) / 100) AS h
)
INSERT INTO arvo.log (slot, lane, xid, delivery, attempt, at, subject_key, event_key, event, key)
SELECT
    0, base.lane, hundred.xid, base.delivery + n, 1,
    '2029-12-31T23:00:00Z', named.key, rooms.key(n, 'e' || n),
    rooms.event(n, 'e' || n, 's' || n, p_queue),
    CASE WHEN p_keyed THEN named.key END
FROM base
CROSS JOIN hundred
CROSS JOIN LATERAL generate_series(hundred.first, least(hundred.first + 99, p_to)) AS n
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN p_subjects = 'own' THEN rooms.key(n, 's' || n)
        WHEN p_subjects = 'busy' OR n / 5 % 2 = 0 THEN rooms.busy((n - p_from) % p_busy)
        ELSE rooms.key(n / 5, 's' || n / 5)
    END AS key
) AS named;
$$;

-- Leases of a hundred deliveries each, from p_from on; those from the p_open-th on are still held.
CREATE FUNCTION rooms.lease(
    p_queue text, p_first bigint, p_from bigint, p_count bigint, p_open bigint,
    p_keys text DEFAULT NULL
) RETURNS void
LANGUAGE sql VOLATILE AS $$
INSERT INTO arvo.lease (
    slot, lane, number, token, worker, leased_at, expires_at, deliveries, low_xid, high_xid, xids,
    previous_snapshot, snapshot, last_xid, last_delivery, exhausted, open_from, sweep_at,
    keys, places
)
SELECT
    0, lane.lane, 1000 + n, rooms.token(p_first + n), 'w', '2029-12-31T23:00:00Z',
    '2030-01-01T00:00:30Z', held.deliveries, xid.xid, xid.xid, ARRAY[xid.xid],
    lane.seen, lane.seen, xid.xid, held.deliveries[100], true, 1000 + least(n, p_open),
    '2030-01-01T00:00:30Z',
    CASE p_keys
        WHEN 'busy' THEN ARRAY(
            SELECT rooms.busy((n - 1) * 100 + g) FROM generate_series(0, 99) AS g
        )
        WHEN 'one' THEN array_fill(1::bigint, '{100}')
    END,
    CASE WHEN p_queue = 'line' THEN held.deliveries END
FROM (SELECT rooms.lane(p_queue) AS lane, rooms.seen() AS seen) AS lane
CROSS JOIN generate_series(1, p_count) AS n
CROSS JOIN LATERAL (SELECT rooms.xid(n - 1) AS xid) AS xid
CROSS JOIN LATERAL (
    SELECT ARRAY(
        SELECT rooms.delivery(p_from + (n - 1) * 100 + g) FROM generate_series(0, 99) AS g
    ) AS deliveries
) AS held;

INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
SELECT
    lease.slot, lease.token, lease.leased_at, lease.deliveries, '{completed}',
    array_fill(1000, '{100}')
FROM arvo.lease
WHERE lease.lane = rooms.lane(p_queue) AND lease.number > 1000 AND lease.number < 1000 + p_open;
$$;

-- A gated queue: so many run, as many wait, and as many have not been read yet.
CREATE FUNCTION rooms.gate(
    p_queue text, p_place integer, p_busy bigint, p_keyed boolean
) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_from bigint := rooms.many() * 3 + p_place * rooms.many() * 3 / 10;
    v_queue integer := rooms.queue(p_queue);
    v_lane integer := rooms.lane(p_queue);
    v_keyed boolean := p_keyed AND p_queue <> 'line';
BEGIN
    PERFORM rooms.put(p_queue, v_from, v_from + p_busy - 1, 0, 'busy', p_busy, v_keyed);
    PERFORM rooms.lease(
        p_queue, rooms.many() * (p_place + 1), v_from, p_busy / 100, 1,
        CASE WHEN p_keyed THEN 'busy' ELSE 'one' END
    );
    PERFORM rooms.put(
        p_queue, v_from + 2 * p_busy, v_from + 3 * p_busy - 1, rooms.many() / 100, 'mixed', p_busy,
        v_keyed
    );
    INSERT INTO arvo.turn (queue, key, number, active, waiting, upto, ready, tally, at)
    SELECT
        v_queue, key, nextval('arvo.turn_number'), p_busy, 0, 0, false, '{}',
        '2029-12-31T23:00:00Z'
    FROM generate_series(0, CASE WHEN p_keyed THEN 0 ELSE 1 END) AS key;
    IF NOT p_keyed THEN
        RETURN;
    END IF;
    PERFORM rooms.put(
        p_queue, v_from + p_busy, v_from + 2 * p_busy - 1, 0, 'busy', p_busy, v_keyed
    );
    INSERT INTO arvo.turn (queue, key, number, active, waiting, upto, ready, tally, at)
    SELECT
        v_queue, rooms.busy(n), nextval('arvo.turn_number'), 1, 1,
        rooms.delivery(v_from + n), false, '{}', '2029-12-31T23:00:00Z'
    FROM generate_series(0, p_busy - 1) AS n;
    INSERT INTO arvo.parked (queue, key, place, delivery, lane, xid, at)
    SELECT v_queue, log.subject_key, log.delivery, log.delivery, log.lane, log.xid, log.at
    FROM arvo.log
    WHERE log.lane = v_lane
    AND log.delivery >= rooms.delivery(v_from + p_busy)
    AND log.delivery < rooms.delivery(v_from + 2 * p_busy);
    -- read long ago
    INSERT INTO arvo.ready (queue, number, key)
    SELECT v_queue, -n, n FROM generate_series(1, p_busy) AS n;
END;
$$;

-- ---------------------------------------------------------------------------------------------
-- log, lease, closure: a million completed, a million waiting, fifty leases held

SELECT rooms.put('plain', 0, rooms.many() - 1, 0);

SELECT rooms.put('plain', rooms.many(), 2 * rooms.many() - 1, rooms.many() / 100);

SELECT rooms.lease('plain', 0, 0, rooms.many() / 100, rooms.many() / 100 - 4);

-- Some of those that wait have been withdrawn, and many of another queue.
INSERT INTO arvo.tombstone (lane, delivery, at)
SELECT rooms.lane('plain'), rooms.delivery(2 * rooms.many() - n), '2029-12-31T23:00:00Z'
FROM generate_series(1, rooms.many() / 10) AS n;

INSERT INTO arvo.tombstone (lane, delivery, at)
SELECT rooms.lane('other'), rooms.delivery(n), '2029-12-31T23:00:00Z'
FROM generate_series(1, rooms.many() / 5) AS n;

-- ---------------------------------------------------------------------------------------------
-- deferred: due tomorrow, and later

WITH base AS MATERIALIZED (
    SELECT rooms.lane('plain') AS lane, rooms.delivery(2 * rooms.many()) AS delivery
),
hundred AS MATERIALIZED (
    SELECT h * 100 AS first, rooms.xid(h) AS xid
    FROM generate_series(0, rooms.many() / 100 - 1) AS h
)
INSERT INTO arvo.deferred (
    delivery, xid, due, lane, attempt, at, subject_key, event_key, event
)
SELECT
    base.delivery + n, hundred.xid,
    timestamptz '2030-01-02T00:00:00Z' + n * interval '1 second', base.lane, 1,
    '2029-12-31T23:00:00Z', rooms.key(n, 's' || n), rooms.key(n, 'd' || n),
    rooms.event(n, 'd' || n, 's' || n, 'plain')
FROM base
CROSS JOIN hundred
CROSS JOIN LATERAL generate_series(hundred.first, hundred.first + 99) AS n;

INSERT INTO arvo.promotion (number, due, delivery, snapshot, promoted, at)
SELECT max(number) + 1, '2030-01-01T00:00:00Z', 9223372036854775807, pg_current_snapshot(), 0,
    '2030-01-01T00:00:00Z'
FROM arvo.promotion;

-- ---------------------------------------------------------------------------------------------
-- turn, parked, ready: keys of gated queues

SELECT rooms.gate('line', 0, rooms.many() / 10, true);

SELECT rooms.gate('single', 1, rooms.many() / 50, true);

SELECT rooms.gate('capped', 2, rooms.many() / 50, false);

SELECT rooms.gate('rated', 3, rooms.many() / 50, false);

-- ---------------------------------------------------------------------------------------------
-- log (keys only), singleton, throttle

WITH base AS MATERIALIZED (
    SELECT rooms.queue('plain') AS queue, rooms.delivery(0) AS delivery
)
INSERT INTO arvo.log (
    slot, lane, delivery, attempt, at, subject_key, event_key, event, key, dedup_key
)
SELECT
    n % 2, 0, -(base.delivery + n), 0, '2029-12-31T23:00:00Z', 0, hashtextextended('key/' || n, 0),
    jsonb_build_object('id', 'key/' || n, 'source', 'test'), base.queue,
    arvo.dedup_key(base.queue, 'test', 'key/' || n)
FROM base
CROSS JOIN generate_series(1, 2 * rooms.many()) AS n;

INSERT INTO arvo.singleton (queue, kind, key, number, delivery, at)
SELECT queue.queue, 'any', rooms.key(n, n::text), 1, rooms.delivery(n), '2029-12-31T23:00:00Z'
FROM generate_series(1, rooms.many() / 5) AS n
CROSS JOIN (SELECT rooms.queue('exclusive') AS queue) AS queue;

INSERT INTO arvo.throttle (queue, key, slot_at, until, delivery)
SELECT
    queue.queue, rooms.key(n, n::text), '2030-01-01T00:00:00Z', '2030-01-01T01:00:00Z',
    rooms.delivery(n)
FROM generate_series(1, rooms.many() / 5) AS n
CROSS JOIN (SELECT rooms.queue('throttled') AS queue) AS queue;

-- ---------------------------------------------------------------------------------------------
-- dead, omission, operation

INSERT INTO arvo.dead (
    delivery, queue, event_id, subject_key, event_key, event, attempts, reason, error, died_at,
    resolution, resolved_at
)
SELECT
    rooms.delivery(n), 'plain', 'e' || n, rooms.key(n, 's' || n), rooms.key(n, 'e' || n),
    rooms.event(n, 'e' || n, 's' || n, 'plain'),
    3, 'failed', '{"name": "ValueError"}', '2029-12-30T00:00:00Z',
    CASE WHEN n % 10 > 0 THEN 'discarded' END,
    CASE WHEN n % 10 > 0 THEN timestamptz '2029-12-31T00:00:00Z' END
FROM generate_series(1, rooms.many()) AS n;

INSERT INTO arvo.omission (at, queue, outcome, event_id, subject_key, event_key, event)
SELECT
    '2029-12-31T23:00:00Z', 'throttled', 'throttled', 'o' || n, rooms.key(n, 's' || n),
    rooms.key(n, 'o' || n), '{}'
FROM generate_series(1, rooms.many() / 5) AS n;

INSERT INTO arvo.operation (at, by, verb, queue, details, touched)
SELECT '2029-12-31T23:00:00Z', 'somebody', 'redrive', 'plain', '{}', 1
FROM generate_series(1, rooms.many() / 5) AS n;

-- ---------------------------------------------------------------------------------------------
-- state, lineage, state_lock, schedule

INSERT INTO arvo.state (
    subject_digest, subject, version, data, execution_status, created_at, changed_at
)
SELECT
    rooms.digest(n, 's' || n), 's' || n, 1,
    jsonb_build_object('executionStatus', 'normal', 'status', was.status), 'normal', was.at, was.at
FROM generate_series(1, rooms.many()) AS n
-- One in five has been done for long.
CROSS JOIN LATERAL (
    SELECT
        CASE WHEN n % 5 = 3 THEN 'done' ELSE 'active' END AS status,
        CASE WHEN n % 5 = 3 THEN timestamptz '2029-11-01' ELSE '2029-12-31T23:00:00Z' END AS at
) AS was;

-- Trees of five.
INSERT INTO arvo.lineage (subject_digest, subject, parent_digest, created_at)
SELECT
    rooms.digest(n, 's' || n), 's' || n,
    CASE WHEN n % 5 > 0 THEN rooms.digest(n - n % 5, 's' || n - n % 5) END,
    '2029-12-31T23:00:00Z'
FROM generate_series(1, rooms.many()) AS n
ON CONFLICT DO NOTHING;

INSERT INTO arvo.state_lock (subject_digest, subject, token, locked_at, expires_at)
SELECT
    rooms.digest(n, 'locked' || n), 'locked' || n, n, '2030-01-01T00:00:00Z',
    '2030-01-01T01:00:00Z'
FROM generate_series(1, 1000) AS n;

INSERT INTO arvo.schedule (
    name, key, cron, fields, time_zone, event, missed, missed_limit, grace, gap, overlap, next_at,
    created_at, created_by, changed_at, changed_by
)
SELECT
    'many', n::text, schedule.cron, schedule.fields, schedule.time_zone, schedule.event,
    schedule.missed, schedule.missed_limit, schedule.grace, schedule.gap, schedule.overlap,
    timestamptz '2030-01-02T00:00:00Z' + n * interval '1 second', schedule.created_at,
    schedule.created_by, schedule.changed_at, schedule.changed_by
FROM arvo.schedule
CROSS JOIN generate_series(1, rooms.many() / 100) AS n
WHERE schedule.name = 'hourly';

INSERT INTO arvo.registration (queue, worker, options, at)
SELECT 'plain', 'w' || n, '{}', '2029-12-31T23:00:00Z'
FROM generate_series(1, 100) AS n;
