-- fast-and-flat
-- depends: 0003.before.queue-engine

SET LOCAL ROLE arvo_owner;
SET LOCAL lock_timeout = '5s';
SET LOCAL check_function_bodies = off;  -- blocks may refer to later blocks

-- ---------------------------------------------------------------------------------------------
-- compact results
-- ---------------------------------------------------------------------------------------------

ALTER TYPE arvo.result ADD ATTRIBUTE named_in integer;
COMMENT ON COLUMN arvo.result.ordinal IS 'Place among the deliveries that were named, from 1.';
COMMENT ON COLUMN arvo.result.named_in IS
'Place in the array of results, from 1: an item may name several deliveries.';

CREATE TYPE arvo.completion AS (
    lease bigint,
    deliveries bigint[],
    run_times integer[],
    items integer[],
    others bigint[]
);
COMMENT ON TYPE arvo.completion IS 'What a settlement plainly completes of one lease.';
COMMENT ON COLUMN arvo.completion.lease IS 'The lease.';
COMMENT ON COLUMN arvo.completion.deliveries IS 'Its deliveries that are completed, in the order of the call.';
COMMENT ON COLUMN arvo.completion.run_times IS 'How long each ran, in microseconds.';
COMMENT ON COLUMN arvo.completion.items IS
'Place of each in the array of results, from 1; a single one speaks for all.';
COMMENT ON COLUMN arvo.completion.others IS
'Deliveries that other items of the same lease name; NULL when there are none.';

CREATE TYPE arvo.parted AS (
    closed arvo.completion[],
    rest jsonb,
    items integer[]
);
COMMENT ON TYPE arvo.parted IS 'Results of a settlement: those that are done with, and the others.';
COMMENT ON COLUMN arvo.parted.closed IS 'What has been completed, by lease.';
COMMENT ON COLUMN arvo.parted.rest IS 'The results that are still to be judged, in their order.';
COMMENT ON COLUMN arvo.parted.items IS 'Place of each of them in the array of results, from 1; empty when nothing has been closed, or all.';

-- ---------------------------------------------------------------------------------------------
-- claims: what is looked up once per call
-- ---------------------------------------------------------------------------------------------

CREATE TYPE arvo.claimable AS (
    lanes integer[],
    places integer[],
    queues integer[],
    gated boolean[],
    limited boolean
);
COMMENT ON TYPE arvo.claimable IS 'Lanes that a claim goes through, in this order.';
COMMENT ON COLUMN arvo.claimable.lanes IS 'The lanes.';
COMMENT ON COLUMN arvo.claimable.places IS 'Which of the queues named each belongs to, from 1.';
COMMENT ON COLUMN arvo.claimable.queues IS 'Queue of each.';
COMMENT ON COLUMN arvo.claimable.gated IS 'Whether that queue is gated.';
COMMENT ON COLUMN arvo.claimable.limited IS 'Whether one of the queues has a rate limit.';

CREATE TYPE arvo.ahead AS (
    due boolean,
    next_at timestamptz
);
COMMENT ON TYPE arvo.ahead IS 'What arvo.look_ahead found.';
COMMENT ON COLUMN arvo.ahead.due IS 'Whether the promotion or the schedules have something to do.';
COMMENT ON COLUMN arvo.ahead.next_at IS 'If not: when they will have; NULL when nothing waits for its time.';

CREATE TYPE arvo.leased AS (
    queue arvo.queue,
    lease arvo.lease,
    batch arvo.log[],
    rows arvo_v1.claimed[]
);
COMMENT ON TYPE arvo.leased IS 'What a claim took from one lane.';
COMMENT ON COLUMN arvo.leased.queue IS 'The queue, as it was read under the lock of the lane.';
COMMENT ON COLUMN arvo.leased.lease IS 'The lease.';
COMMENT ON COLUMN arvo.leased.batch IS 'Its deliveries; NULL when there are none, or rows has them.';
COMMENT ON COLUMN arvo.leased.rows IS 'Those of a gated queue, as a worker gets them.';

-- ---------------------------------------------------------------------------------------------
-- server_start: whose transaction numbers this server gives, remembered for each start of it
-- ---------------------------------------------------------------------------------------------

CREATE TABLE arvo.server_start (
    started_at timestamptz NOT NULL,
    system_identifier bigint NOT NULL
);
COMMENT ON TABLE arvo.server_start IS
'Which cluster a server is that was started at that time: its control file takes long to read. A copy elsewhere was started at another time.';
COMMENT ON COLUMN arvo.server_start.started_at IS 'pg_postmaster_start_time().';
COMMENT ON COLUMN arvo.server_start.system_identifier IS 'system_identifier of pg_control_system().';
INSERT INTO arvo.server_start (started_at, system_identifier)
SELECT pg_postmaster_start_time(), control.system_identifier
FROM pg_control_system() AS control;

CREATE TYPE arvo_v1.copied AS (
    outcome text,
    events bigint,
    ordinals bigint[]
);
COMMENT ON TYPE arvo_v1.copied IS 'How many events of a batch had an outcome.';
COMMENT ON COLUMN arvo_v1.copied.outcome IS 'As in arvo_v1.dispatched.';
COMMENT ON COLUMN arvo_v1.copied.events IS 'How many.';
COMMENT ON COLUMN arvo_v1.copied.ordinals IS
'Their places in the batch, counted from 1; empty for queued, deferred and domained.';

-- ---------------------------------------------------------------------------------------------
-- lease: only what had waited is looked up by its number
-- ---------------------------------------------------------------------------------------------

ALTER TABLE arvo.lease ADD COLUMN strays bigint[];
COMMENT ON COLUMN arvo.lease.strays IS
'Gated queues: those of the deliveries that had been parked, so that the order of the log does not find their lease. NULL when there are none.';
DROP INDEX arvo.lease_delivery_idx;
CREATE INDEX lease_stray_idx ON arvo.lease
USING gin (strays) WITH (fastupdate = off) WHERE strays IS NOT NULL;
COMMENT ON TABLE arvo.turn IS
'State of each key of a gated queue: its newest row counts; key 0 is the queue itself. Replaced under the lock of the queue''s home lane by a row of a higher number; idle ones are deleted by maintain().';
-- Room for the row that replaces one beside it: that is half of the WAL.
ALTER TABLE arvo.turn SET (fillfactor = 50);

-- ---------------------------------------------------------------------------------------------
-- locks: tokens with random low bits, and the state with the lock
-- ---------------------------------------------------------------------------------------------

ALTER SEQUENCE arvo.lock_token MAXVALUE 17592186044415;
COMMENT ON SEQUENCE arvo.lock_token IS
'High bits of the fencing tokens of subject locks: they only grow. The low 12 bits are random, so that a number given twice after a crash is refused all the same.';
CREATE TYPE arvo_v1.locked_state AS (
    subject text,
    token bigint,
    expires_at timestamptz,
    version bigint,
    data jsonb
);
COMMENT ON TYPE arvo_v1.locked_state IS 'A lock that was taken, with the state of its subject.';
COMMENT ON COLUMN arvo_v1.locked_state.subject IS 'The subject.';
COMMENT ON COLUMN arvo_v1.locked_state.token IS 'As in arvo_v1.lock.';
COMMENT ON COLUMN arvo_v1.locked_state.expires_at IS 'As in arvo_v1.lock.';
COMMENT ON COLUMN arvo_v1.locked_state.version IS 'Version of the state; 0 when there is none.';
COMMENT ON COLUMN arvo_v1.locked_state.data IS 'The state; NULL when there is none.';

--! function arvo.admit
-- arvo.admit(queue, batch) — which deliveries just read from the log may run, and which must wait.
CREATE OR REPLACE FUNCTION arvo.admit(p_queue arvo.queue, p_batch arvo.log[])
RETURNS arvo.taking
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $admit$
-- A delivery passes when its key has room and nobody stands in line before it; the holder of a key
-- passes always, and alone. The others are parked behind those who wait already. What its rate limit
-- stops is put off, except that an ordered key with a run under way must know first how that ends;
-- what has been withdrawn passes, uncounted, for it will be closed under the lease.
--
--   Reads    arvo.turn by (queue, key, number), arvo.tombstone, arvo.clock
--   Writes   arvo.turn, arvo.parked; as arvo.put_turns and arvo.put_off
--   Locks    nothing; the caller holds the queue's home lane
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_taking arvo.taking := arvo.no_taking(NULL);
    v_line record;
    v_turn arvo.turn;
    v_turns arvo.turn[] := '{}'::arvo.turn[];
    v_keys bigint[];
    v_places bigint[];
    v_passed bigint[] := '{}'::bigint[];
    v_most integer;
    v_at integer;
    v_holder bigint;
    v_room integer;
    v_rate integer;
    v_parked integer := 0;
BEGIN
    IF cardinality(p_batch) = 1 THEN
        v_keys := ARRAY[arvo.key_for(p_queue, p_batch[1])];
        v_places := ARRAY[nextval('arvo.turn_number'::regclass)];
        -- One of a key that is known and free.
        IF p_queue.key_rate_limit IS NULL THEN
            UPDATE arvo.turn
            SET number = nextval('arvo.turn_number'::regclass),
                active = turn.active + 1,
                upto = v_places[1],
                at = v_now
            WHERE turn.ctid = (
                SELECT state.ctid
                FROM arvo.turn AS state
                WHERE state.queue = p_queue.queue AND state.key = v_keys[1]
                ORDER BY state.number DESC
                LIMIT 1
            )
            AND turn.waiting = 0
            -- Not = 0: that would let a plan walk the index of idle keys.
            AND turn.active < 1
            AND turn.holder IS NULL;
            IF FOUND THEN
                v_taking.batch := p_batch;
                v_taking.keys := v_keys;
                v_taking.places := v_places;
                v_taking.taken := 1;
                RETURN v_taking;
            END IF;
        END IF;
    ELSE
        SELECT
            array_agg(keyed.key ORDER BY keyed.ordinal),
            array_agg(keyed.place ORDER BY keyed.ordinal)
        INTO v_keys, v_places
        FROM (
            SELECT
                coalesce(
                    read.key,
                    CASE
                        WHEN p_queue.policy <> 'ordered' OR read.subject_key = 0 THEN 1
                        ELSE read.subject_key
                    END
                ) AS key,
                nextval('arvo.turn_number'::regclass) AS place,
                row_number() OVER () AS ordinal
            FROM unnest(p_batch) AS read
        ) AS keyed;
    END IF;

    -- All keys at once that have room for whatever of them was read, and nobody in line.
    IF p_queue.key_rate_limit IS NULL THEN
        v_turn.active := 0;
        v_most := arvo.key_room(p_queue, v_turn);
        WITH given AS MATERIALIZED (
            SELECT grouped.key, grouped.entries, grouped.upto, newest.address
            FROM (
                SELECT listed.key, count(*)::integer AS entries, max(listed.place) AS upto
                FROM unnest(v_keys, v_places) AS listed (key, place)
                GROUP BY listed.key
            ) AS grouped
            LEFT JOIN LATERAL (
                SELECT state.active, state.waiting, state.holder, state.ctid AS address
                FROM arvo.turn AS state
                WHERE state.queue = p_queue.queue AND state.key = grouped.key
                ORDER BY state.number DESC
                LIMIT 1
            ) AS newest ON true
            WHERE grouped.entries <= v_most - coalesce(newest.active, 0)
            AND (
                newest.address IS NULL
                OR (
                    newest.waiting = 0
                    AND newest.holder IS NULL
                    AND (p_queue.policy <> 'ordered' OR newest.active = 0)
                )
            )
        ),

        replaced AS (
            UPDATE arvo.turn
            SET number = nextval('arvo.turn_number'::regclass),
                active = turn.active + given.entries,
                upto = given.upto,
                at = v_now
            FROM given
            WHERE turn.ctid = given.address
        ),

        added AS (
            INSERT INTO arvo.turn (queue, key, number, active, waiting, upto, ready, tally, at)
            SELECT
                p_queue.queue, given.key, nextval('arvo.turn_number'::regclass), given.entries, 0,
                given.upto, false, '{}', v_now
            FROM given
            WHERE given.address IS NULL
        )

        SELECT coalesce(array_agg(given.key), '{}'), coalesce(sum(given.entries), 0)::integer
        INTO v_passed, v_taking.taken
        FROM given;
        IF v_taking.taken = cardinality(p_batch) THEN
            v_taking.batch := p_batch;
            v_taking.keys := v_keys;
            v_taking.places := v_places;
            RETURN v_taking;
        END IF;
    END IF;

    FOR v_line IN
        SELECT grouped.key, grouped.ordinals, grouped.deliveries, newest.turn
        FROM (
            SELECT
                keyed.key,
                array_agg(keyed.ordinal ORDER BY keyed.ordinal) AS ordinals,
                array_agg(keyed.delivery ORDER BY keyed.ordinal) AS deliveries
            FROM (
                SELECT v_keys[entry.ordinal] AS key, entry.delivery, entry.ordinal
                FROM (
                    SELECT read.delivery, row_number() OVER ()::integer AS ordinal
                    FROM unnest(p_batch) AS read
                ) AS entry
            ) AS keyed
            WHERE keyed.key <> ALL (v_passed)
            GROUP BY keyed.key
        ) AS grouped
        LEFT JOIN LATERAL (
            SELECT state AS turn
            FROM arvo.turn AS state
            WHERE state.queue = p_queue.queue AND state.key = grouped.key
            ORDER BY state.number DESC
            LIMIT 1
        ) AS newest ON true
        ORDER BY grouped.ordinals[1]
    LOOP
        v_turn := v_line.turn;
        IF v_turn.key IS NULL THEN
            v_turn.queue := p_queue.queue;
            v_turn.key := v_line.key;
            v_turn.active := 0;
            v_turn.waiting := 0;
            v_turn.upto := 0;
            v_turn.ready := false;
            v_turn.tally := '{}';
        END IF;
        v_holder := v_turn.holder;
        v_room := CASE
            WHEN v_turn.waiting = 0 THEN arvo.key_room(p_queue, v_turn) ELSE 0
        END;
        v_rate := 2147483647;
        IF p_queue.key_rate_limit IS NOT NULL THEN
            v_rate := arvo.rate_room(
                v_turn.tally, p_queue.key_rate_limit, p_queue.key_rate_period, v_now
            );
        END IF;
        FOR v_in_line IN 1..cardinality(v_line.ordinals) LOOP
            v_at := v_line.ordinals[v_in_line];
            IF v_line.deliveries[v_in_line] IS DISTINCT FROM v_holder
                AND (
                    v_holder IS NOT NULL OR v_room = 0 OR v_turn.waiting > 0
                    OR (v_rate = 0 AND p_queue.policy = 'ordered' AND v_turn.active > 0)
                )
            THEN
                v_turn.waiting := v_turn.waiting + 1;
                v_parked := v_parked + 1;
                v_places[v_at] := NULL;
                CONTINUE;
            END IF;

            -- The holder keeps its place before all who wait; it comes before what was taken last.
            IF v_line.deliveries[v_in_line] = v_holder THEN
                v_places[v_at] := v_turn.upto;
            ELSE
                v_turn.upto := v_places[v_at];
            END IF;
            v_turn.holder := NULL;
            IF v_rate = 0 AND NOT EXISTS (
                SELECT
                FROM arvo.tombstone
                WHERE tombstone.lane = p_batch[v_at].lane
                AND tombstone.delivery = p_batch[v_at].delivery
            ) THEN
                v_turn.holder := arvo.put_off(p_queue, v_turn, p_batch[v_at]);
                v_holder := v_turn.holder;
                v_taking.put_off := v_taking.put_off || v_line.deliveries[v_in_line];
            ELSE
                v_room := v_room - 1;
                v_turn.active := v_turn.active + 1;
                v_taking.taken := v_taking.taken + 1;
                IF p_queue.key_rate_limit IS NOT NULL THEN
                    v_turn.tally := arvo.rate_count(
                        v_turn.tally, least(v_rate, 1), p_queue.key_rate_period, v_now
                    );
                    v_rate := greatest(v_rate - 1, 0);
                END IF;
            END IF;
        END LOOP;
        v_turns := v_turns || v_turn;
    END LOOP;

    IF v_parked = 0 THEN
        v_taking.batch := p_batch;
        v_taking.keys := v_keys;
        v_taking.places := v_places;
    ELSE
        INSERT INTO arvo.parked (queue, key, place, delivery, lane, xid, at)
        SELECT
            p_queue.queue, v_keys[entry.ordinal], nextval('arvo.turn_number'::regclass),
            entry.delivery, entry.lane, entry.xid, entry.at
        FROM (
            SELECT read.delivery, read.lane, read.xid, read.at, row_number() OVER () AS ordinal
            FROM unnest(p_batch) AS read
        ) AS entry
        WHERE v_places[entry.ordinal] IS NULL
        ORDER BY entry.ordinal;
        SELECT
            coalesce(array_agg(passed.entry ORDER BY passed.ordinal), '{}'),
            coalesce(array_agg(v_keys[passed.ordinal] ORDER BY passed.ordinal), '{}'),
            coalesce(array_agg(v_places[passed.ordinal] ORDER BY passed.ordinal), '{}')
        INTO v_taking.batch, v_taking.keys, v_taking.places
        FROM (
            SELECT read AS entry, row_number() OVER () AS ordinal
            FROM unnest(p_batch) AS read
        ) AS passed
        WHERE v_places[passed.ordinal] IS NOT NULL;
    END IF;
    -- After the parked rows have their places: whoever is ready now finds them.
    PERFORM arvo.put_turns(p_queue, v_turns);
    RETURN v_taking;
END;
$admit$;

COMMENT ON FUNCTION arvo.admit(arvo.queue, arvo.log[]) IS
'Lets deliveries pass whose keys have room, and parks the others.';

REVOKE ALL ON FUNCTION arvo.admit(arvo.queue, arvo.log[]) FROM PUBLIC;
--! end

--! function arvo.append_one
-- arvo.append_one(event, ignore_domain, emitted) — accept one plain event, or leave it to arvo.append.
CREATE OR REPLACE FUNCTION arvo.append_one(
    p_event jsonb,
    p_ignore_domain boolean DEFAULT false,
    p_emitted boolean DEFAULT false
)
RETURNS arvo_v1.dispatched
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $append_one$
-- What arvo.append does, in a part of its time, for the event that most are: one, without options, to a
-- registered queue that neither defers nor limits what comes in, and not seen before. For any other it
-- has written nothing, and delivery is NULL: the caller calls arvo.append. One statement finds all
-- that is to be known: the lane, the partitions, and whether the numbers are of this cluster.
--
--   Reads    arvo.queue, arvo.lane, arvo.clock, arvo.generation, arvo.event_key_number,
--            arvo.event_key_generation, arvo.origin, arvo.server_start
--   Writes   arvo.log; as arvo.note_key
--   Locks    as arvo.note_key
--   Raises   40001  as arvo.note_key
--            RV902  as arvo.require_home
DECLARE
    v_now timestamptz := arvo.clock();
    v_name text := coalesce(p_event ->> 'to', p_event ->> 'type');
    v_outcome text := 'queued';
    v_own xid8;
    v_queue integer;
    v_lane integer;
    v_window interval;
    v_key_from text;
    v_slot smallint;
    v_number bigint;
    v_home boolean;
    v_delivery bigint;
BEGIN
    IF p_event ->> 'domain' IS NOT NULL AND NOT p_ignore_domain THEN
        v_name := 'arvo.domain.' || (p_event ->> 'domain');
        v_outcome := 'domained';
    ELSIF v_name = 'arvo.publish' THEN
        RETURN NULL;
    END IF;

    -- First its own number, then which partition: see arvo.event_key_generation.
    v_own := pg_current_xact_id();
    SELECT
        queue.queue,
        lane.lane,
        CASE WHEN NOT p_emitted THEN queue.deduplicate_for END,
        queue.key_from,
        (
            SELECT generation.slot
            FROM arvo.generation
            ORDER BY generation.number DESC
            LIMIT 1
        ),
        (
            SELECT current.last_value
            FROM arvo.event_key_number AS current
            INNER JOIN arvo.event_key_generation AS generation
                ON generation.number = current.last_value
            WHERE v_own IS NOT NULL
            AND pg_snapshot_xmin(pg_current_snapshot()) >= generation.horizon
        ),
        (
            SELECT
                origin.system_identifier = server_start.system_identifier
                AND coalesce(origin.relation = 'arvo.origin'::regclass::oid, true)
            FROM arvo.origin
            LEFT JOIN arvo.server_start ON server_start.started_at = pg_postmaster_start_time()
            ORDER BY origin.number DESC
            LIMIT 1
        )
    INTO v_queue, v_lane, v_window, v_key_from, v_slot, v_number, v_home
    FROM arvo.queue
    INNER JOIN arvo.lane ON lane.queue = queue.queue AND lane.priority = queue.priority
    WHERE queue.name = v_name
    AND queue.registered
    AND NOT queue.slotted
    AND queue.singleton_for IS NULL
    AND queue.start_after <= interval '0'
    AND NOT lane.retired;
    IF v_home IS NOT TRUE THEN
        PERFORM arvo.require_home();
    END IF;
    IF v_lane IS NULL OR v_window > interval '0' AND v_number IS NULL THEN
        RETURN NULL;
    END IF;

    v_delivery := nextval('arvo.delivery_number'::regclass);
    IF v_window > interval '0' THEN
        IF NOT arvo.note_key(
            v_number, v_queue, arvo.event_digest(p_event), v_window, v_delivery, v_now
        ) THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO arvo.log (slot, lane, delivery, attempt, at, subject_key, event_key, event, key)
    VALUES (
        v_slot,
        v_lane,
        v_delivery,
        1,
        v_now,
        hashtextextended(p_event ->> 'subject', 0),
        hashtextextended(p_event ->> 'id', 0),
        CASE
            WHEN p_event ? 'time' THEN p_event
            ELSE p_event || jsonb_build_object('time', to_char(
                v_now AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"+00:00"'
            ))
        END,
        CASE WHEN v_key_from IS NOT NULL THEN arvo.key_in(p_event, v_key_from) END
    );
    PERFORM arvo.wake(ARRAY[v_name]);
    RETURN (1, p_event ->> 'id', v_delivery, v_name, v_outcome)::arvo_v1.dispatched;
END;
$append_one$;

COMMENT ON FUNCTION arvo.append_one(jsonb, boolean, boolean) IS
'Appends one plain event; answers no delivery when it takes more than that.';

REVOKE ALL ON FUNCTION arvo.append_one(jsonb, boolean, boolean) FROM PUBLIC;
--! end

--! function arvo.append_plain
-- arvo.append_plain(events, ignore_domain, emitted) — accept many plain events, or leave them to arvo.append.
CREATE OR REPLACE FUNCTION arvo.append_plain(
    p_events jsonb[],
    p_ignore_domain boolean DEFAULT false,
    p_emitted boolean DEFAULT false
)
RETURNS SETOF arvo_v1.dispatched
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $append_plain$
-- What arvo.append does, in a part of its time, for events without options that all go to registered
-- queues, sixteen at most, that neither defer nor limit what comes in. No row at all: it is left to
-- arvo.append, and nothing has been written. Queues are looked up once each, and the events are read
-- where they are, not carried along.
--
--   Reads    arvo.queue, arvo.lane, arvo.clock, arvo.slot
--   Writes   arvo.log; as arvo.note_keys
--   Locks    as arvo.note_keys
--   Raises   40001  as arvo.note_keys
--            RV902  as arvo.require_home
DECLARE
    v_now timestamptz := arvo.clock();
    v_time jsonb := jsonb_build_object('time', to_char(
        v_now AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"+00:00"'
    ));
    v_slot smallint := arvo.slot();
    v_names text[];
    v_targets text[];
    v_queues integer[];
    v_lanes integer[];
    v_key_from text[];
    v_windows boolean[];
    v_at integer[];
    v_deliveries bigint[];
    v_first bigint[];
BEGIN
    PERFORM arvo.require_home();
    v_names := ARRAY(
        SELECT CASE
            WHEN NOT p_ignore_domain AND item.event ->> 'domain' IS NOT NULL
                THEN 'arvo.domain.' || (item.event ->> 'domain')
            ELSE coalesce(item.event ->> 'to', item.event ->> 'type')
        END
        FROM unnest(p_events) WITH ORDINALITY AS item (event, ordinal)
        ORDER BY item.ordinal
    );
    v_targets := ARRAY(
        SELECT DISTINCT named.name FROM unnest(v_names) AS named (name) ORDER BY named.name
    );
    IF cardinality(v_targets) NOT BETWEEN 1 AND 16 OR 'arvo.publish' = ANY (v_targets) THEN
        RETURN;
    END IF;
    SELECT
        array_agg(queue.queue ORDER BY target.ordinal),
        array_agg(lane.lane ORDER BY target.ordinal),
        array_agg(queue.key_from ORDER BY target.ordinal),
        array_agg(NOT p_emitted AND queue.deduplicate_for > interval '0' ORDER BY target.ordinal)
    INTO v_queues, v_lanes, v_key_from, v_windows
    FROM unnest(v_targets) WITH ORDINALITY AS target (name, ordinal)
    INNER JOIN arvo.queue ON queue.name = target.name
    INNER JOIN arvo.lane ON lane.queue = queue.queue AND lane.priority = queue.priority
    WHERE queue.registered
    AND NOT queue.slotted
    AND queue.singleton_for IS NULL
    AND queue.start_after <= interval '0'
    AND NOT lane.retired;
    IF cardinality(v_queues) IS DISTINCT FROM cardinality(v_targets) THEN
        RETURN;
    END IF;

    v_at := ARRAY(
        SELECT array_position(v_targets, named.name)
        FROM unnest(v_names) WITH ORDINALITY AS named (name, ordinal)
        ORDER BY named.ordinal
    );
    v_deliveries := ARRAY(
        SELECT nextval('arvo.delivery_number'::regclass)
        FROM generate_series(1, cardinality(v_names))
    );
    IF true = ALL (v_windows) THEN
        v_first := arvo.note_keys(
            ARRAY(
                SELECT v_queues[item.target]
                FROM unnest(v_at) WITH ORDINALITY AS item (target, ordinal)
                ORDER BY item.ordinal
            ),
            ARRAY(
                SELECT arvo.event_digest(item.event)
                FROM unnest(p_events) WITH ORDINALITY AS item (event, ordinal)
                ORDER BY item.ordinal
            ),
            v_deliveries
        );
    ELSIF true = ANY (v_windows) THEN
        RETURN;
    END IF;

    INSERT INTO arvo.log (slot, lane, delivery, attempt, at, subject_key, event_key, event, key)
    SELECT
        v_slot,
        v_lanes[item.target],
        item.delivery,
        1,
        v_now,
        hashtextextended(item.event ->> 'subject', 0),
        hashtextextended(item.event ->> 'id', 0),
        CASE WHEN item.event ? 'time' THEN item.event ELSE item.event || v_time END,
        CASE
            WHEN v_key_from[item.target] IS NOT NULL
                THEN arvo.key_in(item.event, v_key_from[item.target])
        END
    FROM unnest(p_events, v_at, v_deliveries, v_first) WITH ORDINALITY
        AS item (event, target, delivery, first, ordinal)
    WHERE item.first IS NULL
    ORDER BY item.ordinal;
    PERFORM arvo.wake(v_targets);
    RETURN QUERY
    SELECT
        item.ordinal::integer,
        item.event ->> 'id',
        coalesce(item.first, item.delivery),
        v_targets[item.target],
        CASE
            WHEN item.first IS NOT NULL THEN 'duplicate'
            WHEN NOT p_ignore_domain AND item.event ->> 'domain' IS NOT NULL THEN 'domained'
            ELSE 'queued'
        END
    FROM unnest(p_events, v_at, v_deliveries, v_first) WITH ORDINALITY
        AS item (event, target, delivery, first, ordinal)
    ORDER BY item.ordinal;
END;
$append_plain$;

COMMENT ON FUNCTION arvo.append_plain(jsonb[], boolean, boolean) IS
'Appends plain events, in order; no rows when they take more than that.';

REVOKE ALL ON FUNCTION arvo.append_plain(jsonb[], boolean, boolean) FROM PUBLIC;
--! end

--! function arvo.claim_gated
-- arvo.claim_gated(lane, home, limit, worker, lease) — lease the next deliveries of a gated queue.
CREATE OR REPLACE FUNCTION arvo.claim_gated(
    p_lane integer,
    p_home integer,
    p_limit integer,
    p_worker text,
    p_lease interval
)
RETURNS SETOF arvo_v1.claimed
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $claim_gated$
-- The caller holds the lane and p_home, the home lane of the queue, which guards all its
-- keys. First the limits of the whole queue; then deliveries that have waited, in the claim of
-- p_home, and new ones from the log, mixed so that neither starves: of several places a quarter is
-- left to new ones, a single place goes to either by chance. What may not run yet is parked; a claim
-- that finds nothing else parks up to 256 batches before it gives up. The lease names as strays those
-- that had waited: the order of the log does not find them again.
--
--   Reads    arvo.lease, arvo.queue, arvo.lane, arvo.ready and arvo.turn by (queue, number); as arvo.read_window, arvo.take_waiting and arvo.hand_out
--   Writes   arvo.lease, arvo.closure, arvo.turn; as arvo.heal, arvo.take_waiting, arvo.admit, arvo.withdraw and arvo.free_places
--   Locks    as arvo.sweep; other lanes of the queue: tried, never waited for
--   Raises   as arvo.read_window
DECLARE
    v_now timestamptz := arvo.clock();
    v_queue arvo.queue;
    v_head arvo.lease;
    v_open_from bigint;
    v_whole arvo.turn;
    v_room integer;
    v_share integer;
    v_serving boolean;
    v_ready boolean;
    v_moved boolean := false;
    v_reading arvo.reading;
    v_more arvo.taking;
    v_all arvo.taking;
    v_lane integer;
    v_lease arvo.lease;
    v_batch arvo.log[];
    v_keys bigint[];
    v_places bigint[];
    v_strays bigint[];
    v_lanes integer[];
    v_found boolean := false;
BEGIN
    SELECT queue.* INTO STRICT v_queue
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = p_lane;

    -- Asked again under the lock: its rules may have changed since.
    IF NOT v_queue.gated OR v_queue.paused_at IS NOT NULL THEN
        RETURN;
    END IF;

    -- Once, unless everything that was leased turns out to be withdrawn or put off.
    LOOP
        v_head := arvo.head_of(p_lane);
        v_open_from := v_head.open_from;
        v_head := arvo.heal(v_head);
        v_moved := v_head.open_from > v_open_from;
        v_room := p_limit;
        IF num_nonnulls(v_queue.max_active, v_queue.rate_limit) > 0 THEN
            v_whole := arvo.turn_of(v_queue.queue, 0);
            v_room := least(
                p_limit,
                v_queue.max_active - v_whole.active,
                arvo.rate_room(v_whole.tally, v_queue.rate_limit, v_queue.rate_period, v_now)
            );
        END IF;
        v_all := ('{}', '{}', '{}', '{}', 0, v_head.ready_from)::arvo.taking;
        v_strays := NULL;
        -- What waits may stand in any lane of the queue: then all of them must be held.
        SELECT
            p_lane = p_home AND NOT EXISTS (
                SELECT
                FROM arvo.lane
                WHERE lane.queue = v_queue.queue AND lane.lane <> p_home AND NOT lane.retired
                AND NOT pg_try_advisory_xact_lock(hashtext('arvo'), lane.lane)
            ),
            EXISTS (
                SELECT
                FROM arvo.ready
                WHERE ready.queue = v_queue.queue AND ready.number > v_head.ready_from
            )
        INTO v_serving, v_ready;
        v_share := CASE
            WHEN v_room > 1 THEN v_room - v_room / 4 ELSE (random() < 0.5)::integer
        END;

        FOR v_round IN 1..256 LOOP
            EXIT WHEN v_all.taken >= v_room OR (v_round > 8 AND v_all.batch <> '{}');
            IF v_serving AND v_ready AND v_share > v_all.taken THEN
                v_more := arvo.take_waiting(v_queue, v_all.ready_from, v_share - v_all.taken);
                v_moved := v_moved OR v_more.ready_from > v_all.ready_from;
                v_strays := v_strays || ARRAY(
                    SELECT waited.delivery FROM unnest(v_more.batch) AS waited
                );
                v_all := arvo.both(v_all, v_more);
            END IF;
            EXIT WHEN v_all.taken >= v_room;
            v_reading := arvo.read_window(v_head, v_room - v_all.taken, v_queue.drained_to);
            IF v_reading.batch <> '{}' THEN
                v_moved := true;
                v_head := arvo.moved(v_head, v_reading);
                v_more := arvo.admit(v_queue, v_reading.batch);
                v_ready := v_ready OR v_more.taken < cardinality(v_reading.batch);
                IF v_all.batch = '{}' THEN
                    v_more.ready_from := v_all.ready_from;
                    v_all := v_more;
                ELSE
                    v_all := arvo.both(v_all, v_more);
                END IF;
            END IF;
            EXIT WHEN v_share >= v_room AND (v_reading.batch = '{}' OR v_head.exhausted);
            IF v_reading.batch = '{}' OR v_head.exhausted THEN
                v_share := v_room;
                EXIT WHEN NOT v_serving;
            END IF;
        END LOOP;
        v_head.ready_from := v_all.ready_from;

        IF v_all.batch = '{}' THEN
            IF v_moved THEN
                PERFORM arvo.move_cursor(v_head);
            END IF;
            RETURN;
        END IF;
        IF v_all.taken > 0 THEN
            UPDATE arvo.turn
            SET number = nextval('arvo.turn_number'::regclass),
                active = turn.active + v_all.taken,
                tally = CASE
                    WHEN v_queue.rate_period IS NULL THEN '{}'
                    ELSE arvo.rate_count(turn.tally, v_all.taken, v_queue.rate_period, v_now)
                END,
                at = v_now
            WHERE turn.ctid = (
                SELECT whole.ctid
                FROM arvo.turn AS whole
                WHERE whole.queue = v_queue.queue AND whole.key = 0
                ORDER BY whole.number DESC
                LIMIT 1
            );
            IF NOT FOUND THEN
                INSERT INTO arvo.turn (queue, key, number, active, waiting, upto, ready, tally, at)
                VALUES (
                    v_queue.queue, 0, nextval('arvo.turn_number'::regclass), v_all.taken, 0, 0,
                    false,
                    arvo.rate_count('{}', v_all.taken, v_queue.rate_period, v_now), v_now
                );
            END IF;
        END IF;

        -- A lease belongs to one lane: those that waited may have come from others.
        v_lanes := ARRAY[p_lane];
        IF v_strays <> '{}' THEN
            v_lanes := ARRAY(
                SELECT taken.lane
                FROM unnest(v_all.batch) AS taken
                GROUP BY taken.lane
                ORDER BY taken.lane <> p_lane, taken.lane
            );
        END IF;
        FOREACH v_lane IN ARRAY v_lanes LOOP
            IF cardinality(v_lanes) = 1 THEN
                v_batch := v_all.batch;
                v_keys := v_all.keys;
                v_places := v_all.places;
            ELSE
                SELECT
                    array_agg(taken.entry ORDER BY taken.ordinal),
                    array_agg(v_all.keys[taken.ordinal] ORDER BY taken.ordinal),
                    array_agg(v_all.places[taken.ordinal] ORDER BY taken.ordinal)
                INTO v_batch, v_keys, v_places
                FROM (
                    SELECT listed AS entry, row_number() OVER () AS ordinal
                    FROM unnest(v_all.batch) AS listed
                ) AS taken
                WHERE (taken.entry).lane = v_lane;
            END IF;
            v_lease := v_head;
            IF v_lane <> p_lane THEN
                v_lease := arvo.head_of(v_lane);
            END IF;
            v_lease.strays := NULL;
            IF v_strays <> '{}' THEN
                v_lease.strays := nullif(ARRAY(
                    SELECT taken.delivery
                    FROM unnest(v_batch) AS taken
                    WHERE taken.delivery = ANY (v_strays)
                ), '{}');
            END IF;
            v_lease := arvo.write_lease(
                v_lease, p_worker, p_lease, v_batch, v_keys,
                CASE WHEN v_queue.policy = 'ordered' THEN v_places END
            );
            v_moved := v_moved AND v_lane <> p_lane;
            IF v_all.put_off <> '{}' THEN
                v_batch := arvo.close_put_off(v_lease, v_batch, v_all.put_off);
            END IF;
            IF EXISTS (SELECT FROM arvo.tombstone WHERE tombstone.lane = v_lane) THEN
                v_batch := arvo.withdraw(v_queue, v_lease, v_batch);
            END IF;
            IF v_queue.slotted THEN
                PERFORM arvo.leave_queued(v_queue, v_batch);
            END IF;
            v_found := v_found OR v_batch <> '{}';
            RETURN QUERY SELECT leased.* FROM arvo.hand_out(v_queue, v_lease, v_batch) AS leased;
        END LOOP;
        -- Only leases of other lanes were written: this one's cursor has moved all the same.
        IF v_moved THEN
            PERFORM arvo.move_cursor(v_head);
        END IF;
        EXIT WHEN v_found;
    END LOOP;
END;
$claim_gated$;

COMMENT ON FUNCTION arvo.claim_gated(integer, integer, integer, text, interval) IS
'Leases deliveries of a queue with keys or limits, and parks those that must wait.';

REVOKE ALL ON FUNCTION arvo.claim_gated(integer, integer, integer, text, interval) FROM PUBLIC;
--! end

DROP FUNCTION arvo.claim_lane(integer, integer, text, interval);
--! function arvo.claim_lane
-- arvo.claim_lane(lane, limit, worker, lease) — lease the next deliveries of one lane.
CREATE OR REPLACE FUNCTION arvo.claim_lane(
    p_lane integer,
    p_limit integer,
    p_worker text,
    p_lease interval
)
RETURNS arvo.leased
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $claim_lane$
-- The caller holds the lane. The newest lease row is the cursor; the row that is written here is the
-- next one. A claim that finds nothing writes nothing; nor does one of a queue that has become gated
-- since the caller looked. Queue, cursor and whether anything was withdrawn are read in one statement
-- under the lock: rules may have changed since the caller looked, and it sees what the last holder
-- of the lock committed.
--
--   Reads    arvo.lane, arvo.queue, arvo.lease by (lane, number), arvo.tombstone, arvo.clock; as
--            arvo.read_window
--   Writes   arvo.lease (one row); as arvo.heal, arvo.withdraw and arvo.free_places
--   Locks    as arvo.sweep
--   Raises   as arvo.read_window
DECLARE
    v_found record;
    v_head arvo.lease;
    v_open_from bigint;
    v_reading arvo.reading;
    v_leased arvo.leased;
BEGIN
    -- Once, unless everything that was leased turns out to be withdrawn.
    LOOP
        SELECT
            own AS queue,
            own.gated,
            own.paused_at,
            own.drained_to,
            own.slotted,
            cursor.head,
            EXISTS (SELECT FROM arvo.tombstone WHERE tombstone.lane = p_lane) AS withdrawn
        INTO STRICT v_found
        FROM arvo.lane
        INNER JOIN arvo.queue AS own ON own.queue = lane.queue
        CROSS JOIN LATERAL (
            SELECT newest AS head
            FROM arvo.lease AS newest
            WHERE newest.lane = p_lane
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS cursor
        WHERE lane.lane = p_lane;
        IF v_found.gated OR v_found.paused_at IS NOT NULL THEN
            RETURN NULL;
        END IF;
        v_head := v_found.head;
        v_open_from := v_head.open_from;
        IF v_head.sweep_at <= arvo.clock() THEN
            v_head := arvo.heal(v_head);
        END IF;
        v_reading := arvo.read_window(v_head, p_limit, v_found.drained_to);
        IF cardinality(v_reading.batch) = 0 THEN
            -- What the sweep found out is worth a row; the cursor stays where it is.
            IF v_head.open_from > v_open_from THEN
                PERFORM arvo.move_cursor(v_head);
            END IF;
            RETURN NULL;
        END IF;

        v_leased.queue := v_found.queue;
        v_leased.batch := v_reading.batch;
        v_leased.lease := arvo.write_lease(
            arvo.moved(v_head, v_reading), p_worker, p_lease, v_leased.batch
        );
        IF v_found.withdrawn THEN
            v_leased.batch := arvo.withdraw(v_leased.queue, v_leased.lease, v_leased.batch);
        END IF;
        IF v_found.slotted THEN
            PERFORM arvo.leave_queued(v_leased.queue, v_leased.batch);
        END IF;
        EXIT WHEN cardinality(v_leased.batch) > 0;
    END LOOP;
    RETURN v_leased;
END;
$claim_lane$;

COMMENT ON FUNCTION arvo.claim_lane(integer, integer, text, interval) IS
'Leases the next deliveries of a lane whose lock the caller holds; NULL when there are none.';

REVOKE ALL ON FUNCTION arvo.claim_lane(integer, integer, text, interval) FROM PUBLIC;
--! end

--! function arvo.claim_lanes
-- arvo.claim_lanes(asked, limit, worker, limits, lease) — lease deliveries from some lanes.
CREATE OR REPLACE FUNCTION arvo.claim_lanes(
    p_asked arvo.claimable,
    p_limit integer,
    p_worker text,
    p_limits integer[],
    p_lease interval
)
RETURNS arvo.leased[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $claim_lanes$
-- One lane after the other, until p_limit deliveries have been leased. A lane that another session is
-- claiming from is left alone; NULL when nothing has been leased and there is something to do in such
-- a lane, of which the other may not take all. Past 32 lanes, one with nothing to do is not locked, and
-- at most 512 more are. A gated queue is claimed under the lock of its home lane as well.
--
--   Reads    as arvo.is_worth_claiming, arvo.claim_lane, arvo.claim_gated
--   Writes   as arvo.claim_lane and arvo.claim_gated
--   Locks    each lane: tried, never waited for
--   Raises   as arvo.claim_lane
DECLARE
    v_lane integer;
    v_home integer;
    v_place integer;
    v_left integer := p_limit;
    v_quota integer[] := p_limits;
    v_want integer;
    v_got integer;
    v_locked integer := 0;
    v_busy boolean := false;
    v_leased arvo.leased;
    v_all arvo.leased[] := '{}'::arvo.leased[];
BEGIN
    IF v_left <= 0 THEN
        RETURN v_all;
    END IF;
    FOR v_at IN 1 .. cardinality(p_asked.lanes) LOOP
        v_place := p_asked.places[v_at];
        v_want := least(v_left, v_quota[v_place]);
        CONTINUE WHEN v_want <= 0;
        v_lane := p_asked.lanes[v_at];
        IF v_locked >= 32 THEN
            EXIT WHEN v_locked >= 544;
            CONTINUE WHEN NOT arvo.is_worth_claiming(v_lane);
        END IF;
        IF p_asked.gated[v_at] THEN
            v_home := arvo.home_lane(p_asked.queues[v_at]);
            IF NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_home)
                OR NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_lane)
            THEN
                v_busy := v_busy OR arvo.is_worth_claiming(v_lane);
                CONTINUE;
            END IF;
            v_locked := v_locked + 1 + (v_home <> v_lane)::integer;
            v_leased := NULL;
            SELECT array_agg(taken) INTO v_leased.rows
            FROM arvo.claim_gated(v_lane, v_home, v_want, left(p_worker, 200), p_lease) AS taken;
            v_got := cardinality(v_leased.rows);
        ELSE
            IF NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_lane) THEN
                v_busy := v_busy OR arvo.is_worth_claiming(v_lane);
                CONTINUE;
            END IF;
            v_locked := v_locked + 1;
            v_leased := arvo.claim_lane(v_lane, v_want, left(p_worker, 200), p_lease);
            v_got := cardinality(v_leased.batch);
        END IF;
        CONTINUE WHEN v_got IS NULL;
        v_all := v_all || v_leased;
        v_left := v_left - v_got;
        EXIT WHEN v_left <= 0;
        v_quota[v_place] := v_quota[v_place] - v_got;
    END LOOP;
    IF v_busy AND cardinality(v_all) = 0 THEN
        RETURN NULL;
    END IF;
    RETURN v_all;
END;
$claim_lanes$;

COMMENT ON FUNCTION arvo.claim_lanes(arvo.claimable, integer, text, integer[], interval) IS
'Leases deliveries from the lanes that a claim names, one lane after the other.';

REVOKE ALL ON FUNCTION
arvo.claim_lanes(arvo.claimable, integer, text, integer[], interval) FROM PUBLIC;
--! end

--! function arvo.clock
-- arvo.clock() — the time that every decision of the engine is made by.
CREATE OR REPLACE FUNCTION arvo.clock()
RETURNS timestamptz
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $clock$
-- The server's clock. A session of the owner (a test) may freeze it:
--     SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
-- For anybody else that setting has no effect: no client's clock decides anything.
--
--   Reads    clock_timestamp, the setting arvo.frozen_clock
--   Writes   nothing
--   Locks    nothing
--   Raises   22007  the frozen clock is not a time (owner only)
BEGIN
    RETURN CASE
        WHEN nullif(current_setting('arvo.frozen_clock', true), '') IS NULL
            THEN clock_timestamp()
        WHEN pg_has_role(session_user, current_user, 'MEMBER')
            THEN current_setting('arvo.frozen_clock', true)::timestamptz
        ELSE clock_timestamp()
    END;
END;
$clock$;

COMMENT ON FUNCTION arvo.clock() IS
'The server''s time, which the owner may freeze for a test; the only clock that decides anything.';

REVOKE ALL ON FUNCTION arvo.clock() FROM PUBLIC;
--! end

--! function arvo.close_one
-- arvo.close_one(results) — complete one delivery, with its state and its events.
CREATE OR REPLACE FUNCTION arvo.close_one(p_results jsonb)
RETURNS arvo_v1.settled
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $close_one$
-- What arvo_v1.settle does, in a third of its time, for what comes most where little comes: one result
-- that completes one delivery, with or without a state and events, of a queue that gives no places,
-- leased in the partition in use; of a gated queue only when it was leased alone. One statement, under
-- the lease's lock, finds all that is to be known. Whatever turns out not to be so, or not to be right,
-- is answered with NULLs, and nothing has been written: the caller looks at it closely.
--
--   Reads    arvo.lease and arvo.closure by token, arvo.lane, arvo.queue, arvo.dead, arvo.clock,
--            arvo.slot
--   Writes   arvo.closure; as arvo.put_state, arvo.place, arvo.pass_turns, and arvo.append_one or
--            arvo.append
--   Locks    the lease; then as arvo.put_state and arvo.place; then the home lane of a gated queue;
--            then as arvo.append
--   Raises   as arvo.append
DECLARE
    v_item jsonb := p_results -> 0;
    v_lease bigint;
    v_delivery bigint;
    v_run_time integer;
    v_events jsonb := nullif(v_item -> 'events', 'null');
    v_state jsonb := nullif(v_item -> 'state', 'null');
    v_slot smallint;
    v_held record;
    v_version bigint;
    v_alone arvo_v1.dispatched;
BEGIN
    IF jsonb_typeof(p_results) <> 'array'
        OR jsonb_array_length(p_results) <> 1
        OR jsonb_typeof(v_item) <> 'object'
        OR v_item ->> 'outcome' IS DISTINCT FROM 'completed'
        OR v_item ->> 'after' IS NOT NULL
        OR v_item ->> 'lease' IS NULL
        OR v_item ->> 'lease' !~ '^[0-9]{1,18}$'
    THEN
        RETURN NULL;
    END IF;
    v_lease := (v_item ->> 'lease')::bigint;
    IF v_item ->> 'delivery' ~ '^[0-9]{1,18}$' AND v_item ->> 'deliveries' IS NULL THEN
        v_delivery := (v_item ->> 'delivery')::bigint;
        v_run_time := CASE
            WHEN v_item ->> 'run_time' ~ '^[0-9]{1,10}$'
                THEN least((v_item ->> 'run_time')::bigint, 2147483647)::integer
        END;
    ELSIF v_item ->> 'deliveries' ~ '^\[[0-9]{1,18}\]$'
        AND v_item ->> 'delivery' IS NULL
        AND v_item ->> 'error' IS NULL
        AND coalesce(v_events, '[]') = '[]'
        AND v_state IS NULL
        AND coalesce(v_item ->> 'run_times' ~ '^\[(null|[0-9]{1,9})\]$', true)
    THEN
        v_delivery := (v_item #>> '{deliveries,0}')::bigint;
        v_run_time := (v_item #>> '{run_times,0}')::integer;
    ELSE
        RETURN NULL;
    END IF;
    IF v_events IS NOT NULL THEN
        IF jsonb_typeof(v_events) <> 'array' THEN
            RETURN NULL;
        END IF;
        FOR v_at IN 0 .. jsonb_array_length(v_events) - 1 LOOP
            IF arvo.event_fault(v_events -> v_at) IS NOT NULL THEN
                RETURN NULL;
            END IF;
        END LOOP;
    END IF;
    IF v_state IS NOT NULL AND (
        jsonb_typeof(v_state) <> 'object'
        OR jsonb_typeof(v_state -> 'subject') IS DISTINCT FROM 'string'
        OR v_state ->> 'subject' = ''
        OR jsonb_typeof(v_state -> 'data') IS DISTINCT FROM 'object'
        OR (v_state ->> 'expected_version' ~ '^[0-9]{1,18}$') IS NOT TRUE
    ) THEN
        RETURN NULL;
    END IF;

    PERFORM pg_advisory_xact_lock(arvo.lease_key(v_lease));
    v_slot := arvo.slot();
    -- A statement of its own: it must see what the last holder of the lock committed. A lease whose
    -- newest row stands in the slot in use has its closures since then there as well.
    SELECT
        newest.lane,
        newest.keys[1] AS key,
        newest.places[1] AS place,
        holder AS queue,
        holder.gated,
        CASE
            WHEN holder.gated THEN (
                SELECT min(own.lane)
                FROM arvo.lane AS own
                WHERE own.queue = holder.queue AND NOT own.retired
            )
        END AS home
    INTO v_held
    FROM (
        SELECT lease.lane, lease.deliveries, lease.keys, lease.places
        FROM arvo.lease
        WHERE lease.token = v_lease AND lease.token <> 0 AND lease.slot = v_slot
        ORDER BY lease.number DESC
        LIMIT 1
    ) AS newest
    INNER JOIN arvo.lane ON lane.lane = newest.lane
    INNER JOIN arvo.queue AS holder ON holder.queue = lane.queue
    WHERE v_delivery = ANY (newest.deliveries)
    AND NOT holder.slotted
    AND CASE
        WHEN NOT holder.gated THEN newest.keys IS NULL
        ELSE cardinality(newest.deliveries) = 1
            AND newest.keys[1] IS NOT NULL
            AND (newest.places IS NULL OR holder.policy = 'ordered')
    END
    AND NOT EXISTS (
        SELECT
        FROM arvo.closure
        WHERE closure.token = v_lease
        AND closure.slot = v_slot
        AND v_delivery = ANY (closure.deliveries)
    )
    AND NOT EXISTS (
        SELECT
        FROM arvo.dead
        WHERE dead.dead_letter_lane = newest.lane
        AND dead.dead_letter_delivery = v_delivery
        AND dead.resolution IS NULL
    );
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    IF v_state IS NOT NULL THEN
        v_version := arvo.put_state(
            v_state ->> 'subject',
            v_state -> 'data',
            (v_state ->> 'expected_version')::bigint,
            v_state ->> 'initiator',
            v_state ->> 'source'
        );
        IF v_version IS NULL THEN
            RETURN NULL;
        ELSIF v_version = 1 THEN
            PERFORM arvo.place(
                ARRAY[v_state ->> 'subject'], ARRAY[v_state ->> 'parent_subject']
            );
        END IF;
    END IF;
    IF v_held.gated THEN
        PERFORM pg_advisory_xact_lock(hashtext('arvo'), v_held.home);
    END IF;
    INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
    VALUES (
        v_slot, v_lease, arvo.clock(), ARRAY[v_delivery], '{completed}', ARRAY[v_run_time]
    );
    IF v_held.gated THEN
        PERFORM arvo.pass_turns(
            v_held.queue,
            ARRAY[(
                1, v_lease, v_delivery, 'completed', NULL, NULL, NULL, NULL, v_run_time, v_held.lane,
                NULL, NULL, NULL, NULL, NULL, v_version, NULL, v_held.key, v_held.place, NULL, 1
            )::arvo.result]
        );
    END IF;

    IF v_events <> '[]' THEN
        IF jsonb_array_length(v_events) = 1 THEN
            v_alone := arvo.append_one(v_events -> 0, false, true);
        END IF;
        IF v_alone.delivery IS NULL THEN
            PERFORM arvo.append(
                ARRAY(
                    SELECT emitted.event
                    FROM jsonb_array_elements(v_events) WITH ORDINALITY AS emitted (event, ordinal)
                    ORDER BY emitted.ordinal
                ),
                NULL, false, true
            );
        END IF;
    END IF;
    RETURN (1, v_lease, v_delivery, true, 'completed', NULL, NULL, v_version)::arvo_v1.settled;
END;
$close_one$;

COMMENT ON FUNCTION arvo.close_one(jsonb) IS
'Completes one delivery with its state and events; answers no lease when that takes a closer look.';

REVOKE ALL ON FUNCTION arvo.close_one(jsonb) FROM PUBLIC;
--! end

--! function arvo.close_plain
-- arvo.close_plain(results) — complete what needs nothing but an entry in the journal.
CREATE OR REPLACE FUNCTION arvo.close_plain(p_results jsonb)
RETURNS arvo.parted
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $close_plain$
-- Nearly all results are plain: completed, no events, no state, of a queue without keys and places,
-- open under the lease that they name, and no dead letter. They are closed here, by lease, with a few statements for each
-- lease and nothing for each delivery. Whatever is not as plain as that, or names a delivery twice, is
-- left to arvo_v1.settle as it is, and nothing of it is judged. A group of deliveries is closed also
-- when other items of its lease are left; single items of a lease are closed together or not at all.
--
--   Reads    arvo.lease and arvo.closure by token, arvo.lane, arvo.queue, arvo.dead, arvo.generation,
--            arvo.clock
--   Writes   arvo.closure
--   Locks    all leases that are named, in order of their tokens
--   Raises   RV006  p_results is not an array, or names more than 10000 deliveries
DECLARE
    v_now timestamptz := arvo.clock();
    v_count integer;
    v_total integer;
    v_tokens bigint[] := '{}'::bigint[];
    v_token bigint;
    v_plain arvo.completion[] := '{}'::arvo.completion[];
    v_done arvo.completion;
    v_slot smallint;
    v_low smallint;
    v_high smallint;
    v_held record;
    v_open boolean;
    v_closed arvo.completion[] := '{}'::arvo.completion[];
    v_taken integer := 0;
    v_parted arvo.parted;
BEGIN
    IF jsonb_typeof(p_results) = 'array' THEN
        v_count := jsonb_array_length(p_results);
    END IF;
    v_total := v_count;
    IF v_count = 1 THEN
        v_done := arvo.completion_of(p_results -> 0);
        IF v_done.lease IS NULL THEN
            v_tokens := ARRAY[arvo.as_bigint(p_results -> 0 -> 'lease')];
        ELSE
            v_done.items := '{1}';
            v_plain := ARRAY[v_done];
            v_tokens := ARRAY[v_done.lease];
        END IF;
        IF jsonb_typeof(p_results -> 0 -> 'deliveries') = 'array' THEN
            v_total := jsonb_array_length(p_results -> 0 -> 'deliveries');
        END IF;
    ELSIF v_count BETWEEN 2 AND 10000 THEN
        WITH item AS MATERIALIZED (
            SELECT
                listed.ordinal::integer AS ordinal,
                CASE
                    WHEN listed.item ->> 'lease' ~ '^[0-9]{1,18}$'
                        THEN (listed.item ->> 'lease')::bigint
                    ELSE arvo.as_bigint(listed.item -> 'lease')
                END AS lease,
                CASE
                    WHEN listed.item ->> 'delivery' ~ '^[0-9]{1,18}$'
                        THEN (listed.item ->> 'delivery')::bigint
                    ELSE arvo.as_bigint(listed.item -> 'delivery')
                END AS delivery,
                CASE
                    WHEN listed.item ->> 'run_time' ~ '^[0-9]{1,10}$'
                        THEN least((listed.item ->> 'run_time')::bigint, 2147483647)::integer
                END AS run_time,
                listed.item ->> 'outcome' = 'completed'
                AND coalesce(listed.item -> 'events', '[]') IN ('[]', 'null')
                AND listed.item ->> 'state' IS NULL
                AND listed.item ->> 'after' IS NULL
                AND listed.item ->> 'deliveries' IS NULL AS plain,
                CASE
                    WHEN jsonb_typeof(listed.item -> 'deliveries') = 'array'
                        THEN jsonb_array_length(listed.item -> 'deliveries')
                    ELSE 1
                END AS members,
                listed.item ->> 'deliveries' IS NOT NULL AS grouped,
                CASE
                    WHEN listed.item ->> 'deliveries' IS NOT NULL THEN arvo.completion_of(listed.item)
                END AS completion
            FROM jsonb_array_elements(p_results) WITH ORDINALITY AS listed (item, ordinal)
        ),

        named AS (
            SELECT
                item.lease,
                sum(item.members) AS members,
                count((item.completion).lease) AS groups,
                -- An item may lack its outcome: bool_and would pass over NULL.
                bool_and(coalesce(item.plain AND item.delivery IS NOT NULL, false)) AS plain,
                -- A group that is unusual is looked at closely, with what it names.
                count(*) FILTER (WHERE item.grouped) > count((item.completion).lease) AS unusual,
                array_agg(item.ordinal ORDER BY item.ordinal) AS items,
                array_agg(item.delivery ORDER BY item.ordinal) AS deliveries,
                array_agg(item.run_time ORDER BY item.ordinal) AS run_times,
                array_agg(item.completion) AS completions,
                array_agg(item.ordinal) FILTER (WHERE (item.completion).lease IS NOT NULL) AS places,
                array_agg(item.delivery) FILTER (WHERE item.delivery IS NOT NULL) AS others
            FROM item
            GROUP BY item.lease
        )

        SELECT
            coalesce(array_agg(named.lease ORDER BY named.lease), '{}'),
            coalesce(
                array_agg(
                    CASE
                        WHEN named.groups = 1 THEN (
                            named.lease,
                            (whole.completion).deliveries,
                            (whole.completion).run_times,
                            named.places,
                            named.others
                        )::arvo.completion
                        ELSE (
                            named.lease, named.deliveries, named.run_times, named.items, NULL
                        )::arvo.completion
                    END
                    ORDER BY named.lease
                ) FILTER (
                    WHERE (named.groups = 1 AND NOT named.unusual)
                    OR (named.groups = 0 AND named.plain)
                ),
                '{}'
            ),
            sum(named.members)::integer
        INTO v_tokens, v_plain, v_total
        FROM named
        LEFT JOIN LATERAL (
            SELECT listed AS completion
            FROM unnest(named.completions) AS listed
            WHERE named.groups = 1 AND listed.lease IS NOT NULL
        ) AS whole ON true;
    END IF;
    IF v_total IS NULL OR v_total > 10000 OR v_count > 10000 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'results',
              DETAIL = CASE
                  WHEN v_count IS NULL THEN
                      format('results is of type %s.', coalesce(jsonb_typeof(p_results), 'null'))
                  WHEN v_count > 10000 THEN format('results has %s items.', v_count)
                  ELSE format('results names %s deliveries.', v_total)
              END,
              HINT = CASE
                  WHEN v_count IS NULL THEN 'Give a JSON array of results.'
                  ELSE 'Settle at most 10000 results in one call.'
              END;
    END IF;

    FOREACH v_token IN ARRAY v_tokens LOOP
        CONTINUE WHEN pg_advisory_xact_lock(arvo.lease_key(v_token)) IS NULL;
    END LOOP;

    v_slot := arvo.slot();
    FOREACH v_done IN ARRAY v_plain LOOP
        -- A statement of its own: it must see what the last holder of the lock committed. A lease
        -- whose newest row stands in the slot in use has its closures since then there as well;
        -- those from before are of deliveries that the row does not have.
        v_low := v_slot;
        v_high := v_slot;
        LOOP
            SELECT
                newest.lane,
                newest.deliveries,
                newest.keys IS NOT NULL OR queue.gated OR queue.slotted AS bound,
                (
                    SELECT array_agg(gone.delivery)
                    FROM arvo.closure
                    CROSS JOIN LATERAL unnest(closure.deliveries) AS gone (delivery)
                    WHERE closure.token = v_done.lease
                    AND closure.slot BETWEEN v_low AND v_high
                ) AS closed,
                EXISTS (
                    SELECT
                    FROM arvo.dead
                    WHERE dead.dead_letter_lane = newest.lane
                    AND dead.dead_letter_delivery >= (
                        SELECT min(completed.delivery)
                        FROM unnest(v_done.deliveries) AS completed (delivery)
                    )
                    AND dead.resolution IS NULL
                ) AS buried
            INTO v_held
            FROM (
                SELECT lease.lane, lease.deliveries, lease.keys
                FROM arvo.lease
                WHERE lease.token = v_done.lease
                AND lease.token <> 0
                AND lease.slot BETWEEN v_low AND v_high
                ORDER BY lease.number DESC
                LIMIT 1
            ) AS newest
            INNER JOIN arvo.lane ON lane.lane = newest.lane
            INNER JOIN arvo.queue ON queue.queue = lane.queue;
            EXIT WHEN FOUND OR v_low <> v_high;
            v_low := 0;
            v_high := 3;
        END LOOP;
        CONTINUE WHEN v_held.bound IS DISTINCT FROM false OR v_held.buried;

        v_open := v_held.closed IS NULL AND v_done.others IS NULL AND (
            v_held.deliveries = v_done.deliveries
            OR (
                cardinality(v_done.deliveries) = 1
                AND v_done.deliveries[1] = ANY (v_held.deliveries)
            )
        );
        IF NOT v_open THEN
            -- All are the lease's, none is closed, none is named twice: by sorting, not by pairs.
            v_open := (
                SELECT count(DISTINCT met.delivery) = cardinality(v_held.deliveries)
                FROM unnest(v_held.deliveries || v_done.deliveries) AS met (delivery)
            ) AND (
                SELECT count(DISTINCT met.delivery) = count(*)
                FROM unnest(
                    v_done.deliveries || v_held.closed || ARRAY(
                        SELECT DISTINCT other.delivery
                        FROM unnest(v_done.others) AS other (delivery)
                        EXCEPT
                        SELECT gone.delivery FROM unnest(v_held.closed) AS gone (delivery)
                    )
                ) AS met (delivery)
            );
        END IF;
        CONTINUE WHEN NOT v_open;

        INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
        VALUES (
            v_slot, v_done.lease, v_now, v_done.deliveries, '{completed}', v_done.run_times
        );
        v_closed := v_closed || v_done;
        v_taken := v_taken + cardinality(v_done.items);
    END LOOP;

    v_parted.closed := v_closed;
    v_parted.items := '{}';
    IF v_taken = v_count THEN
        v_parted.rest := '[]';
    ELSIF v_taken = 0 THEN
        v_parted.rest := p_results;
    ELSE
        SELECT
            jsonb_agg(listed.item ORDER BY listed.ordinal),
            array_agg(listed.ordinal::integer ORDER BY listed.ordinal)
        INTO v_parted.rest, v_parted.items
        FROM jsonb_array_elements(p_results) WITH ORDINALITY AS listed (item, ordinal)
        WHERE NOT listed.ordinal IN (
            SELECT taken.ordinal
            FROM unnest(v_closed) AS done
            CROSS JOIN LATERAL unnest(done.items) AS taken (ordinal)
        );
    END IF;
    RETURN v_parted;
END;
$close_plain$;

COMMENT ON FUNCTION arvo.close_plain(jsonb) IS
'Closes what a settlement plainly completes, lease by lease; returns that, and what is left.';

REVOKE ALL ON FUNCTION arvo.close_plain(jsonb) FROM PUBLIC;
--! end

--! function arvo.completion_of
-- arvo.completion_of(item) — an item of a settlement, when it plainly completes something.
CREATE OR REPLACE FUNCTION arvo.completion_of(p_item jsonb)
RETURNS arvo.completion
LANGUAGE plpgsql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $completion_of$
-- Numbers are read as they mostly come; an item that is malformed, not plain, or merely written in an
-- unusual way is answered with NULLs: arvo.read_results looks at it closely. No statement for each
-- delivery: a group costs some regular expressions over its text.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_numbers CONSTANT text :=
        '^\[("[0-9]{1,18}"|[0-9]{1,18})(, ("[0-9]{1,18}"|[0-9]{1,18}))*\]$';
    v_deliveries text;
    v_times text;
BEGIN
    IF p_item ->> 'lease' ~ '^[0-9]{1,18}$'
        AND p_item ->> 'outcome' = 'completed'
        AND coalesce(p_item -> 'events', '[]') IN ('[]', 'null')
        AND p_item ->> 'state' IS NULL
        AND p_item ->> 'after' IS NULL
    THEN
        IF p_item ->> 'deliveries' IS NULL THEN
            IF p_item ->> 'delivery' ~ '^[0-9]{1,18}$' THEN
                RETURN (
                    (p_item ->> 'lease')::bigint,
                    ARRAY[(p_item ->> 'delivery')::bigint],
                    ARRAY[
                        CASE
                            WHEN p_item ->> 'run_time' ~ '^[0-9]{1,10}$'
                                THEN least((p_item ->> 'run_time')::bigint, 2147483647)::integer
                        END
                    ],
                    NULL,
                    NULL
                )::arvo.completion;
            END IF;
            RETURN NULL;
        END IF;
        v_deliveries := p_item ->> 'deliveries';
        v_times := p_item ->> 'run_times';
        -- A text may look like an array.
        IF jsonb_typeof(p_item -> 'deliveries') = 'array'
            AND v_deliveries ~ v_numbers
            AND p_item ->> 'delivery' IS NULL
            AND p_item ->> 'error' IS NULL
            AND coalesce(v_times ~ '^\[(null|[0-9]{1,9})(, (null|[0-9]{1,9}))*\]$', true)
            AND (
                CASE
                    WHEN v_times IS NULL THEN true
                    WHEN jsonb_typeof(p_item -> 'run_times') = 'array'
                        THEN jsonb_array_length(p_item -> 'run_times')
                        = jsonb_array_length(p_item -> 'deliveries')
                END
            )
        THEN
            RETURN (
                (p_item ->> 'lease')::bigint,
                ('{' || btrim(v_deliveries, '[]') || '}')::bigint[],
                CASE
                    WHEN v_times IS NULL THEN array_fill(
                        NULL::integer, ARRAY[jsonb_array_length(p_item -> 'deliveries')]
                    )
                    ELSE ('{' || btrim(v_times, '[]') || '}')::integer[]
                END,
                NULL,
                NULL
            )::arvo.completion;
        END IF;
    END IF;
    RETURN NULL;
END;
$completion_of$;

COMMENT ON FUNCTION arvo.completion_of(jsonb) IS
'An item of a settlement that plainly completes one or more deliveries; NULLs for any other.';

REVOKE ALL ON FUNCTION arvo.completion_of(jsonb) FROM PUBLIC;
--! end

--! function arvo.event_digest
-- arvo.event_digest(event) — the deduplication key of an event.
CREATE OR REPLACE FUNCTION arvo.event_digest(p_event jsonb)
RETURNS bytea
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $event_digest$
-- CloudEvents: source and id together name an event. The length keeps the two apart.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    RETURN substr(
        sha256(convert_to(
            concat(
                length(p_event ->> 'source'), ':', p_event ->> 'source', p_event ->> 'id'
            ),
            'UTF8'
        )),
        1, 16
    );
END;
$event_digest$;

COMMENT ON FUNCTION arvo.event_digest(jsonb) IS
'First 16 bytes of the SHA-256 of an event''s source and id.';

REVOKE ALL ON FUNCTION arvo.event_digest(jsonb) FROM PUBLIC;
--! end

--! function arvo.event_fault
-- arvo.event_fault(event) — the first rule that an event breaks, or NULL.
CREATE OR REPLACE FUNCTION arvo.event_fault(p_event jsonb)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $event_fault$
-- Answers 'field: rule', the field first. The rules are those of ArvoEvent as far as a broker
-- depends on them; the finer ones (URI syntax, time syntax) are the client's. Size is measured as
-- PostgreSQL prints the event: at most 1 MiB (1,048,576 bytes).
--
-- Nearly every event breaks none, and is let in by one expression: a small one with every attribute
-- and no extension, as ArvoEvent writes it. What that does not let in is looked through rule by rule;
-- it must not let in what breaks a rule below. A jsonpath, because a constant costs nothing to set up.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_key text;
    v_value jsonb;
    v_type text;
BEGIN
    IF (
        p_event @@ 'strict $.id > "" && $.source > "" && $.subject > "" && $.specversion == "1.0"
            && $.data.type() == "object" && $.datacontenttype > ""
            && $.type like_regex "^[a-z0-9]+([.][a-z0-9]+)+[.][a-z0-9]+$"
            && $.time like_regex "^[0-9]{4}-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9][.][0-9]+([+-][0-9][0-9]:[0-9][0-9]|Z)$"
            && ($.to == null || $.to like_regex "^[A-Za-z0-9._~:/?#@!$&()+,;=%-]+$")
            && ($.domain == null || $.domain like_regex "^[a-z0-9.]+$")
            && ($.accesscontrol == null || $.accesscontrol > "")
            && ($.redirectto == null || $.redirectto > "")
            && ($.dataschema == null || $.dataschema > "")
            && ($.parentid == null || $.parentid > "")
            && ($.traceparent == null || $.traceparent > "")
            && ($.tracestate == null || $.tracestate > "")
            && ($.executionunits == null || $.executionunits.type() == "number")'
    ) IS TRUE
        AND p_event - '{id,to,data,time,type,domain,source,subject,parentid,dataschema,redirectto,tracestate,specversion,traceparent,accesscontrol,executionunits,datacontenttype}'::text[] = '{}'
        AND pg_column_size(p_event || '{}') <= 4096
        AND length(coalesce(p_event ->> 'to', p_event ->> 'type')) <= 512
        AND coalesce(length(p_event ->> 'domain') <= 400, true)
        AND octet_length(p_event::text) <= 1048576
    THEN
        RETURN NULL;
    END IF;
    IF p_event IS NULL OR jsonb_typeof(p_event) <> 'object' THEN
        RETURN 'event: must be a JSON object';
    END IF;
    -- Its size as stored says nothing: it may come compressed out of a table, and a number of nine
    -- characters may print as 131,072 digits.
    IF arvo.printed_size(p_event) > 1048576 THEN
        RETURN 'event: must not be larger than 1048576 bytes';
    END IF;
    FOR v_key, v_value IN SELECT field.key, field.value FROM jsonb_each(p_event) AS field LOOP
        v_type := jsonb_typeof(v_value);
        CASE
            WHEN v_key IN ('id', 'source', 'subject', 'type', 'specversion', 'datacontenttype',
                           'time') THEN
                IF v_type <> 'string' OR v_value = '""' THEN
                    RETURN v_key || ': must be a text that is not empty';
                END IF;
            WHEN v_key = 'data' THEN
                IF v_type <> 'object' THEN
                    RETURN 'data: must be a JSON object';
                END IF;
            WHEN v_key = 'executionunits' THEN
                IF v_type NOT IN ('number', 'null') THEN
                    RETURN 'executionunits: must be a number or null';
                END IF;
            WHEN v_key IN ('to', 'domain', 'redirectto', 'accesscontrol', 'parentid', 'dataschema',
                           'traceparent', 'tracestate') THEN
                IF v_type NOT IN ('string', 'null') OR v_value = '""' THEN
                    RETURN v_key || ': must be a text that is not empty, or null';
                END IF;
            ELSE
                IF v_key !~ '^[a-z0-9]+$' THEN
                    RETURN left(to_json(v_key)::text, 80)
                        || ': names of extensions are lower-case letters and digits';
                END IF;
                IF v_type IN ('object', 'array') THEN
                    RETURN left(v_key, 80) || ': extensions are texts, numbers, booleans or null';
                END IF;
        END CASE;
    END LOOP;
    FOREACH v_key IN ARRAY ARRAY['id', 'source', 'type', 'subject', 'data'] LOOP
        IF NOT p_event ? v_key THEN
            RETURN v_key || ': is missing';
        END IF;
    END LOOP;
    IF p_event ->> 'specversion' <> '1.0' THEN
        RETURN 'specversion: must be 1.0';
    END IF;
    IF p_event ->> 'type' !~ '^[a-z0-9]+(\.[a-z0-9]+)+\.[a-z0-9]+$' THEN
        RETURN 'type: must be three or more dotted segments of lower-case letters and digits';
    END IF;
    IF p_event ->> 'time' !~ '^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)$' THEN
        RETURN 'time: must be an ISO 8601 time with its offset from UTC';
    END IF;
    IF p_event ->> 'domain' !~ '^[a-z0-9.]+$' OR length(p_event ->> 'domain') > 400 THEN
        RETURN 'domain: must be lower-case letters, digits and dots, at most 400';
    END IF;
    v_key := coalesce(p_event ->> 'to', p_event ->> 'type');
    IF NOT arvo.is_queue_name(v_key) THEN
        RETURN 'to: must be at most 512 characters of a URI, without quotes';
    END IF;
    RETURN NULL;
END;
$event_fault$;

COMMENT ON FUNCTION arvo.event_fault(jsonb) IS
'The first rule that an event breaks, as "field: rule"; NULL when it breaks none.';

REVOKE ALL ON FUNCTION arvo.event_fault(jsonb) FROM PUBLIC;
--! end

--! function arvo.hand_out
-- arvo.hand_out(queue, lease, batch) — leased deliveries, as a worker gets them.
CREATE OR REPLACE FUNCTION arvo.hand_out(
    p_queue arvo.queue,
    p_lease arvo.lease,
    p_batch arvo.log[]
)
RETURNS SETOF arvo_v1.claimed
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $hand_out$
-- In the order of the batch. Deliveries of a stateful queue come with the state of their subject.
--
--   Reads    arvo.state, by subject; as arvo.event_of
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    IF p_queue.stateful OR p_queue.policy = 'ordered' THEN
        RETURN QUERY
        SELECT
            p_lease.token, taken.delivery, p_queue.name, taken.attempt, p_lease.expires_at,
            coalesce((taken.options ->> 'expire_in')::interval, p_queue.expire_in),
            whole.event, taken.cause,
            state.data,
            CASE WHEN p_queue.stateful THEN coalesce(state.version, 0) END,
            CASE
                WHEN p_queue.policy = 'ordered' THEN coalesce(
                    taken.key,
                    CASE WHEN taken.subject_key = 0 THEN 1 ELSE taken.subject_key END
                )
            END
        FROM unnest(p_batch) AS taken
        CROSS JOIN LATERAL (
            SELECT
                CASE
                    WHEN taken.event IS NULL THEN arvo.event_of(taken) ELSE taken.event
                END AS event
            OFFSET 0  -- once
        ) AS whole
        LEFT JOIN arvo.state
            ON p_queue.stateful
            AND state.subject_digest = arvo.subject_digest(whole.event ->> 'subject');
    ELSE
        RETURN QUERY
        SELECT
            p_lease.token, taken.delivery, p_queue.name, taken.attempt, p_lease.expires_at,
            coalesce((taken.options ->> 'expire_in')::interval, p_queue.expire_in),
            CASE WHEN taken.event IS NULL THEN arvo.event_of(taken) ELSE taken.event END,
            taken.cause, NULL::jsonb, NULL::bigint, NULL::bigint
        FROM unnest(p_batch) AS taken;
    END IF;
END;
$hand_out$;

COMMENT ON FUNCTION arvo.hand_out(arvo.queue, arvo.lease, arvo.log[]) IS
'Leased deliveries with events, and states where the queue is stateful.';

REVOKE ALL ON FUNCTION arvo.hand_out(arvo.queue, arvo.lease, arvo.log[]) FROM PUBLIC;
--! end

--! function arvo.has_sleeper
-- arvo.has_sleeper(key) — whether another session has registered to be woken.
CREATE OR REPLACE FUNCTION arvo.has_sleeper(p_key integer)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $has_sleeper$
-- Sleepers hold the lock shared: if it can be had exclusively, there is none, and it is given back at
-- once, before anything can interrupt. Never waits. Another who asks at the same moment is taken for
-- a sleeper, and so is whoever else may hold it: that costs a wake-up for nothing. A session does not
-- see its own registration: it is not asleep.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    (hashtext('arvo_wake'), key): tried, and released in the same expression
--   Raises   nothing
BEGIN
    RETURN (
        CASE
            WHEN pg_try_advisory_lock(hashtext('arvo_wake'), p_key)
                THEN NOT pg_advisory_unlock(hashtext('arvo_wake'), p_key)
            ELSE true
        END
    );
END;
$has_sleeper$;

COMMENT ON FUNCTION arvo.has_sleeper(integer) IS
'Whether another session is registered as asleep under a key of arvo.sleep_keys.';

REVOKE ALL ON FUNCTION arvo.has_sleeper(integer) FROM PUBLIC;
--! end

--! function arvo.hold_homes
-- arvo.hold_homes(items) — lock the keys of the gated queues that a settlement touches.
CREATE OR REPLACE FUNCTION arvo.hold_homes(p_items arvo.result[])
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $hold_homes$
-- Only those of which something is to be closed. Returns whether any of the queues is gated or
-- slotted: then there is something to pass on.
--
--   Reads    arvo.lane, arvo.queue
--   Writes   nothing
--   Locks    the home lanes of gated queues, in order
--   Raises   nothing
DECLARE
    v_homes integer[];
    v_home integer;
BEGIN
    SELECT array_agg(
        DISTINCT CASE
            WHEN queue.gated AND named.closing THEN (
                SELECT min(own.lane)
                FROM arvo.lane AS own
                WHERE own.queue = queue.queue AND NOT own.retired
            )
        END
    )
    INTO v_homes
    FROM (
        SELECT item.lane, bool_or(coalesce(item.verdict, 'conflict') = 'conflict') AS closing
        FROM unnest(p_items) AS item
        WHERE item.lane IS NOT NULL
        GROUP BY item.lane
    ) AS named
    INNER JOIN arvo.lane ON lane.lane = named.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE queue.gated OR queue.slotted;
    IF v_homes IS NULL THEN
        RETURN false;
    END IF;
    -- array_agg(DISTINCT) sorts.
    FOREACH v_home IN ARRAY v_homes LOOP
        IF v_home IS NOT NULL THEN
            PERFORM pg_advisory_xact_lock(hashtext('arvo'), v_home);
        END IF;
    END LOOP;
    RETURN true;
END;
$hold_homes$;

COMMENT ON FUNCTION arvo.hold_homes(arvo.result[]) IS
'Locks the home lanes of the gated queues of some results; whether any is gated or slotted.';

REVOKE ALL ON FUNCTION arvo.hold_homes(arvo.result[]) FROM PUBLIC;
--! end

--! function arvo.judge_results
-- arvo.judge_results(items) — which results are the holder's to report.
CREATE OR REPLACE FUNCTION arvo.judge_results(p_items arvo.result[])
RETURNS arvo.result[]
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = on
SET enable_nestloop = off
AS $judge_results$
-- Fills in where each lease's deliveries stand, and refuses (RV301) or answers "already" what is not
-- open under the lease named. What ended in a conflict took no effect, also when it is asked about
-- again: "already", with code RV101. What was released, or went back with the rest of its run, runs
-- elsewhere: any other result of it is refused. The caller holds the leases' locks.
--
-- Leases and closures are looked up by token, and cannot be had otherwise; what they hold is met with
-- the results by hashing, so that the cost does not grow with the square of a lease's size.
--
--   Reads    arvo.lease and arvo.closure, by token
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    RETURN (
        WITH item AS MATERIALIZED (
            SELECT listed.* FROM unnest(p_items) AS listed
        ),

        held AS MATERIALIZED (
            SELECT newest.*
            FROM (SELECT DISTINCT item.lease FROM item WHERE item.verdict IS NULL) AS named
            CROSS JOIN LATERAL (
                SELECT
                    lease.token, lease.lane, lease.low_xid, lease.high_xid, lease.deliveries,
                    lease.xids, lease.keys, lease.places,
                    CASE WHEN lease.low_xid = lease.high_xid THEN lease.low_xid END AS xid
                FROM arvo.lease
                WHERE lease.token = named.lease AND lease.token <> 0
                ORDER BY lease.number DESC
                LIMIT 1
            ) AS newest
        ),

        leased AS MATERIALIZED (
            SELECT
                held.token, taken.delivery,
                coalesce(held.xid, taken.xid) AS xid, taken.key, taken.place
            FROM held
            CROSS JOIN LATERAL unnest(held.deliveries, held.xids, held.keys, held.places)
                AS taken (delivery, xid, key, place)
        ),

        closed AS MATERIALIZED (
            SELECT
                held.token,
                gone.delivery,
                coalesce(gone.outcome, one.outcome) AS outcome
            FROM held
            CROSS JOIN LATERAL (
                SELECT closure.deliveries, closure.outcomes, closure.outcomes[1] AS outcome
                FROM arvo.closure
                WHERE closure.token = held.token
                OFFSET 0
            ) AS one
            CROSS JOIN LATERAL unnest(one.deliveries, one.outcomes) AS gone (delivery, outcome)
        ),

        judged AS (
            SELECT
                item.*,
                held.lane AS held_lane,
                held.low_xid AS held_low_xid,
                held.high_xid AS held_high_xid,
                leased.xid AS held_xid,
                leased.key AS held_key,
                leased.place AS held_place,
                closed.outcome AS closed_outcome,
                CASE
                    WHEN item.verdict IS NOT NULL THEN item.verdict
                    WHEN closed.outcome = 'released' AND item.asked <> 'released' THEN 'refused'
                    WHEN closed.outcome NOT IN ('expired', 'cancelled', 'moved') THEN 'already'
                    WHEN closed.outcome IS NOT NULL OR held.token IS NULL
                        OR leased.delivery IS NULL THEN 'refused'
                END AS judgement
            FROM item
            LEFT JOIN held ON held.token = item.lease AND item.verdict IS NULL
            LEFT JOIN leased
                ON leased.token = item.lease AND leased.delivery = item.delivery AND item.verdict IS NULL
            LEFT JOIN closed
                ON closed.token = item.lease AND closed.delivery = item.delivery AND item.verdict IS NULL
        )

        SELECT array_agg(
            (
                judged.ordinal,
                judged.lease,
                judged.delivery,
                judged.asked,
                judged.events,
                judged.state,
                judged.error,
                judged.after,
                judged.run_time,
                judged.held_lane,
                judged.held_low_xid,
                judged.held_high_xid,
                judged.judgement,
                CASE
                    WHEN judged.judgement = 'refused' THEN coalesce(judged.code, 'RV301')
                    WHEN judged.closed_outcome = 'conflict' THEN 'RV101'
                END,
                CASE
                    WHEN judged.judgement = 'refused' THEN coalesce(
                        judged.detail,
                        format('delivery %s is not held under lease %s', judged.delivery, judged.lease)
                    )
                    WHEN judged.closed_outcome = 'conflict' THEN
                        'version mismatch: the state had moved on when this was settled before'
                END,
                NULL,
                judged.held_xid,
                judged.held_key,
                judged.held_place,
                NULL,
                judged.named_in
            )::arvo.result
            ORDER BY judged.ordinal
        )
        FROM judged
    );
END;
$judge_results$;

COMMENT ON FUNCTION arvo.judge_results(arvo.result[]) IS
'Refuses results whose delivery is not open under the lease that they name.';

REVOKE ALL ON FUNCTION arvo.judge_results(arvo.result[]) FROM PUBLIC;
--! end

--! function arvo.lanes_to_claim
-- arvo.lanes_to_claim(queues, limit, limits, lease) — the lanes of the queues that a claim names.
CREATE OR REPLACE FUNCTION arvo.lanes_to_claim(
    p_queues text[],
    p_limit integer,
    p_limits integer[],
    p_lease interval
)
RETURNS arvo.claimable
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $lanes_to_claim$
-- In the order in which a claim goes through them: from a random queue on, also among those that a
-- star stands for; of one queue the higher priority first. Paused queues and retired lanes are left
-- out. One queue, and several that are all named in full, are the usual cases: each has a statement of
-- its own.
--
--   Reads    arvo.queue, arvo.lane
--   Writes   nothing
--   Locks    nothing
--   Raises   RV003  a queue is not known
--            RV006  an argument is not valid
DECLARE
    v_start integer := floor(random() * 1000000000)::integer;
    v_asked arvo.claimable;
    v_unknown text;
    v_argument text;
BEGIN
    v_argument := CASE
        WHEN p_queues IS NULL OR cardinality(p_queues) = 0 THEN 'queues'
        WHEN p_limit IS NULL OR p_limit NOT BETWEEN 0 AND 10000 THEN 'limit'
        WHEN cardinality(p_limits) <> cardinality(p_queues) THEN 'limits'
        WHEN p_lease IS NULL OR p_lease NOT BETWEEN interval '1 second' AND interval '5 minutes'
            THEN 'lease'
    END;
    IF v_argument IS NOT NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = v_argument,
              DETAIL = format('%s queues, limit %s, %s limits, lease %s', cardinality(p_queues),
                              p_limit, cardinality(p_limits), p_lease),
              HINT = 'Name at least one queue; limit is 0 to 10000; limits has one number for each'
                     ' queue; lease is 1 second to 5 minutes: a longer run is kept by extend.';
    END IF;
    IF cardinality(p_queues) = 1 AND p_queues[1] NOT LIKE '%*' THEN
        SELECT
            array_agg(listed.lane),
            array_agg(1),
            array_agg(listed.queue),
            array_agg(listed.gated),
            coalesce(bool_or(listed.limited), false)
        INTO
            v_asked.lanes, v_asked.places, v_asked.queues, v_asked.gated, v_asked.limited
        FROM (
            SELECT lane.lane, named.queue, named.gated, named.rate_limit IS NOT NULL AS limited
            FROM arvo.queue AS named
            INNER JOIN arvo.lane ON lane.queue = named.queue AND NOT lane.retired
            WHERE named.name = p_queues[1] AND named.paused_at IS NULL
            ORDER BY lane.priority DESC
        ) AS listed;
    ELSIF p_queues::text NOT LIKE '%*%' THEN
        SELECT
            array_agg(listed.lane),
            array_agg(listed.position),
            array_agg(listed.queue),
            array_agg(listed.gated),
            coalesce(bool_or(listed.limited), false)
        INTO
            v_asked.lanes, v_asked.places, v_asked.queues, v_asked.gated, v_asked.limited
        FROM (
            SELECT
                lane.lane,
                asked.position::integer AS position,
                named.queue,
                named.gated,
                named.rate_limit IS NOT NULL AS limited
            FROM unnest(p_queues) WITH ORDINALITY AS asked (name, position)
            INNER JOIN arvo.queue AS named
                ON named.name = asked.name AND named.paused_at IS NULL
            INNER JOIN arvo.lane ON lane.queue = named.queue AND NOT lane.retired
            ORDER BY
                (asked.position + v_start) % cardinality(p_queues),
                lane.priority DESC,
                hashint4extended(lane.lane, v_start)
        ) AS listed;
    ELSE
        SELECT
            array_agg(listed.lane),
            array_agg(listed.position),
            array_agg(listed.queue),
            array_agg(listed.gated),
            coalesce(bool_or(listed.limited), false)
        INTO
            v_asked.lanes, v_asked.places, v_asked.queues, v_asked.gated, v_asked.limited
        FROM (
            SELECT
                lane.lane,
                asked.position::integer AS position,
                named.queue,
                named.gated,
                named.rate_limit IS NOT NULL AS limited
            FROM unnest(p_queues) WITH ORDINALITY AS asked (name, position)
            CROSS JOIN LATERAL (
                SELECT queue.queue, queue.gated, queue.rate_limit
                FROM arvo.queue
                WHERE queue.name = asked.name AND queue.paused_at IS NULL
                UNION ALL
                SELECT queue.queue, queue.gated, queue.rate_limit
                FROM arvo.queue
                WHERE asked.name LIKE '%*' AND starts_with(queue.name, left(asked.name, -1))
                AND queue.paused_at IS NULL
            ) AS named
            INNER JOIN arvo.lane ON lane.queue = named.queue AND NOT lane.retired
            ORDER BY
                (asked.position + v_start) % cardinality(p_queues),
                lane.priority DESC,
                hashint4extended(lane.lane, v_start)
        ) AS listed;
    END IF;

    -- A queue that was found need not be asked about: each has a lane, unless it is paused.
    IF v_asked.lanes IS NULL OR cardinality(p_queues) > 1 THEN
        SELECT asked.name INTO v_unknown
        FROM unnest(p_queues) AS asked (name)
        WHERE asked.name IS NULL
        OR (
            NOT asked.name LIKE '%*'
            AND NOT EXISTS (SELECT FROM arvo.queue WHERE queue.name = asked.name)
        )
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'queue is not known'
            USING ERRCODE = 'RV003',
                  COLUMN = 'queues',
                  DETAIL = format('queue: %s', left(to_json(v_unknown)::text, 80)),
                  HINT = 'Register the queue before claiming from it.';
        END IF;
    END IF;
    v_asked.lanes := coalesce(v_asked.lanes, '{}');
    RETURN v_asked;
END;
$lanes_to_claim$;

COMMENT ON FUNCTION arvo.lanes_to_claim(text[], integer, integer[], interval) IS
'The lanes of the queues that a claim names, in the order in which it goes through them.';

REVOKE ALL ON FUNCTION arvo.lanes_to_claim(text[], integer, integer[], interval) FROM PUBLIC;
--! end

--! function arvo.lease_key
-- arvo.lease_key(token) — the transaction lock that guards a lease.
CREATE OR REPLACE FUNCTION arvo.lease_key(p_token bigint)
RETURNS bigint
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $lease_key$
-- Advisory locks share one space of numbers with the application; a token by itself would be a low
-- one, such as applications use.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    RETURN hashint8extended(p_token, hashtextextended('arvo', 1));
END;
$lease_key$;

COMMENT ON FUNCTION arvo.lease_key(bigint) IS
'Key of the advisory lock that guards a lease.';

REVOKE ALL ON FUNCTION arvo.lease_key(bigint) FROM PUBLIC;
--! end

--! function arvo.lease_of
-- arvo.lease_of(lane, xid, delivery) — the lease that a logged delivery was handed out under.
CREATE OR REPLACE FUNCTION arvo.lease_of(p_lane integer, p_xid xid8, p_delivery bigint)
RETURNS arvo.lease
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = on
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $lease_of$
-- NULL when it has not been claimed. In a plain queue leases follow the order of the log, so it is
-- the first whose position is not before it. In a gated queue it may have been parked; then its
-- lease names it as a stray. What is left are leases that were not made by a claim: the first whose range of
-- transactions holds it. Heartbeats continue a lease in new rows; this is the first. The index of
-- strays can be read as a bitmap only, which callers may have turned off.
--
--   Reads    arvo.lease by (lane, number), strays and (lane, high_xid, last_delivery), arvo.parked
--            by delivery
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_lease arvo.lease;
BEGIN
    SELECT head.* INTO v_lease
    FROM arvo.lease AS head
    WHERE head.lane = p_lane
    ORDER BY head.number DESC
    LIMIT 1;
    IF arvo.is_unclaimed(v_lease, p_xid, p_delivery)
        OR EXISTS (SELECT FROM arvo.parked WHERE parked.delivery = p_delivery)
    THEN
        RETURN NULL;
    END IF;

    SELECT found.* INTO v_lease
    FROM (
        SELECT lease.*
        FROM arvo.lease
        WHERE lease.strays IS NOT NULL AND lease.strays @> ARRAY[p_delivery]
        OFFSET 0
    ) AS found
    WHERE found.lane = p_lane
    AND found.token <> 0
    AND NOT found.carried
    AND p_delivery = ANY (found.deliveries)
    LIMIT 1;
    IF FOUND THEN
        RETURN v_lease;
    END IF;

    SELECT lease.* INTO v_lease
    FROM arvo.lease
    WHERE lease.lane = p_lane
    AND (lease.high_xid, lease.last_delivery) >= (p_xid, p_delivery)
    AND lease.low_xid <= p_xid
    AND lease.token <> 0
    AND NOT lease.carried
    AND p_delivery = ANY (lease.deliveries)
    ORDER BY lease.high_xid, lease.last_delivery
    LIMIT 1;
    IF FOUND THEN
        RETURN v_lease;
    END IF;

    SELECT lease.* INTO v_lease
    FROM arvo.lease
    WHERE lease.lane = p_lane
    AND lease.high_xid >= p_xid
    AND lease.low_xid <= p_xid
    AND lease.token <> 0
    AND NOT lease.carried
    AND p_delivery = ANY (lease.deliveries)
    ORDER BY lease.high_xid, lease.number
    LIMIT 1;
    RETURN v_lease;
END;
$lease_of$;

COMMENT ON FUNCTION arvo.lease_of(integer, xid8, bigint) IS
'The first row of the lease that a logged delivery was handed out under; NULL when it was not.';

REVOKE ALL ON FUNCTION arvo.lease_of(integer, xid8, bigint) FROM PUBLIC;
--! end

--! function arvo.look_ahead
-- arvo.look_ahead() — whether something deferred or scheduled is due, and when the next will be.
CREATE OR REPLACE FUNCTION arvo.look_ahead()
RETURNS arvo.ahead
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $look_ahead$
-- Nearly always nothing is, and then this one statement of some index probes stands for
-- arvo.promote and arvo.next_due. It takes no lock: what it says is due is looked at again under the
-- promoter's lock. Due is also what only moves a cursor on: deferred rows that were not yet visible
-- when it was written, a snapshot that has grown old, and the schedules' look at the beginning of
-- time, every ten seconds, when there are any.
--
--   Reads    arvo.promotion, arvo.deferred by due time and transaction, arvo.fire_pass, arvo.schedule
--            by next_at, arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_snapshot pg_snapshot := arvo.window_snapshot();
    v_seen pg_snapshot;
    v_ahead arvo.ahead;
BEGIN
    SELECT
        found.unseen
        OR coalesce(found.due_at <= v_now, false)
        OR coalesce(found.fire_at <= v_now, false)
        OR (found.fire_at IS NOT NULL AND found.fire_floor = '-infinity'),
        least(found.due_at, found.fire_at),
        found.snapshot
    INTO v_ahead.due, v_ahead.next_at, v_seen
    FROM (
        SELECT
            (
                SELECT deferred.due
                FROM arvo.deferred
                WHERE (deferred.due, deferred.delivery) > (head.due, head.delivery)
                ORDER BY deferred.due, deferred.delivery
                LIMIT 1
            ) AS due_at,
            (
                SELECT schedule.next_at
                FROM arvo.schedule
                WHERE schedule.next_at > pass.fire_floor
                ORDER BY schedule.next_at
                LIMIT 1
            ) AS fire_at,
            pass.fire_floor,
            head.snapshot,
            pg_snapshot_xmax(v_snapshot)::text::bigint
            - pg_snapshot_xmax(head.snapshot)::text::bigint > 1000
            OR EXISTS (
                SELECT
                FROM arvo.deferred
                WHERE (deferred.xid, deferred.delivery) >= (pg_snapshot_xmax(head.snapshot), 0)
                AND deferred.xid < pg_snapshot_xmax(v_snapshot)
                AND pg_visible_in_snapshot(deferred.xid, v_snapshot)
            ) AS unseen
        FROM (
            SELECT newest.due, newest.delivery, newest.snapshot
            FROM arvo.promotion AS newest
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS head
        CROSS JOIN (
            -- as arvo.fire_floor
            SELECT
                CASE
                    WHEN newest.swept_at > v_now - interval '10 seconds'
                        AND newest.swept_at <= v_now
                        AND newest.done_to <= v_now
                        THEN newest.done_to
                    ELSE '-infinity'
                END AS fire_floor
            FROM arvo.fire_pass AS newest
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS pass
    ) AS found;
    IF NOT v_ahead.due AND pg_snapshot_xmin(v_seen) < pg_snapshot_xmax(v_seen) THEN
        v_ahead.due := EXISTS (
            SELECT
            FROM pg_snapshot_xip(v_seen) AS listed (xid)
            CROSS JOIN LATERAL (
                SELECT FROM arvo.deferred WHERE deferred.xid = listed.xid LIMIT 1
            ) AS entry
            WHERE pg_visible_in_snapshot(listed.xid, v_snapshot)
        );
    END IF;
    RETURN v_ahead;
END;
$look_ahead$;

COMMENT ON FUNCTION arvo.look_ahead() IS
'Whether anything deferred or scheduled is due, and when the next will be.';

REVOKE ALL ON FUNCTION arvo.look_ahead() FROM PUBLIC;
--! end

--! function arvo.mark_duplicates
-- arvo.mark_duplicates(items) — which arriving events have been dispatched before.
CREATE OR REPLACE FUNCTION arvo.mark_duplicates(p_items arvo.arrival[])
RETURNS arvo.arrival[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $mark_duplicates$
-- The same source and id, again to the same queue within its window, is a duplicate; also the second
-- of two in one call.
--
--   Reads    arvo.queue; as arvo.note_keys
--   Writes   as arvo.note_keys
--   Locks    as arvo.note_keys
--   Raises   40001  as arvo.note_keys
DECLARE
    v_ordinals integer[];
    v_queues integer[];
    v_keys bytea[];
    v_deliveries bigint[];
    v_first bigint[];
BEGIN
    SELECT
        array_agg(arrived.ordinal ORDER BY arrived.ordinal),
        array_agg(arrived.queue ORDER BY arrived.ordinal),
        array_agg(arvo.event_digest(arrived.event) ORDER BY arrived.ordinal),
        array_agg(arrived.delivery ORDER BY arrived.ordinal)
    INTO v_ordinals, v_queues, v_keys, v_deliveries
    FROM unnest(p_items) AS arrived
    INNER JOIN arvo.queue ON queue.queue = arrived.queue
    WHERE queue.deduplicate_for > interval '0';
    IF v_ordinals IS NULL THEN
        RETURN p_items;
    END IF;
    v_first := arvo.note_keys(v_queues, v_keys, v_deliveries);
    IF v_first IS NULL THEN
        RETURN p_items;
    END IF;

    FOR v_at IN 1..cardinality(v_ordinals) LOOP
        IF v_first[v_at] IS NOT NULL THEN
            p_items[v_ordinals[v_at]].outcome := 'duplicate';
            p_items[v_ordinals[v_at]].first_delivery := v_first[v_at];
        END IF;
    END LOOP;
    RETURN p_items;
END;
$mark_duplicates$;

COMMENT ON FUNCTION arvo.mark_duplicates(arvo.arrival[]) IS
'Marks arriving events whose source and id have been dispatched to the same queue within its window.';

REVOKE ALL ON FUNCTION arvo.mark_duplicates(arvo.arrival[]) FROM PUBLIC;
--! end

--! function arvo.note_keys
-- arvo.note_keys(queues, keys, deliveries) — remember deduplication keys, and say which were known.
CREATE OR REPLACE FUNCTION arvo.note_keys(
    p_queues integer[],
    p_keys bytea[],
    p_deliveries bigint[]
)
RETURNS bigint[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $note_keys$
-- One element for each key: NULL when it is new and has been noted, else the delivery that was first
-- within the window of its queue; also for the second of two in one call. NULL when all are new. A
-- dispatch of the same event that is still open is waited for: nobody can know yet whether it will be
-- there.
--
-- Keys are kept in three partitions, in use one after the other. A sequence names the one in use, so
-- that every snapshot sees the newest. While a transaction that may know only the one before can be
-- running, keys go into both; afterwards the one before is only looked at.
--
--   Reads    arvo.event_key_number, arvo.event_key_generation, arvo.event_key, arvo.queue, arvo.clock
--   Writes   arvo.event_key
--   Locks    arvo.event_key rows, by (queue, key)
--   Raises   40001  under REPEATABLE READ: somebody dispatched the same event meanwhile
DECLARE
    v_now timestamptz := arvo.clock();
    v_number bigint;
    v_own xid8;
    v_written integer;
    v_turning boolean;
    v_slot integer;
    v_known bigint[];
    v_first bigint[];
BEGIN
    -- First its own number, then which partition: see arvo.event_key_generation.
    v_own := pg_current_xact_id();
    SELECT
        current.last_value,
        generation.horizon IS NULL
        OR pg_snapshot_xmin(pg_current_snapshot()) < generation.horizon
    INTO v_number, v_turning
    FROM arvo.event_key_number AS current
    LEFT JOIN arvo.event_key_generation AS generation ON generation.number = current.last_value
    WHERE v_own IS NOT NULL;

    FOREACH v_slot IN ARRAY CASE
        WHEN v_number = 0 THEN '{0}'
        ELSE ARRAY[(v_number - 1) % 3, v_number % 3]::integer[]
    END LOOP
        v_written := 0;
        IF v_turning OR v_slot = v_number % 3 THEN
            INSERT INTO arvo.event_key AS known (slot, queue, key, delivery, at)
            SELECT DISTINCT ON (item.queue, item.key)
                v_slot, item.queue, item.key, item.delivery, v_now
            FROM unnest(p_queues, p_keys, p_deliveries, v_first) WITH ORDINALITY
                AS item (queue, key, delivery, first, ordinal)
            WHERE item.first IS NULL
            ORDER BY item.queue, item.key, item.ordinal
            ON CONFLICT (slot, queue, key) DO UPDATE
            SET delivery = excluded.delivery, at = excluded.at
            WHERE known.at <= (
                SELECT v_now - queue.deduplicate_for
                FROM arvo.queue
                WHERE queue.queue = excluded.queue
            );
            GET DIAGNOSTICS v_written = ROW_COUNT;
        END IF;
        -- As a rule every key was new.
        CONTINUE WHEN v_written = cardinality(p_keys);
        v_known := arvo.known_keys(v_slot, p_queues, p_keys);
        CONTINUE WHEN v_known IS NULL;
        SELECT array_agg(
            coalesce(item.first, nullif(item.known, item.delivery)) ORDER BY item.ordinal
        )
        INTO v_first
        FROM unnest(p_deliveries, v_first, v_known)
            WITH ORDINALITY AS item (delivery, first, known, ordinal);
    END LOOP;
    RETURN v_first;
END;
$note_keys$;

COMMENT ON FUNCTION arvo.note_keys(integer[], bytea[], bigint[]) IS
'Remembers deduplication keys; answers the first delivery of each that was known within its window.';

REVOKE ALL ON FUNCTION arvo.note_keys(integer[], bytea[], bigint[]) FROM PUBLIC;
--! end

--! function arvo.note_start
-- arvo.note_start() — remember which cluster this start of the server is.
CREATE OR REPLACE FUNCTION arvo.note_start()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $note_start$
-- For arvo.require_home, which only reads: nobody who dispatches or claims writes here, waits here,
-- or has to be undone. Two who come at the same time write two rows, which say the same. Rows of
-- other starts say something of other servers, or of this one in the past: arvo.sweep_notes.
--
--   Reads    arvo.server_start, pg_control_system
--   Writes   arvo.server_start
--   Locks    nothing
--   Raises   nothing
BEGIN
    INSERT INTO arvo.server_start (started_at, system_identifier)
    SELECT pg_postmaster_start_time(), control.system_identifier
    FROM pg_control_system() AS control
    WHERE NOT EXISTS (
        SELECT
        FROM arvo.server_start
        WHERE server_start.started_at = pg_postmaster_start_time()
    );
END;
$note_start$;

COMMENT ON FUNCTION arvo.note_start() IS
'Remembers which cluster this start of the server is, unless that is known.';

REVOKE ALL ON FUNCTION arvo.note_start() FROM PUBLIC;
--! end

--! function arvo.open_writers
-- arvo.open_writers() — transactions that have written here and have not ended.
CREATE OR REPLACE FUNCTION arvo.open_writers()
RETURNS SETOF bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $open_writers$
-- A snapshot does not list those that began after the last one that has ended; the locks do, each
-- transaction holds one on its own number. Those without a writer's lock on one of our tables are left
-- out, so that the rest of the database may write as long as it likes. Prepared ones are among them.
--
--   Reads    pg_locks, pg_class
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_next bigint := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
BEGIN
    -- Numbers of locks have 32 bits: they are near v_next, before it or behind.
    RETURN QUERY
    WITH held AS MATERIALIZED (
        SELECT lock.virtualtransaction, lock.transactionid::text::bigint AS xid, lock.relation
        FROM pg_locks AS lock
        WHERE lock.granted
        AND (
            (lock.locktype = 'transactionid' AND lock.mode = 'ExclusiveLock')
            OR (
                lock.locktype = 'relation'
                AND lock.mode = 'RowExclusiveLock'
                AND lock.database = (
                    SELECT here.oid FROM pg_database AS here WHERE here.datname = current_database()
                )
            )
        )
    )

    SELECT min(
        v_next + (numbered.xid - v_next % 4294967296 + 6442450944) % 4294967296 - 2147483648
    )
    FROM held AS numbered
    WHERE numbered.xid IS NOT NULL
    AND EXISTS (
        SELECT
        FROM held AS written
        INNER JOIN pg_class ON pg_class.oid = written.relation
        WHERE written.virtualtransaction = numbered.virtualtransaction
        AND pg_class.relnamespace = 'arvo'::regnamespace
        AND pg_class.relkind <> 'S'  -- the lock of a sequence outlives what is undone
    )
    GROUP BY numbered.virtualtransaction;
END;
$open_writers$;

COMMENT ON FUNCTION arvo.open_writers() IS
'Transactions, also prepared ones, that have written to our tables and have not ended.';

REVOKE ALL ON FUNCTION arvo.open_writers() FROM PUBLIC;
--! end

--! function arvo.order_results
-- arvo.order_results(items) — which results of ordered keys come out of order.
CREATE OR REPLACE FUNCTION arvo.order_results(p_items arvo.result[])
RETURNS arvo.result[]
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $order_results$
-- The deliveries of one key in one lease are a run, to be worked through in order. A result is
-- refused when an earlier delivery of its run is still open (RV303: settle that one first), or is not
-- completed in this very call (RV301: the rest of the run goes back). A queue that is not ordered any
-- more has no runs: its results lose their places. The caller holds the leases.
--
--   Reads    arvo.lease and arvo.closure, by token; arvo.lane, arvo.queue
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_at integer;
    v_code text;
    v_earlier bigint;
BEGIN
    -- One that is leased alone has nobody before it.
    IF cardinality(p_items) = 1 AND (
        SELECT cardinality(newest.deliveries) = 1 AND queue.policy = 'ordered'
        FROM arvo.lease AS newest
        INNER JOIN arvo.lane ON lane.lane = newest.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        WHERE newest.token = p_items[1].lease
        ORDER BY newest.number DESC
        LIMIT 1
    ) THEN
        RETURN p_items;
    END IF;

    FOR v_at, v_code, v_earlier IN
        WITH held AS MATERIALIZED (
            SELECT
                newest.token, newest.deliveries, newest.keys, newest.places,
                queue.policy = 'ordered' AS ordered
            FROM (
                SELECT DISTINCT item.lease
                FROM unnest(p_items) AS item
                WHERE item.place IS NOT NULL
            ) AS named
            CROSS JOIN LATERAL (
                SELECT lease.token, lease.lane, lease.deliveries, lease.keys, lease.places
                FROM arvo.lease
                WHERE lease.token = named.lease
                ORDER BY lease.number DESC
                LIMIT 1
            ) AS newest
            INNER JOIN arvo.lane ON lane.lane = newest.lane
            INNER JOIN arvo.queue ON queue.queue = lane.queue
        ),

        -- What this call leaves open, or does not complete.
        uncompleted AS MATERIALIZED (
            SELECT held.token, leased.key, leased.delivery, leased.place
            FROM held
            CROSS JOIN LATERAL
                unnest(held.deliveries, held.keys, held.places) AS leased (delivery, key, place)
            WHERE held.ordered
            AND leased.place IS NOT NULL
            AND (held.token, leased.delivery) NOT IN (
                SELECT item.lease, item.delivery
                FROM unnest(p_items) AS item
                WHERE item.place IS NOT NULL AND item.verdict IS NULL AND item.asked = 'completed'
            )
            AND (held.token, leased.delivery) NOT IN (
                SELECT closure.token, gone.delivery
                FROM held AS settled
                INNER JOIN arvo.closure ON closure.token = settled.token
                CROSS JOIN LATERAL unnest(closure.deliveries) AS gone (delivery)
            )
        ),

        earliest AS (
            SELECT DISTINCT ON (uncompleted.token, uncompleted.key) uncompleted.*
            FROM uncompleted
            ORDER BY uncompleted.token, uncompleted.key, uncompleted.place
        )

        SELECT item.ordinal, NULL::text, NULL::bigint
        FROM held
        INNER JOIN unnest(p_items) AS item ON item.lease = held.token
        WHERE NOT held.ordered AND item.place IS NOT NULL
        UNION ALL
        SELECT
            item.ordinal,
            CASE
                WHEN EXISTS (
                    SELECT
                    FROM unnest(p_items) AS before
                    WHERE before.lease = earliest.token
                    AND before.delivery = earliest.delivery
                    AND before.verdict IS NULL
                ) THEN 'RV301'
                ELSE 'RV303'
            END,
            earliest.delivery
        FROM earliest
        INNER JOIN unnest(p_items) AS item
            ON item.lease = earliest.token
            AND item.key = earliest.key
            AND item.place > earliest.place
            AND item.verdict IS NULL
    LOOP
        IF v_code IS NULL THEN
            p_items[v_at].place := NULL;
        ELSE
            p_items[v_at].verdict := 'refused';
            p_items[v_at].code := v_code;
            p_items[v_at].detail := format(
                'delivery %s is not completed, and comes before it', v_earlier
            );
        END IF;
    END LOOP;
    RETURN p_items;
END;
$order_results$;

COMMENT ON FUNCTION arvo.order_results(arvo.result[]) IS
'Refuses results of ordered keys whose predecessor in the lease is not completed.';

REVOKE ALL ON FUNCTION arvo.order_results(arvo.result[]) FROM PUBLIC;
--! end

--! function arvo.pass_on
-- arvo.pass_on(items) — settled deliveries free their keys and places.
CREATE OR REPLACE FUNCTION arvo.pass_on(p_items arvo.result[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $pass_on$
-- After their closures have been written. Only queues that are gated or slotted have anything to do.
--
--   Reads    arvo.lane, arvo.queue, arvo.lease by token
--   Writes   as arvo.pass_turns and arvo.leave_places
--   Locks    as arvo.leave_places; the caller holds the home lanes of the gated queues
--   Raises   nothing
DECLARE
    v_queue arvo.queue;
    v_items arvo.result[];
    v_lease arvo.lease;
    v_token bigint;
    v_deliveries bigint[];
BEGIN
    IF cardinality(p_items) = 1 THEN
        SELECT queue.* INTO v_queue
        FROM arvo.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        WHERE lane.lane = p_items[1].lane;
        IF v_queue.gated AND NOT v_queue.slotted AND p_items[1].verdict IS NULL THEN
            PERFORM arvo.pass_turns(v_queue, p_items);
            RETURN;
        END IF;
    END IF;

    FOR v_queue IN
        SELECT queue.*
        FROM (
            SELECT DISTINCT lane.queue
            FROM (SELECT DISTINCT item.lane FROM unnest(p_items) AS item) AS named
            INNER JOIN arvo.lane ON lane.lane = named.lane
        ) AS met
        INNER JOIN arvo.queue ON queue.queue = met.queue
        WHERE queue.gated OR queue.slotted
    LOOP
        SELECT array_agg(item ORDER BY item.ordinal) INTO v_items
        FROM unnest(p_items) AS item
        WHERE (item.verdict IS NULL OR item.verdict NOT IN ('refused', 'already'))
        AND item.lane IN (SELECT lane.lane FROM arvo.lane WHERE lane.queue = v_queue.queue);
        CONTINUE WHEN v_items IS NULL;
        IF v_queue.gated THEN
            PERFORM arvo.pass_turns(v_queue, v_items);
        END IF;
        CONTINUE WHEN NOT v_queue.slotted;
        FOR v_token, v_deliveries IN
            SELECT item.lease, array_agg(item.delivery)
            FROM unnest(v_items) AS item
            WHERE item.verdict IS NULL OR item.verdict = 'dead'
            GROUP BY item.lease
        LOOP
            SELECT newest.* INTO STRICT v_lease
            FROM arvo.lease AS newest
            WHERE newest.token = v_token
            ORDER BY newest.number DESC
            LIMIT 1;
            PERFORM arvo.leave_places(v_queue, v_lease, v_deliveries);
        END LOOP;
    END LOOP;
END;
$pass_on$;

COMMENT ON FUNCTION arvo.pass_on(arvo.result[]) IS
'Frees keys and places of deliveries that a settlement has closed.';

REVOKE ALL ON FUNCTION arvo.pass_on(arvo.result[]) FROM PUBLIC;
--! end

--! function arvo.pass_turns
-- arvo.pass_turns(queue, items) — deliveries of a gated queue have been closed: who is next.
CREATE OR REPLACE FUNCTION arvo.pass_turns(p_queue arvo.queue, p_items arvo.result[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $pass_turns$
-- p_items were closed: completed (verdict NULL), dead, cancelled, or given back (retried, released,
-- snoozed, conflict; then next is the further delivery). Each frees its key. In an ordered queue one
-- that did not complete ends the run of its key: the rest of the run goes back to its places, and a
-- further delivery becomes the holder, so that nobody passes it. Where on_failure is step_aside, a
-- retry goes to the end instead.
--
--   Reads    arvo.turn by (queue, key, number), arvo.lease and arvo.closure by token, arvo.log by
--            (lane, xid, delivery), arvo.clock, arvo.slot
--   Writes   arvo.turn, arvo.closure, arvo.parked; as arvo.put_turns and arvo.wake
--   Locks    nothing; the caller holds the leases, and the queue's home lane
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_key record;
    v_turn arvo.turn;
    v_turns arvo.turn[] := '{}'::arvo.turn[];
    v_lease arvo.lease;
    v_back arvo.result;
    v_rest bigint[];
    v_freed integer := 0;
    v_full boolean;
BEGIN
    -- One that completed, of a key that nobody waits for.
    IF cardinality(p_items) = 1 AND p_items[1].verdict IS NULL THEN
        UPDATE arvo.turn
        SET number = nextval('arvo.turn_number'::regclass),
            active = greatest(turn.active - 1, 0),
            at = v_now
        WHERE turn.ctid = (
            SELECT state.ctid
            FROM arvo.turn AS state
            WHERE state.queue = p_queue.queue AND state.key = p_items[1].key
            ORDER BY state.number DESC
            LIMIT 1
        )
        AND turn.waiting = 0;
        IF FOUND THEN
            UPDATE arvo.turn
            SET number = nextval('arvo.turn_number'::regclass),
                active = greatest(turn.active - 1, 0),
                at = v_now
            WHERE turn.ctid = (
                SELECT whole.ctid
                FROM arvo.turn AS whole
                WHERE whole.queue = p_queue.queue AND whole.key = 0
                ORDER BY whole.number DESC
                LIMIT 1
            )
            RETURNING turn.active + 1 >= p_queue.max_active INTO v_full;
            IF v_full THEN
                PERFORM arvo.wake(ARRAY[p_queue.name]);
            END IF;
            RETURN;
        END IF;
    END IF;

    -- Usually nothing comes back, and keys that nobody waits for are free: all of them at once.
    IF NOT EXISTS (
        SELECT
        FROM unnest(p_items) AS item
        WHERE item.place IS NOT NULL
        AND item.verdict IN ('retried', 'dead', 'released', 'snoozed', 'conflict')
    ) THEN
        WITH given AS MATERIALIZED (
            SELECT grouped.closed, newest.*
            FROM (
                SELECT item.key, count(*)::integer AS closed
                FROM unnest(p_items) AS item
                WHERE item.key IS NOT NULL
                GROUP BY item.key
                UNION ALL
                SELECT 0, cardinality(p_items)
            ) AS grouped
            CROSS JOIN LATERAL (
                SELECT state.*, state.ctid AS address
                FROM arvo.turn AS state
                WHERE state.queue = p_queue.queue AND state.key = grouped.key
                ORDER BY state.number DESC
                LIMIT 1
            ) AS newest
        ),

        replaced AS (
            UPDATE arvo.turn
            SET number = nextval('arvo.turn_number'::regclass),
                active = greatest(turn.active - given.closed, 0),
                at = v_now
            FROM given
            WHERE turn.ctid = given.address AND given.waiting = 0
        )

        SELECT
            array_agg(
                (
                    given.queue, given.key, given.number,
                    greatest(given.active - given.closed, 0), given.waiting,
                    given.upto, given.holder, given.ready, given.tally,
                    given.at
                )::arvo.turn
                ORDER BY given.key
            ) FILTER (WHERE given.waiting > 0),
            bool_or(given.key = 0 AND given.active >= p_queue.max_active)
        INTO v_turns, v_full
        FROM given;
        IF v_turns IS NOT NULL THEN
            PERFORM arvo.put_turns(p_queue, v_turns);
        END IF;
        IF v_full THEN
            PERFORM arvo.wake(ARRAY[p_queue.name]);
        END IF;
        RETURN;
    END IF;

    FOR v_key IN
        SELECT
            grouped.*,
            newest.turn,
            row_number() OVER (PARTITION BY grouped.key ORDER BY grouped.lease) > 1 AS again
        FROM (
            SELECT
                item.key,
                item.lease,
                count(*)::integer AS closed,
                (
                    array_agg(item.ordinal ORDER BY item.place) FILTER (
                        WHERE item.place IS NOT NULL
                        AND item.verdict IN ('retried', 'dead', 'released', 'snoozed', 'conflict')
                    )
                )[1] AS back
            FROM unnest(p_items) AS item
            WHERE item.key IS NOT NULL
            GROUP BY item.key, item.lease
        ) AS grouped
        LEFT JOIN LATERAL (
            SELECT state AS turn
            FROM arvo.turn AS state
            WHERE state.queue = p_queue.queue AND state.key = grouped.key
            ORDER BY state.number DESC
            LIMIT 1
        ) AS newest ON true
        ORDER BY grouped.key, grouped.lease
    LOOP
        -- A key is met twice when deliveries of two leases were closed: the first time is written by then.
        IF v_key.again THEN
            PERFORM arvo.put_turns(p_queue, v_turns);
            v_turns := '{}'::arvo.turn[];
            v_turn := arvo.turn_of(p_queue.queue, v_key.key);
        ELSE
            v_turn := coalesce(v_key.turn, arvo.turn_of(p_queue.queue, v_key.key));
        END IF;
        v_freed := v_freed + v_key.closed;
        v_turn.active := greatest(v_turn.active - v_key.closed, 0);
        IF v_key.back IS NOT NULL THEN
            SELECT item.* INTO STRICT v_back
            FROM unnest(p_items) AS item
            WHERE item.ordinal = v_key.back AND item.lease = v_key.lease;
            SELECT newest.* INTO STRICT v_lease
            FROM arvo.lease AS newest
            WHERE newest.token = v_key.lease
            ORDER BY newest.number DESC
            LIMIT 1;
            SELECT array_agg(open.delivery ORDER BY leased.ordinal) INTO v_rest
            FROM unnest(v_lease.deliveries) WITH ORDINALITY AS leased (delivery, ordinal)
            INNER JOIN unnest(arvo.open_deliveries(v_lease.token, v_lease.deliveries))
                AS open (delivery) ON open.delivery = leased.delivery
            WHERE v_lease.keys[leased.ordinal] = v_key.key
            AND v_lease.places[leased.ordinal] > v_back.place;
            IF v_rest IS NOT NULL THEN
                INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
                VALUES (
                    arvo.slot(), v_lease.token, arvo.clock(), v_rest, '{released}',
                    array_fill(NULL::integer, ARRAY[cardinality(v_rest)])
                );
                INSERT INTO arvo.parked (queue, key, place, delivery, lane, xid, at)
                SELECT
                    p_queue.queue, v_key.key, v_lease.places[leased.ordinal], leased.delivery,
                    entry.lane, entry.xid, entry.at
                FROM unnest(v_lease.deliveries) WITH ORDINALITY AS leased (delivery, ordinal)
                CROSS JOIN LATERAL (
                    SELECT log.lane, log.xid, log.at
                    FROM arvo.log
                    WHERE log.lane = v_lease.lane
                    AND log.xid >= v_lease.low_xid
                    AND log.xid <= v_lease.high_xid
                    AND log.delivery = leased.delivery
                    LIMIT 1
                ) AS entry
                WHERE leased.delivery = ANY (v_rest);
                v_turn.active := greatest(v_turn.active - cardinality(v_rest), 0);
                v_turn.waiting := v_turn.waiting + cardinality(v_rest);
                v_freed := v_freed + cardinality(v_rest);
            END IF;
            v_turn.upto := least(v_turn.upto, v_back.place);
            IF v_back.next IS NOT NULL
                AND (v_back.verdict <> 'retried' OR p_queue.on_failure = 'block')
            THEN
                v_turn.holder := v_back.next;
            END IF;
        END IF;
        v_turns := v_turns || v_turn;
    END LOOP;

    -- The queue as a whole; also for what was leased before it had keys.
    v_turn := arvo.turn_of(p_queue.queue, 0);
    v_freed := v_freed + (
        SELECT count(*)::integer FROM unnest(p_items) AS item WHERE item.key IS NULL
    );
    v_full := v_turn.active >= p_queue.max_active;
    v_turn.active := greatest(v_turn.active - v_freed, 0);
    PERFORM arvo.put_turns(p_queue, v_turns || v_turn);
    IF v_full THEN
        PERFORM arvo.wake(ARRAY[p_queue.name]);
    END IF;
END;
$pass_turns$;

COMMENT ON FUNCTION arvo.pass_turns(arvo.queue, arvo.result[]) IS
'Frees the keys of closed deliveries, and puts the rest of a failed run back in line.';

REVOKE ALL ON FUNCTION arvo.pass_turns(arvo.queue, arvo.result[]) FROM PUBLIC;
--! end

--! function arvo.printed_size
-- arvo.printed_size(json) — how many bytes a JSON value is as PostgreSQL prints it.
CREATE OR REPLACE FUNCTION arvo.printed_size(p_json jsonb)
RETURNS integer
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $printed_size$
-- A number of nine characters may print as 131,072 digits, so a value that came as a mebibyte of
-- text may print as twelve gigabytes. What is small is printed, some fifty megabytes at worst.
-- Otherwise the numbers that print longer than they were written (very large, very small, or zero
-- with its digits after the point) are added up first, and 1,048,577 is the answer as soon as they
-- are more than that. What remains prints about as long as it came.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_number jsonb;
    v_size integer := 0;
BEGIN
    -- Out of a table it may come compressed: with nothing added it is as it is in memory.
    IF pg_column_size(p_json || '{}') > 4096 THEN
        FOR v_number IN
            -- all at once: jsonb_path_query takes the square of their count
            SELECT jsonb_array_elements(
                jsonb_path_query_array(
                    p_json,
                    'strict $.** ? (@ > -1e-15 && @ < 1e-15 || @ > 1e30 || @ < -1e30)'
                )
            )
        LOOP
            v_size := v_size + octet_length(v_number::text);
            IF v_size > 1048576 THEN
                RETURN 1048577;
            END IF;
        END LOOP;
    END IF;
    RETURN octet_length(p_json::text);
END;
$printed_size$;

COMMENT ON FUNCTION arvo.printed_size(jsonb) IS
'Bytes of a JSON value as text; 1,048,577 when its numbers alone take more than a mebibyte.';

REVOKE ALL ON FUNCTION arvo.printed_size(jsonb) FROM PUBLIC;
--! end

--! function arvo.put_states
-- arvo.put_states(items) — write the states of a settlement.
CREATE OR REPLACE FUNCTION arvo.put_states(p_items arvo.result[])
RETURNS arvo.result[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = on
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $put_states$
-- Fills in the version that each write gave, or the verdict conflict (RV101) when the stored version
-- is another one; what follows a conflict in its ordered run is refused (RV301), for it was built on a
-- state that is not stored. Several writes of one subject, or of one run, are done one after the
-- other, those of a run in its order; otherwise all at once. First writes get their places in the trees
-- of workflows.
--
--   Reads    arvo.clock
--   Writes   arvo.state; as arvo.place
--   Locks    arvo.state rows, by subject: first those that are there, then first writes (those of a
--            run in its order); as arvo.place
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_count bigint;
    v_single boolean;
    v_later boolean;
    v_first boolean;
    v_placing boolean := false;
    v_ats integer[];
    v_versions bigint[];
    v_at integer;
    v_next integer;
    v_digest bytea;
BEGIN
    IF cardinality(p_items) = 1 AND p_items[1].verdict IS NULL THEN
        p_items[1].state_version := arvo.put_state(
            p_items[1].state ->> 'subject',
            p_items[1].state -> 'data',
            (p_items[1].state ->> 'expected_version')::bigint,
            p_items[1].state ->> 'initiator',
            p_items[1].state ->> 'source'
        );
        IF p_items[1].state_version > 1 THEN
            RETURN p_items;
        ELSIF p_items[1].state_version = 1 THEN
            PERFORM arvo.place(
                ARRAY[p_items[1].state ->> 'subject'], ARRAY[p_items[1].state ->> 'parent_subject']
            );
            RETURN p_items;
        END IF;
    END IF;

    SELECT
        count(*),
        count(*) = count(DISTINCT arvo.subject_digest(item.state ->> 'subject'))
        AND count(item.key) = count(DISTINCT item.key),
        bool_or((item.state ->> 'expected_version')::bigint > 0),
        bool_or((item.state ->> 'expected_version')::bigint <= 0),
        min(item.ordinal)
    INTO v_count, v_single, v_later, v_first, v_at
    FROM unnest(p_items) AS item
    WHERE item.verdict IS NULL AND item.state IS NOT NULL;

    IF v_count > 1 AND v_single AND v_later THEN
        WITH asked AS MATERIALIZED (
            SELECT
                item.ordinal,
                item.state -> 'data' AS data,
                coalesce(item.state #>> '{data,executionStatus}', 'unknown') AS execution_status,
                (item.state ->> 'expected_version')::bigint AS expected,
                -- The join by this address takes the rows in the order of subjects.
                (
                    SELECT stored.ctid
                    FROM arvo.state AS stored
                    WHERE stored.subject_digest = arvo.subject_digest(item.state ->> 'subject')
                ) AS address
            FROM unnest(p_items) AS item
            WHERE item.verdict IS NULL
            AND item.state IS NOT NULL
            AND (item.state ->> 'expected_version')::bigint > 0
            ORDER BY item.state ->> 'subject' COLLATE "C"
        ),

        written AS (
            UPDATE arvo.state
            SET version = state.version + 1,
                data = asked.data,
                execution_status = asked.execution_status,
                changed_at = v_now
            FROM asked
            WHERE state.ctid = asked.address AND state.version = asked.expected
            RETURNING asked.ordinal, state.version
        )

        SELECT array_agg(written.ordinal), array_agg(written.version)
        INTO v_ats, v_versions
        FROM written;
        FOR v_next IN 1..coalesce(cardinality(v_ats), 0) LOOP
            p_items[v_ats[v_next]].state_version := v_versions[v_next];
        END LOOP;
    END IF;

    IF v_count > 1 AND v_single AND v_first THEN
        WITH asked AS MATERIALIZED (
            SELECT
                item.ordinal,
                item.state ->> 'subject' AS subject,
                arvo.subject_digest(item.state ->> 'subject') AS subject_digest,
                item.state -> 'data' AS data,
                coalesce(item.state #>> '{data,executionStatus}', 'unknown') AS execution_status,
                item.state ->> 'initiator' AS initiator,
                item.state ->> 'source' AS source
            FROM unnest(p_items) AS item
            WHERE item.verdict IS NULL
            AND item.state IS NOT NULL
            AND (item.state ->> 'expected_version')::bigint <= 0
        ),

        written AS (
            INSERT INTO arvo.state (
                subject_digest, subject, version, data, execution_status, initiator, source,
                created_at, changed_at
            )
            SELECT
                asked.subject_digest, asked.subject, 1, asked.data, asked.execution_status,
                asked.initiator, asked.source, v_now, v_now
            FROM asked
            -- Not waited for: it is a conflict.
            WHERE NOT EXISTS (
                SELECT
                FROM arvo.state AS stored
                WHERE stored.subject_digest = asked.subject_digest
            )
            ORDER BY asked.subject COLLATE "C"
            ON CONFLICT (subject_digest) DO NOTHING
            RETURNING state.subject_digest
        )

        SELECT array_agg(asked.ordinal) INTO v_ats
        FROM asked
        WHERE asked.subject_digest IN (SELECT written.subject_digest FROM written);
        FOREACH v_next IN ARRAY coalesce(v_ats, '{}') LOOP
            p_items[v_next].state_version := 1;
            v_placing := true;
        END LOOP;
    END IF;

    IF v_later AND NOT v_single THEN
        FOR v_digest IN
            SELECT DISTINCT ON (listed.subject COLLATE "C") arvo.subject_digest(listed.subject)
            FROM (
                SELECT item.state ->> 'subject' AS subject
                FROM unnest(p_items) AS item
                WHERE item.verdict IS NULL AND (item.state ->> 'expected_version')::bigint > 0
            ) AS listed
            ORDER BY listed.subject COLLATE "C"
        LOOP
            PERFORM FROM arvo.state WHERE state.subject_digest = v_digest FOR NO KEY UPDATE;
        END LOOP;
    END IF;

    -- By subject; a run stands where its first subject does.
    FOR v_at IN
        SELECT item.ordinal
        FROM (
            SELECT
                listed.ordinal,
                listed.place,
                min((listed.state ->> 'subject') COLLATE "C") OVER (
                    PARTITION BY
                        listed.lease,
                        listed.key,
                        CASE WHEN listed.place IS NULL THEN listed.ordinal END
                ) AS subject
            FROM unnest(p_items) AS listed
            WHERE listed.verdict IS NULL
            AND listed.state IS NOT NULL
            AND listed.state_version IS NULL
        ) AS item
        ORDER BY item.subject COLLATE "C", item.place, item.ordinal
    LOOP
        CONTINUE WHEN p_items[v_at].verdict IS NOT NULL;
        IF cardinality(p_items) > 1 AND (v_count = 1 OR NOT v_single) THEN
            p_items[v_at].state_version := arvo.put_state(
                p_items[v_at].state ->> 'subject',
                p_items[v_at].state -> 'data',
                (p_items[v_at].state ->> 'expected_version')::bigint,
                p_items[v_at].state ->> 'initiator',
                p_items[v_at].state ->> 'source'
            );
            v_placing := v_placing OR p_items[v_at].state_version = 1;
            CONTINUE WHEN p_items[v_at].state_version IS NOT NULL;
        END IF;
        p_items[v_at].code := 'RV101';
        p_items[v_at].detail := format(
            'version mismatch: subject %s is not at version %s',
            left((p_items[v_at].state -> 'subject')::text, 80),
            p_items[v_at].state ->> 'expected_version'
        );
        p_items[v_at].verdict := 'conflict';
        p_items[v_at].error := jsonb_build_object(
            'name', 'VersionConflict', 'message', p_items[v_at].detail, 'stack', NULL
        );
        FOR v_next IN
            SELECT item.ordinal
            FROM unnest(p_items) AS item
            WHERE item.verdict IS NULL
            AND item.lease = p_items[v_at].lease
            AND item.key = p_items[v_at].key
            AND item.place > p_items[v_at].place
        LOOP
            p_items[v_next].verdict := 'refused';
            p_items[v_next].code := 'RV301';
            p_items[v_next].detail := format(
                'delivery %s is not completed, and comes before it', p_items[v_at].delivery
            );
        END LOOP;
    END LOOP;

    IF v_placing THEN
        PERFORM arvo.place(
            array_agg(item.state ->> 'subject'), array_agg(item.state ->> 'parent_subject')
        )
        FROM unnest(p_items) AS item
        WHERE item.state_version = 1;
    END IF;
    RETURN p_items;
END;
$put_states$;

COMMENT ON FUNCTION arvo.put_states(arvo.result[]) IS
'Writes the states of a settlement: new versions, or the verdict that a state had moved on.';

REVOKE ALL ON FUNCTION arvo.put_states(arvo.result[]) FROM PUBLIC;
--! end

--! function arvo.put_turns
-- arvo.put_turns(queue, turns) — write the new states of some keys.
CREATE OR REPLACE FUNCTION arvo.put_turns(p_queue arvo.queue, p_turns arvo.turn[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $put_turns$
-- The number of each is that of the row which it replaces; NULL for none. What replaces it has a
-- higher number, and look-ups begin at the highest: however many dead rows a held snapshot keeps, none
-- is met. A key that has somebody waiting and room for them goes to the
-- end of the line of keys to be served.
--
--   Reads    arvo.clock
--   Writes   arvo.turn, arvo.ready; as arvo.wake
--   Locks    nothing; the caller holds the queue's home lane
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_known boolean;
    v_new boolean;
    v_line boolean;
    v_readied bigint;
BEGIN
    SELECT
        bool_or(turn.number IS NOT NULL),
        bool_or(turn.number IS NULL),
        bool_or(turn.waiting > 0 AND NOT turn.ready)
    INTO v_known, v_new, v_line
    FROM unnest(p_turns) AS turn;

    IF v_line THEN
        WITH given AS MATERIALIZED (
            SELECT
                turn.*,
                nextval('arvo.turn_number'::regclass) AS next_number,
                CASE
                    WHEN turn.waiting > 0 AND NOT turn.ready
                        THEN arvo.key_room(p_queue, turn) > 0
                    ELSE false
                END AS readied
            FROM unnest(p_turns) AS turn
        ),

        written AS (
            INSERT INTO arvo.turn (
                queue, key, number, active, waiting, upto, holder, ready, tally, at
            )
            SELECT
                given.queue, given.key, given.next_number, given.active, given.waiting, given.upto,
                given.holder, given.ready OR given.readied, given.tally, v_now
            FROM given
        ),

        served AS (
            INSERT INTO arvo.ready (queue, number, key)
            SELECT given.queue, given.next_number, given.key
            FROM given
            WHERE given.readied
            ORDER BY given.next_number
            RETURNING ready.key
        ),

        replaced AS (
            DELETE FROM arvo.turn AS gone
            USING given
            WHERE gone.queue = given.queue AND gone.key = given.key AND gone.number = given.number
        )

        SELECT count(*) INTO v_readied FROM served;
        IF v_readied > 0 THEN
            PERFORM arvo.wake(ARRAY[p_queue.name]);
        END IF;
        RETURN;
    END IF;

    IF v_known THEN
        UPDATE arvo.turn
        SET number = nextval('arvo.turn_number'::regclass),
            active = given.active,
            waiting = given.waiting,
            upto = given.upto,
            holder = given.holder,
            ready = given.ready,
            tally = given.tally,
            at = v_now
        FROM (
            -- By its address: no plan can read more than the rows that are meant.
            SELECT
                state.*,
                (
                    SELECT replaced.ctid
                    FROM arvo.turn AS replaced
                    WHERE replaced.queue = p_queue.queue
                    AND replaced.key = state.key
                    AND replaced.number = state.number
                ) AS address
            FROM unnest(p_turns) AS state
            OFFSET 0
        ) AS given
        WHERE turn.ctid = given.address;
    END IF;
    IF v_new THEN
        INSERT INTO arvo.turn (
            queue, key, number, active, waiting, upto, holder, ready, tally, at
        )
        SELECT
            turn.queue, turn.key, nextval('arvo.turn_number'::regclass), turn.active, turn.waiting,
            turn.upto, turn.holder, turn.ready, turn.tally, v_now
        FROM unnest(p_turns) AS turn
        WHERE turn.number IS NULL;
    END IF;
END;
$put_turns$;

COMMENT ON FUNCTION arvo.put_turns(arvo.queue, arvo.turn[]) IS
'Replaces the states of some keys, and has those served that somebody waits for and that have room.';

REVOKE ALL ON FUNCTION arvo.put_turns(arvo.queue, arvo.turn[]) FROM PUBLIC;
--! end

--! function arvo.read_results
-- arvo.read_results(results) — the results of a settlement as rows, malformed ones refused.
CREATE OR REPLACE FUNCTION arvo.read_results(p_results jsonb)
RETURNS SETOF arvo.result
LANGUAGE plpgsql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $read_results$
-- Nothing is cast before it has been looked at: a malformed item is refused (RV006) by itself, and
-- spoils no other. An item that names several deliveries gives a row for each of them, or, malformed,
-- a single row. The form of an item is described in arvo_v1.settle.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    RETURN QUERY
    WITH listed AS MATERIALIZED (
        SELECT
            entry.ordinal::integer AS named_in,
            CASE
                WHEN given.lease ~ '^[0-9]{1,18}$' THEN given.lease::bigint
                ELSE arvo.as_bigint(entry.item -> 'lease')
            END AS token,
            CASE
                WHEN given.delivery ~ '^[0-9]{1,18}$' THEN given.delivery::bigint
                ELSE arvo.as_bigint(entry.item -> 'delivery')
            END AS single,
            given.*,
            CASE
                WHEN given.deliveries IS NULL THEN NULL
                WHEN jsonb_typeof(given.deliveries) <> 'array' OR given.deliveries = '[]'
                    OR (
                        given.deliveries::text
                        !~ '^\[("[0-9]{1,18}"|[0-9]{1,18})(, ("[0-9]{1,18}"|[0-9]{1,18}))*\]$'
                        AND EXISTS (
                            SELECT
                            FROM jsonb_array_elements(given.deliveries) AS member (number)
                            WHERE arvo.as_bigint(member.number) IS NULL
                        )
                    ) THEN 'deliveries: must be an array of numbers, of one at least'
                WHEN given.delivery IS NOT NULL
                    THEN 'delivery: stands for one, deliveries for several; give one of the two'
                WHEN given.outcome IN ('failed', 'released', 'snoozed', 'rejected')
                    THEN 'outcome: several deliveries at once can only be completed'
                WHEN given.events <> '[]' OR given.state IS NOT NULL
                    OR given.error IS NOT NULL OR given.after IS NOT NULL
                    THEN 'deliveries: several at once have no events, state, error or after'
                WHEN jsonb_typeof(given.run_times) <> 'array'
                    OR jsonb_array_length(given.run_times) <> jsonb_array_length(given.deliveries)
                    THEN 'run_times: must be an array, with one for each delivery'
            END AS group_fault
        FROM jsonb_array_elements(p_results) WITH ORDINALITY AS entry (item, ordinal)
        CROSS JOIN LATERAL jsonb_to_record(
            CASE WHEN jsonb_typeof(entry.item) = 'object' THEN entry.item ELSE '{}' END
        ) AS given (
            lease text, delivery text, outcome text, events jsonb, state jsonb, error jsonb,
            after jsonb, run_time text, deliveries jsonb, run_times jsonb
        )
    ),

    -- By itself, so that the arrays are not sorted along with each of their members.
    member AS MATERIALIZED (
        SELECT
            listed.named_in,
            one.place,
            listed.token AS lease,
            CASE
                WHEN listed.deliveries IS NULL THEN listed.single
                WHEN length(one.delivery) <= 18 THEN one.delivery::bigint
                ELSE arvo.as_bigint(to_jsonb(one.delivery))
            END AS delivery,
            listed.outcome AS asked,
            listed.events,
            listed.state,
            listed.error,
            listed.after,
            CASE WHEN listed.deliveries IS NULL THEN listed.run_time ELSE one.run_time END AS run_time,
            listed.group_fault
        FROM listed
        CROSS JOIN LATERAL ROWS FROM (
            jsonb_array_elements_text(
                CASE
                    WHEN listed.deliveries IS NULL OR listed.group_fault IS NOT NULL THEN '[null]'
                    ELSE listed.deliveries
                END
            ),
            jsonb_array_elements_text(
                CASE
                    WHEN listed.run_times IS NULL OR listed.deliveries IS NULL
                        OR listed.group_fault IS NOT NULL THEN '[]'
                    ELSE listed.run_times
                END
            )
        ) WITH ORDINALITY AS one (delivery, run_time, place)
    ),

    item AS MATERIALIZED (
        SELECT
            row_number() OVER (ORDER BY member.named_in, member.place)::integer AS ordinal,
            member.*
        FROM member
    ),

    checked AS (
        SELECT
            item.*,
            CASE
                WHEN item.lease IS NULL THEN 'lease: must be a number'
                WHEN item.group_fault IS NOT NULL THEN item.group_fault
                WHEN item.delivery IS NULL THEN 'delivery: must be a number'
                WHEN item.asked IS NULL
                    OR item.asked NOT IN ('completed', 'failed', 'released', 'snoozed', 'rejected')
                    THEN 'outcome: must be completed, failed, released, snoozed or rejected'
                WHEN row_number() OVER (
                    PARTITION BY item.lease, item.delivery ORDER BY item.ordinal
                ) > 1 THEN 'delivery: is named twice in one call'
                WHEN item.events IS NOT NULL AND jsonb_typeof(item.events) <> 'array'
                    THEN 'events: must be an array'
                WHEN item.asked <> 'completed'
                    AND (item.state IS NOT NULL OR item.events <> '[]')
                    THEN 'outcome: only a completed delivery emits events or writes a state'
                WHEN item.state IS NOT NULL AND jsonb_typeof(item.state) <> 'object'
                    THEN 'state: must be an object'
                WHEN item.state IS NOT NULL AND (
                    jsonb_typeof(item.state -> 'subject') IS DISTINCT FROM 'string'
                    OR item.state ->> 'subject' = ''
                ) THEN 'state.subject: must be a text that is not empty'
                WHEN item.state IS NOT NULL
                    AND jsonb_typeof(item.state -> 'data') IS DISTINCT FROM 'object'
                    THEN 'state.data: must be an object'
                WHEN item.state IS NOT NULL
                    AND arvo.as_bigint(item.state -> 'expected_version') IS NULL
                    THEN 'state.expected_version: must be a number'
                WHEN item.after IS NOT NULL AND (
                    jsonb_typeof(item.after) <> 'number'
                    OR (item.after #>> '{}')::numeric NOT BETWEEN 0 AND 315360000
                ) THEN 'after: must be seconds, 0 to 315360000'
                WHEN item.asked = 'snoozed' AND item.after IS NULL THEN 'after: is missing'
            END AS fault
        FROM item
    )

    SELECT
        checked.ordinal,
        checked.lease,
        checked.delivery,
        checked.asked,
        checked.events,
        checked.state,
        CASE
            WHEN pg_column_size(checked.error) > 65536 THEN jsonb_build_object(
                'name', left(checked.error ->> 'name', 200),
                'message', left(checked.error ->> 'message', 2000),
                'stack', left(checked.error ->> 'stack', 20000),
                'truncated', true
            )
            ELSE checked.error
        END,
        CASE
            WHEN checked.fault IS NULL
                THEN make_interval(secs => (checked.after #>> '{}')::double precision)
        END,
        CASE
            WHEN checked.run_time ~ '^[0-9]{1,10}$'
                THEN least(checked.run_time::bigint, 2147483647)::integer
        END,
        NULL::integer,
        NULL::xid8,
        NULL::xid8,
        CASE WHEN checked.fault IS NOT NULL THEN 'refused' END,
        CASE WHEN checked.fault IS NOT NULL THEN 'RV006' END,
        checked.fault,
        NULL::bigint,
        NULL::xid8,
        NULL::bigint,
        NULL::bigint,
        NULL::bigint,
        checked.named_in
    FROM checked
    ORDER BY checked.ordinal;
END;
$read_results$;

COMMENT ON FUNCTION arvo.read_results(jsonb) IS
'The results of a settlement as rows; malformed ones are refused one by one.';

REVOKE ALL ON FUNCTION arvo.read_results(jsonb) FROM PUBLIC;
--! end

--! function arvo.read_window
-- arvo.read_window(head, limit, upto) — the next rows of a lane's log.
CREATE OR REPLACE FUNCTION arvo.read_window(
    p_head arvo.lease,
    p_limit integer,
    p_upto pg_snapshot DEFAULT NULL
)
RETURNS arvo.reading
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $read_window$
-- p_head is the newest lease row of a lane that the caller holds: a window between two snapshots, and
-- the position reached in it. A row belongs to the window if its transaction is visible in the newer
-- snapshot and not in the older one, so a transaction that commits late is found, exactly once,
-- whatever its number; one that stays open blocks nobody; one that rolls back leaves no trace. When
-- the window has been read to its end, the next one is opened: up to now, or up to p_upto. Order is
-- by window, then transaction, then delivery. An empty batch means that the cursor stays where it is.
--
--   Reads    arvo.log by (lane, xid, delivery)
--   Writes   nothing
--   Locks    nothing
--   Raises   RV902  the stored transaction numbers belong to another cluster
DECLARE
    v_reading arvo.reading;
    v_from_xid xid8;
    v_from_delivery bigint;
    v_late xid8[];
    v_count integer;
BEGIN
    FOR v_try IN 1..2 LOOP
        IF p_head.exhausted OR v_try = 2 THEN
            v_reading := (
                '{}', p_head.snapshot, coalesce(p_upto, arvo.window_snapshot()), '0', 0, NULL
            )::arvo.reading;
            -- It may be older than a window that was opened while it was on its way.
            IF p_upto IS NOT NULL AND (
                p_upto::text = p_head.snapshot::text
                OR pg_snapshot_xmax(p_upto) < pg_snapshot_xmax(p_head.snapshot)
            ) THEN
                RETURN v_reading;
            END IF;
            IF pg_snapshot_xmax(v_reading.snapshot) < pg_snapshot_xmax(v_reading.previous_snapshot)
            THEN
                RAISE EXCEPTION 'transaction numbers are of another cluster'
                USING ERRCODE = 'RV902',
                      DETAIL = format(
                          'lane %s was read up to transaction %s; this cluster is at %s.',
                          p_head.lane, pg_snapshot_xmax(v_reading.previous_snapshot),
                          pg_snapshot_xmax(v_reading.snapshot)
                      ),
                      HINT = 'The database was restored into another cluster: see rebase().';
            END IF;
        ELSE
            v_reading := (
                '{}', p_head.previous_snapshot, p_head.snapshot, p_head.last_xid,
                p_head.last_delivery, NULL
            )::arvo.reading;
        END IF;

        -- Late transactions of the older snapshot come first, then everything that is newer.
        v_from_xid := pg_snapshot_xmax(v_reading.previous_snapshot);
        v_from_delivery := 0;
        v_late := NULL;
        IF v_reading.last_xid >= v_from_xid THEN
            v_from_xid := v_reading.last_xid;
            v_from_delivery := v_reading.last_delivery;
        ELSIF pg_snapshot_xmin(v_reading.previous_snapshot) < v_from_xid THEN
            SELECT array_agg(listed.xid) INTO v_late
            FROM pg_snapshot_xip(v_reading.previous_snapshot) AS listed (xid)
            WHERE pg_visible_in_snapshot(listed.xid, v_reading.snapshot)
            AND listed.xid >= v_reading.last_xid;
        END IF;

        IF v_late IS NOT NULL THEN
            SELECT coalesce(array_agg(taken.entry ORDER BY taken.xid, taken.delivery), '{}')
            INTO v_reading.batch
            FROM (
                SELECT found.entry, found.xid, found.delivery
                FROM unnest(v_late) AS listed (xid)
                CROSS JOIN LATERAL (
                    SELECT log AS entry, log.xid, log.delivery
                    FROM arvo.log
                    WHERE log.lane = p_head.lane
                    AND log.xid = listed.xid
                    AND log.delivery > CASE
                        WHEN listed.xid = v_reading.last_xid THEN v_reading.last_delivery ELSE 0
                    END
                    ORDER BY log.delivery
                    LIMIT p_limit
                ) AS found
                ORDER BY found.xid, found.delivery
                LIMIT p_limit
            ) AS taken;
        END IF;
        IF cardinality(v_reading.batch) < p_limit THEN
            SELECT v_reading.batch || coalesce(
                array_agg(taken.entry ORDER BY taken.xid, taken.delivery), '{}'
            )
            INTO v_reading.batch
            FROM (
                SELECT log AS entry, log.xid, log.delivery
                FROM arvo.log
                WHERE log.lane = p_head.lane
                AND (log.xid, log.delivery) > (v_from_xid, v_from_delivery)
                AND log.xid < pg_snapshot_xmax(v_reading.snapshot)
                AND pg_visible_in_snapshot(log.xid, v_reading.snapshot)
                ORDER BY log.xid, log.delivery
                LIMIT p_limit - cardinality(v_reading.batch)
            ) AS taken;
        END IF;
        -- A window that ended exactly at the limit leaves nothing: then open the next one now.
        EXIT WHEN v_reading.batch <> '{}' OR p_head.exhausted;
    END LOOP;

    v_count := cardinality(v_reading.batch);
    IF v_count > 0 THEN
        v_reading.last_xid := v_reading.batch[v_count].xid;
        v_reading.last_delivery := v_reading.batch[v_count].delivery;
        v_reading.exhausted := v_count < p_limit;
    END IF;
    RETURN v_reading;
END;
$read_window$;

COMMENT ON FUNCTION arvo.read_window(arvo.lease, integer, pg_snapshot) IS
'The next rows of a lane''s log after its cursor, and where the cursor stands then.';

REVOKE ALL ON FUNCTION arvo.read_window(arvo.lease, integer, pg_snapshot) FROM PUBLIC;
--! end

--! function arvo.require_home
-- arvo.require_home() — refuse to work on another cluster's transaction numbers.
CREATE OR REPLACE FUNCTION arvo.require_home()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $require_home$
-- Windows and cursors are made of transaction numbers, which mean nothing in another cluster: after a
-- dump was restored there, deliveries would be passed over without a word. A dump that was restored
-- into the cluster it came from, or into a copy of that cluster, is told by the oid of arvo.origin.
-- Which cluster this server is stands in its control file; it is read once for each start of the
-- server, and then remembered: see arvo.note_start. arvo.append_one and arvo.append_plain ask the
-- same within a statement of theirs.
--
--   Reads    arvo.origin, arvo.server_start, pg_control_system when this start is not remembered;
--            as arvo.whereabouts, before it refuses
--   Writes   nothing
--   Locks    nothing
--   Raises   RV902  the newest origin is another cluster, or this is a restored dump
DECLARE
    v_here bigint;
    v_home bigint;
    v_relation oid;
    v_whereabouts text;
BEGIN
    SELECT origin.system_identifier, origin.relation, server_start.system_identifier
    INTO v_home, v_relation, v_here
    FROM arvo.origin
    LEFT JOIN arvo.server_start ON server_start.started_at = pg_postmaster_start_time()
    ORDER BY origin.number DESC
    LIMIT 1;
    IF v_here IS NULL THEN
        v_here := (SELECT control.system_identifier FROM pg_control_system() AS control);
    END IF;
    IF v_home = v_here AND coalesce(v_relation = 'arvo.origin'::regclass::oid, true) THEN
        RETURN;
    END IF;
    v_whereabouts := arvo.whereabouts();
    RAISE EXCEPTION 'transaction numbers are of another cluster'
    USING ERRCODE = 'RV902',
          DETAIL = format(
              'They are of cluster %s, up to %s; %s is %s, at %s.',
              v_home, arvo.numbers_end(),
              CASE WHEN v_home = v_here THEN 'this restored dump' ELSE 'this' END,
              v_here, pg_snapshot_xmin(pg_current_snapshot())
          ),
          HINT = CASE v_whereabouts
              WHEN 'upgraded' THEN
                  'This looks like pg_upgrade, which keeps the numbers: call accept_cluster() as'
                  ' operator, once. After a dump was restored it would be rebase().'
              ELSE
                  'This looks like a restored dump: call rebase() as operator, once; it takes over'
                  ' what waits here, so the original must no longer run. After pg_upgrade it'
                  ' would be accept_cluster().'
          END;
END;
$require_home$;

COMMENT ON FUNCTION arvo.require_home() IS
'Raises RV902 unless the stored transaction numbers are of this cluster.';

REVOKE ALL ON FUNCTION arvo.require_home() FROM PUBLIC;
--! end

--! function arvo.retire
-- arvo.retire(queue, head, batch, parked) — make dead letters of deliveries that waited too long.
CREATE OR REPLACE FUNCTION arvo.retire(
    p_queue arvo.queue,
    p_head arvo.lease,
    p_batch arvo.log[],
    p_parked boolean
)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $retire$
-- p_head is the newest row of a lane that the caller holds (with the home lane of a gated queue), its
-- cursor moved on behind p_batch, unless that stood in line. The batch is leased to nobody and closed
-- at once: what was withdrawn as that says, of all others a dead letter is made, with the attempts
-- that were really charged. Keys count them as running for that moment, so that they are freed as
-- after any run. Returns how many dead letters.
--
--   Reads    arvo.tombstone, arvo.clock, arvo.slot; as arvo.turn_of
--   Writes   arvo.closure; as arvo.put_turn, arvo.write_lease, arvo.leave_queued, arvo.withdraw,
--            arvo.bury and arvo.finish
--   Locks    as arvo.withdraw, arvo.bury and arvo.finish
--   Raises   nothing
DECLARE
    v_batch arvo.log[] := p_batch;
    v_deliveries bigint[];
    v_keys bigint[];
    v_key bigint;
    v_turn arvo.turn;
    v_lease arvo.lease;
    v_entry arvo.log;
BEGIN
    IF p_queue.gated THEN
        v_keys := ARRAY(SELECT arvo.key_for(p_queue, entry) FROM unnest(p_batch) AS entry);
        FOR v_key, v_deliveries IN
            SELECT arvo.key_for(p_queue, entry), array_agg(entry.delivery)
            FROM unnest(p_batch) AS entry
            GROUP BY arvo.key_for(p_queue, entry)
            UNION ALL
            SELECT 0, array_agg(entry.delivery)
            FROM unnest(p_batch) AS entry
            ORDER BY 1
        LOOP
            v_turn := arvo.turn_of(p_queue.queue, v_key);
            v_turn.active := v_turn.active + cardinality(v_deliveries);
            IF p_parked AND v_key <> 0 THEN
                v_turn.waiting := greatest(v_turn.waiting - cardinality(v_deliveries), 0);
            END IF;
            IF v_turn.holder = ANY (v_deliveries) THEN
                v_turn.holder := NULL;
            END IF;
            PERFORM arvo.put_turn(p_queue, v_turn);
        END LOOP;
    END IF;

    p_head.strays := CASE
        WHEN p_parked THEN ARRAY(SELECT entry.delivery FROM unnest(p_batch) AS entry)
    END;
    v_lease := arvo.write_lease(p_head, 'arvo.maintain', interval '0', p_batch, v_keys);
    IF EXISTS (SELECT FROM arvo.tombstone WHERE tombstone.lane = v_lease.lane) THEN
        v_batch := arvo.withdraw(p_queue, v_lease, p_batch);
    END IF;
    IF p_queue.slotted THEN
        PERFORM arvo.leave_queued(p_queue, v_batch);
    END IF;
    IF v_batch = '{}' THEN
        RETURN 0;
    END IF;
    v_deliveries := ARRAY(SELECT entry.delivery FROM unnest(v_batch) AS entry);
    INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
    VALUES (
        arvo.slot(), v_lease.token, arvo.clock(), v_deliveries, '{dead}',
        array_fill(NULL::integer, ARRAY[cardinality(v_deliveries)])
    );
    FOREACH v_entry IN ARRAY v_batch LOOP
        v_entry.attempt := v_entry.attempt - 1;
        PERFORM arvo.bury(
            v_entry, p_queue, 'retention',
            jsonb_build_object(
                'name', 'RetentionExpired',
                'message', format('not run within %s of being ready', p_queue.retention),
                'stack', NULL
            )
        );
    END LOOP;
    PERFORM arvo.finish(p_queue, v_lease, v_deliveries);
    RETURN cardinality(v_batch);
END;
$retire$;

COMMENT ON FUNCTION arvo.retire(arvo.queue, arvo.lease, arvo.log[], boolean) IS
'Leases deliveries that waited too long to nobody and makes dead letters of them; returns how many.';

REVOKE ALL ON FUNCTION arvo.retire(arvo.queue, arvo.lease, arvo.log[], boolean) FROM PUBLIC;
--! end

--! function arvo.sleep_keys
-- arvo.sleep_keys(queues) — what a sleeper registers under.
CREATE OR REPLACE FUNCTION arvo.sleep_keys(p_queues text[])
RETURNS integer[]
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $sleep_keys$
-- Second halves of the advisory locks (hashtext('arvo_wake'), key): 0 stands for any sleeper, 1 for
-- one that minds every queue, 2 for one that minds queues of the broker's own, the hash of its name
-- for a queue. A name that ends in * is 1, or 2 when it begins with "arvo.". More than 32 names are
-- 1: locks of a server are few, and a wake-up for nothing costs one look.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT coalesce(array_agg(DISTINCT keys.key ORDER BY keys.key), '{}')
FROM (
    SELECT 0 AS key
    WHERE cardinality(p_queues) > 0
    UNION ALL
    SELECT
        CASE
            WHEN cardinality(p_queues) > 32 THEN 1
            WHEN NOT asked.name LIKE '%*' THEN hashtext(asked.name)
            WHEN starts_with(asked.name, 'arvo.') THEN 2
            ELSE 1
        END
    FROM unnest(p_queues) AS asked (name)
    WHERE asked.name IS NOT NULL
) AS keys;
$sleep_keys$;

COMMENT ON FUNCTION arvo.sleep_keys(text[]) IS
'Keys of the advisory locks of a sleeper that waits for the named queues.';

REVOKE ALL ON FUNCTION arvo.sleep_keys(text[]) FROM PUBLIC;
--! end

--! function arvo.slot
-- arvo.slot() — the generation slot that new rows are stamped with.
CREATE OR REPLACE FUNCTION arvo.slot()
RETURNS smallint
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $slot$
-- The log, the leases and the journal live in four partitions that are filled in turn and emptied
-- whole. The newest generation names the one in use.
--
--   Reads    arvo.generation
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    RETURN (
        SELECT generation.slot
        FROM arvo.generation
        ORDER BY generation.number DESC
        LIMIT 1
    );
END;
$slot$;

COMMENT ON FUNCTION arvo.slot() IS
'Partition of log, lease and closure that is in use.';

REVOKE ALL ON FUNCTION arvo.slot() FROM PUBLIC;
--! end

--! function arvo.sweep_notes
-- arvo.sweep_notes(limit) — remove what was written down long ago.
CREATE OR REPLACE FUNCTION arvo.sweep_notes(p_limit integer)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $sweep_notes$
-- Up to p_limit rows of each kind:
--
--   omission              older than delete_after
--   dead                  resolved longer ago than delete_after; open ones stay for ever
--   operation             older than 90 days
--   registration          older than 30 days
--   generation            emptied, and eight newer ones are there
--   event_key_generation  the newest and the one before it stay
--   server_start          of other starts than this
--
-- Returns how many rows.
--
--   Reads    arvo.clock, arvo.delete_after
--   Writes   arvo.omission, arvo.dead, arvo.operation, arvo.registration, arvo.generation,
--            arvo.event_key_generation, arvo.server_start
--   Locks    the rows deleted; those of arvo.dead and arvo.registration unless somebody holds them
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_before timestamptz := v_now - arvo.delete_after();
    v_count integer;
    v_swept integer := 0;
BEGIN
    DELETE FROM arvo.omission
    WHERE omission.number IN (
        SELECT old.number
        FROM arvo.omission AS old
        WHERE old.at <= v_before
        ORDER BY old.at
        LIMIT p_limit
    );
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_swept := v_swept + v_count;

    WITH resolved AS MATERIALIZED (
        SELECT old.dead
        FROM arvo.dead AS old
        WHERE old.resolution IS NOT NULL AND old.resolved_at <= v_before
        ORDER BY old.resolved_at
        LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    )

    DELETE FROM arvo.dead
    USING resolved
    WHERE dead.dead = resolved.dead;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_swept := v_swept + v_count;

    -- Their numbers grow as their times do.
    DELETE FROM arvo.operation
    WHERE operation.number IN (
        SELECT old.number FROM arvo.operation AS old ORDER BY old.number LIMIT p_limit
    )
    AND operation.at <= v_now - interval '90 days';
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_swept := v_swept + v_count;

    WITH gone AS MATERIALIZED (
        SELECT old.queue, old.worker
        FROM arvo.registration AS old
        WHERE old.at <= v_now - interval '30 days'
        LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    )

    DELETE FROM arvo.registration
    USING gone
    WHERE registration.queue = gone.queue AND registration.worker = gone.worker;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_swept := v_swept + v_count;

    DELETE FROM arvo.generation
    WHERE generation.emptied_at IS NOT NULL
    AND generation.number < (
        SELECT newest.number
        FROM arvo.generation AS newest
        ORDER BY newest.number DESC
        OFFSET 7
        LIMIT 1
    );
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_swept := v_swept + v_count;

    DELETE FROM arvo.event_key_generation
    WHERE event_key_generation.number < (
        SELECT max(newest.number) - 1 FROM arvo.event_key_generation AS newest
    );
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_swept := v_swept + v_count;

    DELETE FROM arvo.server_start WHERE server_start.started_at <> pg_postmaster_start_time();
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_swept + v_count;
END;
$sweep_notes$;

COMMENT ON FUNCTION arvo.sweep_notes(integer) IS
'Removes old omissions, resolved dead letters, audit and registrations; returns how many rows.';

REVOKE ALL ON FUNCTION arvo.sweep_notes(integer) FROM PUBLIC;
--! end

--! function arvo.verdicts
-- arvo.verdicts(parted, items) — what a settlement answers.
CREATE OR REPLACE FUNCTION arvo.verdicts(p_parted arvo.parted, p_items arvo.result[])
RETURNS SETOF arvo_v1.settled
LANGUAGE plpgsql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $verdicts$
-- One row for each delivery that was named, in the order in which they were: those that were plainly
-- completed, and those that were judged one by one (their places are those in what was left).
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    RETURN QUERY
    SELECT
        verdict.ordinal, verdict.lease, verdict.delivery, verdict.accepted, verdict.outcome,
        verdict.code, verdict.detail, verdict.state_version
    FROM (
        SELECT
            done.items[least(completed.place, cardinality(done.items))] AS ordinal,
            completed.place,
            done.lease,
            completed.delivery,
            true AS accepted,
            'completed' AS outcome,
            NULL::text AS code,
            NULL::text AS detail,
            NULL::bigint AS state_version
        FROM unnest(p_parted.closed) AS done
        CROSS JOIN LATERAL
            unnest(done.deliveries) WITH ORDINALITY AS completed (delivery, place)
        UNION ALL
        SELECT
            CASE
                WHEN p_parted.items = '{}' THEN item.named_in
                ELSE p_parted.items[item.named_in]
            END,
            item.ordinal,
            item.lease,
            item.delivery,
            coalesce(item.verdict, '') NOT IN ('refused', 'conflict') AND item.code IS NULL,
            coalesce(item.verdict, 'completed'),
            item.code,
            item.detail,
            item.state_version
        FROM unnest(p_items) AS item
    ) AS verdict
    ORDER BY verdict.ordinal, verdict.place;
END;
$verdicts$;

COMMENT ON FUNCTION arvo.verdicts(arvo.parted, arvo.result[]) IS
'The verdicts of a settlement, one for each delivery, in the order of the call.';

REVOKE ALL ON FUNCTION arvo.verdicts(arvo.parted, arvo.result[]) FROM PUBLIC;
--! end

--! function arvo.wake
-- arvo.wake(queues) — tell sleeping workers that there is something to claim.
CREATE OR REPLACE FUNCTION arvo.wake(p_queues text[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $wake$
-- One notification per queue and transaction, sent at its commit, and only when somebody has called
-- doze for it: commits that notify queue up behind one lock of the whole server. It is a hint, never a
-- message: workers also poll. Call it after the writes that it is about: a sleeper that registers
-- too late to be seen here finds the transaction among those that it must wait for.
--
--   Reads    nothing
--   Writes   nothing (the notification queue of the server)
--   Locks    as arvo.has_sleeper, which only tries
--   Raises   nothing
BEGIN
    -- As arvo.has_sleeper(0), in a third of its time: this is asked for each event.
    IF (
        CASE
            WHEN pg_try_advisory_lock(hashtext('arvo_wake'), 0)
                THEN pg_advisory_unlock(hashtext('arvo_wake'), 0)
            ELSE false
        END
    ) THEN
        RETURN;
    END IF;
    PERFORM pg_notify('arvo_wake', named.queue)
    FROM (SELECT DISTINCT listed.queue FROM unnest(p_queues) AS listed (queue)) AS named
    WHERE arvo.has_sleeper(hashtext(named.queue))
    OR arvo.has_sleeper(1)
    OR (starts_with(named.queue, 'arvo.') AND arvo.has_sleeper(2));
END;
$wake$;

COMMENT ON FUNCTION arvo.wake(text[]) IS
'Notifies the wake-up channel once per queue that somebody sleeps for.';

REVOKE ALL ON FUNCTION arvo.wake(text[]) FROM PUBLIC;
--! end

--! function arvo.write_lease
-- arvo.write_lease(head, worker, lease, batch, keys, places) — write the lease of a batch.
CREATE OR REPLACE FUNCTION arvo.write_lease(
    p_head arvo.lease,
    p_worker text,
    p_lease interval,
    p_batch arvo.log[],
    p_keys bigint[] DEFAULT NULL,
    p_places bigint[] DEFAULT NULL
)
RETURNS arvo.lease
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $write_lease$
-- p_head is the newest row of a lane that the caller holds, its cursor moved on. Expiry never
-- decreases along a lane, so that the oldest open lease is the first to lapse. Of a batch with keys
-- p_head names the strays; otherwise they are those of an older row. Returns the new row.
--
--   Reads    arvo.clock, arvo.generation
--   Writes   arvo.lease (one row)
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_xids xid8[];
    v_low xid8;
    v_high xid8;
    v_deliveries bigint[];
BEGIN
    IF cardinality(p_batch) = 1 THEN
        v_deliveries := ARRAY[p_batch[1].delivery];
        v_low := p_batch[1].xid;
        v_high := v_low;
    ELSE
        SELECT
            array_agg(taken.delivery ORDER BY taken.ordinal),
            array_agg(taken.xid ORDER BY taken.ordinal),
            min(taken.xid),
            max(taken.xid)
        INTO v_deliveries, v_xids, v_low, v_high
        FROM (
            SELECT entry.delivery, entry.xid, row_number() OVER () AS ordinal
            FROM unnest(p_batch) AS entry
        ) AS taken;
    END IF;
    IF v_low = v_high THEN
        v_xids := ARRAY[v_low];
    END IF;

    INSERT INTO arvo.lease AS written (
        slot, lane, number, token, worker, leased_at, expires_at, carried, deliveries,
        low_xid, high_xid, previous_snapshot, snapshot, last_xid, last_delivery,
        exhausted, open_from, sweep_at, xids, keys, places, ready_from, strays
    )
    VALUES (
        (SELECT generation.slot FROM arvo.generation ORDER BY generation.number DESC LIMIT 1),
        p_head.lane,
        p_head.number + 1,
        (nextval('arvo.lease_number'::regclass) << 12) | floor(random() * 4096)::bigint,
        p_worker,
        v_now,
        greatest(v_now + p_lease, p_head.expires_at),
        false,
        v_deliveries,
        v_low,
        v_high,
        p_head.previous_snapshot,
        p_head.snapshot,
        p_head.last_xid,
        p_head.last_delivery,
        p_head.exhausted,
        p_head.open_from,
        least(p_head.sweep_at, greatest(v_now + p_lease, p_head.expires_at)),
        v_xids,
        p_keys,
        p_places,
        p_head.ready_from,
        CASE WHEN p_keys IS NOT NULL THEN p_head.strays END
    )
    RETURNING written.* INTO p_head;
    RETURN p_head;
END;
$write_lease$;

COMMENT ON FUNCTION arvo.write_lease(arvo.lease, text, interval, arvo.log[], bigint[], bigint[]) IS
'Leases a batch of deliveries: the next row of their lane''s ledger.';

REVOKE ALL ON FUNCTION
arvo.write_lease(arvo.lease, text, interval, arvo.log[], bigint[], bigint[]) FROM PUBLIC;
--! end

DROP FUNCTION arvo_v1.acquire_lock(text, interval);
--! function arvo_v1.acquire_lock
-- arvo_v1.acquire_lock(subject, ttl, durable) — take the lock on a subject, if it is free.
CREATE OR REPLACE FUNCTION arvo_v1.acquire_lock(
    p_subject text,
    p_ttl interval DEFAULT interval '2 minutes',
    p_durable boolean DEFAULT true
)
RETURNS SETOF arvo_v1.lock
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $acquire_lock$
-- Answers one row with a fencing token, or none when somebody holds the lock. Never waits: an
-- upsert alone would wait for a competitor's open transaction, so a transaction lock is tried first;
-- and for whoever has the row in hand (a write under the lock, a renewal, a clean-up), so a row that
-- has lapsed is locked first, or left alone.
--
-- Without p_durable the commit does not wait for the disk: for a call that is a transaction of its own.
-- What a crash of the server undoes then was taken in its last half second; the holder's next
-- write is refused, also if its number is given again: the low bits of a token are random.
--
--   Reads    arvo.clock
--   Writes   arvo.state_lock; the setting synchronous_commit of this transaction
--   Locks    the subject's transaction lock and arvo.state_lock row: tried, never waited for
--   Raises   RV006  an argument is not valid
DECLARE
    v_now timestamptz := arvo.clock();
    v_digest bytea;
    v_token bigint;
    v_expires_at timestamptz;
BEGIN
    IF p_subject IS NULL OR p_subject = ''
        OR p_ttl IS NULL OR p_ttl NOT BETWEEN interval '1 millisecond' AND interval '30 days'
    THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = CASE WHEN p_subject IS NULL OR p_subject = '' THEN 'subject' ELSE 'ttl' END,
              DETAIL = format('ttl: %s', p_ttl),
              HINT = 'subject is a text that is not empty, ttl 1 millisecond to 30 days.';
    END IF;
    IF NOT pg_try_advisory_xact_lock(arvo.lock_key(p_subject)) THEN
        RETURN;
    END IF;
    -- Whatever was written before in this transaction stays as durable as its writer wants it.
    IF NOT p_durable AND pg_current_xact_id_if_assigned() IS NULL THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;

    v_digest := arvo.subject_digest(p_subject);
    SELECT held.expires_at INTO v_expires_at
    FROM arvo.state_lock AS held
    WHERE held.subject_digest = v_digest;
    IF v_expires_at > v_now THEN
        RETURN;
    END IF;
    v_token := (nextval('arvo.lock_token'::regclass) << 12) | floor(random() * 4096)::bigint;
    IF v_expires_at IS NULL THEN
        INSERT INTO arvo.state_lock (subject_digest, subject, token, locked_at, expires_at)
        VALUES (v_digest, p_subject, v_token, v_now, v_now + p_ttl)
        ON CONFLICT (subject_digest) DO NOTHING;
    ELSE
        UPDATE arvo.state_lock
        SET token = v_token, locked_at = v_now, expires_at = v_now + p_ttl
        FROM (
            SELECT lapsed.subject_digest
            FROM arvo.state_lock AS lapsed
            WHERE lapsed.subject_digest = v_digest AND lapsed.expires_at <= v_now
            FOR UPDATE SKIP LOCKED
        ) AS free
        WHERE state_lock.subject_digest = free.subject_digest;
    END IF;
    IF FOUND THEN
        RETURN NEXT (p_subject, v_token, v_now + p_ttl)::arvo_v1.lock;
    END IF;
END;
$acquire_lock$;

COMMENT ON FUNCTION arvo_v1.acquire_lock(text, interval, boolean) IS
'Takes the time-limited lock on a subject and returns its fencing token; no row when it is held.';

REVOKE ALL ON FUNCTION arvo_v1.acquire_lock(text, interval, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.acquire_lock(text, interval, boolean) TO arvo_worker;
--! end

--! function arvo_v1.claim
-- arvo_v1.claim(queues, limit, worker, limits, lease) — lease deliveries.
CREATE OR REPLACE FUNCTION arvo_v1.claim(
    p_queues text[],
    p_limit integer DEFAULT 1,
    p_worker text DEFAULT NULL,
    p_limits integer[] DEFAULT NULL,
    p_lease interval DEFAULT interval '30 seconds'
)
RETURNS SETOF arvo_v1.claimed
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $claim$
-- Heals first: due deferred deliveries are promoted, expired leases are taken back. Then leases up
-- to p_limit deliveries of p_queues, and no more than p_limits[i] of the i-th. A name that ends in *
-- stands for every queue that begins so. Starts at a random queue, also among those that a star
-- stands for, so that none starves; higher priorities come first. A lane that another session is claiming from is left alone.
-- A lane's lock is held to the end of the transaction, and the server has room for some thousands:
-- past 32 lanes, one with nothing to do is not locked, and a call takes from at most 512 more. A
-- paused queue is left out. A gated queue is claimed under the lock of its home lane as well.
-- Within a lane leases lapse in the order in which they were taken, so the longest p_lease that
-- anybody asks for bounds how soon the next crash is noticed there; that is why it is short. In a
-- transaction of several calls settle and extend come before claim: leases are locked before lanes.
--
--   Reads    as arvo.lanes_to_claim, arvo.look_ahead, arvo.claim_lanes
--            and arvo.hand_out
--   Writes   as arvo.promote and arvo.claim_lanes
--   Locks    the promoter's lock, each lane: tried, never waited for
--   Raises   RV003  a queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV006  an argument is not valid
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_asked arvo.claimable;
    v_leased arvo.leased;
BEGIN
    PERFORM arvo.require_read_committed('claim');
    PERFORM arvo.require_home();
    v_asked := arvo.lanes_to_claim(p_queues, p_limit, p_limits, p_lease);
    IF (arvo.look_ahead()).due THEN
        PERFORM arvo.promote();
    END IF;
    FOREACH v_leased IN ARRAY
        coalesce(arvo.claim_lanes(v_asked, p_limit, p_worker, p_limits, p_lease), '{}')
    LOOP
        IF v_leased.rows IS NULL THEN
            RETURN QUERY
            SELECT claimed.*
            FROM arvo.hand_out(v_leased.queue, v_leased.lease, v_leased.batch) AS claimed;
        ELSE
            RETURN QUERY SELECT claimed.* FROM unnest(v_leased.rows) AS claimed;
        END IF;
    END LOOP;
END;
$claim$;

COMMENT ON FUNCTION arvo_v1.claim(text[], integer, text, integer[], interval) IS
'Leases deliveries of the named queues, after healing what is due or expired.';

REVOKE ALL ON FUNCTION arvo_v1.claim(text[], integer, text, integer[], interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.claim(text[], integer, text, integer[], interval)
TO arvo_worker;
--! end

--! function arvo_v1.dispatch
-- arvo_v1.dispatch(event, start_after, priority, ignore_domain, options) — accept one event in the caller's transaction.
CREATE OR REPLACE FUNCTION arvo_v1.dispatch(
    p_event jsonb,
    p_start_after interval DEFAULT NULL,
    p_priority integer DEFAULT NULL,
    p_ignore_domain boolean DEFAULT false,
    p_options jsonb DEFAULT NULL
)
RETURNS arvo_v1.dispatched
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $dispatch$
-- The event exists when the caller's transaction commits, and leaves no trace when it does not.
-- Routed by "domain" (to that domain's queue, unless p_ignore_domain), else by "to". An event whose
-- queue nobody has registered waits there: outcome unroutable. The same source and id to the same
-- queue again, within its window, is a duplicate, and answered with the first delivery. p_options is
-- an object as in arvo.read_options; p_start_after and p_priority are two of them.
--
--   Reads    as arvo.append_one and arvo.append
--   Writes   as arvo.append_one or arvo.append
--   Locks    as arvo.append_one or arvo.append
--   Raises   RV001  the event is not valid, or is to be published
--            RV002  an option is not valid, or the queue has too many priorities
--            RV201  nobody has registered the queue, and must_be_registered is set
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_fault text := arvo.event_fault(p_event);
    v_dispatched arvo_v1.dispatched;
BEGIN
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION 'event is not valid'
        USING ERRCODE = 'RV001',
              COLUMN = split_part(v_fault, ':', 1),
              DETAIL = v_fault,
              HINT = 'Correct the field and dispatch the event again. Nothing has been stored.';
    END IF;
    IF p_options IS NULL AND p_start_after IS NULL AND p_priority IS NULL THEN
        v_dispatched := arvo.append_one(p_event, p_ignore_domain);
        IF v_dispatched.delivery IS NOT NULL THEN
            RETURN v_dispatched;
        END IF;
    END IF;
    IF coalesce(p_event ->> 'to', p_event ->> 'type') = 'arvo.publish'
        AND (p_ignore_domain OR p_event ->> 'domain' IS NULL)
    THEN
        RAISE EXCEPTION 'event is not valid'
        USING ERRCODE = 'RV001',
              COLUMN = 'to',
              DETAIL = 'to: arvo.publish has an answer for each queue that subscribes',
              HINT = 'Call publish, or dispatch_many. Nothing has been stored.';
    END IF;
    SELECT accepted.* INTO STRICT v_dispatched
    FROM arvo.append(
        ARRAY[p_event], arvo.options_with(p_options, p_start_after, p_priority), p_ignore_domain
    ) AS accepted;
    RETURN v_dispatched;
END;
$dispatch$;

COMMENT ON FUNCTION arvo_v1.dispatch(jsonb, interval, integer, boolean, jsonb) IS
'Accepts one event in the caller''s transaction and says where it went.';

REVOKE ALL ON FUNCTION arvo_v1.dispatch(jsonb, interval, integer, boolean, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.dispatch(jsonb, interval, integer, boolean, jsonb)
TO arvo_client, arvo_worker, arvo_operator;
--! end

--! function arvo_v1.dispatch_copy
-- arvo_v1.dispatch_copy(events, ignore_domain, options) — accept one batch of a stream of events, in order.
CREATE OR REPLACE FUNCTION arvo_v1.dispatch_copy(
    p_events jsonb,
    p_ignore_domain boolean DEFAULT false,
    p_options jsonb DEFAULT NULL
)
RETURNS SETOF arvo_v1.copied
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $dispatch_copy$
-- As dispatch_many, and answered in short: one row for each outcome that there was, with the number
-- of events that had it. Which ones is told of those that were not taken as they came.
--
--   Reads    as arvo_v1.dispatch_many
--   Writes   as arvo_v1.dispatch_many
--   Locks    as arvo_v1.dispatch_many
--   Raises   as arvo_v1.dispatch_many
BEGIN
    RETURN QUERY
    SELECT
        accepted.outcome,
        count(*),
        coalesce(
            array_agg(accepted.ordinal::bigint ORDER BY accepted.ordinal) FILTER (
                WHERE accepted.outcome NOT IN ('queued', 'deferred', 'domained')
            ),
            '{}'
        )
    FROM arvo_v1.dispatch_many(
        p_events, p_ignore_domain => p_ignore_domain, p_options => p_options
    ) AS accepted
    GROUP BY accepted.outcome
    ORDER BY accepted.outcome;
END;
$dispatch_copy$;

COMMENT ON FUNCTION arvo_v1.dispatch_copy(jsonb, boolean, jsonb) IS
'Accepts an array of events in order, all or none, and says how many had which outcome.';

REVOKE ALL ON FUNCTION arvo_v1.dispatch_copy(jsonb, boolean, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.dispatch_copy(jsonb, boolean, jsonb)
TO arvo_client, arvo_worker, arvo_operator;
--! end

--! function arvo_v1.dispatch_many
-- arvo_v1.dispatch_many(events, start_after, priority, ignore_domain, options) — accept an array of events, in order.
CREATE OR REPLACE FUNCTION arvo_v1.dispatch_many(
    p_events jsonb,
    p_start_after interval DEFAULT NULL,
    p_priority integer DEFAULT NULL,
    p_ignore_domain boolean DEFAULT false,
    p_options jsonb DEFAULT NULL
)
RETURNS SETOF arvo_v1.dispatched
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $dispatch_many$
-- As dispatch, for all or none: one event that is not valid refuses the whole call and says which.
--
--   Reads    as arvo.append_plain and arvo.append
--   Writes   as arvo.append_plain or arvo.append
--   Locks    as arvo.append_plain or arvo.append
--   Raises   RV001  an event is not valid
--            RV002  an option is not valid, or a queue has too many priorities
--            RV006  p_events is not an array
--            RV201  nobody has registered a queue, and must_be_registered is set
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_events jsonb[];
    v_ordinal bigint;
    v_fault text;
BEGIN
    IF p_events IS NULL OR jsonb_typeof(p_events) <> 'array' THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'events',
              DETAIL = format('events is of type %s.', coalesce(jsonb_typeof(p_events), 'null')),
              HINT = 'Give a JSON array of events.';
    END IF;
    SELECT array_agg(item.event ORDER BY item.ordinal) INTO v_events
    FROM jsonb_array_elements(p_events) WITH ORDINALITY AS item (event, ordinal);
    IF v_events IS NULL THEN
        RETURN;
    END IF;

    SELECT item.ordinal, arvo.event_fault(item.event) INTO v_ordinal, v_fault
    FROM unnest(v_events) WITH ORDINALITY AS item (event, ordinal)
    WHERE arvo.event_fault(item.event) IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'event is not valid'
        USING ERRCODE = 'RV001',
              COLUMN = split_part(v_fault, ':', 1),
              DETAIL = format('event %s of %s: %s', v_ordinal, cardinality(v_events), v_fault),
              HINT = 'Correct the field and dispatch the events again. Nothing has been stored.';
    END IF;
    IF p_options IS NULL AND p_start_after IS NULL AND p_priority IS NULL THEN
        RETURN QUERY
        SELECT accepted.* FROM arvo.append_plain(v_events, p_ignore_domain) AS accepted;
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;
    RETURN QUERY
    SELECT accepted.*
    FROM arvo.append(
        v_events, arvo.options_with(p_options, p_start_after, p_priority), p_ignore_domain
    ) AS accepted;
END;
$dispatch_many$;

COMMENT ON FUNCTION arvo_v1.dispatch_many(jsonb, interval, integer, boolean, jsonb) IS
'Accepts an array of events in order, all or none, and says where each went.';

REVOKE ALL ON FUNCTION arvo_v1.dispatch_many(jsonb, interval, integer, boolean, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.dispatch_many(jsonb, interval, integer, boolean, jsonb)
TO arvo_client, arvo_worker, arvo_operator;
--! end

--! function arvo_v1.doze
-- arvo_v1.doze(queues) — this session is going to sleep: have it woken.
CREATE OR REPLACE FUNCTION arvo_v1.doze(p_queues text[])
RETURNS SETOF bigint
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1s'
AS $doze$
-- Call it in a session that listens to arvo_wake, outside of a transaction. From now on, until rouse
-- with the same names or the end of the session, whoever has something for one of these queues sends a
-- notification with its name. A name that ends in * stands for every queue that begins so. Then look
-- once (work): what was committed before is found. Who has looked for sleepers before and commits
-- later is among the transactions that are answered here: look again when some of them have ended
-- (still_open tells), until none is left. Calls count: each needs its rouse. Through a pooler that
-- lends connections by the transaction, nobody is woken.
--
--   Reads    as arvo.open_writers
--   Writes   nothing
--   Locks    (hashtext('arvo_wake'), arvo.sleep_keys), shared, the session's; waits only for one who
--            holds it in earnest, a second at most
--   Raises   RV005  the transaction is not READ COMMITTED
--            55P03  somebody holds such a lock: end the session, what it has taken stays otherwise
BEGIN
    PERFORM arvo.require_read_committed('doze');
    PERFORM pg_advisory_lock_shared(hashtext('arvo_wake'), registered.key)
    FROM unnest(arvo.sleep_keys(p_queues)) AS registered (key);
    RETURN QUERY SELECT open.xid FROM arvo.open_writers() AS open (xid);
END;
$doze$;

COMMENT ON FUNCTION arvo_v1.doze(text[]) IS
'Registers the session as asleep for the named queues; answers the transactions that are open.';

REVOKE ALL ON FUNCTION arvo_v1.doze(text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.doze(text[]) TO arvo_worker;
--! end

--! function arvo_v1.lock_state
-- arvo_v1.lock_state(subject, ttl, durable) — take the lock on a subject, and read its state.
CREATE OR REPLACE FUNCTION arvo_v1.lock_state(
    p_subject text,
    p_ttl interval DEFAULT interval '2 minutes',
    p_durable boolean DEFAULT true
)
RETURNS SETOF arvo_v1.locked_state
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $lock_state$
-- As arvo_v1.acquire_lock, in one round trip with the read that follows: the state is as it is when
-- the lock has been taken; version 0 when there is none.
--
--   Reads    arvo.state; as arvo_v1.acquire_lock
--   Writes   as arvo_v1.acquire_lock
--   Locks    as arvo_v1.acquire_lock
--   Raises   as arvo_v1.acquire_lock
DECLARE
    v_lock arvo_v1.lock;
    v_version bigint;
    v_data jsonb;
BEGIN
    SELECT taken.* INTO v_lock
    FROM arvo_v1.acquire_lock(p_subject, p_ttl, p_durable) AS taken;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- A statement of its own: it sees what the last holder committed.
    SELECT state.version, state.data INTO v_version, v_data
    FROM arvo.state
    WHERE state.subject_digest = arvo.subject_digest(p_subject);
    RETURN NEXT (
        v_lock.subject, v_lock.token, v_lock.expires_at, coalesce(v_version, 0), v_data
    )::arvo_v1.locked_state;
END;
$lock_state$;

COMMENT ON FUNCTION arvo_v1.lock_state(text, interval, boolean) IS
'Takes the time-limited lock on a subject and reads its state; no row when the lock is held.';

REVOKE ALL ON FUNCTION arvo_v1.lock_state(text, interval, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.lock_state(text, interval, boolean) TO arvo_worker;
--! end

--! function arvo_v1.look
-- arvo_v1.look(queues, limit, worker, limits, lease) — claim, without waiting for the disk.
CREATE OR REPLACE FUNCTION arvo_v1.look(
    p_queues text[],
    p_limit integer DEFAULT 1,
    p_worker text DEFAULT NULL,
    p_limits integer[] DEFAULT NULL,
    p_lease interval DEFAULT interval '30 seconds'
)
RETURNS SETOF arvo_v1.worked
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $look$
-- As work without results, in a transaction of its own, whose commit does not wait until it is on disk
-- (synchronous_commit = off, for this transaction). What a crash of the server may undo are claims,
-- promotions and fires of the last moments, together and in order: they are done again, and tokens
-- from before are refused. Nothing that came later and was waited for, such as a settlement, can
-- survive without them. In a transaction that has written before it is as work: what is there stays as
-- durable as its writer wants it. What is written afterwards does not: call claim there.
--
--   Reads    as arvo_v1.claim; arvo.deferred
--   Writes   as arvo_v1.claim
--   Locks    as arvo_v1.claim (which waits for none)
--   Raises   as arvo_v1.claim
BEGIN
    IF pg_current_xact_id_if_assigned() IS NULL THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    RETURN QUERY
    SELECT found.*
    FROM arvo_v1.work('[]', p_queues, p_limit, p_worker, p_limits, p_lease) AS found;
END;
$look$;

COMMENT ON FUNCTION arvo_v1.look(text[], integer, text, integer[], interval) IS
'Claims the next deliveries as work does, in a transaction whose commit does not wait for the disk.';

REVOKE ALL ON FUNCTION arvo_v1.look(text[], integer, text, integer[], interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.look(text[], integer, text, integer[], interval) TO arvo_worker;
--! end

--! function arvo_v1.maintain
-- arvo_v1.maintain() — what no claim does on its own.
CREATE OR REPLACE FUNCTION arvo_v1.maintain()
RETURNS SETOF arvo_v1.maintained
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $maintain$
-- Any number of sessions may call it; one at a time works, the others return at once. Bounded: each
-- task touches at most some thousand rows a call. One row for each task:
--
--   promoted  deferred deliveries that became due        unlocked  lapsed locks removed
--   healed    rows of expired leases taken back          keys      idle rows of keys removed
--   retired   unclaimed past retention: dead letters     notes     what was written down long ago
--   expired   parked past retention: dead letters        turned    steps of a turn of event_key
--   swept     deferred rows removed after promotion      finished  generations that are only history
--   tallied   lanes whose figures were carried on        opened, emptied  generations of history
--   workers   workers forgotten that are long gone
--
-- A task that fails is undone by itself and answered NULL, with a warning: the others are done all
-- the same. The last one may lock a part of the log for everybody: call this in a transaction of its
-- own, and commit at once. pg_cron may: SELECT * FROM arvo_v1.maintain().
--
--   Reads    as the functions called
--   Writes   as the functions called
--   Locks    the maintainer's lock, tried; then as the functions called, which wait for no lane and
--            no lease
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_task text;
    v_touched integer;
BEGIN
    PERFORM arvo.require_read_committed('maintain');
    PERFORM arvo.require_home();
    IF NOT pg_try_advisory_xact_lock(hashtext('arvo'), -1) THEN
        RETURN;
    END IF;
    PERFORM arvo.note_start();

    FOREACH v_task IN ARRAY '{promoted,tallied,healed,retired,expired,swept,unlocked,keys,notes,workers,turned,finished,opened,emptied}'::text[]
    LOOP
        BEGIN
            v_touched := CASE v_task
                WHEN 'promoted' THEN arvo.promote(5000)
                WHEN 'tallied' THEN arvo.tally_lanes()
                WHEN 'healed' THEN arvo.heal_lanes(32)
                WHEN 'retired' THEN arvo.retire_unclaimed(1000)
                WHEN 'expired' THEN arvo.expire_parked(1000)
                WHEN 'swept' THEN arvo.sweep_deferred(5000)
                WHEN 'unlocked' THEN arvo.sweep_locks(5000)
                WHEN 'keys' THEN arvo.sweep_keys(1000)
                WHEN 'notes' THEN arvo.sweep_notes(1000)
                WHEN 'workers' THEN arvo.forget_workers()::integer
                WHEN 'turned' THEN arvo.turn_event_keys()
                WHEN 'finished' THEN arvo.finish_generations()
                WHEN 'opened' THEN arvo.open_generation()
                WHEN 'emptied' THEN arvo.empty_generation()
            END;
        EXCEPTION WHEN OTHERS THEN
            v_touched := NULL;
            RAISE WARNING 'maintenance task % failed: % %', v_task, SQLSTATE, SQLERRM;
        END;
        RETURN NEXT (v_task, v_touched)::arvo_v1.maintained;
    END LOOP;
END;
$maintain$;

COMMENT ON FUNCTION arvo_v1.maintain() IS
'What no claim does on its own: promotes, heals, applies retention, sweeps, and turns history; any number of sessions may call it.';

REVOKE ALL ON FUNCTION arvo_v1.maintain() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.maintain() TO arvo_worker, arvo_operator;
--! end

--! function arvo_v1.register_queue
-- arvo_v1.register_queue(queue, options…) — create or update a queue, idempotently.
CREATE OR REPLACE FUNCTION arvo_v1.register_queue(
    p_queue text,
    p_stateful boolean DEFAULT NULL,
    p_priority integer DEFAULT NULL,
    p_retry_limit integer DEFAULT NULL,
    p_retry_delay interval DEFAULT NULL,
    p_retry_backoff boolean DEFAULT NULL,
    p_retry_delay_max interval DEFAULT NULL,
    p_expire_in interval DEFAULT NULL,
    p_dead_letter text DEFAULT NULL,
    p_warning_queue_size integer DEFAULT NULL,
    p_policy text DEFAULT NULL,
    p_key_from text DEFAULT NULL,
    p_on_failure text DEFAULT NULL,
    p_start_after interval DEFAULT NULL,
    p_retention interval DEFAULT NULL,
    p_delete_after interval DEFAULT NULL,
    p_deduplicate_for interval DEFAULT NULL,
    p_singleton_for interval DEFAULT NULL,
    p_singleton_next_slot boolean DEFAULT NULL,
    p_max_active integer DEFAULT NULL,
    p_key_max_active integer DEFAULT NULL,
    p_rate_limit integer DEFAULT NULL,
    p_rate_period interval DEFAULT NULL,
    p_key_rate_limit integer DEFAULT NULL,
    p_key_rate_period interval DEFAULT NULL,
    p_max_redrives integer DEFAULT NULL,
    p_error_rules jsonb DEFAULT NULL,
    p_reset text[] DEFAULT '{}',
    p_worker text DEFAULT NULL
)
RETURNS arvo_v1.queue
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $register_queue$
-- An option left NULL stays as it is, or takes its default in a new queue; one that p_reset names
-- goes back to its default. A stateful queue is ordered from its first registration, unless a policy
-- is named. The answer's "change" says what this call did: created, unchanged, or the options that
-- changed ("registered" is among them when events were already waiting under that name). A
-- dead-letter queue that does not exist is made. Events that arrived before the registration are
-- delivered from now on. When the policy changes, or the first limit comes or the last one goes, what
-- stood in line is delivered again, under the new rules. p_worker names the process: what it asked for is kept beside the queue.
--
--   Reads    arvo.clock
--   Writes   arvo.queue, arvo.lane, arvo.registration; as arvo.note_start and arvo.rebuild_turns
--   Locks    as arvo.hold_queue when there are new rules; arvo.queue row
--   Raises   RV002  an option is not valid
--            RV005  there are new rules, and the transaction is not READ COMMITTED
--            RV101  somebody else has changed the rules at this moment
--            RV902  there are new rules, and the stored transaction numbers are of another cluster
DECLARE
    v_now timestamptz := arvo.clock();
    v_known boolean;
    v_asked jsonb;
    v_before arvo.queue;
    v_after arvo.queue;
    v_fault text;
    v_change text;
    v_held boolean;
BEGIN
    v_asked := jsonb_strip_nulls(jsonb_build_object(
        'stateful', p_stateful, 'priority', p_priority, 'retry_limit', p_retry_limit,
        'retry_delay', p_retry_delay, 'retry_backoff', p_retry_backoff,
        'retry_delay_max', p_retry_delay_max, 'expire_in', p_expire_in,
        'dead_letter', p_dead_letter, 'warning_queue_size', p_warning_queue_size,
        'policy', p_policy, 'key_from', p_key_from, 'on_failure', p_on_failure,
        'start_after', p_start_after, 'retention', p_retention, 'delete_after', p_delete_after,
        'deduplicate_for', p_deduplicate_for, 'singleton_for', p_singleton_for,
        'singleton_next_slot', p_singleton_next_slot, 'max_active', p_max_active,
        'key_max_active', p_key_max_active, 'rate_limit', p_rate_limit,
        'rate_period', p_rate_period, 'key_rate_limit', p_key_rate_limit,
        'key_rate_period', p_key_rate_period, 'max_redrives', p_max_redrives
    )) || CASE
        WHEN p_error_rules IS NULL THEN '{}'::jsonb
        ELSE jsonb_build_object('error_rules', p_error_rules)
    END;
    v_before.name := p_queue;
    v_after := arvo.with_options(v_before, v_asked, p_reset);
    IF NOT arvo.is_queue_name(p_queue) OR p_dead_letter = p_queue
        OR NOT arvo.is_queue_name(coalesce(p_dead_letter, 'none'))
    THEN
        v_fault := arvo.option_fault(v_after);
    ELSE
        v_known := EXISTS (SELECT FROM arvo.queue WHERE queue.name = p_queue);
        -- Asked before anything is made: a refusal leaves no queue behind.
        SELECT queue.* INTO v_before FROM arvo.queue WHERE queue.name = p_queue;
        v_before.name := p_queue;
        v_after := arvo.with_options(v_before, v_asked, p_reset);
        v_fault := arvo.option_fault(v_after);
        IF v_fault IS NULL AND v_known AND v_after.policy = 'ordered' AND v_before.registered
            AND v_after.priority <> v_before.priority
        THEN
            v_fault := 'priority: an ordered queue keeps the priority that it has';
        END IF;
    END IF;
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION 'option is not valid'
        USING ERRCODE = 'RV002',
              COLUMN = split_part(v_fault, ':', 1),
              DETAIL = format('option %s of queue %s', split_part(v_fault, ':', 1),
                              left(to_json(p_queue)::text, 80)),
              HINT = format('For %s', v_fault);
    END IF;

    PERFORM arvo.note_start();
    PERFORM arvo.lane_for(p_queue);
    IF v_after.dead_letter IS NOT NULL THEN
        PERFORM arvo.lane_for(v_after.dead_letter);
    END IF;

    SELECT queue.* INTO STRICT v_before FROM arvo.queue WHERE queue.name = p_queue;
    v_held := arvo.has_new_rules(v_before, arvo.with_options(v_before, v_asked, p_reset));
    IF v_held THEN
        PERFORM arvo.require_read_committed('register_queue');
        PERFORM arvo.require_home();
        PERFORM arvo.hold_queue(v_before.queue);
    END IF;
    SELECT queue.* INTO STRICT v_before
    FROM arvo.queue
    WHERE queue.name = p_queue
    FOR NO KEY UPDATE;
    v_after := arvo.with_options(v_before, v_asked, p_reset);
    IF NOT v_held AND arvo.has_new_rules(v_before, v_after) THEN
        RAISE EXCEPTION 'version mismatch: the queue has other rules now'
        USING ERRCODE = 'RV101',
              COLUMN = 'policy',
              DETAIL = format('queue %s', left(to_json(p_queue)::text, 80)),
              HINT = 'Somebody registered it at the same moment: register it again.';
    END IF;

    UPDATE arvo.queue
    SET registered = true,
        stateful = v_after.stateful,
        priority = v_after.priority,
        retry_limit = v_after.retry_limit,
        retry_delay = v_after.retry_delay,
        retry_backoff = v_after.retry_backoff,
        retry_delay_max = v_after.retry_delay_max,
        expire_in = v_after.expire_in,
        dead_letter = v_after.dead_letter,
        warning_queue_size = v_after.warning_queue_size,
        policy = v_after.policy,
        key_from = v_after.key_from,
        on_failure = v_after.on_failure,
        start_after = v_after.start_after,
        retention = v_after.retention,
        delete_after = v_after.delete_after,
        deduplicate_for = v_after.deduplicate_for,
        singleton_for = v_after.singleton_for,
        singleton_next_slot = v_after.singleton_next_slot,
        max_active = v_after.max_active,
        key_max_active = v_after.key_max_active,
        rate_limit = v_after.rate_limit,
        rate_period = v_after.rate_period,
        key_rate_limit = v_after.key_rate_limit,
        key_rate_period = v_after.key_rate_period,
        max_redrives = v_after.max_redrives,
        error_rules = v_after.error_rules
    WHERE queue.queue = v_before.queue
    RETURNING queue.* INTO v_after;
    PERFORM arvo.lane_for(p_queue);
    IF arvo.has_new_rules(v_before, v_after) THEN
        PERFORM arvo.rebuild_turns(v_after);
    END IF;

    SELECT string_agg(was.key, ', ' ORDER BY was.key) INTO v_change
    FROM jsonb_each(to_jsonb(v_before) - 'gated' - 'slotted') AS was
    INNER JOIN jsonb_each(to_jsonb(v_after)) AS now ON now.key = was.key
    WHERE was.value IS DISTINCT FROM now.value;
    v_change := CASE WHEN v_known THEN coalesce(v_change, 'unchanged') ELSE 'created' END;
    IF v_change <> 'unchanged' THEN
        UPDATE arvo.queue SET changed_at = v_now WHERE queue.queue = v_before.queue;
        PERFORM arvo.wake(ARRAY[p_queue]);
    END IF;
    IF p_worker IS NOT NULL THEN
        INSERT INTO arvo.registration (queue, worker, options, at)
        VALUES (p_queue, left(p_worker, 200), v_asked, v_now)
        ON CONFLICT (queue, worker) DO UPDATE
        SET options = excluded.options, at = excluded.at;
    END IF;
    RETURN arvo.shown(v_after, v_change);
END;
$register_queue$;

COMMENT ON FUNCTION arvo_v1.register_queue(
    text, boolean, integer, integer, interval, boolean, interval, interval, text, integer, text,
    text, text, interval, interval, interval, interval, interval, boolean, integer, integer,
    integer, interval, integer, interval, integer, jsonb, text[], text
) IS
'Creates or updates a queue, idempotently; an option left NULL stays as it is. Says what changed.';

REVOKE ALL ON FUNCTION arvo_v1.register_queue(
    text, boolean, integer, integer, interval, boolean, interval, interval, text, integer, text,
    text, text, interval, interval, interval, interval, interval, boolean, integer, integer,
    integer, interval, integer, interval, integer, jsonb, text[], text
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.register_queue(
    text, boolean, integer, integer, interval, boolean, interval, interval, text, integer, text,
    text, text, interval, interval, interval, interval, interval, boolean, integer, integer,
    integer, interval, integer, interval, integer, jsonb, text[], text
) TO arvo_worker, arvo_operator;
--! end

DROP FUNCTION arvo_v1.release_lock(text, bigint);
--! function arvo_v1.release_lock
-- arvo_v1.release_lock(subject, token, durable) — give a lock back.
CREATE OR REPLACE FUNCTION arvo_v1.release_lock(
    p_subject text,
    p_token bigint,
    p_durable boolean DEFAULT true
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $release_lock$
-- Removes only the lock that was taken under this token; a stale token removes nothing and is
-- answered false. The subject's transaction lock keeps acquire_lock from waiting for this delete.
-- Without p_durable the commit does not wait for the disk: for a call that is a transaction of its own.
-- After a crash of the server the lock may be there again, until its time is over.
--
--   Reads    nothing
--   Writes   arvo.state_lock; the setting synchronous_commit of this transaction
--   Locks    the subject's transaction lock, then arvo.state_lock row
--   Raises   nothing
BEGIN
    IF NOT p_durable AND pg_current_xact_id_if_assigned() IS NULL THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    PERFORM pg_advisory_xact_lock(arvo.lock_key(p_subject));
    DELETE FROM arvo.state_lock
    WHERE state_lock.subject_digest = arvo.subject_digest(p_subject)
    AND state_lock.token = p_token;
    RETURN FOUND;
END;
$release_lock$;

COMMENT ON FUNCTION arvo_v1.release_lock(text, bigint, boolean) IS
'Releases the lock held under this token; false when it is not held under it.';

REVOKE ALL ON FUNCTION arvo_v1.release_lock(text, bigint, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.release_lock(text, bigint, boolean) TO arvo_worker;
--! end

--! function arvo_v1.rouse
-- arvo_v1.rouse(queues) — this session is awake again: no need to wake it.
CREATE OR REPLACE FUNCTION arvo_v1.rouse(p_queues text[])
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET client_min_messages = 'error'
AS $rouse$
-- Takes back one doze with the same names; answers whether there was one. The end of a session does so
-- by itself.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    releases what doze has taken
--   Raises   nothing
BEGIN
    RETURN coalesce(bool_and(released.done), false)
    FROM unnest(arvo.sleep_keys(p_queues)) AS registered (key)
    CROSS JOIN LATERAL pg_advisory_unlock_shared(hashtext('arvo_wake'), registered.key)
        AS released (done);
END;
$rouse$;

COMMENT ON FUNCTION arvo_v1.rouse(text[]) IS
'Takes back a call of doze with the same names; whether there was one.';

REVOKE ALL ON FUNCTION arvo_v1.rouse(text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.rouse(text[]) TO arvo_worker;
--! end

--! function arvo_v1.settle
-- arvo_v1.settle(results) — finish any number of deliveries, in one transaction.
CREATE OR REPLACE FUNCTION arvo_v1.settle(p_results jsonb)
RETURNS SETOF arvo_v1.settled
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $settle$
-- p_results is an array of objects:
--
--   lease, delivery   as claimed (numbers, or texts of digits)
--   outcome           completed, failed, released, snoozed or rejected
--   events            completed: array of events to emit
--   state             completed: {"subject", "data", "expected_version" and, for a first write,
--                     "parent_subject", "initiator", "source"}
--   error             failed, rejected: {"name", "message", "stack"}
--   after             failed, snoozed: seconds until the next attempt
--   run_time          microseconds that the handler ran
--
-- An item may also name several deliveries of its lease, all completed, without events or state:
--
--   deliveries        array of those deliveries; it stands for as many items in that order
--   run_times         array with a run_time for each, or null; may be left out
--
-- Each delivery gets its own verdict, with the place of its item; a refused one changes nothing and
-- spoils no other. What is plainly completed costs next to nothing (arvo.close_plain), one that is
-- completed by itself a third (arvo.close_one):
--
--   RV001  an emitted event is not valid           RV006  the item is malformed
--   RV101  the state had moved on: the delivery goes back at once, uncharged
--   RV301  the lease is not, or no longer, the caller's
--   RV303  an earlier delivery of its ordered key is still open
--
-- An item settled before under the same lease is answered "already" (not accepted, with code RV101,
-- if it ended in a conflict then). States, emitted events,
-- retries, dead letters and the journal are written together.
--
--   Reads    arvo.lease and arvo.closure by token, arvo.lane, arvo.queue, arvo.clock, arvo.slot
--   Writes   arvo.closure, arvo.dead; as arvo.close_one, arvo.close_plain, arvo.put_states, arvo.give_back,
--            arvo.pass_on, arvo.append_one and arvo.append
--   Locks    the leases, in order of their tokens; then as arvo.put_states; then as arvo.hold_homes;
--            then as arvo.give_back and arvo.append
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  p_results is not an array, or names more than 10000 deliveries
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_now timestamptz := arvo.clock();
    v_parted arvo.parted;
    v_items arvo.result[];
    v_events jsonb[];
    v_at integer;
    v_fault text;
    v_queue arvo.queue;
    v_lane integer;
    v_emitting boolean;
    v_ordered boolean;
    v_writing boolean;
    v_failing boolean;
    v_bound boolean;
    v_alone arvo_v1.dispatched;
    v_one arvo_v1.settled;
BEGIN
    PERFORM arvo.require_read_committed('settle');
    PERFORM arvo.require_home();
    v_one := arvo.close_one(p_results);
    IF v_one.lease IS NOT NULL THEN
        RETURN NEXT v_one;
        RETURN;
    END IF;
    v_parted := arvo.close_plain(p_results);
    IF v_parted.rest <> '[]' THEN
        SELECT array_agg(item ORDER BY item.ordinal) INTO v_items
        FROM arvo.read_results(v_parted.rest) AS item;
    END IF;
    IF v_items IS NULL THEN
        RETURN QUERY SELECT verdict.* FROM arvo.verdicts(v_parted, v_items) AS verdict;
        RETURN;
    END IF;

    -- A statement of its own: it must see what the last holder of the leases' locks committed.
    v_items := arvo.judge_results(v_items);

    -- Most results are plain: what none of them asks for is left out.
    SELECT
        bool_or(item.verdict IS NULL AND item.events <> '[]'),
        bool_or(item.place IS NOT NULL),
        bool_or(item.verdict IS NULL AND item.state IS NOT NULL),
        bool_or(item.verdict IS NULL AND item.asked <> 'completed')
    INTO v_emitting, v_ordered, v_writing, v_failing
    FROM unnest(v_items) AS item;

    IF v_emitting THEN
        FOR v_at, v_fault IN
            SELECT DISTINCT ON (item.ordinal) item.ordinal, arvo.event_fault(emitted.event)
            FROM unnest(v_items) AS item
            CROSS JOIN LATERAL jsonb_array_elements(item.events) AS emitted (event)
            WHERE item.verdict IS NULL AND arvo.event_fault(emitted.event) IS NOT NULL
            ORDER BY item.ordinal
        LOOP
            v_items[v_at].verdict := 'refused';
            v_items[v_at].code := 'RV001';
            v_items[v_at].detail := 'emitted event: ' || v_fault;
        END LOOP;
    END IF;

    IF v_ordered THEN
        v_items := arvo.order_results(v_items);
    END IF;

    IF v_writing THEN
        v_items := arvo.put_states(v_items);
    END IF;

    v_bound := arvo.hold_homes(v_items);

    IF v_failing
        OR (v_writing AND (cardinality(v_items) > 1 OR v_items[1].verdict = 'conflict'))
    THEN
        FOR v_at IN
            SELECT item.ordinal
            FROM unnest(v_items) AS item
            WHERE (item.verdict IS NULL AND item.asked <> 'completed') OR item.verdict = 'conflict'
            ORDER BY item.ordinal
        LOOP
            IF v_lane IS DISTINCT FROM v_items[v_at].lane THEN
                v_lane := v_items[v_at].lane;
                SELECT queue.* INTO STRICT v_queue
                FROM arvo.lane
                INNER JOIN arvo.queue ON queue.queue = lane.queue
                WHERE lane.lane = v_lane;
            END IF;
            v_items[v_at] := arvo.give_back(v_items[v_at], v_queue);
        END LOOP;
    END IF;

    INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
    SELECT
        arvo.slot(),
        item.lease,
        v_now,
        array_agg(item.delivery ORDER BY item.ordinal),
        CASE
            WHEN count(DISTINCT coalesce(item.verdict, 'completed')) = 1
                THEN ARRAY[min(coalesce(item.verdict, 'completed'))]
            ELSE array_agg(coalesce(item.verdict, 'completed') ORDER BY item.ordinal)
        END,
        array_agg(item.run_time ORDER BY item.ordinal)
    FROM unnest(v_items) AS item
    WHERE item.verdict IS NULL OR item.verdict NOT IN ('refused', 'already')
    GROUP BY item.lease;

    IF v_bound THEN
        PERFORM arvo.pass_on(v_items);
    END IF;

    UPDATE arvo.dead
    SET resolution = 'consumed', resolved_at = v_now, resolved_by = session_user
    FROM unnest(v_items) AS item
    WHERE item.verdict IS NULL
    AND dead.dead_letter_lane = item.lane
    AND dead.dead_letter_delivery = item.delivery
    AND dead.resolution IS NULL;

    IF v_emitting THEN
        SELECT array_agg(emitted.event ORDER BY item.ordinal, emitted.ordinal) INTO v_events
        FROM unnest(v_items) AS item
        CROSS JOIN LATERAL
            jsonb_array_elements(item.events) WITH ORDINALITY AS emitted (event, ordinal)
        WHERE item.verdict IS NULL;
        IF cardinality(v_events) = 1 THEN
            v_alone := arvo.append_one(v_events[1], false, true);
        END IF;
        IF v_events IS NOT NULL AND v_alone.delivery IS NULL THEN
            PERFORM arvo.append(v_events, NULL, false, true);
        END IF;
    END IF;

    RETURN QUERY SELECT verdict.* FROM arvo.verdicts(v_parted, v_items) AS verdict;
END;
$settle$;

COMMENT ON FUNCTION arvo_v1.settle(jsonb) IS
'Finishes deliveries: journals, writes states, emits events, retries or buries, all in one transaction.';

REVOKE ALL ON FUNCTION arvo_v1.settle(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.settle(jsonb) TO arvo_worker;
--! end

--! function arvo_v1.still_open
-- arvo_v1.still_open(transactions, within) — which of some transactions have not ended.
CREATE OR REPLACE FUNCTION arvo_v1.still_open(
    p_transactions bigint[],
    p_within interval DEFAULT interval '0'
)
RETURNS SETOF bigint
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $still_open$
-- For a session that dozes, of those that doze answered. Prepared ones are open. What has ended is
-- visible to the next statement, or was rolled back. Answers when one of them has ended, or after
-- p_within, a minute at most; it looks every 40 milliseconds, which is cheaper here than by calls. A
-- session that listens should not wait so: notifications are not delivered meanwhile.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_open bigint[];
BEGIN
    FOR v_round IN
        0 .. (
            greatest(least(extract(epoch FROM coalesce(p_within, interval '0')), 60), 0) / 0.04
        )::integer
    LOOP
        IF v_round > 0 THEN
            PERFORM pg_sleep(0.04);
        END IF;
        v_open := ARRAY(
            SELECT asked.xid
            FROM unnest(p_transactions) AS asked (xid)
            WHERE NOT pg_visible_in_snapshot(asked.xid::text::xid8, pg_current_snapshot())
        );
        EXIT WHEN v_open = '{}' OR cardinality(v_open) < cardinality(p_transactions);
    END LOOP;
    RETURN QUERY SELECT open.xid FROM unnest(v_open) AS open (xid);
END;
$still_open$;

COMMENT ON FUNCTION arvo_v1.still_open(bigint[], interval) IS
'Those of the given transactions that have not ended; waits for one to end, if asked to.';

REVOKE ALL ON FUNCTION arvo_v1.still_open(bigint[], interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.still_open(bigint[], interval) TO arvo_worker;
--! end

--! function arvo_v1.work
-- arvo_v1.work(results, queues, limit, worker, limits, lease) — settle, then claim: one round trip, one commit.
CREATE OR REPLACE FUNCTION arvo_v1.work(
    p_results jsonb DEFAULT '[]',
    p_queues text[] DEFAULT NULL,
    p_limit integer DEFAULT 1,
    p_worker text DEFAULT NULL,
    p_limits integer[] DEFAULT NULL,
    p_lease interval DEFAULT interval '30 seconds'
)
RETURNS SETOF arvo_v1.worked
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $work$
-- Answers, in this order: verdicts of kind "settled" (only those that are not plainly completed),
-- deliveries of kind "claimed", and one row of kind "idle" when nothing was claimed, which says when
-- something deferred becomes due: at once, if this very call appended something to these queues, and
-- soon, if another session was claiming where there is something to claim.
-- Nothing is claimed when p_queues is NULL or p_limit is 0.
--
--   Reads    as arvo_v1.settle and arvo_v1.claim; as arvo.has_own, arvo.next_due and arvo.next_room
--   Writes   as arvo_v1.settle and arvo_v1.claim
--   Locks    as arvo_v1.settle, then as arvo_v1.claim (which waits for none)
--   Raises   as arvo_v1.settle and arvo_v1.claim
--            55P03  somebody has held a lock for two seconds: settle the results one by one
DECLARE
    v_claiming boolean := p_queues IS NOT NULL AND p_limit IS DISTINCT FROM 0;
    v_parted arvo.parted;
    v_asked arvo.claimable;
    v_ahead arvo.ahead;
    v_all arvo.leased[];
    v_busy boolean;
    v_leased arvo.leased;
BEGIN
    IF v_claiming OR p_results IS DISTINCT FROM '[]' THEN
        PERFORM arvo.require_read_committed('work');
        PERFORM arvo.require_home();
    END IF;
    IF p_results IS DISTINCT FROM '[]' THEN
        IF (arvo.close_one(p_results)).lease IS NULL THEN
            v_parted := arvo.close_plain(p_results);
        END IF;
        IF v_parted.rest <> '[]' THEN
            RETURN QUERY
            SELECT
                'settled',
                verdict.lease,
                verdict.delivery,
                verdict.outcome,
                verdict.code,
                verdict.detail,
                NULL::text,
                NULL::integer,
                NULL::interval,
                NULL::jsonb,
                NULL::jsonb,
                NULL::jsonb,
                verdict.state_version,
                NULL::interval,
                NULL::bigint
            FROM arvo_v1.settle(v_parted.rest) WITH ORDINALITY AS verdict
            WHERE verdict.outcome <> 'completed'
            ORDER BY verdict.ordinality;
        END IF;
    END IF;
    IF NOT v_claiming THEN
        RETURN;
    END IF;

    v_asked := arvo.lanes_to_claim(p_queues, p_limit, p_limits, p_lease);
    v_ahead := arvo.look_ahead();
    IF v_ahead.due THEN
        PERFORM arvo.promote();
    END IF;
    v_all := arvo.claim_lanes(v_asked, p_limit, p_worker, p_limits, p_lease);
    v_busy := v_all IS NULL;
    IF v_busy THEN
        v_all := '{}';
    END IF;
    FOREACH v_leased IN ARRAY v_all LOOP
        IF v_leased.rows IS NULL THEN
            RETURN QUERY
            SELECT
                'claimed',
                claimed.lease,
                claimed.delivery,
                NULL::text,
                NULL::text,
                NULL::text,
                claimed.queue,
                claimed.attempt,
                claimed.expire_in,
                claimed.event,
                claimed.cause,
                claimed.state,
                claimed.state_version,
                NULL::interval,
                claimed.key
            FROM arvo.hand_out(v_leased.queue, v_leased.lease, v_leased.batch) AS claimed;
        ELSE
            RETURN QUERY
            SELECT
                'claimed',
                claimed.lease,
                claimed.delivery,
                NULL::text,
                NULL::text,
                NULL::text,
                claimed.queue,
                claimed.attempt,
                claimed.expire_in,
                claimed.event,
                claimed.cause,
                claimed.state,
                claimed.state_version,
                NULL::interval,
                claimed.key
            FROM unnest(v_leased.rows) AS claimed;
        END IF;
    END LOOP;
    IF cardinality(v_all) = 0 THEN
        RETURN NEXT (
            'idle', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
            CASE
                WHEN pg_current_xact_id_if_assigned() IS NOT NULL AND arvo.has_own(p_queues)
                    THEN interval '0'
                ELSE least(
                    CASE WHEN v_busy THEN interval '10 milliseconds' END,
                    CASE
                        WHEN v_ahead.due THEN arvo.next_due()
                        WHEN v_ahead.next_at IS NOT NULL
                            THEN greatest(v_ahead.next_at - arvo.clock(), interval '0')
                    END,
                    CASE WHEN v_asked.limited THEN arvo.next_room(p_queues) END
                )
            END,
            NULL
        )::arvo_v1.worked;
    END IF;
END;
$work$;

COMMENT ON FUNCTION arvo_v1.work(jsonb, text[], integer, text, integer[], interval) IS
'Settles results and claims the next deliveries, in one round trip and one commit.';

REVOKE ALL ON FUNCTION arvo_v1.work(jsonb, text[], integer, text, integer[], interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.work(jsonb, text[], integer, text, integer[], interval)
TO arvo_worker;
--! end

INSERT INTO arvo.revision (number, name, oldest_client, applied_at)
VALUES (4, '0004.before.fast-and-flat', 1, clock_timestamp());
