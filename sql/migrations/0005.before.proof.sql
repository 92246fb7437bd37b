-- proof
-- depends: 0004.before.fast-and-flat

SET LOCAL ROLE arvo_owner;
SET LOCAL lock_timeout = '5s';
SET LOCAL check_function_bodies = off;  -- blocks may refer to later blocks

CREATE TABLE arvo.import_mark (
    subject_digest bytea NOT NULL,
    version bigint NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT import_mark_subject_digest_pkey PRIMARY KEY (subject_digest),
    CONSTRAINT import_mark_version_check CHECK (version >= 1)
);
COMMENT ON TABLE arvo.import_mark IS
'States that were taken over from elsewhere: while a state has this version, nobody has written it here. Swept after 90 days.';
COMMENT ON COLUMN arvo.import_mark.subject_digest IS 'SHA-256 of the subject.';
COMMENT ON COLUMN arvo.import_mark.version IS 'The version that was taken last.';
COMMENT ON COLUMN arvo.import_mark.at IS 'When it was taken.';
CREATE INDEX import_mark_at_idx ON arvo.import_mark (at);

CREATE TABLE arvo.state_retention (
    source text NOT NULL,
    age interval NOT NULL,
    changed_at timestamptz NOT NULL,
    changed_by text NOT NULL,
    CONSTRAINT state_retention_source_pkey PRIMARY KEY (source),
    CONSTRAINT state_retention_age_check
    CHECK (age >= interval '1 minute' AND age <= interval '3650 days')
);
COMMENT ON TABLE arvo.state_retention IS
'How long states of finished workflows are kept; without a row for their handler or for all, for ever.';
COMMENT ON COLUMN arvo.state_retention.source IS 'The handler; empty for all that have no row of their own.';
COMMENT ON COLUMN arvo.state_retention.age IS 'Time since the last write.';
COMMENT ON COLUMN arvo.state_retention.changed_at IS 'When this was decided.';
COMMENT ON COLUMN arvo.state_retention.changed_by IS 'Which login role decided it.';

CREATE TABLE arvo.state_round (
    only_row boolean NOT NULL DEFAULT true,
    after_digest bytea NOT NULL,
    CONSTRAINT state_round_only_row_pkey PRIMARY KEY (only_row),
    CONSTRAINT state_round_only_row_check CHECK (only_row)
) WITH (fillfactor = 50);
COMMENT ON TABLE arvo.state_round IS
'How far the round over all states has come that removes old ones; one row, updated in place.';
COMMENT ON COLUMN arvo.state_round.only_row IS 'There is one row.';
COMMENT ON COLUMN arvo.state_round.after_digest IS 'SHA-256 of the last subject looked at; empty at the start.';
INSERT INTO arvo.state_round (after_digest) VALUES ('');

CREATE TYPE arvo_v1.imported AS (
    ordinal integer,
    subject text,
    outcome text,
    version bigint,
    code text,
    detail text
);
COMMENT ON TYPE arvo_v1.imported IS 'What became of one row of a foreign memory.';
COMMENT ON COLUMN arvo_v1.imported.ordinal IS 'Its place in the array that was given, from 1.';
COMMENT ON COLUMN arvo_v1.imported.subject IS 'The workflow; NULL when the row names none.';
COMMENT ON COLUMN arvo_v1.imported.outcome IS
'taken, updated (a newer version of what was taken before), placed (only its place in the tree, or its lock), present, or refused.';
COMMENT ON COLUMN arvo_v1.imported.version IS 'The version that is stored here afterwards; NULL for none.';
COMMENT ON COLUMN arvo_v1.imported.code IS
'Why it was refused, or is present: row, subject, data, version, time, foreign, locked, busy, diverged, or gone.';
COMMENT ON COLUMN arvo_v1.imported.detail IS 'The same with its facts.';

CREATE TYPE arvo_v1.state_retention AS (
    source text,
    age interval,
    changed_at timestamptz,
    changed_by text
);
COMMENT ON TYPE arvo_v1.state_retention IS 'How long states of finished workflows are kept.';
COMMENT ON COLUMN arvo_v1.state_retention.source IS 'The handler; NULL for all that have no rule of their own.';
COMMENT ON COLUMN arvo_v1.state_retention.age IS 'Time since the last write.';
COMMENT ON COLUMN arvo_v1.state_retention.changed_at IS 'When this was decided.';
COMMENT ON COLUMN arvo_v1.state_retention.changed_by IS 'Which login role decided it.';

-- ---------------------------------------------------------------------------------------------
-- permissions per queue, and who acted
-- ---------------------------------------------------------------------------------------------

CREATE TABLE arvo.queue_guard (
    queue text NOT NULL,
    may text NOT NULL,
    roles text[] NOT NULL,
    changed_at timestamptz NOT NULL,
    changed_by text NOT NULL,
    CONSTRAINT queue_guard_may_queue_pkey PRIMARY KEY (may, queue),
    CONSTRAINT queue_guard_may_check CHECK (may IN ('dispatch', 'consume', 'operate', 'read'))
);
COMMENT ON TABLE arvo.queue_guard IS
'What is closed to all but some roles: dispatch, consume, operate; and read, open to none but some.';
COMMENT ON COLUMN arvo.queue_guard.queue IS 'Name of a queue; ending in * all that begin so.';
COMMENT ON COLUMN arvo.queue_guard.may IS 'dispatch, consume, operate or read.';
COMMENT ON COLUMN arvo.queue_guard.roles IS
'Whose members may, by name: a role of that name in a restored copy may, too. None: superusers only.';
COMMENT ON COLUMN arvo.queue_guard.changed_at IS 'When a role was added or taken away last.';
COMMENT ON COLUMN arvo.queue_guard.changed_by IS 'By which login role.';
CREATE INDEX queue_guard_star_idx ON arvo.queue_guard (may, queue) WHERE queue LIKE '%*';
COMMENT ON INDEX arvo.queue_guard_star_idx IS 'Guards that stand for many queues, of thousands.';

ALTER TABLE arvo.queue
ADD COLUMN guarded boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN arvo.queue.guarded IS
'Whether something in queue_guard is about it: only then is anybody asked who he is.';

ALTER TABLE arvo.operation
ADD COLUMN role text;
COMMENT ON COLUMN arvo.operation.role IS 'The role that it was done as, by SET ROLE; NULL: the login role.';

CREATE TYPE arvo_v1.queue_grant AS (
    queue text,
    may text,
    roles text[],
    changed_at timestamptz,
    changed_by text
);
COMMENT ON TYPE arvo_v1.queue_grant IS 'Who may do something with a queue that not everybody may.';
COMMENT ON COLUMN arvo_v1.queue_grant.queue IS 'Name of a queue; ending in * all that begin so.';
COMMENT ON COLUMN arvo_v1.queue_grant.may IS 'dispatch, consume, operate or read.';
COMMENT ON COLUMN arvo_v1.queue_grant.roles IS 'Roles whose members may; empty: superusers only.';
COMMENT ON COLUMN arvo_v1.queue_grant.changed_at IS 'When a role was added or taken away last.';
COMMENT ON COLUMN arvo_v1.queue_grant.changed_by IS 'By which login role.';

ALTER TYPE arvo_v1.operation
ADD ATTRIBUTE role text;
COMMENT ON COLUMN arvo_v1.operation.role IS 'The role that it was done as; NULL: the login role.';

-- ---------------------------------------------------------------------------------------------
-- gauge: what a monitoring system is to plot
-- ---------------------------------------------------------------------------------------------

CREATE TYPE arvo_v1.gauge AS (
    name text,
    queue text,
    priority integer,
    state text,
    value double precision
);
COMMENT ON TYPE arvo_v1.gauge IS 'One figure for a monitoring system.';
COMMENT ON COLUMN arvo_v1.gauge.name IS 'Name of the metric, as docs/telemetry.md explains it.';
COMMENT ON COLUMN arvo_v1.gauge.queue IS
'Of which queue; an empty text for all queues beyond the limit together; NULL: of the installation.';
COMMENT ON COLUMN arvo_v1.gauge.priority IS 'Of which lane of the queue; NULL: of all.';
COMMENT ON COLUMN arvo_v1.gauge.state IS 'Of which state or room; NULL where there is one only.';
COMMENT ON COLUMN arvo_v1.gauge.value IS 'The figure: a count, seconds, bytes, a share of 1, or 1 for yes and 0 for no.';

-- ---------------------------------------------------------------------------------------------
-- history_entry: what history() tells
-- ---------------------------------------------------------------------------------------------

CREATE TYPE arvo_v1.history_entry AS (
    position text,
    delivery bigint,
    queue text,
    attempt integer,
    outcome text,
    accepted_at timestamptz,
    claimed_at timestamptz,
    settled_at timestamptz,
    run_time interval,
    worker text,
    event jsonb,
    cause jsonb
);
COMMENT ON TYPE arvo_v1.history_entry IS 'One delivery of the log, with its event.';
COMMENT ON COLUMN arvo_v1.history_entry.position IS
'Where it stands; as p_after it asks for what comes next.';
COMMENT ON COLUMN arvo_v1.history_entry.delivery IS 'Number of the delivery.';
COMMENT ON COLUMN arvo_v1.history_entry.queue IS 'The queue it is, or was, in.';
COMMENT ON COLUMN arvo_v1.history_entry.attempt IS 'Counted from 1.';
COMMENT ON COLUMN arvo_v1.history_entry.outcome IS
'What became of it, or queued, waiting, active, withdrawn and so on: as in arvo_v1.step.';
COMMENT ON COLUMN arvo_v1.history_entry.accepted_at IS 'When it was appended.';
COMMENT ON COLUMN arvo_v1.history_entry.claimed_at IS 'When it was claimed.';
COMMENT ON COLUMN arvo_v1.history_entry.settled_at IS 'When it was settled.';
COMMENT ON COLUMN arvo_v1.history_entry.run_time IS 'How long the handler ran.';
COMMENT ON COLUMN arvo_v1.history_entry.worker IS 'Who claimed it.';
COMMENT ON COLUMN arvo_v1.history_entry.event IS 'The event whole.';
COMMENT ON COLUMN arvo_v1.history_entry.cause IS
'Why this delivery exists, when it is not the first of its event.';

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
--   Raises   RV007  the queue is closed to the caller, and it is not an emitted event
--            40001  as arvo.note_key
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
    v_guarded boolean;
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
        queue.guarded,
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
    INTO v_queue, v_lane, v_window, v_key_from, v_guarded, v_slot, v_number, v_home
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
    IF v_guarded AND NOT p_emitted THEN
        PERFORM arvo.require_right(ARRAY[v_name], 'dispatch');
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
-- twice only: for what is to be known of them, and to be stored. The keys are those of
-- arvo.event_digest, which as an expression takes a third of the time.
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
    v_ids text[];
    v_domained boolean[];
    v_names text[];
    v_keys bytea[];
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
    SELECT
        array_agg(told.id),
        array_agg(told.domain IS NOT NULL),
        array_agg(coalesce('arvo.domain.' || told.domain, told.name)),
        array_agg(told.key)
    INTO v_ids, v_domained, v_names, v_keys
    FROM (
        SELECT
            item.event ->> 'id' AS id,
            CASE WHEN NOT p_ignore_domain THEN item.event ->> 'domain' END AS domain,
            coalesce(item.event ->> 'to', item.event ->> 'type') AS name,
            substr(
                sha256(convert_to(
                    concat(
                        length(item.event ->> 'source'), ':', item.event ->> 'source',
                        item.event ->> 'id'
                    ),
                    'UTF8'
                )),
                1, 16
            ) AS key
        FROM unnest(p_events) WITH ORDINALITY AS item (event, ordinal)
        ORDER BY item.ordinal
    ) AS told;
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
            v_keys,
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
        item.id,
        coalesce(item.first, item.delivery),
        v_targets[item.target],
        CASE
            WHEN item.first IS NOT NULL THEN 'duplicate'
            WHEN item.domained THEN 'domained'
            ELSE 'queued'
        END
    FROM unnest(v_ids, v_domained, v_at, v_deliveries, v_first) WITH ORDINALITY
        AS item (id, domained, target, delivery, first, ordinal)
    ORDER BY item.ordinal;
END;
$append_plain$;

COMMENT ON FUNCTION arvo.append_plain(jsonb[], boolean, boolean) IS
'Appends plain events, in order; no rows when they take more than that.';

REVOKE ALL ON FUNCTION arvo.append_plain(jsonb[], boolean, boolean) FROM PUBLIC;
--! end

--! function arvo.bar_results
-- arvo.bar_results(items) — refuse results of queues that are closed to the caller, and into such.
CREATE OR REPLACE FUNCTION arvo.bar_results(p_items arvo.result[])
RETURNS arvo.result[]
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $bar_results$
-- A number of a lease can be guessed: what was leased from a queue is settled by those who may consume
-- it. What a handler emits, its worker dispatches. Each is refused by itself, with RV007.
--
--   Reads    arvo.lane, arvo.queue; as arvo.may and arvo.barred_to
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_items arvo.result[] := p_items;
    v_item arvo.result;
    v_queue text;
    v_right text;
BEGIN
    FOREACH v_item IN ARRAY p_items LOOP
        CONTINUE WHEN v_item.verdict IS NOT NULL;
        v_right := 'consume';
        SELECT queue.name INTO v_queue
        FROM arvo.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        WHERE lane.lane = v_item.lane AND NOT arvo.may(queue.name, 'consume');
        IF NOT FOUND AND v_item.events <> '[]' THEN
            v_right := 'dispatch';
            v_queue := arvo.barred_to(v_item.events);
        END IF;
        IF v_queue IS NOT NULL THEN
            v_item.verdict := 'refused';
            v_item.code := 'RV007';
            v_item.detail := arvo.closed_detail(v_queue, v_right);
            v_items[v_item.ordinal] := v_item;
        END IF;
    END LOOP;
    RETURN v_items;
END;
$bar_results$;

COMMENT ON FUNCTION arvo.bar_results(arvo.result[]) IS
'Refuses results whose queue, or the queue of what they emit, is closed to the caller.';

REVOKE ALL ON FUNCTION arvo.bar_results(arvo.result[]) FROM PUBLIC;
--! end

--! function arvo.barred_to
-- arvo.barred_to(events) — a queue that emitted events go to, and the caller may not.
CREATE OR REPLACE FUNCTION arvo.barred_to(p_events jsonb)
RETURNS text
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $barred_to$
-- The first by name; NULL when there is none. p_events is an array of events that have been checked.
--
--   Reads    as arvo.goes_to and arvo.may
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT min(named.name COLLATE "C")
FROM unnest(arvo.goes_to(ARRAY(
    SELECT emitted.event FROM jsonb_array_elements(p_events) AS emitted (event)
))) AS named (name)
WHERE NOT arvo.may(named.name, 'dispatch');
$barred_to$;

COMMENT ON FUNCTION arvo.barred_to(jsonb) IS
'A queue that emitted events go to although the caller may not dispatch there.';

REVOKE ALL ON FUNCTION arvo.barred_to(jsonb) FROM PUBLIC;
--! end

--! function arvo.caller
-- arvo.caller() — the role that the session acts as.
CREATE OR REPLACE FUNCTION arvo.caller()
RETURNS text
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $caller$
-- What SET ROLE has chosen, else the login role: the one whose privileges a call from outside has.
-- current_user says nothing here, within functions that act as the owner. A function of the caller's
-- that is SECURITY DEFINER does not change it: rights are those of the session, not of that owner.
--
--   Reads    the setting role
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT coalesce(nullif(current_setting('role', true), 'none'), session_user);
$caller$;

COMMENT ON FUNCTION arvo.caller() IS
'The role that the session acts as: that of SET ROLE, else the login role.';

REVOKE ALL ON FUNCTION arvo.caller() FROM PUBLIC;
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
--   Reads    arvo.lease and arvo.closure by token, arvo.lane, arvo.queue, arvo.queue_guard,
--            arvo.dead, arvo.clock, arvo.slot
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
        OR arvo.json_fault(v_state -> 'data', 67108864) IS NOT NULL
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
        holder.guarded,
        CASE
            WHEN v_events <> '[]' THEN EXISTS (
                SELECT FROM arvo.queue_guard AS guard WHERE guard.may = 'dispatch'
            )
            ELSE false  -- of NULL AND the second half is asked as well
        END AS barring,
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
    IF (v_held.guarded AND NOT arvo.may((v_held.queue).name, 'consume'))
        OR (v_held.barring AND arvo.barred_to(v_events) IS NOT NULL)
    THEN
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
                queue.guarded,
                queue.name,
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
        CONTINUE WHEN v_held.guarded AND NOT arvo.may(v_held.name, 'consume');

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

--! function arvo.closed_detail
-- arvo.closed_detail(queue, right) — what is said of a queue that is closed to the caller.
CREATE OR REPLACE FUNCTION arvo.closed_detail(p_queue text, p_right text)
RETURNS text
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $closed_detail$
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT format(
    'queue: %s, right: %s, role: %s', left(to_json(p_queue)::text, 80), p_right,
    left(to_json(arvo.caller())::text, 80)
);
$closed_detail$;

COMMENT ON FUNCTION arvo.closed_detail(text, text) IS
'Names the queue, the right and the role of a refusal.';

REVOKE ALL ON FUNCTION arvo.closed_detail(text, text) FROM PUBLIC;
--! end

--! function arvo.covers
-- arvo.covers(pattern, name) — whether a name, or one with a star, stands for a queue.
CREATE OR REPLACE FUNCTION arvo.covers(p_pattern text, p_name text)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $covers$
-- A name that ends in * stands for every name that begins so; p_name may be such a pattern itself.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT CASE
    WHEN p_pattern LIKE '%*' THEN starts_with(p_name, left(p_pattern, -1))
    ELSE p_name = p_pattern
END;
$covers$;

COMMENT ON FUNCTION arvo.covers(text, text) IS
'Whether a name, or a beginning with a star, stands for a queue.';

REVOKE ALL ON FUNCTION arvo.covers(text, text) FROM PUBLIC;
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
-- PostgreSQL prints the event: at most 1 MiB (1,048,576 bytes). Numbers have at most 4000 digits, and
-- values are nested at most 512 deep.
--
-- Nearly every event breaks none, and is let in by one expression: a small one without extensions, and
-- with its time as ArvoEvent and JavaScript write it. What that does not let in is looked through rule
-- by rule; it must not let in what breaks a rule below. A jsonpath, because a constant costs nothing to
-- set up; "is unknown" is how it says that an attribute is not there. A time whose separators stand in
-- their places, and which has only digits beside them, needs no regular expression. So small an event
-- is nested less than 512 deep, for a level takes eight bytes; numbers are in data and executionunits.
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
        p_event @@ 'strict $.id > "" && $.source > "" && $.subject > ""
            && $.data.type() == "object"
            && $.type like_regex "^[a-z0-9]+([.][a-z0-9]+)+[.][a-z0-9]+$"
            && ($.specversion == "1.0" || ($.specversion == null) is unknown)
            && ($.datacontenttype > "" || ($.datacontenttype == null) is unknown)
            && ($.to == null || $.to like_regex "^[A-Za-z0-9._~:/?#@!$&()+,;=%-]+$" || ($.to == null) is unknown)
            && ($.domain == null || $.domain like_regex "^[a-z0-9.]+$" || ($.domain == null) is unknown)
            && ($.accesscontrol == null || $.accesscontrol > "" || ($.accesscontrol == null) is unknown)
            && ($.redirectto == null || $.redirectto > "" || ($.redirectto == null) is unknown)
            && ($.dataschema == null || $.dataschema > "" || ($.dataschema == null) is unknown)
            && ($.parentid == null || $.parentid > "" || ($.parentid == null) is unknown)
            && ($.traceparent == null || $.traceparent > "" || ($.traceparent == null) is unknown)
            && ($.tracestate == null || $.tracestate > "" || ($.tracestate == null) is unknown)
            && ($.executionunits == null || $.executionunits.type() == "number"
                || ($.executionunits == null) is unknown)'
    ) IS TRUE
        AND p_event - '{id,to,data,time,type,domain,source,subject,parentid,dataschema,redirectto,tracestate,specversion,traceparent,accesscontrol,executionunits,datacontenttype}'::text[] = '{}'
        AND (
            p_event ->> 'time' LIKE '____-__-__T__:__:__._%+__:__'
                AND translate(p_event ->> 'time', '0123456789', '') = '--T::.+:'
            OR p_event ->> 'time' LIKE '____-__-__T__:__:__._%Z'
                AND translate(p_event ->> 'time', '0123456789', '') = '--T::.Z'
            OR NOT p_event ? 'time'
        )
        AND pg_column_size(p_event || '{}') <= 4096
        AND length(coalesce(p_event ->> 'to', p_event ->> 'type')) <= 512
        AND coalesce(length(p_event ->> 'domain') <= 400, true)
        AND octet_length((p_event -> 'data')::text) <= 4000
        AND coalesce(length(p_event ->> 'executionunits') <= 4000, true)
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
    -- What clients cannot read would stop the claims that hand it out: Python reads whole numbers of
    -- up to 4300 digits, and goes some 900 levels deep. The expression above lets in less of both.
    IF p_event @? 'strict $.** ? (@ >= 1e4000 || @ <= -1e4000)' THEN
        RETURN 'event: must not have numbers of more than 4000 digits';
    END IF;
    IF p_event @? '$.**{513 to last}' THEN
        RETURN 'event: must not be nested deeper than 512 levels';
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

--! function arvo.find_dead
-- arvo.find_dead(filter, after, limit, resolved) — the next dead letters that pass a filter.
CREATE OR REPLACE FUNCTION arvo.find_dead(
    p_filter arvo.dead_filter,
    p_after bigint,
    p_limit integer,
    p_resolved boolean
)
RETURNS SETOF arvo.dead
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET jit = off
SET plan_cache_mode = force_custom_plan
AS $find_dead$
-- In the order of their numbers, from the first after p_after; with p_resolved the resolved ones
-- too. One branch runs: by number, else by subject, else by queue (the one they failed in and the
-- one that received them), else in order. Each asks for an order that only its own index has:
-- any other plan would walk over all that was ever resolved. Letters of queues that the caller may not
-- operate are not there for him.
--
--   Reads    arvo.dead, arvo.queue_guard; as arvo.may
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_by text := CASE
        WHEN p_filter.dead IS NOT NULL THEN 'number'
        WHEN p_filter.subject IS NOT NULL THEN 'subject'
        WHEN p_filter.queue IS NOT NULL THEN 'queue'
        ELSE 'order'
    END;
    -- Nothing but a queue is asked for: then its branches need not look at any letter.
    v_all boolean := num_nonnulls(
        p_filter.dead, p_filter.reason, p_filter.since, p_filter.before, p_filter.event_type,
        p_filter.subject, p_filter.path, p_filter.contains
    ) = 0;
    v_guarded boolean := EXISTS (
        SELECT FROM arvo.queue_guard AS guard WHERE guard.may = 'operate'
    );
BEGIN
    RETURN QUERY
    SELECT found.*
    FROM (
        (
            SELECT letter.*
            FROM arvo.dead AS letter
            WHERE v_by = 'number'
            AND letter.dead = ANY (p_filter.dead)
            AND letter.dead > p_after
            AND (p_resolved OR coalesce(letter.resolution, 'open') = 'open')
            AND (NOT v_guarded OR arvo.may(letter.queue, 'operate'))
            AND arvo.dead_fits(letter, p_filter)
            OFFSET 0
        )
        UNION ALL
        (
            SELECT letter.*
            FROM arvo.dead AS letter
            WHERE v_by = 'subject'
            AND letter.subject_key = hashtextextended(p_filter.subject, 0)
            AND letter.dead > p_after
            AND (p_resolved OR coalesce(letter.resolution, 'open') = 'open')
            AND (NOT v_guarded OR arvo.may(letter.queue, 'operate'))
            AND arvo.dead_fits(letter, p_filter)
            OFFSET 0
        )
        UNION ALL
        (
            SELECT letter.*
            FROM arvo.dead AS letter
            WHERE v_by = 'queue'
            AND letter.resolution IS NULL
            AND (letter.queue, letter.dead) > (p_filter.queue, p_after)
            AND letter.queue <= p_filter.queue
            AND (NOT v_guarded OR arvo.may(letter.queue, 'operate'))
            AND (v_all OR arvo.dead_fits(letter, p_filter))
            ORDER BY letter.queue, letter.dead
            LIMIT p_limit
        )
        UNION ALL
        (
            SELECT letter.*
            FROM arvo.dead AS letter
            WHERE v_by = 'queue'
            AND letter.resolution IS NULL
            AND (letter.dead_letter, letter.dead) > (p_filter.queue, p_after)
            AND letter.dead_letter <= p_filter.queue
            AND letter.queue <> p_filter.queue
            AND (NOT v_guarded OR arvo.may(letter.queue, 'operate'))
            AND (v_all OR arvo.dead_fits(letter, p_filter))
            ORDER BY letter.dead_letter, letter.dead
            LIMIT p_limit
        )
        UNION ALL
        (
            SELECT letter.*
            FROM arvo.dead AS letter
            WHERE v_by = 'queue'
            AND p_resolved
            AND letter.resolution IS NOT NULL
            AND (letter.queue, letter.dead) > (p_filter.queue, p_after)
            AND letter.queue <= p_filter.queue
            AND (NOT v_guarded OR arvo.may(letter.queue, 'operate'))
            AND (v_all OR arvo.dead_fits(letter, p_filter))
            ORDER BY letter.queue, letter.dead
            LIMIT p_limit
        )
        UNION ALL
        (
            SELECT letter.*
            FROM arvo.dead AS letter
            WHERE v_by = 'queue'
            AND p_resolved
            AND letter.resolution IS NOT NULL
            AND (letter.dead_letter, letter.dead) > (p_filter.queue, p_after)
            AND letter.dead_letter <= p_filter.queue
            AND letter.queue <> p_filter.queue
            AND (NOT v_guarded OR arvo.may(letter.queue, 'operate'))
            AND (v_all OR arvo.dead_fits(letter, p_filter))
            ORDER BY letter.dead_letter, letter.dead
            LIMIT p_limit
        )
        UNION ALL
        (
            SELECT letter.*
            FROM arvo.dead AS letter
            WHERE v_by = 'order'
            AND NOT p_resolved
            AND letter.resolution IS NULL
            AND letter.dead > p_after
            AND (NOT v_guarded OR arvo.may(letter.queue, 'operate'))
            AND (v_all OR arvo.dead_fits(letter, p_filter))
            ORDER BY letter.resolution, letter.dead
            LIMIT p_limit
        )
        UNION ALL
        (
            SELECT letter.*
            FROM arvo.dead AS letter
            WHERE v_by = 'order'
            AND p_resolved
            AND letter.dead > p_after
            AND (NOT v_guarded OR arvo.may(letter.queue, 'operate'))
            AND (v_all OR arvo.dead_fits(letter, p_filter))
            ORDER BY letter.dead
            LIMIT p_limit
        )
    ) AS found
    ORDER BY found.dead
    LIMIT p_limit;
END;
$find_dead$;

COMMENT ON FUNCTION arvo.find_dead(arvo.dead_filter, bigint, integer, boolean) IS
'The next dead letters that pass a filter, in order, by index.';

REVOKE ALL ON FUNCTION arvo.find_dead(arvo.dead_filter, bigint, integer, boolean) FROM PUBLIC;
--! end

--! function arvo.find_deliveries
-- arvo.find_deliveries(filter…, places, limit) — the live deliveries that an operator means.
CREATE OR REPLACE FUNCTION arvo.find_deliveries(
    p_delivery bigint[],
    p_queue text,
    p_event_id text,
    p_event_type text,
    p_subject text,
    p_tree text,
    p_before timestamptz,
    p_path jsonpath,
    p_text text,
    p_places text[],
    p_limit integer,
    p_but integer[] DEFAULT '{}'
)
RETURNS SETOF arvo.finding
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $find_deliveries$
-- Looks without any lock: what it says is to be looked at again under the locks. What is NULL does not
-- filter; at least one must be given. Dead letters come first, what is due later last. By event, subject or tree it looks only at their rows; otherwise
-- it reads what waits, from each lane's cursor on, in order, until it has p_limit: the cost grows with
-- the backlog, not with history. p_before is when the delivery was appended or put off. Dead letters
-- are meant by number, event and tree only. A dead letter that lies in a dead-letter queue is the
-- delivery there. What has been withdrawn is over, and not found. Lanes in p_but are passed over, and
-- what the caller may not operate; p_but NULL: nothing is, for upkeep that asks whether there is anything.
--
--   Reads    arvo.queue, arvo.lane, arvo.lease, arvo.closure, arvo.log, arvo.parked, arvo.deferred,
--            arvo.promotion, arvo.tombstone, arvo.dead, arvo.lineage; as arvo.may
--   Writes   nothing
--   Locks    nothing
--   Raises   RV003  the queue is not known
--            RV006  nothing is given, or limit or path are not valid
DECLARE
    v_queue integer;
    v_subjects text[];
    v_wanted bigint[];
    v_guarded boolean := false;
    v_content boolean := num_nonnulls(
        p_event_id, p_event_type, p_subject, p_tree, p_path, p_text
    ) > 0;
    v_left integer := p_limit;
    v_got integer;
    v_passed arvo.promotion;
    v_lane record;
    v_head arvo.lease;
    v_from_xid xid8;
    v_from_delivery bigint;
BEGIN
    IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'limit',
              DETAIL = format('limit: %s', p_limit),
              HINT = 'Use 1 to 10000, and call again for the rest.';
    ELSIF NOT v_content AND num_nonnulls(p_delivery, p_queue, p_before) = 0 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'delivery',
              DETAIL = 'Nothing says which deliveries are meant.',
              HINT = 'Give numbers of deliveries, an event, a queue, or another filter.';
    END IF;
    PERFORM arvo.require_path(p_path);
    IF p_but IS NULL THEN
        p_but := '{}';
    ELSIF EXISTS (SELECT FROM arvo.queue_guard AS guard WHERE guard.may = 'operate') THEN
        p_but := p_but || ARRAY(
            SELECT lane.lane
            FROM arvo.queue
            INNER JOIN arvo.lane ON lane.queue = queue.queue
            WHERE NOT arvo.may(queue.name, 'operate')
        );
        v_guarded := true;
    END IF;
    IF p_queue IS NOT NULL THEN
        v_queue := (arvo.known_queue(p_queue)).queue;
    END IF;
    IF p_tree IS NOT NULL THEN
        SELECT array_agg(DISTINCT kin.subject) INTO v_subjects
        FROM (
            SELECT p_tree AS subject
            UNION ALL
            SELECT relative.subject FROM arvo_v1.lineage(p_tree) AS relative
        ) AS kin
        WHERE p_subject IS NULL OR kin.subject = p_subject;
        v_subjects := coalesce(v_subjects, '{}');
    ELSIF p_subject IS NOT NULL THEN
        v_subjects := ARRAY[p_subject];
    END IF;
    IF p_delivery IS NOT NULL THEN
        v_wanted := p_delivery || ARRAY(
            SELECT dead.dead_letter_delivery
            FROM arvo.dead
            WHERE dead.resolution IS NULL
            AND dead.delivery = ANY (p_delivery)
            AND dead.dead_letter_delivery IS NOT NULL
        );
    END IF;

    IF 'dead' = ANY (p_places) AND num_nonnulls(p_delivery, p_event_id, p_tree) > 0 THEN
        RETURN QUERY
        SELECT
            dead.delivery, 'dead', NULL::integer, NULL::xid8, dead.event_key, NULL::bigint,
            dead.dead, dead.queue, dead.event_id
        FROM arvo.dead
        WHERE dead.resolution IS NULL
        AND dead.dead_letter_delivery IS NULL
        AND (p_queue IS NULL OR dead.queue = p_queue)
        AND (NOT v_guarded OR arvo.may(dead.queue, 'operate'))
        AND (v_wanted IS NULL OR dead.delivery = ANY (v_wanted))
        AND (p_before IS NULL OR dead.died_at < p_before)
        AND (
            v_subjects IS NULL
            OR dead.subject_key = ANY (
                ARRAY(SELECT hashtextextended(named, 0) FROM unnest(v_subjects) AS named)
            )
        )
        AND arvo.is_wanted(dead.event, p_event_id, p_event_type, v_subjects, p_path, p_text)
        ORDER BY dead.dead
        LIMIT v_left;
        GET DIAGNOSTICS v_got = ROW_COUNT;
        v_left := v_left - v_got;
    END IF;

    IF (p_event_id IS NOT NULL OR v_subjects IS NOT NULL) AND p_places && '{queued,parked,leased}' THEN
        RETURN QUERY
        SELECT
            entry.delivery, stands.place, entry.lane, entry.xid, entry.event_key, stands.token,
            NULL::bigint, queue.name, whole.event ->> 'id'
        FROM (
            SELECT log.*
            FROM arvo.log
            WHERE log.event_key = hashtextextended(p_event_id, 0)
            UNION ALL
            SELECT found.*
            FROM unnest(v_subjects) AS named (subject)
            CROSS JOIN LATERAL (
                SELECT log.*
                FROM arvo.log
                WHERE log.subject_key = hashtextextended(named.subject, 0)
            ) AS found
            WHERE p_event_id IS NULL
        ) AS entry
        INNER JOIN arvo.lane ON lane.lane = entry.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        CROSS JOIN LATERAL (
            SELECT judged.place, judged.token
            FROM arvo.standing(entry.lane, entry.xid, entry.delivery) AS judged
            OFFSET 0
        ) AS stands
        CROSS JOIN LATERAL (
            SELECT coalesce(entry.event, (
                SELECT origin.event
                FROM arvo.log AS origin
                WHERE origin.lane = entry.origin_lane
                AND origin.xid = entry.origin_xid
                AND origin.delivery = entry.origin_delivery
            )) AS event
            OFFSET 0
        ) AS whole
        WHERE stands.place = ANY (p_places)
        AND (v_queue IS NULL OR lane.queue = v_queue)
        AND lane.lane <> ALL (p_but)
        AND (v_wanted IS NULL OR entry.delivery = ANY (v_wanted))
        AND (p_before IS NULL OR entry.at < p_before)
        AND arvo.is_wanted(whole.event, p_event_id, p_event_type, v_subjects, p_path, p_text)
        ORDER BY entry.delivery
        LIMIT v_left;
        GET DIAGNOSTICS v_got = ROW_COUNT;
        v_left := v_left - v_got;
    END IF;

    FOR v_lane IN
        SELECT lane.lane, queue.name
        FROM arvo.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        WHERE p_event_id IS NULL
        AND v_subjects IS NULL
        AND p_places && '{queued,parked,leased}'
        AND (v_queue IS NULL OR lane.queue = v_queue)
        AND lane.lane <> ALL (p_but)
        ORDER BY lane.lane
    LOOP
        EXIT WHEN v_left <= 0;
        v_head := arvo.head_of(v_lane.lane);

        IF 'leased' = ANY (p_places) THEN
            RETURN QUERY
            SELECT
                entry.delivery, 'leased', entry.lane, entry.xid, entry.event_key, held.token,
                NULL::bigint, v_lane.name, whole.event ->> 'id'
            FROM arvo.lease AS held
            CROSS JOIN LATERAL unnest(arvo.open_deliveries(held.token, held.deliveries))
                AS open (delivery)
            INNER JOIN arvo.log AS entry
                ON entry.lane = held.lane
                AND entry.xid >= held.low_xid
                AND entry.xid <= held.high_xid
                AND entry.delivery = open.delivery
            CROSS JOIN LATERAL (SELECT arvo.event_of(entry) AS event OFFSET 0) AS whole
            WHERE held.lane = v_lane.lane
            AND held.number >= v_head.open_from
            AND held.token <> 0
            AND NOT EXISTS (
                SELECT
                FROM arvo.lease AS newer
                WHERE newer.token = held.token AND newer.number > held.number
            )
            AND (v_wanted IS NULL OR open.delivery = ANY (v_wanted))
            AND (p_before IS NULL OR entry.at < p_before)
            AND (
                NOT v_content
                OR arvo.is_wanted(
                    whole.event, p_event_id, p_event_type, v_subjects, p_path, p_text
                )
            )
            ORDER BY entry.delivery
            LIMIT v_left;
            GET DIAGNOSTICS v_got = ROW_COUNT;
            v_left := v_left - v_got;
        END IF;

        IF 'parked' = ANY (p_places) THEN
            RETURN QUERY
            SELECT
                entry.delivery, 'parked', entry.lane, entry.xid, entry.event_key, NULL::bigint,
                NULL::bigint, v_lane.name, whole.event ->> 'id'
            FROM arvo.parked
            INNER JOIN arvo.log AS entry
                ON entry.lane = parked.lane
                AND entry.xid = parked.xid
                AND entry.delivery = parked.delivery
            CROSS JOIN LATERAL (SELECT arvo.event_of(entry) AS event OFFSET 0) AS whole
            WHERE parked.queue = (SELECT lane.queue FROM arvo.lane WHERE lane.lane = v_lane.lane)
            AND parked.lane = v_lane.lane
            AND (v_wanted IS NULL OR entry.delivery = ANY (v_wanted))
            AND (p_before IS NULL OR entry.at < p_before)
            AND NOT EXISTS (
                SELECT
                FROM arvo.tombstone
                WHERE tombstone.lane = entry.lane AND tombstone.delivery = entry.delivery
            OFFSET 0  -- a look-up for each row
            )
            AND (
                NOT v_content
                OR arvo.is_wanted(
                    whole.event, p_event_id, p_event_type, v_subjects, p_path, p_text
                )
            )
            ORDER BY entry.delivery
            LIMIT v_left;
            GET DIAGNOSTICS v_got = ROW_COUNT;
            v_left := v_left - v_got;
        END IF;

        CONTINUE WHEN NOT 'queued' = ANY (p_places);
        -- Nothing that is unclaimed stands before the position, but for transactions that were open.
        IF v_head.exhausted OR v_head.last_xid >= pg_snapshot_xmin(v_head.snapshot) THEN
            v_from_xid := pg_snapshot_xmin(v_head.snapshot);
            v_from_delivery := 0;
        ELSE
            v_from_xid := v_head.last_xid;
            v_from_delivery := v_head.last_delivery;
        END IF;
        RETURN QUERY
        SELECT
            entry.delivery, 'queued', entry.lane, entry.xid, entry.event_key, NULL::bigint,
            NULL::bigint, v_lane.name, whole.event ->> 'id'
        FROM arvo.log AS entry
        CROSS JOIN LATERAL (
            SELECT coalesce(entry.event, (
                SELECT origin.event
                FROM arvo.log AS origin
                WHERE origin.lane = entry.origin_lane
                AND origin.xid = entry.origin_xid
                AND origin.delivery = entry.origin_delivery
            )) AS event
        ) AS whole
        WHERE entry.lane = v_lane.lane
        AND (entry.xid, entry.delivery) > (v_from_xid, v_from_delivery)
        AND NOT pg_visible_in_snapshot(entry.xid, v_head.previous_snapshot)
        AND NOT (
            pg_visible_in_snapshot(entry.xid, v_head.snapshot)
            AND (
                v_head.exhausted
                OR (entry.xid, entry.delivery) <= (v_head.last_xid, v_head.last_delivery)
            )
        )
        AND (v_wanted IS NULL OR entry.delivery = ANY (v_wanted))
        AND (p_before IS NULL OR entry.at < p_before)
        AND NOT EXISTS (
            SELECT
            FROM arvo.tombstone
            WHERE tombstone.lane = entry.lane AND tombstone.delivery = entry.delivery
            OFFSET 0  -- a look-up for each row
        )
        AND (
            NOT v_content
            OR arvo.is_wanted(whole.event, p_event_id, p_event_type, v_subjects, p_path, p_text)
        )
        ORDER BY entry.xid, entry.delivery
        LIMIT v_left;
        GET DIAGNOSTICS v_got = ROW_COUNT;
        v_left := v_left - v_got;
    END LOOP;

    IF 'deferred' = ANY (p_places) AND v_left > 0 THEN
        SELECT head.* INTO STRICT v_passed
        FROM arvo.promotion AS head
        ORDER BY head.number DESC
        LIMIT 1;
        RETURN QUERY
        SELECT
            waiting.delivery, 'deferred', waiting.lane, NULL::xid8, waiting.event_key,
            NULL::bigint, NULL::bigint, queue.name, whole.event ->> 'id'
        FROM (
            SELECT found.*
            FROM unnest(v_wanted) AS named (delivery)
            CROSS JOIN LATERAL (
                SELECT deferred.* FROM arvo.deferred WHERE deferred.delivery = named.delivery
            ) AS found
            UNION ALL
            SELECT found.*
            FROM unnest(v_subjects) AS named (subject)
            CROSS JOIN LATERAL (
                SELECT deferred.*
                FROM arvo.deferred
                WHERE deferred.subject_key = hashtextextended(named.subject, 0)
            ) AS found
            WHERE v_wanted IS NULL
            UNION ALL
            SELECT deferred.*
            FROM arvo.deferred
            WHERE v_wanted IS NULL AND v_subjects IS NULL
        ) AS waiting
        INNER JOIN arvo.lane ON lane.lane = waiting.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        CROSS JOIN LATERAL (
            SELECT coalesce(waiting.event, (
                SELECT origin.event
                FROM arvo.log AS origin
                WHERE origin.lane = waiting.origin_lane
                AND origin.xid = waiting.origin_xid
                AND origin.delivery = waiting.origin_delivery
            )) AS event
            OFFSET 0
        ) AS whole
        WHERE NOT (
            (waiting.due, waiting.delivery) <= (v_passed.due, v_passed.delivery)
            AND pg_visible_in_snapshot(waiting.xid, v_passed.snapshot)
        )
        AND (v_queue IS NULL OR lane.queue = v_queue)
        AND lane.lane <> ALL (p_but)
        AND (p_before IS NULL OR waiting.at < p_before)
        AND (p_event_id IS NULL OR waiting.event_key = hashtextextended(p_event_id, 0))
        AND (
            NOT v_content
            OR arvo.is_wanted(
                whole.event, p_event_id, p_event_type, v_subjects, p_path, p_text
            )
        )
        ORDER BY waiting.delivery
        LIMIT v_left;
    END IF;
END;
$find_deliveries$;

COMMENT ON FUNCTION arvo.find_deliveries(
    bigint[], text, text, text, text, text, timestamptz, jsonpath, text, text[], integer,
    integer[]
) IS
'The live deliveries that an operator means, by number, event, tree or filter; looks without locks.';

REVOKE ALL ON FUNCTION arvo.find_deliveries(
    bigint[], text, text, text, text, text, timestamptz, jsonpath, text, text[], integer,
    integer[]
) FROM PUBLIC;
--! end

--! function arvo.flag_guarded
-- arvo.flag_guarded(pattern) — say in the rows of queues whether something guards them.
CREATE OR REPLACE FUNCTION arvo.flag_guarded(p_pattern text)
RETURNS void
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $flag_guarded$
-- The hot path looks at the row only. The caller holds the table, so no queue is being made meanwhile.
--
--   Reads    arvo.queue_guard
--   Writes   arvo.queue
--   Locks    arvo.queue rows
--   Raises   nothing
UPDATE arvo.queue
SET guarded = told.guarded
FROM (
    SELECT covered.queue, arvo.is_guarded(covered.name) AS guarded
    FROM arvo.queue AS covered
    WHERE arvo.covers(p_pattern, covered.name)
    OFFSET 0
) AS told
WHERE queue.queue = told.queue AND queue.guarded <> told.guarded;
$flag_guarded$;

COMMENT ON FUNCTION arvo.flag_guarded(text) IS
'Brings the flag of queues in line with the guards that cover them.';

REVOKE ALL ON FUNCTION arvo.flag_guarded(text) FROM PUBLIC;
--! end

--! function arvo.forget_states
-- arvo.forget_states(look, limit) — remove states of workflows that finished long ago.
CREATE OR REPLACE FUNCTION arvo.forget_states(p_look integer, p_limit integer)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $forget_states$
-- Where a rule applies (arvo_v1.retain_states), and only then. The states are gone through in a round,
-- in order of their keys: p_look of them a call, of which p_limit are removed at most. An index by age
-- would cost every write of a state its place on its page.
--
-- A state goes when its record says that the workflow is done or has failed, its last write is old
-- enough, nobody holds its lock, and nothing is to be delivered to the workflow any more: nothing
-- waits, runs, is put off, or lies in a dead letter, also in queues that the caller may not operate. Its last step has emitted its completion in the
-- transaction that stored it. Places in trees stay as long as something descends from them. Marks of
-- imports go after 90 days. Returns how many states went.
--
--   Reads    arvo.clock, arvo.state_retention, arvo.dead; as arvo.find_deliveries
--   Writes   arvo.state, arvo.state_lock, arvo.state_round, arvo.import_mark; as arvo.prune_lineage
--   Locks    of each subject its transaction lock, tried, its arvo.state_lock row and arvo.state row,
--            unless somebody holds them; as arvo.prune_lineage
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_after bytea;
    v_seen bytea;
    v_old record;
    v_gone integer := 0;
BEGIN
    DELETE FROM arvo.import_mark
    WHERE import_mark.subject_digest IN (
        SELECT known.subject_digest
        FROM arvo.import_mark AS known
        WHERE known.at <= v_now - interval '90 days'
        ORDER BY known.at
        LIMIT p_look
        FOR UPDATE SKIP LOCKED
    );
    IF NOT EXISTS (SELECT FROM arvo.state_retention) THEN
        RETURN 0;
    END IF;
    SELECT state_round.after_digest INTO v_after FROM arvo.state_round;

    FOR v_old IN
        SELECT
            seen.subject_digest,
            seen.subject,
            seen.changed_at,
            CASE
                WHEN seen.changed_at <= v_now - coalesce(own.age, general.age)
                    THEN arvo.is_finished(seen.execution_status, seen.data)
                ELSE false
            END AS is_old
        FROM (
            SELECT
                state.subject_digest, state.subject, state.source, state.execution_status,
                state.data, state.changed_at
            FROM arvo.state
            WHERE state.subject_digest > v_after
            ORDER BY state.subject_digest
            LIMIT p_look
        ) AS seen
        LEFT JOIN arvo.state_retention AS own
            ON own.source = seen.source AND seen.source <> ''
        LEFT JOIN arvo.state_retention AS general ON general.source = ''
        ORDER BY seen.subject_digest
    LOOP
        EXIT WHEN v_gone >= p_limit;
        v_seen := v_old.subject_digest;
        CONTINUE WHEN NOT v_old.is_old
            OR NOT pg_try_advisory_xact_lock(arvo.lock_key(v_old.subject))
            OR EXISTS (
                SELECT
                FROM arvo.state_lock
                WHERE state_lock.subject_digest = v_seen AND state_lock.expires_at > v_now
            )
            OR EXISTS (
                SELECT
                FROM (
                    SELECT dead.resolution
                    FROM arvo.dead
                    WHERE dead.subject_key = hashtextextended(v_old.subject, 0)
                    OFFSET 0  -- by subject: not by an index of all that are open
                ) AS died
                WHERE died.resolution IS NULL
            )
            OR EXISTS (
                SELECT
                FROM arvo.find_deliveries(
                    NULL, NULL, NULL, NULL, v_old.subject, NULL, NULL, NULL, NULL,
                    '{queued,parked,leased,deferred}', 1, NULL
                )
            );
        DELETE FROM arvo.state
        USING (
            SELECT held.subject_digest
            FROM arvo.state AS held
            WHERE held.subject_digest = v_seen AND held.changed_at = v_old.changed_at
            FOR UPDATE SKIP LOCKED
        ) AS free
        WHERE state.subject_digest = free.subject_digest;
        CONTINUE WHEN NOT FOUND;
        v_gone := v_gone + 1;
        DELETE FROM arvo.state_lock
        USING (
            SELECT lapsed.subject_digest
            FROM arvo.state_lock AS lapsed
            WHERE lapsed.subject_digest = v_seen
            FOR UPDATE SKIP LOCKED
        ) AS free
        WHERE state_lock.subject_digest = free.subject_digest;
        PERFORM arvo.prune_lineage(v_seen);
    END LOOP;

    -- At the end the next call begins anew.
    UPDATE arvo.state_round
    SET after_digest = coalesce(v_seen, '')
    WHERE state_round.after_digest <> coalesce(v_seen, '');
    RETURN v_gone;
END;
$forget_states$;

COMMENT ON FUNCTION arvo.forget_states(integer, integer) IS
'Removes states of workflows that finished longer ago than they are to be kept; returns how many.';

REVOKE ALL ON FUNCTION arvo.forget_states(integer, integer) FROM PUBLIC;
--! end

--! function arvo.forget_workers
-- arvo.forget_workers(after) — strike off processes that have long been silent.
CREATE OR REPLACE FUNCTION arvo.forget_workers(p_after interval DEFAULT interval '1 day')
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $forget_workers$
-- With them goes what they had registered; also what was registered that long ago by a process that
-- never checked in. Queues stay as they are. Returns how many rows went. For maintain().
--
--   Reads    arvo.clock
--   Writes   arvo.worker, arvo.registration
--   Locks    their rows; those that somebody holds are left out
--   Raises   nothing
DECLARE
    v_before timestamptz := arvo.clock() - p_after;
    v_workers bigint;
    v_registrations bigint;
BEGIN
    WITH silent AS MATERIALIZED (
        SELECT old.worker
        FROM arvo.worker AS old
        WHERE old.seen_at < v_before
        FOR UPDATE SKIP LOCKED
    )

    DELETE FROM arvo.worker
    USING silent
    WHERE worker.worker = silent.worker;
    GET DIAGNOSTICS v_workers = ROW_COUNT;
    WITH orphaned AS MATERIALIZED (
        SELECT old.queue, old.worker
        FROM arvo.registration AS old
        WHERE old.at < v_before
        AND NOT EXISTS (SELECT FROM arvo.worker WHERE worker.worker = old.worker)
        FOR UPDATE SKIP LOCKED
    )

    DELETE FROM arvo.registration
    USING orphaned
    WHERE registration.queue = orphaned.queue AND registration.worker = orphaned.worker;
    GET DIAGNOSTICS v_registrations = ROW_COUNT;
    RETURN v_workers + v_registrations;
END;
$forget_workers$;

COMMENT ON FUNCTION arvo.forget_workers(interval) IS
'Deletes processes that have been silent for so long, and their registrations.';

REVOKE ALL ON FUNCTION arvo.forget_workers(interval) FROM PUBLIC;
--! end

--! function arvo.gauges_of_queues
-- arvo.gauges_of_queues(most) — figures of queues and lanes for a monitoring system.
CREATE OR REPLACE FUNCTION arvo.gauges_of_queues(p_most integer)
RETURNS SETOF arvo_v1.gauge
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $gauges_of_queues$
-- A lane where nothing was appended, claimed or deferred since its tally is answered by the tally; any
-- other is counted up to 1,000 and carried on from there, see arvo.count_lane. So idle queues, however
-- many, cost some look-ups each, and a long one no more than what has happened since maintain(). The
-- p_most longest queues are told one by one, the others as one with an empty name.
--
--   Reads    arvo.queue, arvo.lane, arvo.lease, arvo.log by (lane, xid), arvo.deferred by (lane, xid),
--            arvo.tally, arvo.tombstone, arvo.parked, arvo.closure, arvo.dead, arvo.clock; as
--            arvo.count_lane
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
WITH now AS MATERIALIZED (
    SELECT arvo.clock() AS at
),

lane AS MATERIALIZED (
    SELECT
        lane.queue,
        lane.priority,
        figures.unread - withdrawn.unread AS ready,
        figures.parked - withdrawn.parked AS waiting,
        figures.deferred,
        running.deliveries AS running,
        figures.oldest_at
    FROM arvo.lane
    CROSS JOIN LATERAL (
        SELECT newest AS lease, newest.number, newest.open_from
        FROM arvo.lease AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS head
    LEFT JOIN LATERAL (
        SELECT newest AS tally, newest.unread, newest.parked, newest.deferred, newest.lease, newest.seen
        FROM arvo.tally AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS last ON true
    CROSS JOIN LATERAL (
        SELECT
            coalesce(last.unread + last.parked + last.deferred, 1) = 0
            AND last.lease = head.number
            AND pg_snapshot_xmin(last.seen) = pg_snapshot_xmax(last.seen)
            AND NOT EXISTS (
                SELECT
                FROM arvo.log
                WHERE log.lane = lane.lane AND log.xid >= pg_snapshot_xmax(last.seen)
            )
            AND NOT EXISTS (
                SELECT
                FROM arvo.deferred
                WHERE deferred.lane = lane.lane
            ) AS idle
    ) AS known
    CROSS JOIN LATERAL (
        SELECT
            0::bigint AS unread,
            0::bigint AS parked,
            0::bigint AS deferred,
            NULL::timestamptz AS oldest_at
        WHERE known.idle
        UNION ALL
        SELECT counted.unread, counted.parked, counted.deferred, counted.oldest_at
        FROM arvo.count_lane(head.lease, last.tally, p_most => 1000) AS counted
        WHERE NOT known.idle
    ) AS figures
    CROSS JOIN LATERAL (
        SELECT
            count(*) FILTER (WHERE gone.place IS NULL) AS unread,
            count(*) FILTER (WHERE gone.place IS NOT NULL) AS parked
        FROM (
            SELECT parked.place
            FROM arvo.tombstone
            LEFT JOIN arvo.parked ON parked.delivery = tombstone.delivery
            WHERE tombstone.lane = lane.lane
            LIMIT 10001
        ) AS gone
    ) AS withdrawn
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(cardinality(held.deliveries) - closed.deliveries), 0)::bigint AS deliveries
        FROM arvo.lease AS held
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(
                CASE
                    WHEN NOT held.carried THEN cardinality(closure.deliveries)
                    ELSE (
                        SELECT count(*)
                        FROM unnest(closure.deliveries) AS gone (delivery)
                        WHERE gone.delivery = ANY (held.deliveries)
                    )
                END
            ), 0) AS deliveries
            FROM arvo.closure
            WHERE closure.token = held.token
        ) AS closed
        WHERE held.lane = lane.lane
        AND held.number >= head.open_from
        AND held.token <> 0
        AND NOT EXISTS (
            SELECT
            FROM arvo.lease AS newer
            WHERE newer.token = held.token AND newer.number > held.number
        )
    ) AS running
),

queue AS MATERIALIZED (
    SELECT
        queue.name,
        queue.registered,
        queue.paused_at IS NOT NULL AS paused,
        total.ready,
        total.deferred,
        total.waiting,
        total.running,
        total.oldest_at,
        (
            SELECT count(*)
            FROM (
                SELECT
                FROM arvo.dead
                -- Written so, only the index of the queue's own has this order; with an equality,
                -- statistics may choose the one of all that are open, for each queue.
                WHERE dead.queue >= queue.name AND dead.queue <= queue.name
                AND dead.resolution IS NULL
                ORDER BY dead.queue, dead.dead
                LIMIT 10001
            ) AS open
        ) AS dead
    FROM (
        -- one pass, and each queue by its key: hash joins are off
        SELECT
            part.queue,
            sum(part.ready) AS ready,
            sum(part.deferred) AS deferred,
            sum(part.waiting) AS waiting,
            sum(part.running) AS running,
            min(part.oldest_at) AS oldest_at
        FROM (
            SELECT lane.queue, lane.ready, lane.deferred, lane.waiting, lane.running, lane.oldest_at
            FROM lane
            UNION ALL
            SELECT named.queue, 0, 0, 0, 0, NULL
            FROM arvo.queue AS named
        ) AS part
        GROUP BY part.queue
    ) AS total
    INNER JOIN arvo.queue ON queue.queue = total.queue
),

told AS MATERIALIZED (
    SELECT
        CASE WHEN ranked.place <= p_most THEN ranked.name ELSE '' END AS name,
        bool_and(ranked.registered) AS registered,
        bool_or(ranked.paused) AS paused,
        sum(ranked.ready) AS ready,
        sum(ranked.deferred) AS deferred,
        sum(ranked.waiting) AS waiting,
        sum(ranked.running) AS running,
        min(ranked.oldest_at) AS oldest_at,
        sum(ranked.dead) AS dead
    FROM (
        SELECT
            queue.*,
            row_number() OVER (
                ORDER BY
                    queue.ready + queue.waiting + queue.running + queue.deferred + queue.dead DESC,
                    queue.name COLLATE "C"
            ) AS place
        FROM queue
    ) AS ranked
    GROUP BY CASE WHEN ranked.place <= p_most THEN ranked.name ELSE '' END
),

lagging AS (
    SELECT queue.name, lane.priority, lane.oldest_at
    FROM lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.oldest_at IS NOT NULL
    ORDER BY lane.oldest_at, queue.name COLLATE "C", lane.priority
    LIMIT p_most
)

SELECT figure.name, told.name, NULL::integer, figure.state, figure.value::double precision
FROM told
CROSS JOIN now
CROSS JOIN LATERAL (
    VALUES
    ('arvo.queue.depth', 'ready', told.ready),
    ('arvo.queue.depth', 'deferred', told.deferred),
    ('arvo.queue.depth', 'waiting', told.waiting),
    ('arvo.queue.depth', 'running', told.running),
    ('arvo.queue.oldest.age', NULL, coalesce(extract(epoch FROM now.at - told.oldest_at), 0)),
    ('arvo.queue.dead_letters', NULL, told.dead),
    ('arvo.queue.paused', NULL, told.paused::integer),
    ('arvo.queue.registered', NULL, told.registered::integer)
) AS figure (name, state, value)
UNION ALL
SELECT
    'arvo.lane.lag', lagging.name, lagging.priority, NULL,
    extract(epoch FROM now.at - lagging.oldest_at)::double precision
FROM lagging
CROSS JOIN now
UNION ALL
SELECT 'arvo.queues', NULL, NULL, NULL, count(*)::double precision
FROM queue;
$gauges_of_queues$;

COMMENT ON FUNCTION arvo.gauges_of_queues(integer) IS
'Depth, age, dead letters and flags of the longest queues, and the lag of their lanes.';

REVOKE ALL ON FUNCTION arvo.gauges_of_queues(integer) FROM PUBLIC;
--! end

--! function arvo.gauges_of_server
-- arvo.gauges_of_server() — figures of upkeep, history and server for a monitoring system.
CREATE OR REPLACE FUNCTION arvo.gauges_of_server()
RETURNS SETOF arvo_v1.gauge
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $gauges_of_server$
-- Sizes are those of the files: a partition that was emptied counts nothing.
--
--   Reads    arvo.worker, arvo.upkeep, arvo.promotion, arvo.deferred by due time, arvo.generation,
--            arvo.schedule, arvo.clock, pg_class, pg_stat_activity, pg_notification_queue_usage
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
WITH now AS MATERIALIZED (
    SELECT arvo.clock() AS at
),

figure (name, state, value) AS (
    SELECT 'arvo.workers', state.name, count(worker.worker)::numeric
    FROM now
    CROSS JOIN (VALUES ('alive', true), ('dead', false)) AS state (name, alive)
    LEFT JOIN arvo.worker
        ON (worker.seen_at + 3 * worker.rhythm > now.at) = state.alive
    GROUP BY state.name
    UNION ALL
    SELECT 'arvo.maintenance.age', NULL, extract(epoch FROM now.at - upkeep.at)
    FROM now
    INNER JOIN arvo.upkeep ON upkeep.task = 'tally'
    UNION ALL
    SELECT
        'arvo.promotion.lag', NULL,
        greatest(coalesce(extract(epoch FROM now.at - waiting.due), 0), 0)
    FROM now
    CROSS JOIN LATERAL (
        SELECT head.due, head.delivery
        FROM arvo.promotion AS head
        ORDER BY head.number DESC
        LIMIT 1
    ) AS passed
    LEFT JOIN LATERAL (
        SELECT deferred.due
        FROM arvo.deferred
        WHERE (deferred.due, deferred.delivery) > (passed.due, passed.delivery)
        ORDER BY deferred.due, deferred.delivery
        LIMIT 1
    ) AS waiting ON true
    UNION ALL
    SELECT 'arvo.generation.number', NULL, max(generation.number)
    FROM arvo.generation
    UNION ALL
    SELECT 'arvo.generation.age', NULL, extract(epoch FROM now.at - max(generation.opened_at))
    FROM now
    CROSS JOIN arvo.generation
    GROUP BY now.at
    UNION ALL
    SELECT 'arvo.generation.kept', state.name, count(old.number)
    FROM (VALUES ('history', true), ('needed', false)) AS state (name, finished)
    LEFT JOIN arvo.generation AS old
        ON old.emptied_at IS NULL
        AND (old.finished_at IS NOT NULL) = state.finished
        AND old.number < (SELECT max(newest.number) FROM arvo.generation AS newest)
    GROUP BY state.name
    UNION ALL
    SELECT
        'arvo.room.size', room.name,
        coalesce(sum(pg_total_relation_size(part.relid)) FILTER (WHERE part.isleaf), 0)
    FROM (
        VALUES ('log'), ('lease'), ('closure'), ('event_key'), ('deferred'), ('parked'), ('dead'),
               ('state')
    ) AS room (name)
    INNER JOIN pg_class AS stored
        ON stored.relname = room.name AND stored.relnamespace = 'arvo'::regnamespace
    CROSS JOIN LATERAL (
        SELECT tree.relid, tree.isleaf
        FROM pg_partition_tree(stored.oid) AS tree
        UNION ALL
        SELECT stored.oid, true
        WHERE stored.relkind = 'r'
        AND NOT EXISTS (SELECT FROM pg_partition_tree(stored.oid))
    ) AS part
    GROUP BY room.name
    UNION ALL
    SELECT
        'arvo.schedules', state.name,
        count(schedule.schedule)
    FROM (VALUES ('active'), ('paused'), ('failing')) AS state (name)
    LEFT JOIN arvo.schedule ON state.name = CASE
        WHEN schedule.error IS NOT NULL THEN 'failing'
        WHEN schedule.paused_at IS NOT NULL THEN 'paused'
        ELSE 'active'
    END
    GROUP BY state.name
    UNION ALL
    SELECT
        'arvo.schedule.lag', NULL,
        greatest(coalesce(extract(epoch FROM now.at - min(schedule.next_at)), 0), 0)
    FROM now
    LEFT JOIN arvo.schedule ON schedule.paused_at IS NULL
    GROUP BY now.at
    UNION ALL
    SELECT 'arvo.snapshot.age', NULL, coalesce(max(age(activity.backend_xmin)), 0)
    FROM pg_stat_activity AS activity
    WHERE activity.pid <> pg_backend_pid()
    UNION ALL
    SELECT 'arvo.notification.usage', NULL, pg_notification_queue_usage()::numeric
)

SELECT figure.name, NULL::text, NULL::integer, figure.state, figure.value::double precision
FROM figure;
$gauges_of_server$;

COMMENT ON FUNCTION arvo.gauges_of_server() IS
'Workers, maintenance, promotion, generations, sizes, schedules, snapshots and notifications in figures.';

REVOKE ALL ON FUNCTION arvo.gauges_of_server() FROM PUBLIC;
--! end

--! function arvo.give_back
-- arvo.give_back(item, queue) — what becomes of a delivery that did not complete.
CREATE OR REPLACE FUNCTION arvo.give_back(p_item arvo.result, p_queue arvo.queue)
RETURNS arvo.result
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $give_back$
-- One place decides: retry with back-off, dead letter, or back without charging the attempt. What
-- happened is p_item.asked, or conflict when that is its verdict:
--
--   failed      the handler raised              retried while attempts are left, else dead; or as the
--                                               queue's error_rules say for the error's name
--   expired     the lease lapsed                retried or dead; dead with reason lease_expired
--   rejected    the handler says: never again   dead
--   released    the worker could not run it     again, same attempt
--   snoozed     the handler says: later         again after p_item.after, same attempt
--   conflict    the state had moved on          again, same attempt; charged from the 100th on
--
-- Options of the delivery come before those of its queue. In a stately queue a retry needs the place
-- that its key has for retries; when it is taken, the delivery is dead. Returns p_item with its
-- verdict for the journal (retried, dead, released, snoozed or conflict) and the further delivery.
--
--   Reads    arvo.log by (lane, xid, delivery), arvo.clock
--   Writes   arvo.log or arvo.deferred or arvo.dead; as arvo.take_place
--   Locks    as arvo.bury; as arvo.take_place
--   Raises   RV901  the delivery is not in the log
DECLARE
    v_entry arvo.log;
    v_outcome text := coalesce(nullif(p_item.verdict, 'refused'), p_item.asked);
    v_rule jsonb;
    v_cause jsonb;
    v_count integer;
    v_after interval := p_item.after;
    v_error jsonb := p_item.error;
BEGIN
    SELECT entry.* INTO v_entry
    FROM arvo.log AS entry
    WHERE entry.lane = p_item.lane
    AND entry.xid >= coalesce(p_item.xid, p_item.low_xid)
    AND entry.xid <= coalesce(p_item.xid, p_item.high_xid)
    AND entry.delivery = p_item.delivery;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a leased delivery is not in the log'
        USING ERRCODE = 'RV901',
              DETAIL = format('lane %s, delivery %s', p_item.lane, p_item.delivery),
              HINT = 'Please report this: it should be impossible.';
    END IF;

    IF v_outcome = 'failed' AND v_after IS NULL THEN
        v_rule := p_queue.error_rules -> (v_error ->> 'name');
        IF v_rule = '"dead"' THEN
            v_outcome := 'rejected';
        ELSIF v_rule ? 'snooze' THEN
            v_outcome := 'snoozed';
            v_after := make_interval(secs => round((v_rule ->> 'snooze')::numeric, 6)::double precision);
        ELSIF v_rule ? 'retry_after' THEN
            v_after := make_interval(secs => round((v_rule ->> 'retry_after')::numeric, 6)::double precision);
        END IF;
    END IF;

    v_cause := coalesce(v_entry.cause, '{}'::jsonb) || jsonb_build_object(
        'delivery', v_entry.delivery,
        'outcome', v_outcome,
        'error', v_error
    );

    IF v_outcome = 'released' THEN
        p_item.next := arvo.again(v_entry, v_entry.attempt, NULL, v_cause);
        p_item.verdict := 'released';
        RETURN p_item;
    ELSIF v_outcome = 'snoozed' THEN
        p_item.next := arvo.again(v_entry, v_entry.attempt, v_after, v_cause);
        p_item.verdict := 'snoozed';
        RETURN p_item;
    ELSIF v_outcome = 'conflict' THEN
        v_count := coalesce((v_cause ->> 'conflicts')::integer, 0) + 1;
        IF v_count < 100 THEN
            p_item.next := arvo.again(
                v_entry, v_entry.attempt, NULL,
                v_cause || jsonb_build_object('conflicts', v_count)
            );
            p_item.verdict := 'conflict';
            RETURN p_item;
        END IF;
    ELSIF v_outcome = 'rejected' THEN
        PERFORM arvo.bury(
            v_entry, p_queue,
            CASE WHEN p_item.asked = 'rejected' THEN 'rejected' ELSE 'failed' END, v_error
        );
        p_item.verdict := 'dead';
        RETURN p_item;
    ELSIF v_outcome = 'expired' THEN
        v_count := coalesce((v_cause ->> 'expiries')::integer, 0) + 1;
        v_cause := v_cause || jsonb_build_object('expiries', v_count);
        v_error := v_error || jsonb_build_object(
            'message', format('lease_expired ×%s: %s', v_count, v_error ->> 'message')
        );
    END IF;

    IF v_entry.attempt > coalesce(
        (v_entry.options ->> 'retry_limit')::integer, p_queue.retry_limit
    ) OR (
        p_queue.policy = 'stately'
        AND arvo.take_place(
            p_queue.queue, 'retry', arvo.key_for(p_queue, v_entry),
            arvo.first_of(v_entry)
        ) IS NOT NULL
    ) THEN
        PERFORM arvo.bury(
            v_entry,
            p_queue,
            CASE WHEN v_outcome = 'expired' THEN 'lease_expired' ELSE 'failed' END,
            v_error
        );
        p_item.verdict := 'dead';
        RETURN p_item;
    END IF;

    v_after := coalesce(
        v_after,
        arvo.retry_delay(
            coalesce((v_entry.options ->> 'retry_delay')::interval, p_queue.retry_delay),
            coalesce((v_entry.options ->> 'retry_backoff')::boolean, p_queue.retry_backoff),
            coalesce((v_entry.options ->> 'retry_delay_max')::interval, p_queue.retry_delay_max),
            v_entry.attempt, random()
        )
    );
    p_item.next := arvo.again(v_entry, v_entry.attempt + 1, v_after, v_cause - 'conflicts');
    p_item.verdict := 'retried';
    RETURN p_item;
END;
$give_back$;

COMMENT ON FUNCTION arvo.give_back(arvo.result, arvo.queue) IS
'Decides what becomes of a delivery that did not complete: retry, dead letter, or back uncharged.';

REVOKE ALL ON FUNCTION arvo.give_back(arvo.result, arvo.queue) FROM PUBLIC;
--! end

--! function arvo.goes_to
-- arvo.goes_to(events, ignore_domain, publish) — the queues that events would go to.
CREATE OR REPLACE FUNCTION arvo.goes_to(
    p_events jsonb[],
    p_ignore_domain boolean DEFAULT false,
    p_publish boolean DEFAULT false
)
RETURNS text[]
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $goes_to$
-- As arvo.append routes them; what is published goes to every queue that subscribes.
--
--   Reads    arvo.subscription
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
WITH routed AS (
    SELECT
        item.event ->> 'type' AS type,
        CASE
            WHEN p_publish THEN 'arvo.publish'
            WHEN NOT p_ignore_domain AND item.event ->> 'domain' IS NOT NULL
                THEN 'arvo.domain.' || (item.event ->> 'domain')
            ELSE coalesce(item.event ->> 'to', item.event ->> 'type')
        END AS name
    FROM unnest(p_events) AS item (event)
)

SELECT coalesce(array_agg(DISTINCT met.name), '{}')
FROM (
    SELECT routed.name
    FROM routed
    WHERE routed.name <> 'arvo.publish'
    UNION ALL
    SELECT subscription.queue
    FROM routed
    INNER JOIN arvo.subscription ON routed.type ~ subscription.expression
    WHERE routed.name = 'arvo.publish'
) AS met;
$goes_to$;

COMMENT ON FUNCTION arvo.goes_to(jsonb[], boolean, boolean) IS
'Names of the queues that events would be routed to.';

REVOKE ALL ON FUNCTION arvo.goes_to(jsonb[], boolean, boolean) FROM PUBLIC;
--! end

--! function arvo.guard_fault
-- arvo.guard_fault(queue, role, rights) — what is wrong with the arguments of a grant.
CREATE OR REPLACE FUNCTION arvo.guard_fault(p_queue text, p_role text, p_rights text[])
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $guard_fault$
-- 'argument: rule', the argument first; NULL when nothing is wrong.
--
--   Reads    pg_roles
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    RETURN CASE
        WHEN p_queue IS NULL OR (
            p_queue <> '*' AND NOT arvo.is_queue_name(regexp_replace(p_queue, '\*$', ''))
        ) THEN 'queue: name a queue, or a beginning with a star'
        WHEN p_role IS NULL OR (
            p_role <> 'public' AND NOT EXISTS (SELECT FROM pg_roles WHERE pg_roles.rolname::text = p_role)
        ) THEN 'role: name a role of this server, or public'
        WHEN p_rights IS NULL OR cardinality(p_rights) = 0
            OR NOT p_rights <@ '{dispatch,consume,operate,read}'
            THEN 'may: use dispatch, consume, operate and read'
    END;
END;
$guard_fault$;

COMMENT ON FUNCTION arvo.guard_fault(text, text, text[]) IS
'What is wrong with the arguments of a grant; NULL for nothing.';

REVOKE ALL ON FUNCTION arvo.guard_fault(text, text, text[]) FROM PUBLIC;
--! end

--! function arvo.hold_guards
-- arvo.hold_guards(queue, role, rights) — check who changes guards, and keep others from it.
CREATE OR REPLACE FUNCTION arvo.hold_guards(p_queue text, p_role text, p_rights text[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $hold_guards$
-- Whoever may operate a queue may change its guards: so the caller must be named by every guard of
-- "operate" that has to do with these names, be it wider or narrower. Otherwise one who operates
-- com.* could give himself com.secret.
--
--   Reads    arvo.queue_guard; as arvo.guard_fault and arvo.is_one_of
--   Writes   nothing
--   Locks    table arvo.queue, SHARE ROW EXCLUSIVE: no queue is made meanwhile
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  an argument is not valid
--            RV007  the caller may not operate these queues
DECLARE
    v_fault text := arvo.guard_fault(p_queue, p_role, p_rights);
    v_closed text;
BEGIN
    PERFORM arvo.require_read_committed('grant_queue or revoke_queue');
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = split_part(v_fault, ':', 1),
              DETAIL = format(
                  'queue: %s, role: %s, may: %s', left(to_json(p_queue)::text, 80),
                  left(to_json(p_role)::text, 80), left(to_json(p_rights)::text, 80)
              ),
              HINT = format('For %s.', v_fault);
    END IF;
    LOCK TABLE arvo.queue IN SHARE ROW EXCLUSIVE MODE;
    -- A statement of its own: it must see what the last holder of the table committed.
    SELECT guard.queue INTO v_closed
    FROM arvo.queue_guard AS guard
    WHERE guard.may = 'operate'
    AND (arvo.covers(guard.queue, p_queue) OR arvo.covers(p_queue, guard.queue))
    AND NOT arvo.is_one_of(guard.roles)
    ORDER BY guard.queue COLLATE "C"
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'queue is closed to this role'
        USING ERRCODE = 'RV007',
              COLUMN = 'queue',
              DETAIL = arvo.closed_detail(v_closed, 'operate'),
              HINT = 'Who may operate it grants and revokes: ask one of those that queue_grants() names.';
    END IF;
END;
$hold_guards$;

COMMENT ON FUNCTION arvo.hold_guards(text, text, text[]) IS
'Checks a grant and its caller, and keeps queues and guards as they are until the commit.';

REVOKE ALL ON FUNCTION arvo.hold_guards(text, text, text[]) FROM PUBLIC;
--! end

--! function arvo.import_fault
-- arvo.import_fault(row) — why a row of a foreign memory cannot be taken, or NULL.
CREATE OR REPLACE FUNCTION arvo.import_fault(p_row jsonb)
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $import_fault$
-- Answers 'code: detail'. Looks at the row alone, not at what is stored.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_read text := 'version';
BEGIN
    IF coalesce(jsonb_typeof(p_row), 'null') <> 'object' THEN
        RETURN format('row: it is %s, not an object', coalesce(jsonb_typeof(p_row), 'null'));
    ELSIF coalesce(jsonb_typeof(p_row -> 'subject'), 'null') <> 'string'
        OR p_row ->> 'subject' = ''
    THEN
        RETURN format('subject: it is %s', left(coalesce(p_row -> 'subject', 'null')::text, 80));
    ELSIF p_row ->> 'data' IS NULL THEN
        IF num_nonnulls(
            p_row ->> 'parent_subject', p_row ->> 'root_subject', p_row ->> 'locked_for'
        ) = 0
        THEN
            RETURN 'row: it has no state, no place in a tree and no lock';
        END IF;
    ELSIF jsonb_typeof(p_row -> 'data') <> 'object' THEN
        RETURN format('data: it is %s, not an object', jsonb_typeof(p_row -> 'data'));
    ELSIF jsonb_typeof(p_row #> '{data,subject}') = 'string'
        AND p_row #>> '{data,subject}' <> p_row ->> 'subject'
    THEN
        RETURN format('foreign: the record is that of %s',
                      left((p_row #> '{data,subject}')::text, 80));
    ELSIF coalesce((p_row ->> 'version')::bigint, 0) < 1 THEN
        RETURN format('version: it is %s', left(coalesce(p_row ->> 'version', 'null'), 80));
    END IF;
    v_read := 'time';
    PERFORM
        (p_row ->> 'created_at')::timestamptz,
        (p_row ->> 'updated_at')::timestamptz,
        make_interval(secs => (p_row ->> 'locked_for')::double precision);
    RETURN NULL;
EXCEPTION WHEN data_exception THEN
    RETURN format('%s: %s', v_read, left(SQLERRM, 200));
END;
$import_fault$;

COMMENT ON FUNCTION arvo.import_fault(jsonb) IS
'Why a row of a foreign memory cannot be taken, as "code: detail"; NULL when it can.';

REVOKE ALL ON FUNCTION arvo.import_fault(jsonb) FROM PUBLIC;
--! end

--! function arvo.is_finished
-- arvo.is_finished(execution_status, data) — whether a workflow's state says that it has come to its end.
CREATE OR REPLACE FUNCTION arvo.is_finished(p_execution_status text, p_data jsonb)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $is_finished$
-- The records of upstream's resumables and orchestrators. One of another shape is never finished.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT CASE
           WHEN p_execution_status = 'failure' THEN true
           ELSE coalesce(p_data ->> 'status' IN ('done', 'error', 'stopped'), false)
       END;
$is_finished$;

COMMENT ON FUNCTION arvo.is_finished(text, jsonb) IS
'Whether a workflow''s state says that it is done or has failed.';

REVOKE ALL ON FUNCTION arvo.is_finished(text, jsonb) FROM PUBLIC;
--! end

--! function arvo.is_guarded
-- arvo.is_guarded(name) — whether a guard covers a queue of that name.
CREATE OR REPLACE FUNCTION arvo.is_guarded(p_name text)
RETURNS boolean
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $is_guarded$
-- As arvo.covers, in a form that indexes know: a star is flagged queue by queue.
--
--   Reads    arvo.queue_guard by (may, queue), and those with a star
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT EXISTS (
    SELECT
    FROM arvo.queue_guard AS guard
    WHERE guard.may IN ('dispatch', 'consume', 'operate') AND guard.queue = p_name
) OR EXISTS (
    SELECT
    FROM arvo.queue_guard AS guard
    WHERE guard.may IN ('dispatch', 'consume', 'operate')
    AND guard.queue LIKE '%*'
    AND starts_with(p_name, left(guard.queue, -1))
);
$is_guarded$;

COMMENT ON FUNCTION arvo.is_guarded(text) IS
'Whether something about a queue of that name is closed.';

REVOKE ALL ON FUNCTION arvo.is_guarded(text) FROM PUBLIC;
--! end

--! function arvo.is_one_of
-- arvo.is_one_of(roles) — whether the caller has the privileges of one of some roles.
CREATE OR REPLACE FUNCTION arvo.is_one_of(p_roles text[])
RETURNS boolean
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $is_one_of$
-- Superusers and members of the owner are every role: they could change the tables by hand. A role that
-- the caller would have to choose by SET ROLE first is not meant. Names that are no roles, or not any
-- more, are passed over; a caller whose role has been renamed since SET ROLE is nobody. public is everybody.
--
--   Reads    pg_roles, pg_namespace
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT 'public' = ANY (p_roles) OR EXISTS (
    SELECT
    FROM pg_roles AS known
    WHERE known.rolname = arvo.caller()::name
    AND (
        known.rolsuper
        OR EXISTS (
            SELECT
            FROM pg_roles AS granted
            WHERE granted.rolname = ANY (p_roles::name[])
            AND pg_has_role(known.oid, granted.oid, 'USAGE')
        )
        OR EXISTS (
            SELECT
            FROM pg_namespace AS house
            WHERE house.nspname = 'arvo' AND pg_has_role(known.oid, house.nspowner, 'USAGE')
        )
    )
);
$is_one_of$;

COMMENT ON FUNCTION arvo.is_one_of(text[]) IS
'Whether the caller is a member of one of some roles, or a superuser.';

REVOKE ALL ON FUNCTION arvo.is_one_of(text[]) FROM PUBLIC;
--! end

--! function arvo.json_fault
-- arvo.json_fault(json, most) — why a JSON value is not to be kept, or NULL.
CREATE OR REPLACE FUNCTION arvo.json_fault(p_json jsonb, p_most integer)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $json_fault$
-- What clients can read, and no more than so many bytes as PostgreSQL prints it: a number of nine
-- characters may print as 131,072 digits. The bounds of numbers and depth are those of events.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    -- A value so small is not nested deeper than 512, and has no number of 4000 digits.
    IF p_json IS NULL OR (
        p_most >= 4096
        AND pg_column_size(p_json || '{}') <= 4096
        AND octet_length(p_json::text) <= 4000
    ) THEN
        RETURN NULL;
    END IF;
    RETURN CASE
        WHEN arvo.printed_size(p_json) > p_most
            THEN format('must not be larger than %s bytes', p_most)
        WHEN p_json @? 'strict $.** ? (@ >= 1e4000 || @ <= -1e4000)'
            THEN 'must not have numbers of more than 4000 digits'
        WHEN p_json @? '$.**{513 to last}' THEN 'must not be nested deeper than 512 levels'
    END;
END;
$json_fault$;

COMMENT ON FUNCTION arvo.json_fault(jsonb, integer) IS
'Why a JSON value is too large, too deep or too long a number to be kept; NULL when it is not.';

REVOKE ALL ON FUNCTION arvo.json_fault(jsonb, integer) FROM PUBLIC;
--! end

--! function arvo.json_start
-- arvo.json_start(json) — the first characters of a JSON value, for a message.
CREATE OR REPLACE FUNCTION arvo.json_start(p_json jsonb)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $json_start$
-- Eighty of them. What prints as more than a mebibyte is not printed for that.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT CASE
    WHEN arvo.printed_size(p_json) > 1048576 THEN 'more than a mebibyte of JSON'
    ELSE left(p_json::text, 80)
END;
$json_start$;

COMMENT ON FUNCTION arvo.json_start(jsonb) IS
'The beginning of a JSON value as text; of a huge one only that it is.';

REVOKE ALL ON FUNCTION arvo.json_start(jsonb) FROM PUBLIC;
--! end

--! function arvo.known_keys
-- arvo.known_keys(slot, queues, keys) — which deliveries one partition of event_key has for some keys.
CREATE OR REPLACE FUNCTION arvo.known_keys(p_slot integer, p_queues integer[], p_keys bytea[])
RETURNS bigint[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $known_keys$
-- One element for each key asked for: the delivery that was first within the queue's window, or NULL;
-- no array at all when none is known.
-- One statement for each partition: asked by its own name, only that one is locked, and the others
-- can be emptied while a dispatcher's transaction stays open.
--
--   Reads    arvo.event_key, one partition, by (queue, key); arvo.queue, arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_deliveries bigint[];
BEGIN
    IF p_slot = 0 THEN
        SELECT array_agg(known.delivery ORDER BY asked.ordinal) INTO v_deliveries
        FROM unnest(p_queues, p_keys) WITH ORDINALITY AS asked (queue, key, ordinal)
        INNER JOIN arvo.queue ON queue.queue = asked.queue
        LEFT JOIN LATERAL (
            SELECT listed.delivery
            FROM arvo.event_key_0 AS listed
            WHERE listed.slot = 0 AND listed.queue = asked.queue AND listed.key = asked.key
            AND listed.at > v_now - queue.deduplicate_for
            LIMIT 1  -- one look-up for each key, also when the plan is made on an empty table
        ) AS known ON true
        HAVING count(known.delivery) > 0;
    ELSIF p_slot = 1 THEN
        SELECT array_agg(known.delivery ORDER BY asked.ordinal) INTO v_deliveries
        FROM unnest(p_queues, p_keys) WITH ORDINALITY AS asked (queue, key, ordinal)
        INNER JOIN arvo.queue ON queue.queue = asked.queue
        LEFT JOIN LATERAL (
            SELECT listed.delivery
            FROM arvo.event_key_1 AS listed
            WHERE listed.slot = 1 AND listed.queue = asked.queue AND listed.key = asked.key
            AND listed.at > v_now - queue.deduplicate_for
            LIMIT 1  -- one look-up for each key, also when the plan is made on an empty table
        ) AS known ON true
        HAVING count(known.delivery) > 0;
    ELSE
        SELECT array_agg(known.delivery ORDER BY asked.ordinal) INTO v_deliveries
        FROM unnest(p_queues, p_keys) WITH ORDINALITY AS asked (queue, key, ordinal)
        INNER JOIN arvo.queue ON queue.queue = asked.queue
        LEFT JOIN LATERAL (
            SELECT listed.delivery
            FROM arvo.event_key_2 AS listed
            WHERE listed.slot = 2 AND listed.queue = asked.queue AND listed.key = asked.key
            AND listed.at > v_now - queue.deduplicate_for
            LIMIT 1  -- one look-up for each key, also when the plan is made on an empty table
        ) AS known ON true
        HAVING count(known.delivery) > 0;
    END IF;
    RETURN v_deliveries;
END;
$known_keys$;

COMMENT ON FUNCTION arvo.known_keys(integer, integer[], bytea[]) IS
'First deliveries that one partition of event_key has for some deduplication keys.';

REVOKE ALL ON FUNCTION arvo.known_keys(integer, integer[], bytea[]) FROM PUBLIC;
--! end

--! function arvo.lane_for
-- arvo.lane_for(queue, priority) — the lane of a queue, made when it is missing.
CREATE OR REPLACE FUNCTION arvo.lane_for(p_queue text, p_priority integer DEFAULT NULL)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $lane_for$
-- A queue that nobody has registered is made unregistered: its events wait there, counted as
-- unroutable, until a handler is registered under that name. p_priority NULL takes the queue's own.
--
--   Reads    arvo.queue, arvo.lane, arvo.clock, arvo.slot; as arvo.is_guarded
--   Writes   arvo.queue, arvo.lane, arvo.lease (the first cursor)
--   Locks    arvo.queue row (only while it is being made); arvo.lane row: of the queue's own
--            priority, while it is being made; of others tried, never waited for
--   Raises   RV002  the text may not name a queue, or the queue has 100 priorities
DECLARE
    v_queue integer;
    v_own integer;
    v_priority integer;
    v_lane integer;
BEGIN
    SELECT queue.queue, queue.priority, coalesce(p_priority, queue.priority)
    INTO v_queue, v_own, v_priority
    FROM arvo.queue
    WHERE queue.name = p_queue;

    IF NOT FOUND THEN
        IF NOT arvo.is_queue_name(p_queue) THEN
            RAISE EXCEPTION 'queue name is not valid'
            USING ERRCODE = 'RV002',
                  COLUMN = 'queue',
                  DETAIL = format('queue: %s', left(to_json(p_queue)::text, 80)),
                  HINT = 'Use 1 to 512 characters of a URI, without quotes.';
        END IF;
        INSERT INTO arvo.queue (name, guarded, created_at, changed_at)
        VALUES (p_queue, arvo.is_guarded(p_queue), arvo.clock(), arvo.clock())
        ON CONFLICT (name) DO NOTHING;
        SELECT queue.queue, queue.priority, coalesce(p_priority, queue.priority)
        INTO STRICT v_queue, v_own, v_priority
        FROM arvo.queue
        WHERE queue.name = p_queue;
        -- Every queue has a lane of its own priority.
        IF v_priority <> v_own THEN
            PERFORM arvo.lane_for(p_queue);
        END IF;
    END IF;

    SELECT lane.lane INTO v_lane
    FROM arvo.lane
    WHERE lane.queue = v_queue AND lane.priority = v_priority AND NOT lane.retired;

    IF NOT FOUND THEN
        -- Every lane costs each claim a look: a queue has a handful of priorities, not a thousand.
        -- Its own priority is always there to be had: else whoever may dispatch could use up a name
        -- before it is registered.
        IF v_priority <> v_own
            AND (
                SELECT count(*)
                FROM arvo.lane
                WHERE lane.queue = v_queue AND lane.priority <> v_own AND NOT lane.retired
            ) >= 99
        THEN
            RAISE EXCEPTION 'queue has too many priorities'
            USING ERRCODE = 'RV002',
                  COLUMN = 'priority',
                  DETAIL = format('queue %s has 100 priorities; %s would be one more', p_queue,
                                  v_priority),
                  HINT = 'Use one of the priorities that the queue has.';
        END IF;
        -- While somebody else is making this very lane, the delivery goes by the queue's own priority:
        -- waiting could close a circle with another new lane, for as long as transactions are open.
        IF v_priority <> v_own AND NOT pg_try_advisory_xact_lock(
            hashtextextended(format('%s/%s', v_queue, v_priority), hashtextextended('arvo', 2))
        ) THEN
            SELECT lane.lane INTO STRICT v_lane
            FROM arvo.lane
            WHERE lane.queue = v_queue AND lane.priority = v_own AND NOT lane.retired;
            RETURN v_lane;
        END IF;
        INSERT INTO arvo.lane (queue, priority)
        VALUES (v_queue, v_priority)
        ON CONFLICT (queue, priority) WHERE NOT retired DO NOTHING
        RETURNING lane.lane INTO v_lane;
        IF FOUND THEN
            INSERT INTO arvo.lease (
                slot, lane, number, token, leased_at, expires_at, deliveries,
                previous_snapshot, snapshot, last_xid, last_delivery, exhausted,
                open_from, sweep_at
            )
            VALUES (
                arvo.slot(), v_lane, 0, 0, arvo.clock(), '-infinity', '{}',
                '1:1:', '1:1:', '0', 0, true,
                1, 'infinity'
            );
        ELSE
            SELECT lane.lane INTO STRICT v_lane
            FROM arvo.lane
            WHERE lane.queue = v_queue AND lane.priority = v_priority AND NOT lane.retired;
        END IF;
    END IF;
    RETURN v_lane;
END;
$lane_for$;

COMMENT ON FUNCTION arvo.lane_for(text, integer) IS
'Number of the lane for a queue and priority; makes queue and lane when they are missing.';

REVOKE ALL ON FUNCTION arvo.lane_for(text, integer) FROM PUBLIC;
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
--            RV007  a queue is closed to the caller
DECLARE
    v_start integer := floor(random() * 1000000000)::integer;
    v_asked arvo.claimable;
    v_unknown text;
    v_argument text;
    v_guarded boolean;
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
            coalesce(bool_or(listed.limited), false),
            bool_or(listed.guarded)
        INTO
            v_asked.lanes, v_asked.places, v_asked.queues, v_asked.gated, v_asked.limited,
            v_guarded
        FROM (
            SELECT
                lane.lane,
                named.queue,
                named.gated,
                named.rate_limit IS NOT NULL AS limited,
                named.guarded OR NOT named.registered AS guarded
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
            coalesce(bool_or(listed.limited), false),
            bool_or(listed.guarded)
        INTO
            v_asked.lanes, v_asked.places, v_asked.queues, v_asked.gated, v_asked.limited,
            v_guarded
        FROM (
            SELECT
                lane.lane,
                asked.position::integer AS position,
                named.queue,
                named.gated,
                named.rate_limit IS NOT NULL AS limited,
                named.guarded OR NOT named.registered AS guarded
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
            coalesce(bool_or(listed.limited), false),
            bool_or(listed.guarded)
        INTO
            v_asked.lanes, v_asked.places, v_asked.queues, v_asked.gated, v_asked.limited,
            v_guarded
        FROM (
            SELECT
                lane.lane,
                asked.position::integer AS position,
                named.queue,
                named.gated,
                named.rate_limit IS NOT NULL AS limited,
                named.guarded OR NOT named.registered AS guarded
            FROM unnest(p_queues) WITH ORDINALITY AS asked (name, position)
            CROSS JOIN LATERAL (
                SELECT queue.queue, queue.gated, queue.rate_limit, queue.guarded, queue.registered
                FROM arvo.queue
                WHERE queue.name = asked.name AND queue.paused_at IS NULL
                UNION ALL
                SELECT queue.queue, queue.gated, queue.rate_limit, queue.guarded, queue.registered
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
    IF v_guarded THEN
        RETURN arvo.open_lanes(v_asked, p_queues);
    END IF;
    RETURN v_asked;
END;
$lanes_to_claim$;

COMMENT ON FUNCTION arvo.lanes_to_claim(text[], integer, integer[], interval) IS
'The lanes of the queues that a claim names, in the order in which it goes through them.';

REVOKE ALL ON FUNCTION arvo.lanes_to_claim(text[], integer, integer[], interval) FROM PUBLIC;
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
SET enable_sort = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $lease_of$
-- NULL when it has not been claimed. In a gated queue it may have been parked; then its lease names it
-- as a stray. Else leases follow the order of the log, but for transactions that committed late: it is
-- in one of the first whose position is not before it, or in the one with which the cursor passed it,
-- which is searched for by halves. So this costs some index look-ups more for each doubling of the
-- ledger. Only what had been parked and was then purged, or delivered again under new rules, may stand
-- in any later lease whose range of transactions holds it, of which all are read. Heartbeats continue
-- a lease in new rows; this is the first. The index of strays can be read as a bitmap only, which
-- callers may have turned off. A plan made on an empty ledger would sort all that is ahead.
--
--   Reads    arvo.lease by (lane, number), strays and (lane, high_xid, last_delivery), arvo.parked
--            by delivery
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_lease arvo.lease;
    v_from bigint := 0::bigint;
    v_to bigint;
    v_middle bigint;
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
    v_to := v_lease.number;

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

    SELECT ahead.* INTO v_lease
    FROM (
        SELECT lease.*
        FROM arvo.lease
        WHERE lease.lane = p_lane
        AND (lease.high_xid, lease.last_delivery) >= (p_xid, p_delivery)
        AND lease.token <> 0
        ORDER BY lease.high_xid, lease.last_delivery
        LIMIT 16
    ) AS ahead
    WHERE NOT ahead.carried AND p_delivery = ANY (ahead.deliveries)
    LIMIT 1;
    IF FOUND THEN
        RETURN v_lease;
    END IF;

    -- The cursor at v_to has passed it. Numbers that are gone count as before it.
    WHILE v_from < v_to LOOP
        v_middle := (v_from + v_to) / 2;
        SELECT standing.* INTO v_lease
        FROM arvo.lease AS standing
        WHERE standing.lane = p_lane AND standing.number <= v_middle
        ORDER BY standing.number DESC
        LIMIT 1;
        IF NOT FOUND OR arvo.is_unclaimed(v_lease, p_xid, p_delivery) THEN
            v_from := v_middle + 1;
        ELSE
            v_to := v_lease.number;
        END IF;
    END LOOP;
    SELECT passing.* INTO v_lease
    FROM arvo.lease AS passing
    WHERE passing.lane = p_lane AND passing.number = v_to;
    IF p_delivery = ANY (v_lease.deliveries) AND v_lease.token <> 0 AND NOT v_lease.carried THEN
        RETURN v_lease;
    ELSIF v_lease.token <> 0 AND v_lease.keys IS NULL
        OR pg_snapshot_xmax(v_lease.snapshot) = '9223372036854775807'
    THEN
        -- A claim that parks nothing has all that it passes; or the lane was closed by a rebase.
        RETURN NULL;
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

--! function arvo.may
-- arvo.may(name, right) — whether the caller may do something with a queue.
CREATE OR REPLACE FUNCTION arvo.may(p_name text, p_right text)
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $may$
-- dispatch, consume and operate are open to everybody who may call the functions, until one guard that
-- covers the name closes them; then one of the guards must name a role of the caller's. Guards add up.
-- A claim with a star asks for each queue: so what arvo.covers says is said in a form that indexes know.
--
--   Reads    arvo.queue_guard by (may, queue), and those with a star; as arvo.is_one_of
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_roles text[];
BEGIN
    SELECT array_agg(DISTINCT member.role) FILTER (WHERE member.role IS NOT NULL) INTO v_roles
    FROM (
        SELECT exact.roles
        FROM arvo.queue_guard AS exact
        WHERE exact.may = p_right AND exact.queue = p_name
        UNION ALL
        SELECT wide.roles
        FROM arvo.queue_guard AS wide
        WHERE wide.may = p_right
        AND wide.queue LIKE '%*'
        AND starts_with(p_name, left(wide.queue, -1))
    ) AS guard
    LEFT JOIN LATERAL unnest(guard.roles) AS member (role) ON true
    HAVING count(*) > 0;
    RETURN NOT FOUND OR arvo.is_one_of(coalesce(v_roles, '{}'));
END;
$may$;

COMMENT ON FUNCTION arvo.may(text, text) IS
'Whether the caller may dispatch to a queue, consume it or operate it.';

REVOKE ALL ON FUNCTION arvo.may(text, text) FROM PUBLIC;
--! end

--! function arvo.may_read
-- arvo.may_read(queue) — whether the caller may see what events of a queue carry.
CREATE OR REPLACE FUNCTION arvo.may_read(p_queue text)
RETURNS boolean
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $may_read$
-- Who operates or consumes the queue sees it anyway. Who only monitors sees no payload, unless read
-- was granted. What belongs to no queue, such as the state of a workflow, is asked for as '*'.
--
--   Reads    arvo.queue_guard; as arvo.may and arvo.is_one_of
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT (arvo.is_one_of(ARRAY['arvo_operator']) AND arvo.may(p_queue, 'operate'))
    OR (arvo.is_one_of(ARRAY['arvo_worker']) AND arvo.may(p_queue, 'consume'))
    OR EXISTS (
        SELECT
        FROM arvo.queue_guard AS guard
        WHERE guard.may = 'read'
        AND arvo.covers(guard.queue, p_queue)
        AND arvo.is_one_of(guard.roles)
    );
$may_read$;

COMMENT ON FUNCTION arvo.may_read(text) IS
'Whether the caller may see payloads and errors of a queue.';

REVOKE ALL ON FUNCTION arvo.may_read(text) FROM PUBLIC;
--! end

--! function arvo.next_lapse
-- arvo.next_lapse(lanes) — how long until a lease of some lanes may have lapsed.
CREATE OR REPLACE FUNCTION arvo.next_lapse(p_lanes integer[])
RETURNS interval
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $next_lapse$
-- For a worker that was given nothing: when it is to look whether another one has died. What is leased
-- after it has looked is leased by somebody who was woken with it, or because something became due that
-- it waits for as well, or when it looks again by this. Half a second at least, which is how often a
-- lane is swept; NULL when nothing is leased. Of very many lanes, those that a call would claim first.
--
--   Reads    arvo.lease by (lane, number), arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT greatest(min(head.sweep_at) - arvo.clock(), interval '0.5 seconds')
FROM unnest(p_lanes[1:512]) AS asked (lane)
CROSS JOIN LATERAL (
    SELECT newest.sweep_at
    FROM arvo.lease AS newest
    WHERE newest.lane = asked.lane
    ORDER BY newest.number DESC
    LIMIT 1
) AS head
WHERE head.sweep_at < 'infinity'
HAVING count(*) > 0;
$next_lapse$;

COMMENT ON FUNCTION arvo.next_lapse(integer[]) IS
'How long until a lease of some lanes may have lapsed; NULL when nothing is leased there.';

REVOKE ALL ON FUNCTION arvo.next_lapse(integer[]) FROM PUBLIC;
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
-- As a rule every key is new. Many of them are simply inserted, in a subtransaction that is undone when
-- one is known after all: ON CONFLICT looks each up first, and writes 48 bytes of log more for it.
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
        IF v_first IS NULL AND NOT v_turning AND v_slot = v_number % 3 AND cardinality(p_keys) >= 100
        THEN
            BEGIN
                INSERT INTO arvo.event_key (slot, queue, key, delivery, at)
                SELECT v_slot, item.queue, item.key, item.delivery, v_now
                FROM unnest(p_queues, p_keys, p_deliveries) AS item (queue, key, delivery)
                ORDER BY item.queue, item.key;
                RETURN NULL;
            EXCEPTION WHEN unique_violation THEN
                NULL;  -- known already, or twice in this call
            END;
        END IF;
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

--! function arvo.note_operation
-- arvo.note_operation(verb, queue, details, touched) — write down what an operator did.
CREATE OR REPLACE FUNCTION arvo.note_operation(
    p_verb text,
    p_queue text,
    p_details jsonb,
    p_touched bigint
)
RETURNS void
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $note_operation$
-- A call that touched nothing is written down as well; a dry run is not, its caller does not call.
-- Arguments that are NULL are left out.
--
--   Reads    arvo.clock
--   Writes   arvo.operation
--   Locks    nothing
--   Raises   nothing
INSERT INTO arvo.operation (at, by, role, verb, queue, details, touched)
VALUES (
    arvo.clock(), session_user, nullif(arvo.caller(), session_user), p_verb, p_queue,
    jsonb_strip_nulls(p_details), p_touched
);
$note_operation$;

COMMENT ON FUNCTION arvo.note_operation(text, text, jsonb, bigint) IS
'Writes one row of the audit of what operators do.';

REVOKE ALL ON FUNCTION arvo.note_operation(text, text, jsonb, bigint) FROM PUBLIC;
--! end

--! function arvo.open_lanes
-- arvo.open_lanes(claimable, queues) — those lanes of a claim that the caller may claim from.
CREATE OR REPLACE FUNCTION arvo.open_lanes(p_asked arvo.claimable, p_queues text[])
RETURNS arvo.claimable
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $open_lanes$
-- A queue that was named in full and is closed is refused; of those that a star stands for, it is
-- passed over.
--
--   Reads    arvo.queue; as arvo.may
--   Writes   nothing
--   Locks    nothing
--   Raises   RV007  a queue is closed to the caller
DECLARE
    v_open arvo.claimable := p_asked;
    v_barred integer[];
BEGIN
    v_barred := ARRAY(
        SELECT queue.queue
        FROM arvo.queue
        WHERE queue.queue = ANY (p_asked.queues) AND NOT arvo.may(queue.name, 'consume')
    );
    IF v_barred <> '{}' THEN
        PERFORM arvo.require_right(
            ARRAY(
                SELECT asked.name FROM unnest(p_queues) AS asked (name) WHERE NOT asked.name LIKE '%*'
            ),
            'consume'
        );
        SELECT
            array_agg(listed.lane ORDER BY listed.ordinal),
            array_agg(listed.place ORDER BY listed.ordinal),
            array_agg(listed.queue ORDER BY listed.ordinal),
            array_agg(listed.gated ORDER BY listed.ordinal)
        INTO v_open.lanes, v_open.places, v_open.queues, v_open.gated
        FROM unnest(p_asked.lanes, p_asked.places, p_asked.queues, p_asked.gated) WITH ORDINALITY
            AS listed (lane, place, queue, gated, ordinal)
        WHERE listed.queue <> ALL (v_barred);
        v_open.lanes := coalesce(v_open.lanes, '{}');
    END IF;
    RETURN v_open;
END;
$open_lanes$;

COMMENT ON FUNCTION arvo.open_lanes(arvo.claimable, text[]) IS
'Leaves out lanes of queues that are closed to the caller; raises RV007 for a queue that was named.';

REVOKE ALL ON FUNCTION arvo.open_lanes(arvo.claimable, text[]) FROM PUBLIC;
--! end

--! function arvo.option_fault
-- arvo.option_fault(queue) — the first rule that a queue's options break, or NULL.
CREATE OR REPLACE FUNCTION arvo.option_fault(p_queue arvo.queue)
RETURNS text
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $option_fault$
-- Answers 'option: rule', the option first.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT faulty.option || ': ' || faulty.rule
FROM (
    VALUES
    (1, 'queue', arvo.is_queue_name(p_queue.name), 'use 1 to 512 characters of a URI, without quotes'),
    (2, 'queue',
     NOT starts_with(p_queue.name, 'arvo.domain.') OR p_queue.name ~ '^arvo\.domain\.[a-z0-9.]+$',
     'after arvo.domain. use lower-case letters, digits and dots'),
    (2, 'queue', p_queue.name <> 'arvo.publish', 'name another queue: what goes there is published'),
    (3, 'policy',
     p_queue.policy IN ('standard', 'short', 'singleton', 'stately', 'exclusive', 'ordered'),
     'use standard, short, singleton, stately, exclusive or ordered'),
    (4, 'key_from',
     p_queue.key_from ~ '^([a-z0-9]+|data(\.[^.{}",\s]{1,100}){1,8})$' AND p_queue.key_from <> 'data',
     'name an attribute of the event, or a path such as data.customer.id'),
    (5, 'on_failure', p_queue.on_failure IN ('block', 'step_aside'), 'use block or step_aside'),
    (6, 'on_failure', p_queue.on_failure = 'block' OR p_queue.policy = 'ordered',
     'only an ordered queue steps aside: set policy to ordered'),
    (7, 'start_after', p_queue.start_after BETWEEN interval '0' AND interval '3650 days',
     'use between 0 and 3650 days'),
    (8, 'retention', p_queue.retention BETWEEN interval '1 second' AND interval '3650 days',
     'use between 1 second and 3650 days'),
    (9, 'delete_after', p_queue.delete_after BETWEEN interval '1 second' AND interval '3650 days',
     'use between 1 second and 3650 days'),
    (10, 'deduplicate_for', p_queue.deduplicate_for BETWEEN interval '0' AND interval '3650 days',
     'use between 0 (off) and 3650 days'),
    (11, 'singleton_for', p_queue.singleton_for BETWEEN interval '1 second' AND interval '3650 days',
     'use between 1 second and 3650 days'),
    (12, 'singleton_next_slot', NOT p_queue.singleton_next_slot OR p_queue.singleton_for IS NOT NULL,
     'set singleton_for as well'),
    (13, 'max_active', p_queue.max_active >= 1, 'use 1 or more'),
    (14, 'key_max_active', p_queue.key_max_active >= 1, 'use 1 or more'),
    (15, 'key_max_active',
     p_queue.key_max_active IS NULL OR p_queue.policy NOT IN ('ordered', 'singleton', 'stately'),
     'the policy allows one at a time already: leave it out'),
    (16, 'rate_limit', p_queue.rate_limit >= 1, 'use 1 or more'),
    (17, 'rate_period', (p_queue.rate_limit IS NULL) = (p_queue.rate_period IS NULL),
     'give rate_limit and rate_period together'),
    (18, 'rate_period', p_queue.rate_period BETWEEN interval '0.1 seconds' AND interval '31 days',
     'use between 0.1 seconds and 31 days'),
    (19, 'key_rate_limit', p_queue.key_rate_limit >= 1, 'use 1 or more'),
    (20, 'key_rate_period', (p_queue.key_rate_limit IS NULL) = (p_queue.key_rate_period IS NULL),
     'give key_rate_limit and key_rate_period together'),
    (21, 'key_rate_period',
     p_queue.key_rate_period BETWEEN interval '0.1 seconds' AND interval '31 days',
     'use between 0.1 seconds and 31 days'),
    (22, 'retry_limit', p_queue.retry_limit >= 0, 'use 0 or more'),
    -- Without a bound, a retry would be due behind the end of time, and fail with its whole batch.
    (23, 'retry_delay', p_queue.retry_delay BETWEEN interval '0' AND interval '3650 days',
     'use between 0 and 3650 days'),
    (24, 'retry_delay_max', p_queue.retry_delay_max BETWEEN interval '0' AND interval '3650 days',
     'use between 0 and 3650 days'),
    (25, 'expire_in', p_queue.expire_in BETWEEN interval '1 second' AND interval '1 day',
     'use between 1 second and 1 day'),
    (26, 'dead_letter', p_queue.dead_letter IS NULL OR arvo.is_queue_name(p_queue.dead_letter),
     'use 1 to 512 characters of a URI, without quotes'),
    (27, 'dead_letter', p_queue.dead_letter <> p_queue.name, 'name another queue'),
    (28, 'warning_queue_size', p_queue.warning_queue_size >= 1, 'use 1 or more'),
    (29, 'max_redrives', p_queue.max_redrives >= 0, 'use 0 or more'),
    (30, 'error_rules',
     arvo.json_fault(p_queue.error_rules, 65536) IS NULL
     AND coalesce(jsonb_typeof(p_queue.error_rules), 'null') = 'object' AND NOT EXISTS (
         SELECT
         FROM jsonb_each(
             CASE jsonb_typeof(p_queue.error_rules) WHEN 'object' THEN p_queue.error_rules END
         ) AS rule
         WHERE NOT (
             rule.value = '"dead"'
             OR coalesce(
                 jsonb_typeof(rule.value) = 'object'
                 AND (rule.value - 'retry_after' - 'snooze') = '{}'
                 AND ((rule.value ? 'retry_after') <> (rule.value ? 'snooze'))
                 AND jsonb_path_exists(rule.value, 'strict $.* ? (@ >= 0 && @ <= 315360000)'),
                 false
             )
         )
     ),
     'use an object of error names, each with "dead", {"retry_after": seconds} or {"snooze": seconds}')
) AS faulty (ordinal, option, kept, rule)
WHERE NOT faulty.kept
ORDER BY faulty.ordinal
LIMIT 1;
$option_fault$;

COMMENT ON FUNCTION arvo.option_fault(arvo.queue) IS
'The first rule that a queue''s options break, as "option: rule"; NULL when they break none.';

REVOKE ALL ON FUNCTION arvo.option_fault(arvo.queue) FROM PUBLIC;
--! end

--! function arvo.place
-- arvo.place(subjects, parents) — place workflows in their trees.
CREATE OR REPLACE FUNCTION arvo.place(p_subjects text[], p_parents text[])
RETURNS void
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $place$
-- p_parents has one text for each subject: its parent's subject, NULL or empty for a root. A parent
-- that is not there yet gets its place now, so children may come first; a place without a parent
-- learns it later. All rows of a call are taken in one order, and rows that need no change are only
-- kept from being removed until the commit, so that siblings do not wait for each other: a clean-up of
-- the parent cannot see the child yet. One that is just being cleaned up is waited for, and placed anew.
--
--   Reads    arvo.clock
--   Writes   arvo.lineage
--   Locks    arvo.lineage rows, in order of their digests
--   Raises   40001  under REPEATABLE READ: somebody has cleaned up the parent meanwhile
WITH given AS (
    SELECT listed.subject, nullif(nullif(listed.parent, listed.subject), '') AS parent
    FROM unnest(p_subjects, p_parents) AS listed (subject, parent)
),

wanted AS (
    SELECT
        arvo.subject_digest(named.subject) AS subject_digest,
        min(named.subject) AS subject,
        (array_agg(arvo.subject_digest(named.parent)) FILTER (WHERE named.parent IS NOT NULL))[1]
            AS parent_digest
    FROM (
        SELECT given.subject, given.parent FROM given
        UNION ALL
        SELECT given.parent, NULL FROM given WHERE given.parent IS NOT NULL
    ) AS named
    GROUP BY arvo.subject_digest(named.subject)
),

kept AS MATERIALIZED (
    SELECT placed.subject_digest, placed.parent_digest
    FROM (SELECT wanted.subject_digest FROM wanted ORDER BY wanted.subject_digest) AS sorted
    CROSS JOIN LATERAL (
        SELECT known.subject_digest, known.parent_digest
        FROM arvo.lineage AS known
        WHERE known.subject_digest = sorted.subject_digest
        FOR KEY SHARE
    ) AS placed
)

INSERT INTO arvo.lineage AS known (subject_digest, subject, parent_digest, created_at)
SELECT wanted.subject_digest, wanted.subject, wanted.parent_digest, arvo.clock()
FROM wanted
WHERE NOT EXISTS (
    SELECT
    FROM kept
    WHERE kept.subject_digest = wanted.subject_digest
    AND (kept.parent_digest IS NOT NULL OR wanted.parent_digest IS NULL)
)
ORDER BY wanted.subject_digest
ON CONFLICT (subject_digest) DO UPDATE
SET parent_digest = excluded.parent_digest
WHERE known.parent_digest IS NULL AND excluded.parent_digest IS NOT NULL;
$place$;

COMMENT ON FUNCTION arvo.place(text[], text[]) IS
'Places workflows in their trees; parents that are missing get their place, too.';

REVOKE ALL ON FUNCTION arvo.place(text[], text[]) FROM PUBLIC;
--! end

--! function arvo.prune_lineage
-- arvo.prune_lineage(digest) — forget the place of a workflow that is gone, and of ancestors that are.
CREATE OR REPLACE FUNCTION arvo.prune_lineage(p_digest bytea)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $prune_lineage$
-- A workflow without a state from which nothing descends, then its parent if the same is true of that
-- one, and so on: places stay as long as somebody's root depends on them, also somebody whose first
-- write is still open: that holds the place of its parent. Returns how many went.
--
--   Reads    arvo.state
--   Writes   arvo.lineage
--   Locks    the arvo.lineage rows deleted; where somebody holds one, it ends
--   Raises   nothing
DECLARE
    v_digest bytea := p_digest;
    v_parent bytea;
    v_gone integer := 0;
BEGIN
    LOOP
        SELECT known.parent_digest INTO v_parent
        FROM arvo.lineage AS known
        WHERE known.subject_digest = v_digest
        AND NOT EXISTS (
            SELECT FROM arvo.lineage AS child WHERE child.parent_digest = v_digest
        )
        AND NOT EXISTS (SELECT FROM arvo.state WHERE state.subject_digest = v_digest)
        FOR UPDATE SKIP LOCKED;
        EXIT WHEN NOT FOUND;
        -- A statement of its own: it sees who has let go of the place since the last one began.
        DELETE FROM arvo.lineage
        WHERE lineage.subject_digest = v_digest
        AND NOT EXISTS (
            SELECT FROM arvo.lineage AS child WHERE child.parent_digest = v_digest
        )
        AND NOT EXISTS (SELECT FROM arvo.state WHERE state.subject_digest = v_digest);
        EXIT WHEN NOT FOUND;
        v_gone := v_gone + 1;
        v_digest := v_parent;
    END LOOP;
    RETURN v_gone;
END;
$prune_lineage$;

COMMENT ON FUNCTION arvo.prune_lineage(bytea) IS
'Forgets the place of a workflow that is gone, and of its ancestors that are gone and childless, too.';

REVOKE ALL ON FUNCTION arvo.prune_lineage(bytea) FROM PUBLIC;
--! end

--! function arvo.read_dead_filter
-- arvo.read_dead_filter(dead, queue, …, limit, required) — which dead letters a call means.
CREATE OR REPLACE FUNCTION arvo.read_dead_filter(
    p_dead bigint[],
    p_queue text,
    p_reason text,
    p_since timestamptz,
    p_before timestamptz,
    p_event_type text,
    p_subject text,
    p_path jsonpath,
    p_text text,
    p_limit integer,
    p_required boolean
)
RETURNS arvo.dead_filter
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $read_dead_filter$
-- An empty text is one that was left out. p_limit is checked only. p_required: whoever moves dead
-- letters must say which.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   RV006  there is no such reason; limit is not 1 to 10000; no filter is given
DECLARE
    v_filter arvo.dead_filter;
BEGIN
    IF p_reason NOT IN ('failed', 'rejected', 'lease_expired', 'retention') THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'reason',
              DETAIL = format('reason: %s', left(to_json(p_reason)::text, 80)),
              HINT = 'Use failed, rejected, lease_expired or retention.';
    END IF;
    IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'limit',
              DETAIL = format('limit: %s', coalesce(p_limit::text, 'null')),
              HINT = 'Ask for 1 to 10000 in one call.';
    END IF;
    PERFORM arvo.require_path(p_path);
    v_filter := (
        p_dead, p_queue, p_reason, p_since, p_before, p_event_type, p_subject, p_path,
        nullif(p_text, '')
    )::arvo.dead_filter;
    IF p_required AND v_filter IS NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'queue',
              DETAIL = 'No filter is given.',
              HINT = 'Name a queue, the numbers of dead letters, or another filter.';
    END IF;
    RETURN v_filter;
END;
$read_dead_filter$;

COMMENT ON FUNCTION
arvo.read_dead_filter(
    bigint[], text, text, timestamptz, timestamptz, text, text, jsonpath, text, integer,
    boolean
) IS
'Checks and gathers the arguments that say which dead letters are meant.';

REVOKE ALL ON FUNCTION
arvo.read_dead_filter(
    bigint[], text, text, timestamptz, timestamptz, text, text, jsonpath, text, integer,
    boolean
) FROM PUBLIC;
--! end

--! function arvo.read_options
-- arvo.read_options(options) — the options of a dispatch.
CREATE OR REPLACE FUNCTION arvo.read_options(p_options jsonb)
RETURNS arvo.options
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $read_options$
-- p_options is an object. Durations are seconds or texts of intervals:
--
--   start_after          seconds, an ISO 8601 time with its offset, or an interval
--   priority             integer
--   singleton_key        text: the key, instead of the one that the queue reads from the event
--   singleton_for        one per key and interval of this length
--   singleton_next_slot  whether a throttled one goes to the next interval
--   must_be_registered   whether a queue that nobody has registered is an error
--   retry_limit, retry_delay, retry_backoff, retry_delay_max, expire_in   as of the queue
--
-- All NULL for NULL.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   RV002  an option is unknown or not valid
DECLARE
    v_read arvo.options;
    v_name text;
    v_value jsonb;
    v_kept jsonb := '{}'::jsonb;
    v_after interval;
    v_valid boolean := true;
BEGIN
    IF p_options IS NULL OR p_options = 'null' THEN
        RETURN v_read;
    END IF;
    FOR v_name, v_value IN
        SELECT field.key, field.value
        FROM jsonb_each(
            CASE jsonb_typeof(p_options)
                WHEN 'object' THEN p_options ELSE jsonb_build_object('options', p_options)
            END
        ) AS field
    LOOP
        CONTINUE WHEN v_value = 'null';
        CASE
            WHEN v_name IN ('start_after', 'singleton_for', 'retry_delay', 'retry_delay_max',
                            'expire_in') THEN
                v_after := arvo.when_of(v_value);
                IF v_after > interval '3650 days'
                    OR (v_name IN ('retry_delay', 'retry_delay_max') AND v_after < interval '0')
                    OR (v_name IN ('singleton_for', 'expire_in') AND v_after < interval '1 second')
                    OR (v_name = 'expire_in' AND v_after > interval '1 day')
                THEN
                    v_valid := false;
                END IF;
                IF v_name = 'start_after' THEN
                    v_read.start_after := v_after;
                ELSIF v_name = 'singleton_for' THEN
                    v_read.singleton_for := v_after;
                ELSE
                    v_kept := v_kept || jsonb_build_object(v_name, v_after::text);
                END IF;
            WHEN v_name IN ('priority', 'retry_limit') THEN
                IF jsonb_typeof(v_value) <> 'number' OR (v_value #>> '{}') !~ '^-?\d{1,10}$' THEN
                    v_valid := false;
                END IF;
                IF v_name = 'priority' THEN
                    v_read.priority := v_value::integer;
                ELSIF v_value::integer < 0 THEN
                    v_valid := false;
                ELSE
                    v_kept := v_kept || jsonb_build_object(v_name, v_value::integer);
                END IF;
            WHEN v_name IN ('singleton_next_slot', 'must_be_registered', 'retry_backoff') THEN
                IF v_name = 'singleton_next_slot' THEN
                    v_read.singleton_next_slot := v_value::boolean;
                ELSIF v_name = 'must_be_registered' THEN
                    v_read.must_be_registered := v_value::boolean;
                ELSE
                    v_kept := v_kept || jsonb_build_object(v_name, v_value::boolean);
                END IF;
            WHEN v_name = 'singleton_key' THEN
                IF jsonb_typeof(v_value) <> 'string' OR length(v_value #>> '{}') > 1000 THEN
                    v_valid := false;
                END IF;
                v_read.key := v_value #>> '{}'::text[];
            ELSE
                v_valid := false;
        END CASE;
        EXIT WHEN NOT v_valid;
    END LOOP;
    v_read.kept := nullif(v_kept, '{}'::jsonb);
    IF v_valid THEN
        RETURN v_read;
    END IF;
    RAISE EXCEPTION 'option is not valid' USING ERRCODE = 'RV002';
EXCEPTION
    WHEN data_exception OR cannot_coerce OR SQLSTATE 'RV002' OR SQLSTATE 'RV006' THEN
        RAISE EXCEPTION 'option is not valid'
        USING ERRCODE = 'RV002',
              COLUMN = left(v_name, 60),
              DETAIL = format('%s: %s', left(to_json(v_name)::text, 60),
                              arvo.json_start(coalesce(v_value, p_options))),
              HINT = CASE
                  WHEN v_name = 'start_after'
                      THEN 'Give seconds, an ISO 8601 time with its offset, or an interval; at most'
                           ' 3650 days.'
                  WHEN v_name IN ('retry_delay', 'retry_delay_max')
                      THEN 'Give seconds or an interval, between 0 and 3650 days.'
                  WHEN v_name = 'singleton_for'
                      THEN 'Give seconds or an interval, between 1 second and 3650 days.'
                  WHEN v_name = 'expire_in'
                      THEN 'Give seconds or an interval, between 1 second and 1 day.'
                  WHEN v_name = 'priority' THEN 'Give an integer of 32 bits.'
                  WHEN v_name = 'retry_limit' THEN 'Give an integer, 0 or more.'
                  WHEN v_name = 'singleton_key' THEN 'Give a text of at most 1000 characters.'
                  WHEN v_name IN ('singleton_next_slot', 'must_be_registered', 'retry_backoff')
                      THEN 'Give true or false.'
                  ELSE 'A dispatch has the options start_after, priority, singleton_key,'
                       ' singleton_for, singleton_next_slot, must_be_registered, retry_limit,'
                       ' retry_delay, retry_backoff, retry_delay_max and expire_in.'
              END;
END;
$read_options$;

COMMENT ON FUNCTION arvo.read_options(jsonb) IS
'Options of a dispatch, read from an object; refuses what is unknown or not valid.';

REVOKE ALL ON FUNCTION arvo.read_options(jsonb) FROM PUBLIC;
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
                WHEN arvo.json_fault(item.state -> 'data', 67108864) IS NOT NULL
                    THEN 'state.data: ' || arvo.json_fault(item.state -> 'data', 67108864)
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
            WHEN arvo.json_fault(checked.error, 65536) IS NOT NULL THEN (
                SELECT jsonb_object_agg(
                    part.name, left(checked.error ->> part.name, part.most)
                ) || '{"truncated": true}'
                FROM (VALUES ('name', 200), ('message', 2000), ('stack', 20000)) AS part (name, most)
                WHERE coalesce(jsonb_typeof(checked.error -> part.name), 'string') = 'string'
            )
            ELSE checked.error
        END,
        CASE
            WHEN checked.fault IS NULL
                THEN make_interval(secs => round((checked.after #>> '{}')::numeric, 6)::double precision)
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

--! function arvo.require_dispatch
-- arvo.require_dispatch(events, ignore_domain, publish) — refuse events for queues that are closed.
CREATE OR REPLACE FUNCTION arvo.require_dispatch(
    p_events jsonb[],
    p_ignore_domain boolean DEFAULT false,
    p_publish boolean DEFAULT false
)
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $require_dispatch$
-- Where nothing is closed to dispatches it costs one look at a table with nothing in it. Only names are
-- looked at: a queue that is still to be made is closed by a guard that covers its name.
--
--   Reads    arvo.queue_guard; as arvo.goes_to and arvo.may
--   Writes   nothing
--   Locks    nothing
--   Raises   RV007  as arvo.require_right
BEGIN
    IF EXISTS (SELECT FROM arvo.queue_guard AS guard WHERE guard.may = 'dispatch') THEN
        PERFORM arvo.require_right(
            arvo.goes_to(p_events, p_ignore_domain, p_publish), 'dispatch'
        );
    END IF;
END;
$require_dispatch$;

COMMENT ON FUNCTION arvo.require_dispatch(jsonb[], boolean, boolean) IS
'Raises RV007 unless the caller may dispatch to every queue that events go to.';

REVOKE ALL ON FUNCTION arvo.require_dispatch(jsonb[], boolean, boolean) FROM PUBLIC;
--! end

--! function arvo.require_path
-- arvo.require_path(path) — refuse a JSON path that names variables.
CREATE OR REPLACE FUNCTION arvo.require_path(p_path jsonpath)
RETURNS void
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $require_path$
-- There are none; asked of an event it would be an error of PostgreSQL's own. A path prints them as
-- $"name", with nothing between; texts and keys are taken out first.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   RV006  the path names a variable
BEGIN
    IF regexp_replace(p_path::text, '"(\\.|[^"\\])*"', '""', 'g') ~ '\$""' THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'path',
              DETAIL = format('path: %s', left(to_json(p_path::text)::text, 80)),
              HINT = 'Write values into the path itself: it has no variables.';
    END IF;
END;
$require_path$;

COMMENT ON FUNCTION arvo.require_path(jsonpath) IS
'Raises RV006 for a JSON path that names variables.';

REVOKE ALL ON FUNCTION arvo.require_path(jsonpath) FROM PUBLIC;
--! end

--! function arvo.require_right
-- arvo.require_right(names, right) — refuse what the caller may not do with a queue.
CREATE OR REPLACE FUNCTION arvo.require_right(p_names text[], p_right text)
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $require_right$
-- Where nothing of the kind is closed it costs one look at a table with nothing in it.
--
--   Reads    arvo.queue_guard; as arvo.may
--   Writes   nothing
--   Locks    nothing
--   Raises   RV007  the caller may not
DECLARE
    v_barred text;
BEGIN
    IF NOT EXISTS (SELECT FROM arvo.queue_guard AS guard WHERE guard.may = p_right) THEN
        RETURN;
    END IF;
    SELECT named.name INTO v_barred
    FROM unnest(p_names) WITH ORDINALITY AS named (name, ordinal)
    WHERE named.name IS NOT NULL AND NOT arvo.may(named.name, p_right)
    ORDER BY named.ordinal
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'queue is closed to this role'
        USING ERRCODE = 'RV007',
              COLUMN = 'queue',
              DETAIL = arvo.closed_detail(v_barred, p_right),
              HINT = 'Whoever operates the queue can grant it: grant_queue(queue, role, right).';
    END IF;
END;
$require_right$;

COMMENT ON FUNCTION arvo.require_right(text[], text) IS
'Raises RV007 unless the caller may do something with each of some queues.';

REVOKE ALL ON FUNCTION arvo.require_right(text[], text) FROM PUBLIC;
--! end

--! function arvo.standing
-- arvo.standing(lane, xid, delivery) — where a row of the log stands.
CREATE OR REPLACE FUNCTION arvo.standing(p_lane integer, p_xid xid8, p_delivery bigint)
RETURNS arvo.standing
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $standing$
-- As of the calling statement. It stays true while the caller holds the lane, and what is leased also
-- while the caller holds the lease.
--
--   Reads    arvo.lease, arvo.tombstone, arvo.parked, arvo.closure; as arvo.lease_of
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_unclaimed boolean := arvo.is_unclaimed(arvo.head_of(p_lane), p_xid, p_delivery);
    v_token bigint;
BEGIN
    IF v_unclaimed OR EXISTS (SELECT FROM arvo.parked WHERE parked.delivery = p_delivery) THEN
        IF EXISTS (
            SELECT
            FROM arvo.tombstone
            WHERE tombstone.lane = p_lane AND tombstone.delivery = p_delivery
        ) THEN
            RETURN ('withdrawn', NULL)::arvo.standing;
        END IF;
        RETURN (CASE WHEN v_unclaimed THEN 'queued' ELSE 'parked' END, NULL)::arvo.standing;
    END IF;

    v_token := (arvo.lease_of(p_lane, p_xid, p_delivery)).token;
    IF v_token IS NULL OR arvo.open_deliveries(v_token, ARRAY[p_delivery]) = '{}' THEN
        RETURN ('closed', NULL)::arvo.standing;
    END IF;
    RETURN ('leased', v_token)::arvo.standing;
END;
$standing$;

COMMENT ON FUNCTION arvo.standing(integer, xid8, bigint) IS
'Where a row of the log stands: queued, parked, leased, withdrawn or closed.';

REVOKE ALL ON FUNCTION arvo.standing(integer, xid8, bigint) FROM PUBLIC;
--! end

--! function arvo.when_of
-- arvo.when_of(value) — how long until the time that a JSON value means.
CREATE OR REPLACE FUNCTION arvo.when_of(p_value jsonb)
RETURNS interval
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $when_of$
-- A number, or a text of digits, is seconds; an ISO 8601 text with date and offset is a point of
-- time; any other text is an interval of PostgreSQL ('1 hour'). NULL for NULL.
--
--   Reads    arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   RV006  the value is none of these; also 22007, 22008 from PostgreSQL's own reading
DECLARE
    v_text text := p_value #>> '{}';
BEGIN
    IF v_text IS NULL THEN
        RETURN NULL;
    ELSIF jsonb_typeof(p_value) NOT IN ('number', 'string') THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'start_after',
              DETAIL = arvo.json_start(p_value),
              HINT = 'Give seconds, an ISO 8601 time with its offset, or an interval.';
    ELSIF v_text ~ '^-?\d{1,9}(\.\d{1,9})?$' THEN
        RETURN make_interval(secs => v_text::double precision);
    ELSIF v_text ~ '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?\s?(Z|[+-]\d\d(:?\d\d)?)$' THEN
        RETURN v_text::timestamptz - arvo.clock();
    ELSIF v_text ~ '^\s*-?[0-9.]+[eE]' OR v_text ~ '^\d{4}-' THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'start_after',
              DETAIL = arvo.json_start(p_value),
              HINT = 'Give seconds, an ISO 8601 time with its offset, or an interval.';
    END IF;
    RETURN v_text::interval;
END;
$when_of$;

COMMENT ON FUNCTION arvo.when_of(jsonb) IS
'How long until a time: seconds, an ISO 8601 time with its offset, or an interval.';

REVOKE ALL ON FUNCTION arvo.when_of(jsonb) FROM PUBLIC;
--! end

--! function arvo.with_options
-- arvo.with_options(queue, asked, reset) — a queue's row, with some options changed.
CREATE OR REPLACE FUNCTION arvo.with_options(
    p_queue arvo.queue,
    p_asked jsonb,
    p_reset text[] DEFAULT '{}'
)
RETURNS arvo.queue
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $with_options$
-- The defaults of a queue stand here and in its table; a test compares the two. A stateful queue that
-- has never been registered is ordered, unless a policy is named. singleton_for keeps seconds only:
-- months have no fixed length.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   RV002  p_reset names no option
DECLARE
    v_defaults jsonb := jsonb_build_object(
        'stateful', false, 'priority', 0, 'retry_limit', 2, 'retry_delay', '0',
        'retry_backoff', false, 'retry_delay_max', NULL, 'expire_in', '15 minutes',
        'dead_letter', NULL, 'warning_queue_size', 10000, 'policy', 'standard', 'key_from', NULL,
        'on_failure', 'block', 'start_after', '0', 'retention', '14 days', 'delete_after', '7 days',
        'deduplicate_for', '7 days', 'singleton_for', NULL, 'singleton_next_slot', false,
        'max_active', NULL, 'key_max_active', NULL, 'rate_limit', NULL, 'rate_period', NULL,
        'key_rate_limit', NULL, 'key_rate_period', NULL, 'max_redrives', 20,
        'error_rules', '{}'::jsonb
    );
    v_unknown text;
BEGIN
    SELECT named.name INTO v_unknown
    FROM unnest(p_reset) AS named (name)
    WHERE NOT v_defaults ? coalesce(named.name, '')
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'option is not valid'
        USING ERRCODE = 'RV002',
              COLUMN = 'reset',
              DETAIL = format('reset: %s', left(to_json(v_unknown)::text, 80)),
              HINT = 'Name options of a queue, such as dead_letter.';
    END IF;

    IF p_queue.queue IS NULL THEN
        p_queue := jsonb_populate_record(p_queue, v_defaults);
    ELSE
        p_queue := jsonb_populate_record(p_queue, (
            SELECT coalesce(jsonb_object_agg(option.key, option.value), '{}')
            FROM jsonb_each(v_defaults) AS option
            WHERE option.key = ANY (p_reset)
        ));
    END IF;
    IF (p_asked ->> 'stateful')::boolean AND NOT p_asked ? 'policy'
        AND NOT coalesce(p_queue.registered, false)
    THEN
        p_asked := p_asked || '{"policy": "ordered"}';
    END IF;
    p_queue := jsonb_populate_record(p_queue, p_asked);
    -- Any other is refused by arvo.option_fault; its seconds may be more than an interval holds.
    IF p_queue.singleton_for BETWEEN interval '0' AND interval '3650 days' THEN
        p_queue.singleton_for := make_interval(
            secs => extract(epoch FROM p_queue.singleton_for)::double precision
        );
    END IF;
    RETURN p_queue;
END;
$with_options$;

COMMENT ON FUNCTION arvo.with_options(arvo.queue, jsonb, text[]) IS
'A queue''s row with options changed or put back to their defaults.';

REVOKE ALL ON FUNCTION arvo.with_options(arvo.queue, jsonb, text[]) FROM PUBLIC;
--! end

--! function arvo_v1.cancel
-- arvo_v1.cancel(filter…, include_running, limit, dry_run, reason) — end deliveries without running them.
CREATE OR REPLACE FUNCTION arvo_v1.cancel(
    p_delivery bigint[] DEFAULT NULL,
    p_queue text DEFAULT NULL,
    p_event_id text DEFAULT NULL,
    p_event_type text DEFAULT NULL,
    p_subject text DEFAULT NULL,
    p_tree text DEFAULT NULL,
    p_before timestamptz DEFAULT NULL,
    p_path jsonpath DEFAULT NULL,
    p_text text DEFAULT NULL,
    p_include_running boolean DEFAULT false,
    p_limit integer DEFAULT 1000,
    p_dry_run boolean DEFAULT false,
    p_reason text DEFAULT NULL
)
RETURNS SETOF arvo_v1.intervention
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
AS $cancel$
-- Which ones: as arvo.find_deliveries; all that is given must fit. A filter reads what waits, from each
-- lane's cursor on, in order, until it has p_limit; by event, subject or tree it is a look-up.
-- p_tree is any subject of a tree of workflows, and means the whole tree. Wherever a delivery is: one
-- that waits is not handed out any more; one that is due later is not due any more; a dead letter
-- (by number, event or tree) is discarded; one that a worker holds is left, unless p_include_running:
-- then its result will be refused (RV301), and a heartbeat of its lease tells so when nothing else of
-- it is open. The key of an ordered queue goes on behind a cancelled one. Workers that go on may emit
-- more meanwhile: for a whole tree call again until there is no row. A dry run takes no lock.
--
--   Reads    as arvo.find_deliveries and arvo.recheck
--   Writes   arvo.tombstone, arvo.closure, arvo.dead, arvo.operation; as arvo.bring_forward,
--            arvo.let_go and arvo.finish
--   Locks    with p_include_running the leases, in order of their tokens; as arvo.hold; arvo.dead rows
--   Raises   RV003  the queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV006  nothing is given, or limit is not valid
--            RV007  a queue that is named is closed to the caller
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_places text[] := ARRAY['queued', 'parked', 'deferred', 'dead'];
    v_found arvo.finding[];
    v_one arvo.finding;
    v_entry arvo.log;
    v_lease arvo.lease;
    v_done text;
    v_touched bigint := 0::bigint;
BEGIN
    PERFORM arvo.require_read_committed('cancel');
    PERFORM arvo.require_home();
    PERFORM arvo.require_right(ARRAY[p_queue], 'operate');
    -- Those that are named are answered for, also when they are left alone.
    IF p_include_running OR num_nonnulls(p_delivery, p_event_id, p_tree) > 0 THEN
        v_places := array_append(v_places, 'leased');
    END IF;
    SELECT array_agg(seen) INTO v_found
    FROM arvo.find_deliveries(
        p_delivery, p_queue, p_event_id, p_event_type, p_subject, p_tree, p_before, p_path, p_text,
        v_places, p_limit
    ) AS seen;
    IF p_dry_run THEN
        RETURN QUERY
        SELECT
            seen.delivery, seen.event_id, seen.queue, seen.place,
            CASE
                WHEN seen.place = 'leased' AND NOT p_include_running THEN 'left'
                ELSE 'cancelled'
            END,
            NULL::bigint
        FROM unnest(v_found) AS seen
        ORDER BY seen.delivery;
        RETURN;
    END IF;

    IF p_include_running THEN
        PERFORM pg_advisory_xact_lock(arvo.lease_key(held.token))
        FROM (
            SELECT DISTINCT seen.token
            FROM unnest(v_found) AS seen
            WHERE seen.token IS NOT NULL
            ORDER BY seen.token
        ) AS held;
        -- What a settlement has written in the meantime belongs to it.
        SELECT array_agg(seen) INTO v_found
        FROM arvo.find_deliveries(
        p_delivery, p_queue, p_event_id, p_event_type, p_subject, p_tree, p_before, p_path, p_text,
        v_places, p_limit
    ) AS seen;
    END IF;

    FOREACH v_one IN ARRAY arvo.hold(v_found) LOOP
        v_done := 'cancelled';
        IF v_one.place = 'dead' THEN
            UPDATE arvo.dead
            SET resolution = 'discarded', resolved_at = arvo.clock(), resolved_by = session_user
            WHERE dead.dead = v_one.dead
            AND dead.resolution IS NULL
            AND dead.dead_letter_delivery IS NULL;
            CONTINUE WHEN NOT FOUND;
        ELSIF v_one.place = 'deferred' THEN
            v_entry := arvo.bring_forward(v_one.delivery);
            PERFORM arvo.entomb(v_entry, 'cancelled');
            PERFORM arvo.let_go(v_entry);
        ELSE
            SELECT entry.* INTO STRICT v_entry
            FROM arvo.log AS entry
            WHERE entry.lane = v_one.lane
            AND entry.xid = v_one.xid
            AND entry.delivery = v_one.delivery;
            IF v_one.place <> 'leased' THEN
                PERFORM arvo.entomb(v_entry, 'cancelled');
                PERFORM arvo.let_go(v_entry);
            ELSIF NOT p_include_running
                OR NOT pg_try_advisory_xact_lock(arvo.lease_key(v_one.token))
            THEN
                v_done := 'left';
            ELSIF arvo.open_deliveries(v_one.token, ARRAY[v_one.delivery]) = '{}' THEN
                CONTINUE;
            ELSE
                INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
                VALUES (
                    arvo.slot(), v_one.token, arvo.clock(), ARRAY[v_one.delivery], '{cancelled}',
                    '{NULL}'
                );
                UPDATE arvo.dead
                SET resolution = 'discarded', resolved_at = arvo.clock(), resolved_by = session_user
                WHERE dead.dead_letter_lane = v_one.lane
                AND dead.dead_letter_delivery = v_one.delivery
                AND dead.resolution IS NULL;
                SELECT newest.* INTO STRICT v_lease
                FROM arvo.lease AS newest
                WHERE newest.token = v_one.token
                ORDER BY newest.number DESC
                LIMIT 1;
                PERFORM arvo.finish(
                    arvo.known_queue(v_one.queue), v_lease, ARRAY[v_one.delivery]
                );
            END IF;
        END IF;
        v_touched := v_touched + (v_done = 'cancelled')::integer;
        RETURN NEXT (
            v_one.delivery, v_one.event_id, v_one.queue, v_one.place, v_done, NULL
        )::arvo_v1.intervention;
    END LOOP;

    PERFORM arvo.note_operation(
        'cancel', p_queue,
        jsonb_build_object(
            'reason', p_reason, 'delivery', p_delivery, 'event_id', p_event_id, 'event_type', p_event_type,
            'subject', p_subject, 'tree', p_tree, 'before', p_before, 'path', p_path,
            'text', p_text, 'limit', p_limit,
            'include_running', p_include_running
        ),
        v_touched
    );
END;
$cancel$;

COMMENT ON FUNCTION arvo_v1.cancel(
    bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    boolean, integer, boolean, text
) IS
'Cancels deliveries by number, event, workflow tree or filter, wherever they are.';

REVOKE ALL ON FUNCTION arvo_v1.cancel(
    bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    boolean, integer, boolean, text
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.cancel(
    bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    boolean, integer, boolean, text
)
TO arvo_operator;
--! end

--! function arvo_v1.check_in
-- arvo_v1.check_in(worker, queues, rhythm, details) — a worker says that it is there.
CREATE OR REPLACE FUNCTION arvo_v1.check_in(
    p_worker text,
    p_queues text[],
    p_rhythm interval DEFAULT interval '10 seconds',
    p_details jsonb DEFAULT '{}'
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $check_in$
-- Called once a rhythm; who has not been seen for three of them counts as dead. Nothing depends on
-- it but health() and explain_delivery(): leases lapse on their own. p_worker is the name that it
-- claims with. A call before half a rhythm has passed, with nothing new to tell, writes nothing.
-- False when it was not known, or counted as dead.
--
--   Reads    arvo.clock
--   Writes   arvo.worker
--   Locks    arvo.worker row
--   Raises   RV006  an argument is not valid
DECLARE
    v_now timestamptz := arvo.clock();
    v_argument text;
    v_known arvo.worker;
BEGIN
    v_argument := CASE
        WHEN p_worker IS NULL OR length(p_worker) NOT BETWEEN 1 AND 200 THEN 'worker'
        WHEN p_queues IS NULL OR cardinality(p_queues) > 1000 THEN 'queues'
        WHEN p_rhythm IS NULL OR p_rhythm NOT BETWEEN interval '1 second' AND interval '1 hour'
            THEN 'rhythm'
        WHEN p_details IS NULL OR jsonb_typeof(p_details) <> 'object'
            OR arvo.json_fault(p_details, 8192) IS NOT NULL THEN 'details'
    END;
    IF v_argument IS NOT NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = v_argument,
              DETAIL = format('worker %s, %s queues, rhythm %s',
                              left(to_json(p_worker)::text, 80), cardinality(p_queues), p_rhythm),
              HINT = 'worker has 1 to 200 characters; queues at most 1000 names; rhythm is 1 second'
                     ' to 1 hour; details is an object of at most 8192 bytes.';
    END IF;

    SELECT worker.* INTO v_known
    FROM arvo.worker
    WHERE worker.worker = p_worker;
    IF v_known.seen_at > v_now - p_rhythm / 2
        AND v_known.queues = p_queues
        AND v_known.rhythm = p_rhythm
        AND v_known.details = p_details
    THEN
        RETURN true;
    END IF;

    INSERT INTO arvo.worker AS known (worker, queues, details, rhythm, started_at, seen_at)
    VALUES (p_worker, p_queues, p_details, p_rhythm, v_now, v_now)
    ON CONFLICT (worker) DO UPDATE
    SET queues = excluded.queues,
        details = excluded.details,
        rhythm = excluded.rhythm,
        seen_at = excluded.seen_at;
    RETURN coalesce(v_known.seen_at + 3 * v_known.rhythm > v_now, false);
END;
$check_in$;

COMMENT ON FUNCTION arvo_v1.check_in(text, text[], interval, jsonb) IS
'A worker says that it is there; true when it was known to be.';

REVOKE ALL ON FUNCTION arvo_v1.check_in(text, text[], interval, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.check_in(text, text[], interval, jsonb) TO arvo_worker;
--! end

--! function arvo_v1.cleanup_state
-- arvo_v1.cleanup_state(subject) — forget one workflow.
CREATE OR REPLACE FUNCTION arvo_v1.cleanup_state(p_subject text)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1s'
AS $cleanup_state$
-- Removes the state, the lock and, unless other workflows descend from it, the place in the tree.
-- Children are not touched and keep their root. Of ancestors that are gone, the places that nothing
-- depends on any more go, too. A child whose first write is still open counts: then the place stays,
-- until that child is cleaned up. Idempotent: true when there was a state.
--
--   Reads    as arvo.prune_lineage
--   Writes   arvo.state, arvo.state_lock; as arvo.prune_lineage; arvo.operation, when no worker calls
--   Locks    the subject's transaction lock, then arvo.state_lock row, arvo.state row; as
--            arvo.prune_lineage
--   Raises   55P03  somebody has held a lock for a second: call again
DECLARE
    v_digest bytea := arvo.subject_digest(p_subject);
    v_found boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(arvo.lock_key(p_subject));
    DELETE FROM arvo.state_lock WHERE state_lock.subject_digest = v_digest;
    DELETE FROM arvo.state WHERE state.subject_digest = v_digest;
    v_found := FOUND;
    PERFORM arvo.prune_lineage(v_digest);
    -- Workers do it whenever a workflow is over: that is no news.
    IF v_found AND NOT arvo.is_one_of(ARRAY['arvo_worker']) THEN
        PERFORM arvo.note_operation(
            'cleanup_state', NULL, jsonb_build_object('subject', p_subject), 1
        );
    END IF;
    RETURN v_found;
END;
$cleanup_state$;

COMMENT ON FUNCTION arvo_v1.cleanup_state(text) IS
'Forgets the state and lock of one subject; true when it had a state.';

REVOKE ALL ON FUNCTION arvo_v1.cleanup_state(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.cleanup_state(text) TO arvo_worker, arvo_operator;
--! end

--! function arvo_v1.dead_letter_attempts
-- arvo_v1.dead_letter_attempts(dead) — the attempts that ended in a dead letter, with their times.
CREATE OR REPLACE FUNCTION arvo_v1.dead_letter_attempts(p_dead bigint)
RETURNS SETOF arvo_v1.attempt
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $dead_letter_attempts$
-- Every delivery from the dispatch (or the redrive, the replay) to the death, in order; none for a
-- number that is not there, or of a queue that the caller may not operate. The story of the last one is in the dead letter, so it is always told;
-- of one whose history has been removed only the number is known, and of those before it nothing.
-- What a consumer of the dead-letter queue did is not part of it. By index only.
--
--   Reads    arvo.dead, arvo.log by event, arvo.lease by (lane, transaction), arvo.closure by token
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_dead arvo.dead;
BEGIN
    SELECT dead.* INTO v_dead FROM arvo.dead WHERE dead.dead = p_dead;
    IF NOT FOUND OR NOT arvo.may(v_dead.queue, 'operate') THEN
        RETURN;
    END IF;

    RETURN QUERY
    WITH RECURSIVE entry AS MATERIALIZED (
        SELECT log.delivery, log.lane, log.xid, log.attempt, log.at, log.cause
        FROM arvo.log
        WHERE log.event_key = v_dead.event_key
    ),

    -- from the last delivery back to the first: each one's cause names the one before
    chain AS (
        SELECT v_dead.delivery AS delivery, nullif(v_dead.error, 'null') AS error, 0 AS back
        UNION ALL
        SELECT
            (entry.cause ->> 'delivery')::bigint,
            nullif(entry.cause -> 'error', 'null'),
            chain.back + 1
        FROM chain
        INNER JOIN entry ON entry.delivery = chain.delivery
        WHERE entry.cause ->> 'outcome' IN (
            'failed', 'expired', 'rejected', 'released', 'snoozed', 'conflict'
        )
    )

    SELECT
        chain.delivery,
        CASE WHEN chain.back = 0 THEN v_dead.attempts ELSE entry.attempt END,
        entry.at,
        held.leased_at,
        CASE WHEN chain.back = 0 THEN v_dead.died_at ELSE closed.at END,
        make_interval(secs => closed.run_time / 1000000.0),
        held.worker,
        coalesce(closed.outcome, CASE WHEN chain.back = 0 THEN 'dead' END),
        chain.error
    FROM chain
    LEFT JOIN entry ON entry.delivery = chain.delivery
    LEFT JOIN LATERAL (
        SELECT lease.token, lease.leased_at, lease.worker
        FROM arvo.lease
        WHERE lease.lane = entry.lane
        AND lease.high_xid >= entry.xid
        AND lease.low_xid <= entry.xid
        AND lease.token <> 0
        AND entry.delivery = ANY (lease.deliveries)
        AND NOT lease.carried
        ORDER BY lease.high_xid, lease.number
        LIMIT 1
    ) AS held ON true
    LEFT JOIN LATERAL (
        SELECT
            closure.at,
            closure.outcomes[least(gone.ordinal, cardinality(closure.outcomes))] AS outcome,
            closure.run_times[gone.ordinal] AS run_time
        FROM arvo.closure
        CROSS JOIN LATERAL
            unnest(closure.deliveries) WITH ORDINALITY AS gone (delivery, ordinal)
        WHERE closure.token = held.token AND gone.delivery = entry.delivery
        LIMIT 1
    ) AS closed ON true
    ORDER BY chain.back DESC;
END;
$dead_letter_attempts$;

COMMENT ON FUNCTION arvo_v1.dead_letter_attempts(bigint) IS
'The attempts that ended in a dead letter: when accepted, claimed, settled, by whom, with what error.';

REVOKE ALL ON FUNCTION arvo_v1.dead_letter_attempts(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.dead_letter_attempts(bigint) TO arvo_operator;
--! end

--! function arvo_v1.discard
-- arvo_v1.discard(queue, dead, limit, dry_run, …) — let go of dead letters.
CREATE OR REPLACE FUNCTION arvo_v1.discard(
    p_queue text DEFAULT NULL,
    p_dead bigint[] DEFAULT NULL,
    p_limit integer DEFAULT 100,
    p_dry_run boolean DEFAULT false,
    p_reason text DEFAULT NULL,
    p_since timestamptz DEFAULT NULL,
    p_before timestamptz DEFAULT NULL,
    p_event_type text DEFAULT NULL,
    p_subject text DEFAULT NULL,
    p_path jsonpath DEFAULT NULL,
    p_text text DEFAULT NULL
)
RETURNS SETOF arvo_v1.discarded
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
AS $discard$
-- Filters as in dead_letters, of which one at least is given; oldest first, p_limit at most. A
-- discarded letter is kept, resolved, as long as others are; its delivery in the dead-letter queue
-- is withdrawn. One that a consumer of that queue has in its hands, or has put off, is left alone:
-- refused with RV103 when it was named by number. A dry run answers what would be done.
--
--   Reads    arvo.dead, arvo.clock; as arvo.grasp_dead
--   Writes   arvo.dead, arvo.tombstone, arvo.operation
--   Locks    as arvo.grasp_dead
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  no filter is given; limit or reason break their rules
--            RV007  a queue that is named is closed to the caller
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_now timestamptz := arvo.clock();
    v_filter arvo.dead_filter;
    v_after bigint := 0::bigint;
    v_first boolean := true;
    v_size integer := least(p_limit, 1000);
    v_page bigint[];
    v_free bigint[];
    v_dead record;
    v_done integer := 0;
BEGIN
    PERFORM arvo.require_read_committed('discard');
    PERFORM arvo.require_home();
    PERFORM arvo.require_right(ARRAY[p_queue], 'operate');
    v_filter := arvo.read_dead_filter(
        p_dead, p_queue, p_reason, p_since, p_before, p_event_type, p_subject, p_path, p_text,
        p_limit, true
    );

    WHILE v_done < p_limit LOOP
        v_page := ARRAY(
            SELECT found.dead
            FROM arvo.find_dead(v_filter, v_after, v_size, false) AS found
            ORDER BY found.dead
        );
        EXIT WHEN v_page = '{}';
        v_free := arvo.grasp_dead(v_page, v_first);

        FOR v_dead IN
            SELECT
                dead.dead,
                dead.event_id,
                dead.queue,
                dead.dead_letter,
                dead.dead_letter_lane,
                dead.dead_letter_delivery,
                dead.resolution
            FROM arvo.dead
            WHERE dead.dead = ANY (v_page)
            ORDER BY dead.dead
        LOOP
            EXIT WHEN v_done >= p_limit;
            IF v_dead.dead <> ALL (v_free) THEN
                CONTINUE WHEN p_dead IS NULL OR v_dead.resolution IS NOT NULL;
                RETURN NEXT (
                    v_dead.dead, v_dead.event_id, v_dead.queue, 'refused', 'RV103',
                    CASE
                        WHEN v_dead.dead_letter IS NULL THEN 'another operator has it'
                        ELSE format('a consumer of %s, or another operator, has it',
                                    v_dead.dead_letter)
                    END
                )::arvo_v1.discarded;
                CONTINUE;
            END IF;
            v_done := v_done + 1;
            IF NOT p_dry_run THEN
                IF v_dead.dead_letter_lane IS NOT NULL THEN
                    INSERT INTO arvo.tombstone (lane, delivery, at, by)
                    VALUES (
                        v_dead.dead_letter_lane, v_dead.dead_letter_delivery, v_now, session_user
                    )
                    ON CONFLICT DO NOTHING;
                END IF;
                UPDATE arvo.dead
                SET resolution = 'discarded', resolved_at = v_now, resolved_by = session_user
                WHERE dead.dead = v_dead.dead;
            END IF;
            RETURN NEXT (
                v_dead.dead, v_dead.event_id, v_dead.queue, 'discarded', NULL, NULL
            )::arvo_v1.discarded;
        END LOOP;

        EXIT WHEN cardinality(v_page) < v_size;
        v_after := v_page[v_size];
        v_first := false;
        v_size := least(greatest(p_limit - v_done, 100), 1000);
    END LOOP;

    IF NOT p_dry_run THEN
        PERFORM arvo.note_operation(
            'discard',
            p_queue,
            jsonb_build_object(
                'dead', p_dead,
                'limit', p_limit,
                'reason', p_reason,
                'since', p_since,
                'before', p_before,
                'event_type', p_event_type,
                'subject', p_subject,
                'path', p_path::text,
                'text', p_text
            ),
            v_done
        );
    END IF;
END;
$discard$;

COMMENT ON FUNCTION
arvo_v1.discard(
    text, bigint[], integer, boolean, text, timestamptz, timestamptz, text, text, jsonpath, text
) IS
'Closes dead letters that nobody wants any more; they stay as long as resolved ones do.';

REVOKE ALL ON FUNCTION
arvo_v1.discard(
    text, bigint[], integer, boolean, text, timestamptz, timestamptz, text, text, jsonpath, text
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
arvo_v1.discard(
    text, bigint[], integer, boolean, text, timestamptz, timestamptz, text, text, jsonpath, text
) TO arvo_operator;
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
--            RV007  the queue is closed to the caller
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
    PERFORM arvo.require_dispatch(ARRAY[p_event], p_ignore_domain);
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
--            RV007  a queue is closed to the caller
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
    IF p_events = '[]' THEN
        RETURN;
    END IF;
    v_events := ARRAY(SELECT jsonb_array_elements(p_events));

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
    PERFORM arvo.require_dispatch(v_events, p_ignore_domain);
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

--! function arvo_v1.drain_queue
-- arvo_v1.drain_queue(queue) — work off what waits now; what comes after waits.
CREATE OR REPLACE FUNCTION arvo_v1.drain_queue(p_queue text)
RETURNS arvo_v1.switched
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
AS $drain_queue$
-- All lanes are held while the line is drawn, so no claim can have read beyond it; a priority that is
-- used for the first time at this moment may have been, and then waits from there. What is put off, and
-- what fails from now on, comes after it. Ends a pause; resume_queue ends the drain. "waiting" says how
-- many are left to do, with those in hands: call again to see it fall. Idempotent: the line stays where
-- it was drawn first.
--
--   Reads    arvo.queue; as arvo.census
--   Writes   arvo.queue, arvo.operation
--   Locks    table arvo.queue, ROW EXCLUSIVE; all lanes of the queue, in order; then its arvo.queue row
--   Raises   RV003  the queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV007  a queue is closed to the caller
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_queue arvo.queue;
    v_change text := 'unchanged';
    v_census arvo.census;
BEGIN
    PERFORM arvo.require_read_committed('drain_queue');
    PERFORM arvo.require_home();
    v_queue := arvo.known_queue(p_queue);
    PERFORM arvo.require_right(ARRAY[p_queue], 'operate');
    -- Before any row of it: a grant holds the table, and waits for rows.
    LOCK TABLE arvo.queue IN ROW EXCLUSIVE MODE;
    PERFORM arvo.lock_lanes(ARRAY(SELECT own.lane FROM arvo.lanes_of(v_queue.queue) AS own));

    -- Whoever resumes it holds no lane: what that does must be seen by the next statement.
    PERFORM FROM arvo.queue WHERE queue.queue = v_queue.queue FOR NO KEY UPDATE;
    UPDATE arvo.queue
    SET drained_to = arvo.window_snapshot(), paused_at = NULL, paused_by = NULL
    WHERE queue.queue = v_queue.queue AND queue.drained_to IS NULL;
    IF FOUND THEN
        v_change := 'draining';
        PERFORM arvo.wake(ARRAY[v_queue.name]);
    END IF;
    SELECT queue.* INTO STRICT v_queue FROM arvo.queue WHERE queue.queue = v_queue.queue;
    v_census := arvo.census(v_queue.queue, v_queue.drained_to);
    PERFORM arvo.note_operation(
        'drain_queue', p_queue, '{}', CASE WHEN v_change = 'unchanged' THEN 0 ELSE 1 END
    );
    RETURN (
        v_queue.name, v_change, NULL, NULL, true,
        v_census.queued + v_census.parked + v_census.leased
    )::arvo_v1.switched;
END;
$drain_queue$;

COMMENT ON FUNCTION arvo_v1.drain_queue(text) IS
'Lets a queue be worked off: only what waits now is claimed, until it is resumed.';

REVOKE ALL ON FUNCTION arvo_v1.drain_queue(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.drain_queue(text) TO arvo_operator;
--! end

--! function arvo_v1.drop_queue
-- arvo_v1.drop_queue(queue, purge, dry_run) — let a queue be no queue of a handler any more.
CREATE OR REPLACE FUNCTION arvo_v1.drop_queue(
    p_queue text,
    p_purge boolean DEFAULT false,
    p_dry_run boolean DEFAULT false
)
RETURNS SETOF arvo_v1.purged
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
AS $drop_queue$
-- It is not registered then, its options are the defaults, and what is dispatched to its name counts
-- as unroutable. Its history stays readable. Refused while something is leased, since it would come
-- back when it fails; and while something waits, unless p_purge, which cancels that. A dry run says
-- what there is, and refuses nothing.
--
--   Reads    arvo.queue; as arvo.census and arvo.empty_queue
--   Writes   as arvo.empty_queue and arvo.reset_queue; arvo.operation
--   Locks    all lanes of the queue, in order; as arvo.empty_queue; then as arvo.reset_queue
--   Raises   RV003  the queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV006  something is leased, or waits and is not to be purged
--            RV007  a queue is closed to the caller
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_queue arvo.queue;
    v_census arvo.census;
    v_purged arvo_v1.purged[];
BEGIN
    PERFORM arvo.require_read_committed('drop_queue');
    PERFORM arvo.require_home();
    v_queue := arvo.known_queue(p_queue);
    PERFORM arvo.require_right(ARRAY[p_queue], 'operate');
    IF p_dry_run THEN
        RETURN QUERY SELECT counted.* FROM arvo.would_empty(v_queue) AS counted;
        RETURN;
    END IF;

    PERFORM arvo.lock_lanes(ARRAY(SELECT own.lane FROM arvo.lanes_of(v_queue.queue) AS own));
    v_census := arvo.census(v_queue.queue);
    IF v_census.leased > 0
        OR (NOT p_purge AND v_census.queued + v_census.parked + v_census.deferred > 0)
    THEN
        RAISE EXCEPTION 'queue is not empty'
        USING ERRCODE = 'RV006',
              COLUMN = CASE WHEN v_census.leased > 0 THEN 'queue' ELSE 'purge' END,
              DETAIL = format(
                  '%s queued, %s parked, %s deferred, %s leased', v_census.queued,
                  v_census.parked, v_census.deferred, v_census.leased
              ),
              HINT = 'Let it be worked off (drain_queue), or give p_purge; what is leased is to be'
                     ' settled, or cancelled with p_include_running, first.';
    END IF;

    v_purged := ARRAY(SELECT done FROM arvo.empty_queue(v_queue, NULL) AS done);
    PERFORM arvo.reset_queue(v_queue, false);
    PERFORM arvo.note_operation(
        'drop_queue', p_queue, jsonb_build_object('purge', p_purge),
        (SELECT sum(done.removed)::bigint FROM unnest(v_purged) AS done)
    );
    RETURN QUERY SELECT done.* FROM unnest(v_purged) AS done;
END;
$drop_queue$;

COMMENT ON FUNCTION arvo_v1.drop_queue(text, boolean, boolean) IS
'Unregisters a queue and sets its options back; its history stays.';

REVOKE ALL ON FUNCTION arvo_v1.drop_queue(text, boolean, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.drop_queue(text, boolean, boolean) TO arvo_operator;
--! end

--! function arvo_v1.extend
-- arvo_v1.extend(leases, for) — heartbeat.
CREATE OR REPLACE FUNCTION arvo_v1.extend(
    p_leases bigint[],
    p_for interval DEFAULT interval '30 seconds'
)
RETURNS SETOF arvo_v1.extended
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
AS $extend$
-- Carries each lease forward: a new row of the ledger holds what is still open of it, under the same
-- token. So every open row is younger than one lease time, and looking for expired ones reads a
-- bounded tail. A lease that is unknown, taken back, or has nothing open is answered held = false; one
-- that is held, with the deliveries that are open still: who runs another one of it runs it in vain.
-- One of a queue that is closed to the caller is none of his: held = false.
--
--   Reads    arvo.lease and arvo.closure by token, arvo.lane, arvo.queue, arvo.clock, arvo.slot;
--            as arvo.require_home
--   Writes   arvo.lease
--   Locks    the leases, in order of their tokens; then their lanes, in order
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  an argument is not valid
--            RV902  the stored transaction numbers are of another cluster
--            55P03  somebody has held a lock for two seconds: call again
DECLARE
    v_now timestamptz := arvo.clock();
    v_held record;
    v_head arvo.lease;
    v_lost bigint[];
BEGIN
    PERFORM arvo.require_read_committed('extend');
    PERFORM arvo.require_home();
    IF p_leases IS NULL OR cardinality(p_leases) > 10000 OR p_for IS NULL
        OR p_for NOT BETWEEN interval '1 second' AND interval '5 minutes'
    THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = CASE
                  WHEN p_leases IS NULL OR cardinality(p_leases) > 10000 THEN 'leases'
                  ELSE 'for'
              END,
              DETAIL = format('%s leases for %s', cardinality(p_leases), p_for),
              HINT = 'Give an array of at most 10000 leases and an interval of 1 second to 5 minutes.';
    END IF;

    PERFORM pg_advisory_xact_lock(arvo.lease_key(named.lease))
    FROM (
        SELECT DISTINCT listed.lease
        FROM unnest(p_leases) AS listed (lease)
        WHERE listed.lease IS NOT NULL
        ORDER BY listed.lease
    ) AS named;
    v_lost := p_leases;

    FOR v_held IN
        SELECT newest.*, arvo.open_deliveries(newest.token, newest.deliveries) AS open
        FROM (SELECT DISTINCT listed.lease FROM unnest(p_leases) AS listed (lease)) AS named
        CROSS JOIN LATERAL (
            SELECT
                lease.token, lease.lane, lease.worker, lease.low_xid, lease.high_xid,
                lease.deliveries, lease.xids, lease.keys, lease.places
            FROM arvo.lease
            WHERE lease.token = named.lease AND lease.token <> 0
            ORDER BY lease.number DESC
            LIMIT 1
        ) AS newest
        WHERE NOT EXISTS (
            SELECT
            FROM arvo.lane
            INNER JOIN arvo.queue ON queue.queue = lane.queue
            WHERE lane.lane = newest.lane AND queue.guarded AND NOT arvo.may(queue.name, 'consume')
        )
        ORDER BY newest.lane, newest.token
    LOOP
        CONTINUE WHEN v_held.open = '{}';
        PERFORM pg_advisory_xact_lock(hashtext('arvo'), v_held.lane);
        SELECT head.* INTO STRICT v_head
        FROM arvo.lease AS head
        WHERE head.lane = v_held.lane
        ORDER BY head.number DESC
        LIMIT 1;
        INSERT INTO arvo.lease (
            slot, lane, number, token, worker, leased_at, expires_at, carried, deliveries,
            low_xid, high_xid, previous_snapshot, snapshot, last_xid, last_delivery,
            exhausted, open_from, sweep_at, ready_from, xids, keys, places
        )
        SELECT
            arvo.slot(), v_head.lane, v_head.number + 1, v_held.token, v_held.worker, v_now,
            greatest(v_now + p_for, v_head.expires_at), true,
            array_agg(kept.delivery ORDER BY kept.ordinal),
            v_held.low_xid, v_held.high_xid, v_head.previous_snapshot, v_head.snapshot,
            v_head.last_xid, v_head.last_delivery,
            v_head.exhausted, v_head.open_from,
            least(v_head.sweep_at, greatest(v_now + p_for, v_head.expires_at)),
            v_head.ready_from,
            CASE
                WHEN cardinality(v_held.xids) = 1 THEN v_held.xids
                ELSE array_agg(v_held.xids[kept.ordinal] ORDER BY kept.ordinal)
            END,
            CASE
                WHEN v_held.keys IS NOT NULL
                    THEN array_agg(v_held.keys[kept.ordinal] ORDER BY kept.ordinal)
            END,
            CASE
                WHEN v_held.places IS NOT NULL
                    THEN array_agg(v_held.places[kept.ordinal] ORDER BY kept.ordinal)
            END
        FROM unnest(v_held.deliveries) WITH ORDINALITY AS kept (delivery, ordinal)
        WHERE kept.delivery = ANY (v_held.open);
        v_lost := array_remove(v_lost, v_held.token);
        RETURN NEXT (
            v_held.token, true, greatest(v_now + p_for, v_head.expires_at), v_held.open
        )::arvo_v1.extended;
    END LOOP;

    RETURN QUERY
    SELECT DISTINCT listed.lease, false, NULL::timestamptz, NULL::bigint[]
    FROM unnest(v_lost) AS listed (lease)
    WHERE listed.lease IS NOT NULL;
END;
$extend$;

COMMENT ON FUNCTION arvo_v1.extend(bigint[], interval) IS
'Heartbeat: carries leases forward and tells which are lost.';

REVOKE ALL ON FUNCTION arvo_v1.extend(bigint[], interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.extend(bigint[], interval) TO arvo_worker;
--! end

--! function arvo_v1.gauges
-- arvo_v1.gauges(most) — all figures for a monitoring system, in one call.
CREATE OR REPLACE FUNCTION arvo_v1.gauges(p_most integer DEFAULT 1000)
RETURNS SETOF arvo_v1.gauge
LANGUAGE sql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $gauges$
-- The p_most longest queues are told one by one (0 to 100,000), the others as one with an empty name:
-- a monitoring system must not have a series for each name that somebody has ever dispatched to.
-- Writes nothing, so a standby answers, too.
--
--   Reads    as arvo.gauges_of_queues and arvo.gauges_of_server
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT figure.* FROM arvo.gauges_of_queues(least(greatest(p_most, 0), 100000)) AS figure
UNION ALL
SELECT figure.* FROM arvo.gauges_of_server() AS figure;
$gauges$;

COMMENT ON FUNCTION arvo_v1.gauges(integer) IS
'Every figure for a monitoring system: of the longest queues, their lanes, upkeep, history and server.';

REVOKE ALL ON FUNCTION arvo_v1.gauges(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.gauges(integer) TO arvo_worker, arvo_monitor, arvo_operator;
--! end

--! function arvo_v1.grant_queue
-- arvo_v1.grant_queue(queue, role, may) — let a role do something with a queue; others who were not named may not.
CREATE OR REPLACE FUNCTION arvo_v1.grant_queue(p_queue text, p_role text, p_may text[])
RETURNS SETOF arvo_v1.queue_grant
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $grant_queue$
-- p_queue is a name, also of a queue that is still to come; one that ends in * stands for all that
-- begin so. p_may: dispatch, consume, operate; the first grant of one closes it to everybody who is
-- not named. read: shows payloads to a role that only monitors; it closes nothing. p_role public opens
-- again what was closed. Members of a role may what the role may, and need the group role (arvo_client
-- and so on) as before. Grants for several names that cover a queue add up. Answers what is in force
-- for p_queue, as queue_grants.
--
--   Reads    arvo.clock; as arvo.hold_guards
--   Writes   arvo.queue_guard, arvo.operation; as arvo.flag_guarded
--   Locks    table arvo.queue, SHARE ROW EXCLUSIVE; arvo.queue rows
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  an argument is not valid
--            RV007  the caller may not operate these queues
--            55P03  a queue has been in the making for two seconds: call again
DECLARE
    v_changed bigint;
BEGIN
    PERFORM arvo.hold_guards(p_queue, p_role, p_may);
    IF p_role = 'public' THEN
        DELETE FROM arvo.queue_guard
        WHERE queue_guard.queue = p_queue
        AND queue_guard.may = ANY (p_may)
        AND queue_guard.may <> 'read';
        GET DIAGNOSTICS v_changed = ROW_COUNT;
    END IF;
    INSERT INTO arvo.queue_guard AS known (queue, may, roles, changed_at, changed_by)
    SELECT p_queue, given.may, ARRAY[p_role], arvo.clock(), session_user
    FROM (SELECT DISTINCT named.may FROM unnest(p_may) AS named (may)) AS given
    WHERE p_role <> 'public' OR given.may = 'read'
    ON CONFLICT (may, queue) DO UPDATE
    SET roles = known.roles || excluded.roles,
        changed_at = excluded.changed_at,
        changed_by = excluded.changed_by
    WHERE NOT excluded.roles <@ known.roles;
    IF p_role <> 'public' OR FOUND THEN
        GET DIAGNOSTICS v_changed = ROW_COUNT;
    END IF;
    PERFORM arvo.flag_guarded(p_queue);
    PERFORM arvo.note_operation(
        'grant_queue', p_queue, jsonb_build_object('role', p_role, 'may', p_may), v_changed
    );
    RETURN QUERY SELECT granted.* FROM arvo_v1.queue_grants(p_queue) AS granted;
END;
$grant_queue$;

COMMENT ON FUNCTION arvo_v1.grant_queue(text, text, text[]) IS
'Lets a role dispatch to a queue, consume, operate or read it; closes that to roles not granted.';

REVOKE ALL ON FUNCTION arvo_v1.grant_queue(text, text, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.grant_queue(text, text, text[]) TO arvo_operator;
--! end

--! function arvo_v1.history
-- arvo_v1.history(queue, after, limit, since, before) — every delivery that is kept, page by page.
CREATE OR REPLACE FUNCTION arvo_v1.history(
    p_queue text DEFAULT NULL,
    p_after text DEFAULT NULL,
    p_limit integer DEFAULT 100,
    p_since timestamptz DEFAULT NULL,
    p_before timestamptz DEFAULT NULL
)
RETURNS SETOF arvo_v1.history_entry
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_sort = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $history$
-- The log as it is, lane by lane, in each in the order of transactions: an index is read from where
-- the page before ended, so a page costs as much as its rows, at any depth, and what finding the lease
-- of each takes (arvo.lease_of). Sorting is off because a plan made on an empty log would sort a whole
-- lane. p_since and p_before are about the time of acceptance, which no index knows: what they leave
-- out is read all the same. What is due later is not in the log yet. A transaction that commits
-- meanwhile may be passed over. After a rebase what was live then stands in two lanes: the number of
-- the delivery tells. Events are shown whole: queues that the caller may not operate are passed over.
--
--   Reads    arvo.lane, arvo.queue, arvo.log by (lane, xid, delivery), arvo.closure, arvo.tombstone,
--            arvo.parked, arvo.queue_guard; as arvo.lease_of and arvo.may
--   Writes   nothing
--   Locks    nothing
--   Raises   RV003  the queue is not known
--            RV006  limit or after is not valid
--            RV007  the queue that is named is closed to the caller
DECLARE
    v_guarded boolean := EXISTS (
        SELECT FROM arvo.queue_guard AS guard WHERE guard.may = 'operate'
    );
    v_queue integer;
    v_from_lane integer := 0;
    v_from_xid xid8;
    v_from_delivery bigint;
    v_left integer := p_limit;
    v_got integer;
    v_lane record;
BEGIN
    IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'limit',
              DETAIL = format('limit: %s', coalesce(p_limit::text, 'null')),
              HINT = 'Use 1 to 10000, and go on with the last position as p_after.';
    ELSIF p_after !~ '^[0-9]{1,9}/[0-9]{1,18}/[0-9]{1,18}$' THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'after',
              DETAIL = format('after: %s', left(to_json(p_after)::text, 80)),
              HINT = 'Give the position of the last row of the page before.';
    END IF;
    IF p_queue IS NOT NULL THEN
        v_queue := (arvo.known_queue(p_queue)).queue;
        PERFORM arvo.require_right(ARRAY[p_queue], 'operate');
    END IF;
    IF p_after IS NOT NULL THEN
        v_from_lane := split_part(p_after, '/', 1)::integer;
        v_from_xid := split_part(p_after, '/', 2)::xid8;
        v_from_delivery := split_part(p_after, '/', 3)::bigint;
    END IF;

    FOR v_lane IN
        SELECT
            lane.lane,
            queue.name,
            queue.registered,
            queue.paused_at,
            queue.drained_to
        FROM arvo.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        WHERE lane.lane >= v_from_lane
        AND (v_queue IS NULL OR lane.queue = v_queue)
        AND (NOT v_guarded OR arvo.may(queue.name, 'operate'))
        ORDER BY lane.lane
    LOOP
        IF v_lane.lane > v_from_lane THEN
            v_from_xid := NULL;
        END IF;
        RETURN QUERY
        WITH entry AS MATERIALIZED (
            SELECT found.*
            FROM arvo.log AS found
            WHERE found.lane = v_lane.lane
            AND (found.xid, found.delivery) > (
                coalesce(v_from_xid, '0'::xid8), coalesce(v_from_delivery, 0)
            )
            AND (p_since IS NULL OR found.at >= p_since)
            AND (p_before IS NULL OR found.at < p_before)
            ORDER BY found.xid, found.delivery
            LIMIT v_left
        )

        SELECT
            format('%s/%s/%s', entry.lane, entry.xid, entry.delivery),
            entry.delivery,
            v_lane.name,
            entry.attempt,
            CASE
                WHEN closed.outcome IS NOT NULL THEN closed.outcome
                WHEN held.token IS NOT NULL THEN 'active'
                WHEN withdrawn.delivery IS NOT NULL THEN withdrawn.reason
                WHEN parked.delivery IS NOT NULL THEN 'waiting'
                WHEN NOT v_lane.registered AND entry.cause ->> 'outcome' IS DISTINCT FROM 'dead' THEN
                    CASE
                        WHEN starts_with(v_lane.name, 'arvo.domain.') THEN 'domained'
                        ELSE 'unroutable'
                    END
                WHEN v_lane.paused_at IS NOT NULL THEN 'paused'
                WHEN NOT pg_visible_in_snapshot(entry.xid, v_lane.drained_to) THEN 'draining'
                ELSE 'queued'
            END,
            entry.at,
            held.leased_at,
            closed.at,
            make_interval(secs => closed.run_time / 1000000.0),
            held.worker,
            coalesce(entry.event, (
                SELECT origin.event
                FROM arvo.log AS origin
                WHERE origin.lane = entry.origin_lane
                AND origin.xid = entry.origin_xid
                AND origin.delivery = entry.origin_delivery
            )),
            entry.cause
        FROM entry
        LEFT JOIN LATERAL (
            SELECT claimed.*
            FROM arvo.lease_of(entry.lane, entry.xid, entry.delivery) AS claimed
        ) AS held ON true
        LEFT JOIN LATERAL (
            SELECT
                closure.at,
                closure.outcomes[least(gone.ordinal, cardinality(closure.outcomes))] AS outcome,
                closure.run_times[gone.ordinal] AS run_time
            FROM arvo.closure
            CROSS JOIN LATERAL
                unnest(closure.deliveries) WITH ORDINALITY AS gone (delivery, ordinal)
            WHERE closure.token = held.token AND gone.delivery = entry.delivery
            LIMIT 1
        ) AS closed ON true
        LEFT JOIN arvo.tombstone AS withdrawn
            ON withdrawn.lane = entry.lane AND withdrawn.delivery = entry.delivery
        LEFT JOIN arvo.parked ON parked.delivery = entry.delivery
        ORDER BY entry.xid, entry.delivery;
        GET DIAGNOSTICS v_got = ROW_COUNT;
        v_left := v_left - v_got;
        EXIT WHEN v_left <= 0;
    END LOOP;
END;
$history$;

COMMENT ON FUNCTION arvo_v1.history(text, text, integer, timestamptz, timestamptz) IS
'Every delivery of the log that is kept: event, queue, attempt, outcome, times; page by page.';

REVOKE ALL ON FUNCTION
arvo_v1.history(text, text, integer, timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
arvo_v1.history(text, text, integer, timestamptz, timestamptz) TO arvo_operator;
--! end

--! function arvo_v1.import_states
-- arvo_v1.import_states(rows, locked, dry_run) — take over states that another memory has kept.
CREATE OR REPLACE FUNCTION arvo_v1.import_states(
    p_rows jsonb,
    p_locked text DEFAULT 'refuse',
    p_dry_run boolean DEFAULT false
)
RETURNS SETOF arvo_v1.imported
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $import_states$
-- Each row is an object; what is null or left out is not known:
--
--   subject                   the workflow
--   data, version             its state; without data, only its place in the tree and its lock
--   source, initiator         the handler, and who started the workflow
--   execution_status          if the data do not say it
--   parent_subject            its parent; else the data's parentSubject
--   root_subject              of use only if parent_is_known is false: then the parent hangs below it
--   created_at, updated_at    times with their offset
--   locked_for                seconds that a lock on it still has
--
-- Versions are kept. A state that is here already is replaced only by a newer version of what was
-- taken before, and only while nobody has written it here: so a call can be repeated while the other
-- memory goes on being used. What was taken and then removed here is not taken again. p_locked says
-- what a lock means: refuse (the row), carry (take the lock, too, until it lapses there), or ignore.
-- Rows are judged one by one, in order of their subjects; each is answered at its place.
--
--   Reads    arvo.clock, arvo.state, arvo.import_mark
--   Writes   arvo.state, arvo.import_mark, arvo.operation; as arvo.place and arvo_v1.acquire_lock
--   Locks    of each subject as arvo_v1.acquire_lock, tried, then its arvo.state row; then as
--            arvo.place. A dry run locks nothing
--   Raises   RV006  an argument is not valid
DECLARE
    v_argument text := CASE
        WHEN coalesce(jsonb_typeof(p_rows), 'null') <> 'array' THEN 'rows'
        WHEN jsonb_array_length(p_rows) > 10000 THEN 'rows'
        WHEN p_locked IS NULL OR p_locked NOT IN ('refuse', 'carry', 'ignore') THEN 'locked'
        WHEN p_dry_run IS NULL THEN 'dry_run'
    END;
    v_now timestamptz := arvo.clock();
    v_given record;
    v_row jsonb;
    v_done arvo_v1.imported[] := '{}'::arvo_v1.imported[];
    v_one arvo_v1.imported;
    v_data jsonb;
    v_version bigint;
    v_digest bytea;
    v_mark bigint;
    v_here record;
    v_fault text;
    v_parent text;
    v_subjects text[] := '{}'::text[];
    v_parents text[] := '{}'::text[];
BEGIN
    IF v_argument IS NOT NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = v_argument,
              DETAIL = format('argument: %s', v_argument),
              HINT = 'rows is an array of at most 10000 objects; locked is refuse, carry or ignore.';
    END IF;

    FOR v_given IN
        SELECT listed.item, listed.ordinal::integer AS ordinal
        FROM jsonb_array_elements(p_rows) WITH ORDINALITY AS listed (item, ordinal)
        ORDER BY listed.item ->> 'subject' COLLATE "C", listed.ordinal
    LOOP
        v_row := v_given.item;
        v_one := (v_given.ordinal, v_row ->> 'subject', 'refused', NULL::bigint, NULL, NULL);
        v_fault := arvo.import_fault(v_row);
        IF v_fault IS NULL AND p_locked = 'refuse' AND (v_row ->> 'locked_for')::float8 > 0 THEN
            v_fault := format('locked: somebody holds it for %s more seconds',
                              ceil((v_row ->> 'locked_for')::float8));
        END IF;
        IF v_fault IS NOT NULL THEN
            v_one.code := split_part(v_fault, ': ', 1);
            v_one.detail := v_fault;
            v_done[v_given.ordinal] := v_one;
            CONTINUE;
        END IF;

        -- What the seed adds to the data that it gives out.
        v_data := nullif(v_row -> 'data', 'null') - '__postgres_version_counter_data_$$__';
        v_version := (v_row ->> 'version')::bigint;
        v_digest := arvo.subject_digest(v_one.subject);
        IF NOT p_dry_run AND p_locked = 'carry' AND (v_row ->> 'locked_for')::float8 > 0 THEN
            PERFORM arvo_v1.acquire_lock(
                v_one.subject,
                least(
                    greatest(
                        make_interval(secs => (v_row ->> 'locked_for')::float8),
                        interval '1 millisecond'
                    ),
                    interval '30 days'
                )
            );
        END IF;
        IF p_dry_run THEN
            SELECT state.version, state.data INTO v_here
            FROM arvo.state
            WHERE state.subject_digest = v_digest;
        ELSE
            SELECT state.version, state.data INTO v_here
            FROM arvo.state
            WHERE state.subject_digest = v_digest
            FOR NO KEY UPDATE;
        END IF;
        v_mark := (
            SELECT import_mark.version
            FROM arvo.import_mark
            WHERE import_mark.subject_digest = v_digest
        );

        IF v_data IS NULL THEN
            v_one.outcome := 'placed';
        ELSIF v_here.version IS NULL AND v_mark IS NOT NULL THEN
            v_one.outcome := 'present';
            v_one.code := 'gone';
            v_one.detail := format('gone: version %s was taken, and has been removed here', v_mark);
        ELSIF v_here.version IS NULL THEN
            v_one.outcome := 'taken';
            IF NOT p_dry_run THEN
                INSERT INTO arvo.state (
                    subject_digest, subject, version, data, execution_status, initiator, source,
                    created_at, changed_at
                )
                VALUES (
                    v_digest, v_one.subject, v_version, v_data,
                    coalesce(
                        v_data ->> 'executionStatus', v_row ->> 'execution_status', 'unknown'
                    ),
                    v_row ->> 'initiator', v_row ->> 'source',
                    coalesce((v_row ->> 'created_at')::timestamptz, v_now),
                    coalesce((v_row ->> 'updated_at')::timestamptz, v_now)
                )
                ON CONFLICT (subject_digest) DO NOTHING;
                IF NOT FOUND THEN
                    v_one.outcome := 'refused';
                    v_one.code := 'busy';
                    v_one.detail := 'busy: it is being written here at this moment';
                END IF;
            END IF;
        ELSIF v_here.version = v_version AND v_here.data = v_data OR v_version <= v_mark THEN
            v_one.outcome := 'present';
        ELSIF v_mark = v_here.version AND v_version > v_mark THEN
            v_one.outcome := 'updated';
            IF NOT p_dry_run THEN
                UPDATE arvo.state
                SET version = v_version,
                    data = v_data,
                    execution_status = coalesce(
                        v_data ->> 'executionStatus', v_row ->> 'execution_status', 'unknown'
                    ),
                    changed_at = coalesce((v_row ->> 'updated_at')::timestamptz, v_now)
                WHERE state.subject_digest = v_digest;
            END IF;
        ELSE
            v_one.code := 'diverged';
            v_one.detail := format('diverged: version %s is given, but version %s was written here',
                                   v_version, v_here.version);
        END IF;
        v_one.version := CASE
            WHEN v_one.outcome IN ('taken', 'updated') THEN v_version
            ELSE v_here.version
        END;
        v_done[v_given.ordinal] := v_one;
        CONTINUE WHEN p_dry_run OR v_one.outcome = 'refused' OR v_one.code = 'gone';

        IF v_one.outcome IN ('taken', 'updated') THEN
            INSERT INTO arvo.import_mark AS known (subject_digest, version, at)
            VALUES (v_digest, v_version, v_now)
            ON CONFLICT (subject_digest) DO UPDATE
            SET version = excluded.version, at = excluded.at
            WHERE known.version < excluded.version;
        END IF;
        v_parent := coalesce(
            nullif(v_row ->> 'parent_subject', ''), nullif(v_data ->> 'parentSubject', '')
        );
        v_subjects := v_subjects || v_one.subject;
        v_parents := v_parents || v_parent;
        -- The links between the parent and the root are lost; what they led to is not.
        IF v_row ->> 'parent_is_known' = 'false'
            AND v_row ->> 'root_subject' NOT IN ('', v_one.subject, v_parent)
        THEN
            v_subjects := v_subjects || v_parent;
            v_parents := v_parents || (v_row ->> 'root_subject');
        END IF;
    END LOOP;

    IF cardinality(v_subjects) > 0 THEN
        PERFORM arvo.place(v_subjects, v_parents);
    END IF;
    IF NOT p_dry_run THEN
        PERFORM arvo.note_operation(
            'import_states', NULL,
            (
                SELECT jsonb_object_agg(counted.outcome, counted.times)
                FROM (
                    SELECT done.outcome, count(*) AS times
                    FROM unnest(v_done) AS done
                    GROUP BY done.outcome
                ) AS counted
            ),
            (
                SELECT count(*)
                FROM unnest(v_done) AS done
                WHERE done.outcome IN ('taken', 'updated', 'placed')
            )
        )
        WHERE cardinality(v_done) > 0;
    END IF;
    RETURN QUERY SELECT done.* FROM unnest(v_done) AS done ORDER BY done.ordinal;
END;
$import_states$;

COMMENT ON FUNCTION arvo_v1.import_states(jsonb, text, boolean) IS
'Takes over states that another memory has kept, with their versions, places in trees and locks; says what became of each.';

REVOKE ALL ON FUNCTION arvo_v1.import_states(jsonb, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.import_states(jsonb, text, boolean) TO arvo_operator;
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
--   workers   workers forgotten that are long gone      forgotten  states finished long ago
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

    FOREACH v_task IN ARRAY '{promoted,tallied,healed,retired,expired,swept,unlocked,forgotten,keys,notes,workers,turned,finished,opened,emptied}'::text[]
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
                WHEN 'forgotten' THEN arvo.forget_states(1000, 200)
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

--! function arvo_v1.move
-- arvo_v1.move(to, filter…, limit, dry_run) — let another queue have deliveries that wait.
CREATE OR REPLACE FUNCTION arvo_v1.move(
    p_to text,
    p_delivery bigint[] DEFAULT NULL,
    p_queue text DEFAULT NULL,
    p_event_id text DEFAULT NULL,
    p_event_type text DEFAULT NULL,
    p_subject text DEFAULT NULL,
    p_tree text DEFAULT NULL,
    p_before timestamptz DEFAULT NULL,
    p_path jsonpath DEFAULT NULL,
    p_text text DEFAULT NULL,
    p_limit integer DEFAULT 1000,
    p_dry_run boolean DEFAULT false
)
RETURNS SETOF arvo_v1.intervention
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
AS $move$
-- Which ones: as arvo.find_deliveries; all that is given must fit. A filter reads what waits, from each
-- lane's cursor on, in order, until it has p_limit; by event, subject or tree it is a look-up.
-- Each is withdrawn as moved, and appended to p_to at that queue's own priority with attempt 1; the
-- event is not written again. One that is due later stays so, under its number. What a worker holds is
-- left. A dead letter that lies in a dead-letter queue goes with its delivery. The places of a queue
-- that gives out one per key (short, stately, exclusive) are for dispatches: nothing is moved there.
-- A dry run takes no lock.
--
--   Reads    arvo.queue; as arvo.find_deliveries and arvo.recheck
--   Writes   arvo.tombstone, arvo.deferred, arvo.dead, arvo.operation; as arvo.again, arvo.let_go
--   Locks    as arvo.hold; arvo.dead rows; as arvo.lane_for
--   Raises   RV003  a queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV006  nothing is given, limit is not valid, or nothing can be moved to that queue
--            RV007  a queue that is named is closed to the caller
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_to arvo.queue;
    v_lane integer;
    v_found arvo.finding[];
    v_one arvo.finding;
    v_done text;
    v_successor bigint;
    v_touched bigint := 0::bigint;
BEGIN
    PERFORM arvo.require_read_committed('move');
    PERFORM arvo.require_home();
    PERFORM arvo.require_right(ARRAY[p_queue], 'operate');
    PERFORM arvo.require_right(ARRAY[p_to], 'dispatch');
    v_to := arvo.known_queue(p_to, 'to');
    IF v_to.slotted OR p_to = p_queue THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'to',
              DETAIL = format('to: %s, a queue of policy %s', p_to, v_to.policy),
              HINT = 'Name another queue that does not give out one place per key.';
    END IF;
    SELECT array_agg(seen) INTO v_found
    FROM arvo.find_deliveries(
        p_delivery, p_queue, p_event_id, p_event_type, p_subject, p_tree, p_before, p_path, p_text,
        CASE
            WHEN num_nonnulls(p_delivery, p_event_id) > 0 THEN '{queued,parked,deferred,leased}'
            ELSE '{queued,parked,deferred}'
        END::text[], p_limit,
        ARRAY(SELECT own.lane FROM arvo.lanes_of(v_to.queue) AS own)
    ) AS seen;
    IF p_dry_run THEN
        RETURN QUERY
        SELECT
            seen.delivery, seen.event_id, seen.queue, seen.place,
            CASE WHEN seen.place = 'leased' THEN 'left' ELSE 'moved' END, NULL::bigint
        FROM unnest(v_found) AS seen
        ORDER BY seen.delivery;
        RETURN;
    END IF;

    v_found := arvo.hold(v_found);
    v_lane := arvo.lane_for(p_to);
    FOREACH v_one IN ARRAY v_found LOOP
        v_done := 'left';
        v_successor := NULL;
        IF v_one.place <> 'leased' THEN
            v_done := 'moved';
            v_successor := arvo.relay(v_one, v_lane);
        END IF;
        v_touched := v_touched + (v_done = 'moved')::integer;
        RETURN NEXT (
            v_one.delivery, v_one.event_id, v_one.queue, v_one.place, v_done, v_successor
        )::arvo_v1.intervention;
    END LOOP;

    PERFORM arvo.note_operation(
        'move', p_queue,
        jsonb_build_object(
            'to', p_to, 'delivery', p_delivery, 'event_id', p_event_id, 'event_type', p_event_type,
            'subject', p_subject, 'tree', p_tree, 'before', p_before, 'path', p_path,
            'text', p_text, 'limit', p_limit
        ),
        v_touched
    );
END;
$move$;

COMMENT ON FUNCTION arvo_v1.move(
    text, bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    integer, boolean
) IS
'Moves waiting deliveries to another queue, by number, event, workflow tree or filter.';

REVOKE ALL ON FUNCTION arvo_v1.move(
    text, bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    integer, boolean
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.move(
    text, bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    integer, boolean
)
TO arvo_operator;
--! end

--! function arvo_v1.operations
-- arvo_v1.operations(queue, since, limit) — what operators did.
CREATE OR REPLACE FUNCTION arvo_v1.operations(
    p_queue text DEFAULT NULL,
    p_since timestamptz DEFAULT NULL,
    p_limit integer DEFAULT 100
)
RETURNS SETOF arvo_v1.operation
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $operations$
-- The newest first. p_queue is meant as it was given then, also a name that ends in *. What
-- operators wrote into events, or looked for in them, is shown to operators only.
--
--   Reads    arvo.operation
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    operation.number,
    operation.at,
    operation.by,
    operation.verb,
    operation.queue,
    CASE
        WHEN arvo.is_one_of(ARRAY['arvo_operator']) THEN operation.details
        ELSE operation.details - '{edit,data,path,text}'::text[]
    END,
    operation.touched,
    operation.role
FROM arvo.operation
WHERE (p_queue IS NULL OR operation.queue = p_queue)
AND (p_since IS NULL OR operation.at >= p_since)
ORDER BY operation.number DESC
LIMIT CASE WHEN p_limit < 0 THEN 0 ELSE p_limit END;
$operations$;

COMMENT ON FUNCTION arvo_v1.operations(text, timestamptz, integer) IS
'The audit of what operators did, newest first.';

REVOKE ALL ON FUNCTION arvo_v1.operations(text, timestamptz, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.operations(
    text, timestamptz, integer
) TO arvo_monitor, arvo_operator;
--! end

--! function arvo_v1.pause_queue
-- arvo_v1.pause_queue(queue) — claim nothing from a queue, until it is resumed.
CREATE OR REPLACE FUNCTION arvo_v1.pause_queue(p_queue text)
RETURNS SETOF arvo_v1.switched
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
AS $pause_queue$
-- A name that ends in * stands for every queue that begins so. What is in hands is settled as ever;
-- dispatches go on. It waits for claims that are under way: once this has been committed, none hands
-- out anything any more. Ends a drain. One row for each queue; idempotent.
--
--   Reads    arvo.queue, arvo.lane, arvo.clock
--   Writes   arvo.queue, arvo.operation
--   Locks    all lanes of the queues, in order; then their arvo.queue rows
--   Raises   RV003  the queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV006  the name stands for queues with more than 512 lanes
--            RV007  a queue is closed to the caller
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_switched arvo_v1.switched[];
BEGIN
    PERFORM arvo.require_read_committed('pause_queue');
    PERFORM arvo.require_home();
    PERFORM arvo.require_right(
        ARRAY(SELECT named.name FROM arvo.queues_named(p_queue) AS named), 'operate'
    );
    PERFORM arvo.lock_lanes(arvo.lanes_named(p_queue));

    WITH named AS MATERIALIZED (
        SELECT queue.queue, queue.paused_at
        FROM arvo.queue
        WHERE queue.queue IN (SELECT named.queue FROM arvo.queues_named(p_queue) AS named)
        ORDER BY queue.name COLLATE "C"
        FOR NO KEY UPDATE
    ),

    paused AS (
        UPDATE arvo.queue
        SET paused_at = arvo.clock(), paused_by = session_user, drained_to = NULL
        FROM named
        WHERE queue.queue = named.queue AND named.paused_at IS NULL
        RETURNING queue.queue, queue.paused_at, queue.paused_by
    )

    SELECT array_agg(
        (
            queue.name,
            CASE WHEN paused.queue IS NULL THEN 'unchanged' ELSE 'paused' END,
            coalesce(paused.paused_at, queue.paused_at),
            coalesce(paused.paused_by, queue.paused_by),
            false,
            NULL
        )::arvo_v1.switched
        ORDER BY queue.name COLLATE "C"
    )
    INTO v_switched
    FROM named
    INNER JOIN arvo.queue ON queue.queue = named.queue
    LEFT JOIN paused ON paused.queue = named.queue;

    PERFORM arvo.note_operation(
        'pause_queue', p_queue, '{}',
        (SELECT count(*) FROM unnest(v_switched) AS done WHERE done.change <> 'unchanged')
    );
    RETURN QUERY SELECT done.* FROM unnest(v_switched) AS done;
END;
$pause_queue$;

COMMENT ON FUNCTION arvo_v1.pause_queue(text) IS
'Stops claims from a queue, or from all that begin alike, until they are resumed.';

REVOKE ALL ON FUNCTION arvo_v1.pause_queue(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.pause_queue(text) TO arvo_operator;
--! end

--! function arvo_v1.pause_schedule
-- arvo_v1.pause_schedule(name, key) — let schedules rest.
CREATE OR REPLACE FUNCTION arvo_v1.pause_schedule(p_name text, p_key text DEFAULT NULL)
RETURNS SETOF arvo_v1.schedule
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $pause_schedule$
-- The schedule of that name and key, or, without a key, all of that name. From the commit on they do
-- not fire until they are resumed; a fire that is being dispatched is waited for. One that is paused
-- already stays as it is. No rows when there is none.
--
--   Reads    arvo.schedule, arvo.clock
--   Writes   arvo.schedule, arvo.operation
--   Locks    arvo.schedule rows, by key
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV007  a queue that one dispatches to is closed to the caller
DECLARE
    v_one arvo.schedule;
    v_change text;
    v_count bigint := 0::bigint;
BEGIN
    PERFORM arvo.require_read_committed('pause_schedule');
    FOR v_one IN
        SELECT known.*
        FROM arvo.schedule AS known
        WHERE known.name = p_name AND (p_key IS NULL OR known.key = p_key)
        ORDER BY known.key
        FOR NO KEY UPDATE
    LOOP
        PERFORM arvo.require_right(arvo.goes_to(ARRAY[v_one.event]), 'operate');
        v_change := 'unchanged';
        IF v_one.paused_at IS NULL THEN
            v_change := 'paused';
            v_count := v_count + 1;
            UPDATE arvo.schedule
            SET paused_at = arvo.clock(), paused_by = session_user, next_at = NULL
            WHERE schedule.schedule = v_one.schedule
            RETURNING schedule.* INTO v_one;
        END IF;
        RETURN NEXT arvo.schedule_row(v_one, v_change);
    END LOOP;
    PERFORM arvo.note_operation(
        'pause_schedule', NULL, jsonb_build_object('name', p_name, 'key', p_key), v_count
    );
END;
$pause_schedule$;

COMMENT ON FUNCTION arvo_v1.pause_schedule(text, text) IS
'Pauses the schedule of a name and key, or all of a name.';

REVOKE ALL ON FUNCTION arvo_v1.pause_schedule(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.pause_schedule(text, text) TO arvo_operator;
--! end

--! function arvo_v1.publish
-- arvo_v1.publish(event, options) — deliver an event to every queue that subscribes to its type.
CREATE OR REPLACE FUNCTION arvo_v1.publish(p_event jsonb, p_options jsonb DEFAULT NULL)
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
AS $publish$
-- One row for each copy, with an outcome of its own: each queue has its own policy, and its own
-- window for duplicates. The body is stored once. One row with the outcome "unheard", and no
-- delivery, when nobody subscribes: then nothing is stored. "to" and "domain" are not looked at. A
-- handler publishes by emitting an event whose "to" is arvo.publish. One queue that subscribes and
-- is closed to the publisher refuses the whole call: nothing is left out in silence.
--
--   Reads    as arvo.append
--   Writes   as arvo.append
--   Locks    as arvo.append
--   Raises   RV001  the event is not valid
--            RV007  a queue that subscribes is closed to the caller
--            RV002, RV201, RV902  as arvo.append
DECLARE
    v_fault text := arvo.event_fault(p_event);
BEGIN
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION 'event is not valid'
        USING ERRCODE = 'RV001',
              COLUMN = split_part(v_fault, ':', 1),
              DETAIL = v_fault,
              HINT = 'Correct the field and publish the event again. Nothing has been stored.';
    END IF;
    PERFORM arvo.require_dispatch(ARRAY[p_event], false, true);
    RETURN QUERY
    SELECT accepted.*
    FROM arvo.append(ARRAY[p_event], p_options, false, false, '{arvo.publish}') AS accepted;
END;
$publish$;

COMMENT ON FUNCTION arvo_v1.publish(jsonb, jsonb) IS
'Delivers an event to every queue that subscribes to its type; one row for each copy.';

REVOKE ALL ON FUNCTION arvo_v1.publish(jsonb, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.publish(jsonb, jsonb)
TO arvo_client, arvo_worker, arvo_operator;
--! end

--! function arvo_v1.purge_queue
-- arvo_v1.purge_queue(queue, limit, dry_run) — cancel everything in a queue that nobody holds.
CREATE OR REPLACE FUNCTION arvo_v1.purge_queue(
    p_queue text,
    p_limit integer DEFAULT 10000,
    p_dry_run boolean DEFAULT false
)
RETURNS SETOF arvo_v1.purged
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
AS $purge_queue$
-- Four rows: what waits in the log, what waits in line behind others of its key, what is due later,
-- and what is leased, which is left alone. Everything is journalled as cancelled. At most p_limit a
-- call (NULL: all, in one transaction); while "kept" is NULL for one of them there may be more: call
-- again. Dead letters that lie in a dead-letter queue are discarded with it; those of a queue are
-- none of its deliveries. A dry run takes no lock.
--
--   Reads    arvo.queue; as arvo.census and arvo.empty_queue
--   Writes   as arvo.empty_queue; arvo.operation
--   Locks    as arvo.empty_queue
--   Raises   RV003  the queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV006  limit is not valid
--            RV007  a queue is closed to the caller
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_queue arvo.queue;
    v_purged arvo_v1.purged[];
BEGIN
    PERFORM arvo.require_read_committed('purge_queue');
    PERFORM arvo.require_home();
    v_queue := arvo.known_queue(p_queue);
    PERFORM arvo.require_right(ARRAY[p_queue], 'operate');
    IF p_limit < 1 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'limit',
              DETAIL = format('limit: %s', p_limit),
              HINT = 'Use 1 or more; NULL for everything.';
    END IF;
    IF p_dry_run THEN
        RETURN QUERY SELECT counted.* FROM arvo.would_empty(v_queue) AS counted;
        RETURN;
    END IF;

    v_purged := ARRAY(SELECT done FROM arvo.empty_queue(v_queue, p_limit) AS done);
    PERFORM arvo.note_operation(
        'purge_queue', p_queue, jsonb_build_object('limit', p_limit),
        (SELECT sum(done.removed)::bigint FROM unnest(v_purged) AS done)
    );
    RETURN QUERY SELECT done.* FROM unnest(v_purged) AS done;
END;
$purge_queue$;

COMMENT ON FUNCTION arvo_v1.purge_queue(text, integer, boolean) IS
'Cancels everything in a queue that is not leased; says how many, by place.';

REVOKE ALL ON FUNCTION arvo_v1.purge_queue(text, integer, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.purge_queue(text, integer, boolean) TO arvo_operator;
--! end

--! function arvo_v1.queue_grants
-- arvo_v1.queue_grants(queue) — who may do what with queues that not everybody may.
CREATE OR REPLACE FUNCTION arvo_v1.queue_grants(p_queue text DEFAULT NULL)
RETURNS SETOF arvo_v1.queue_grant
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $queue_grants$
-- All of them, or those that have to do with p_queue: a name, or a beginning with a star. What is not
-- here is open to everybody who has the group role.
--
--   Reads    arvo.queue_guard
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT guard.queue, guard.may, guard.roles, guard.changed_at, guard.changed_by
FROM arvo.queue_guard AS guard
WHERE p_queue IS NULL
OR arvo.covers(guard.queue, p_queue)
OR arvo.covers(p_queue, guard.queue)
ORDER BY guard.queue COLLATE "C", guard.may;
$queue_grants$;

COMMENT ON FUNCTION arvo_v1.queue_grants(text) IS
'What is closed to all but some roles, and to which not: all of it, or what covers a queue.';

REVOKE ALL ON FUNCTION arvo_v1.queue_grants(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.queue_grants(text) TO arvo_monitor, arvo_operator;
--! end

--! function arvo_v1.queue_stats
-- arvo_v1.queue_stats(queue) — live numbers of one queue, or of all.
CREATE OR REPLACE FUNCTION arvo_v1.queue_stats(p_queue text DEFAULT NULL)
RETURNS SETOF arvo_v1.queue_stats
LANGUAGE sql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $queue_stats$
-- Counts what is few and carries on the tallies of what is many, so it reads neither the backlog nor
-- history; see arvo.count_lane. Never an estimate: what stops at a bound says so in "exact". What has
-- been withdrawn does not wait. An empty queue has zeros; an unknown one has no row. Writes nothing,
-- so a standby answers, too.
--
--   Reads    arvo.queue, arvo.lane, arvo.lease, arvo.tally, arvo.tombstone, arvo.parked,
--            arvo.closure, arvo.dead, arvo.clock; as arvo.count_lane and arvo.pace_of
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    queue.name,
    queue.registered,
    queue.retry_limit,
    queue.retry_delay,
    queue.retry_backoff,
    queue.retry_delay_max,
    queue.expire_in,
    queue.dead_letter,
    queue.warning_queue_size,
    counted.deferred,
    counted.unread - withdrawn.unread,
    running.deliveries,
    died.letters,
    counted.oldest_at,
    queue.created_at,
    queue.changed_at,
    queue.policy,
    queue.retention,
    queue.delete_after,
    counted.parked - withdrawn.parked,
    counted.kept + counted.deferred,
    died.letters <= 10000 AND withdrawn.exact,
    CASE WHEN queue.policy IN ('singleton', 'stately') THEN running.keys END,
    queue.paused_at,
    queue.drained_to IS NOT NULL,
    arvo.clock() - counted.oldest_at,
    pace.completed_per_minute,
    pace.failed_per_minute,
    pace.wait_mean,
    pace.wait_p95,
    pace.run_mean,
    pace.run_p95
FROM arvo.queue
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(figures.unread), 0)::bigint AS unread,
        min(figures.oldest_at) AS oldest_at,
        coalesce(sum(figures.parked), 0)::bigint AS parked,
        coalesce(sum(figures.deferred), 0)::bigint AS deferred,
        coalesce(sum(figures.kept), 0)::bigint AS kept
    FROM arvo.lane
    CROSS JOIN LATERAL (
        SELECT newest AS lease
        FROM arvo.lease AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS head
    LEFT JOIN LATERAL (
        SELECT newest AS tally
        FROM arvo.tally AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS last ON true
    CROSS JOIN LATERAL arvo.count_lane(head.lease, last.tally) AS figures
    WHERE lane.queue = queue.queue
) AS counted
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE gone.place IS NULL) AS unread,
        count(*) FILTER (WHERE gone.place IS NOT NULL) AS parked,
        count(*) <= 10000 AS exact
    FROM (
        SELECT parked.place
        FROM arvo.lane
        INNER JOIN arvo.tombstone ON tombstone.lane = lane.lane
        LEFT JOIN arvo.parked ON parked.delivery = tombstone.delivery
        WHERE lane.queue = queue.queue
        LIMIT 10001
    ) AS gone
) AS withdrawn
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(open.deliveries), 0)::bigint AS deliveries,
        count(DISTINCT open.key) AS keys
    FROM arvo.lane
    CROSS JOIN LATERAL (
        SELECT newest.open_from
        FROM arvo.lease AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS head
    INNER JOIN arvo.lease AS held
        ON held.lane = lane.lane AND held.number >= head.open_from AND held.token <> 0
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(
            CASE
                WHEN NOT held.carried THEN cardinality(closure.deliveries)
                ELSE (
                    SELECT count(*)
                    FROM unnest(closure.deliveries) AS gone (delivery)
                    WHERE gone.delivery = ANY (held.deliveries)
                )
            END
        ), 0) AS deliveries
        FROM arvo.closure
        WHERE closure.token = held.token
    ) AS closed
    CROSS JOIN LATERAL (
        SELECT cardinality(held.deliveries) - closed.deliveries AS deliveries, NULL::bigint AS key
        WHERE queue.policy NOT IN ('singleton', 'stately') OR held.keys IS NULL
        UNION ALL
        SELECT 1, held.keys[array_position(held.deliveries, still.delivery)]
        FROM unnest(arvo.open_deliveries(held.token, held.deliveries)) AS still (delivery)
        WHERE queue.policy IN ('singleton', 'stately') AND held.keys IS NOT NULL
    ) AS open
    WHERE lane.queue = queue.queue
    AND closed.deliveries < cardinality(held.deliveries)
    AND NOT EXISTS (
        SELECT
        FROM arvo.lease AS newer
        WHERE newer.token = held.token AND newer.number > held.number
    )
) AS running
CROSS JOIN LATERAL (
    SELECT count(*) AS letters
    FROM (
        SELECT
        FROM arvo.dead
        -- Written so, only the index of the queue's own has this order; with an equality,
        -- statistics may choose the one of all that are open, for each queue.
        WHERE dead.queue >= queue.name AND dead.queue <= queue.name
        AND dead.resolution IS NULL
        ORDER BY dead.queue, dead.dead
        LIMIT 10001
    ) AS open
) AS died
CROSS JOIN LATERAL arvo.pace_of(queue.queue) AS pace
WHERE p_queue IS NULL OR queue.name = p_queue
ORDER BY queue.name COLLATE "C";
$queue_stats$;

COMMENT ON FUNCTION arvo_v1.queue_stats(text) IS
'Live numbers of one queue, or of all queues when none is named.';

REVOKE ALL ON FUNCTION arvo_v1.queue_stats(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.queue_stats(text) TO arvo_worker, arvo_monitor, arvo_operator;
--! end

--! function arvo_v1.read_state
-- arvo_v1.read_state(subject) — the state of one workflow.
CREATE OR REPLACE FUNCTION arvo_v1.read_state(p_subject text)
RETURNS SETOF arvo_v1.state
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $read_state$
-- No row when the subject has no state. Who only monitors sees that it is there, and no data, unless
-- read was granted for all queues.
--
--   Reads    arvo.state, arvo.lineage; as arvo.may_read
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    state.subject,
    state.version,
    CASE WHEN arvo.may_read('*') THEN state.data ELSE '{}' END,
    state.execution_status,
    parent.subject,
    state.initiator,
    state.source,
    state.created_at,
    state.changed_at
FROM arvo.state
LEFT JOIN arvo.lineage ON lineage.subject_digest = state.subject_digest
LEFT JOIN arvo.lineage AS parent ON parent.subject_digest = lineage.parent_digest
WHERE state.subject_digest = arvo.subject_digest(p_subject);
$read_state$;

COMMENT ON FUNCTION arvo_v1.read_state(text) IS
'The state of a subject with its version; no row when it has none.';

REVOKE ALL ON FUNCTION arvo_v1.read_state(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.read_state(text) TO arvo_worker, arvo_monitor, arvo_operator;
--! end

--! function arvo_v1.recreate_queue
-- arvo_v1.recreate_queue(queue, dry_run) — empty a queue and put its options back to their defaults.
CREATE OR REPLACE FUNCTION arvo_v1.recreate_queue(
    p_queue text,
    p_dry_run boolean DEFAULT false
)
RETURNS SETOF arvo_v1.purged
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
AS $recreate_queue$
-- As purge_queue of everything, in one transaction; it stays registered, neither paused nor draining.
-- What is leased is left alone, and the row of the leased says how many those are: their results count.
--
--   Reads    arvo.queue; as arvo.census and arvo.empty_queue
--   Writes   as arvo.empty_queue and arvo.reset_queue; arvo.operation
--   Locks    as arvo.empty_queue; then as arvo.reset_queue
--   Raises   RV003  the queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV007  a queue is closed to the caller
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_queue arvo.queue;
    v_purged arvo_v1.purged[];
BEGIN
    PERFORM arvo.require_read_committed('recreate_queue');
    PERFORM arvo.require_home();
    v_queue := arvo.known_queue(p_queue);
    PERFORM arvo.require_right(ARRAY[p_queue], 'operate');
    IF p_dry_run THEN
        RETURN QUERY SELECT counted.* FROM arvo.would_empty(v_queue) AS counted;
        RETURN;
    END IF;

    v_purged := ARRAY(SELECT done FROM arvo.empty_queue(v_queue, NULL) AS done);
    PERFORM arvo.reset_queue(v_queue, v_queue.registered);
    PERFORM arvo.note_operation(
        'recreate_queue', p_queue, '{}',
        (SELECT sum(done.removed)::bigint FROM unnest(v_purged) AS done)
    );
    PERFORM arvo.wake(ARRAY[v_queue.name]);
    RETURN QUERY SELECT done.* FROM unnest(v_purged) AS done;
END;
$recreate_queue$;

COMMENT ON FUNCTION arvo_v1.recreate_queue(text, boolean) IS
'Cancels what is not leased and sets the options back; says how many, by place.';

REVOKE ALL ON FUNCTION arvo_v1.recreate_queue(text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.recreate_queue(text, boolean) TO arvo_operator;
--! end

--! function arvo_v1.redrive
-- arvo_v1.redrive(queue, dead, limit, dry_run, …) — put dead letters back into a queue.
CREATE OR REPLACE FUNCTION arvo_v1.redrive(
    p_queue text DEFAULT NULL,
    p_dead bigint[] DEFAULT NULL,
    p_limit integer DEFAULT 100,
    p_dry_run boolean DEFAULT false,
    p_reason text DEFAULT NULL,
    p_since timestamptz DEFAULT NULL,
    p_before timestamptz DEFAULT NULL,
    p_event_type text DEFAULT NULL,
    p_subject text DEFAULT NULL,
    p_path jsonpath DEFAULT NULL,
    p_text text DEFAULT NULL,
    p_rate double precision DEFAULT NULL,
    p_edit jsonb DEFAULT NULL,
    p_data jsonb DEFAULT NULL,
    p_to text DEFAULT NULL,
    p_force boolean DEFAULT false
)
RETURNS SETOF arvo_v1.redriven
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
AS $redrive$
-- Filters as in dead_letters, of which one at least is given; oldest first, p_limit at most. The
-- event starts again with attempt 1: in the queue it failed in, or in p_to; in an ordered queue at
-- the end of the line of its key. Neither deduplication nor a queue's throttle or places of
-- short, stately and exclusive stand in its way. Its delivery in the dead-letter queue is withdrawn;
-- one that a consumer of that queue has in its hands, or has put off, is left alone.
--
--   p_rate   so many per second: the first at once, each other one due later than the one before
--   p_edit   a merge patch (RFC 7396) of the event; p_data then replaces its data. The original
--            stays in the dead letter, the edited event is kept beside it
--   p_force  also what was redriven as often as its queue allows (max_redrives)
--
-- What is refused stays open and does not count: at most p_limit refusals are told. RV001: the
-- edited event is not valid. RV102: redriven too often. RV103, told of letters named by number:
-- somebody has it in hand. A dry run answers what would be done.
--
--   Reads    arvo.dead, arvo.queue, arvo.clock, arvo.slot; as arvo.grasp_dead
--   Writes   arvo.dead, arvo.tombstone, arvo.log or arvo.deferred, arvo.operation; arvo.queue,
--            arvo.lane when they are missing
--   Locks    as arvo.grasp_dead; as arvo.lane_for
--   Raises   RV003  nobody has named the queue p_to
--            RV005  the transaction is not READ COMMITTED
--            RV006  no filter is given; limit, reason, rate, edit or data break their rules
--            RV007  a queue that is named is closed to the caller
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_now timestamptz := arvo.clock();
    v_slot smallint := arvo.slot();
    v_filter arvo.dead_filter;
    v_after bigint := 0::bigint;
    v_first boolean := true;
    v_size integer := least(p_limit, 1000);
    v_page bigint[];
    v_free bigint[];
    v_dead arvo.dead;
    v_edited jsonb;
    v_code text;
    v_detail text;
    v_most integer;
    v_queue text;
    v_target arvo.queue;
    v_kind text;
    v_taken bigint;
    v_lane integer;
    v_key bigint;
    v_delivery bigint;
    v_due timestamptz;
    v_cause jsonb;
    v_done integer := 0;
    v_refused integer := 0;
    v_woken text[] := '{}'::text[];
BEGIN
    PERFORM arvo.require_read_committed('redrive');
    PERFORM arvo.require_home();
    PERFORM arvo.require_right(ARRAY[p_queue], 'operate');
    PERFORM arvo.require_right(ARRAY[p_to], 'dispatch');
    v_filter := arvo.read_dead_filter(
        p_dead, p_queue, p_reason, p_since, p_before, p_event_type, p_subject, p_path, p_text,
        p_limit, true
    );
    IF p_rate NOT BETWEEN 0.001 AND 1000000 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'rate',
              DETAIL = format('rate: %s', p_rate),
              HINT = 'Use 0.001 to 1000000 per second.';
    END IF;
    IF jsonb_typeof(p_edit) <> 'object' OR p_edit ?| ARRAY['id', 'source', 'subject']
        OR arvo.json_fault(p_edit, 1048576) IS NOT NULL
    THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'edit',
              DETAIL = format('edit: %s', arvo.json_start(p_edit)),
              HINT = 'Give a JSON object that leaves id, source and subject alone, and that an event could'
                     ' hold.';
    END IF;
    IF jsonb_typeof(p_data) <> 'object' OR arvo.json_fault(p_data, 1048576) IS NOT NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'data',
              DETAIL = format('data: %s', arvo.json_start(p_data)),
              HINT = 'Give a JSON object that an event could hold.';
    END IF;
    IF p_to IS NOT NULL AND NOT EXISTS (SELECT FROM arvo.queue WHERE queue.name = p_to) THEN
        RAISE EXCEPTION 'queue is not known'
        USING ERRCODE = 'RV003',
              COLUMN = 'to',
              DETAIL = format('queue %s', left(to_json(p_to)::text, 80)),
              HINT = 'Register the queue, or redrive into the queues they failed in.';
    END IF;

    WHILE v_done < p_limit LOOP
        v_page := ARRAY(
            SELECT found.dead
            FROM arvo.find_dead(v_filter, v_after, v_size, false) AS found
            ORDER BY found.dead
        );
        EXIT WHEN v_page = '{}';
        v_free := arvo.grasp_dead(v_page, v_first);

        FOR v_dead IN
            SELECT dead.*
            FROM arvo.dead
            WHERE dead.dead = ANY (v_page)
            ORDER BY dead.dead
        LOOP
            EXIT WHEN v_done >= p_limit;
            v_code := NULL;
            v_detail := NULL;
            v_edited := NULL;
            v_queue := coalesce(p_to, v_dead.queue);
            IF v_dead.dead <> ALL (v_free) THEN
                CONTINUE WHEN p_dead IS NULL OR v_dead.resolution IS NOT NULL;
                v_code := 'RV103';
                v_detail := CASE
                    WHEN v_dead.dead_letter IS NULL THEN 'another operator has it'
                    ELSE format('a consumer of %s, or another operator, has it', v_dead.dead_letter)
                END;
            ELSE
                SELECT queue.max_redrives INTO v_most
                FROM arvo.queue
                WHERE queue.name = v_dead.queue;
                IF v_dead.redrives >= v_most AND p_force IS NOT TRUE THEN
                    v_code := 'RV102';
                    v_detail := format(
                        'redriven %s times, max_redrives is %s', v_dead.redrives, v_most
                    );
                ELSIF num_nonnulls(p_edit, p_data) > 0 THEN
                    v_edited := v_dead.event;
                    IF p_edit IS NOT NULL THEN
                        v_edited := arvo.merge_patch(v_edited, p_edit);
                    END IF;
                    IF p_data IS NOT NULL THEN
                        v_edited := v_edited || jsonb_build_object('data', p_data);
                    END IF;
                    v_edited := nullif(v_edited, v_dead.event);
                    v_detail := CASE
                        WHEN v_edited IS NOT NULL THEN arvo.event_fault(v_edited)
                    END;
                    v_code := CASE WHEN v_detail IS NOT NULL THEN 'RV001' END;
                END IF;
            END IF;
            IF v_code IS NULL THEN
                SELECT queue.* INTO v_target
                FROM arvo.queue
                WHERE queue.name = v_queue;
                -- A key that was given stays within its queue; one that was read is read again.
                v_key := CASE
                    WHEN v_queue = v_dead.queue
                        AND v_dead.key <> coalesce(arvo.key_in(v_dead.event, v_target.key_from), 0)
                        THEN v_dead.key
                    ELSE arvo.key_in(coalesce(v_edited, v_dead.event), v_target.key_from)
                END;
                v_delivery := nextval('arvo.delivery_number'::regclass);
                IF v_target.slotted THEN
                    v_kind := CASE WHEN v_target.policy = 'exclusive' THEN 'any' ELSE 'queued' END;
                    v_taken := CASE
                        WHEN p_dry_run
                            THEN arvo.place_holder(v_target.queue, v_kind, coalesce(v_key, 1))
                        ELSE arvo.take_place(
                            v_target.queue, v_kind, coalesce(v_key, 1), v_delivery
                        )
                    END;
                    IF v_taken IS NOT NULL THEN
                        v_code := 'RV104';
                        v_detail := format('delivery %s has the place of its key', v_taken);
                    END IF;
                END IF;
            END IF;
            IF v_code IS NOT NULL THEN
                v_refused := v_refused + 1;
                IF v_refused <= p_limit THEN
                    RETURN NEXT (
                        v_dead.dead, v_dead.event_id, NULL, v_queue, 'refused', v_code, v_detail,
                        NULL
                    )::arvo_v1.redriven;
                END IF;
                CONTINUE;
            END IF;

            IF p_dry_run THEN
                v_delivery := NULL;
            END IF;
            v_due := CASE
                WHEN v_done > 0 THEN v_now + make_interval(secs => v_done / p_rate)
            END;
            v_done := v_done + 1;
            IF NOT p_dry_run THEN
                IF v_dead.dead_letter_lane IS NOT NULL THEN
                    INSERT INTO arvo.tombstone (lane, delivery, at, by)
                    VALUES (
                        v_dead.dead_letter_lane, v_dead.dead_letter_delivery, v_now, session_user
                    )
                    ON CONFLICT DO NOTHING;
                END IF;
                UPDATE arvo.dead
                SET resolution = 'redriven', resolved_at = v_now, resolved_by = session_user,
                    edited = v_edited
                WHERE dead.dead = v_dead.dead;

                v_lane := arvo.lane_for(v_queue);
                v_cause := jsonb_build_object(
                    'outcome', 'redriven',
                    'dead', v_dead.dead,
                    'delivery', v_dead.delivery,
                    'error', v_dead.error,
                    'redrives', v_dead.redrives + 1
                );
                IF v_edited IS NOT NULL THEN
                    v_cause := v_cause || '{"edited": true}';
                END IF;
                IF v_due IS NULL THEN
                    INSERT INTO arvo.log (
                        slot, lane, delivery, attempt, at, subject_key, event_key, key, options,
                        event, cause
                    )
                    VALUES (
                        v_slot, v_lane, v_delivery, 1, v_now, v_dead.subject_key, v_dead.event_key,
                        v_key, v_dead.options,
                        coalesce(v_edited, v_dead.event), v_cause
                    );
                ELSE
                    INSERT INTO arvo.deferred (
                        due, lane, delivery, attempt, at, subject_key, event_key, key, options,
                        event, cause
                    )
                    VALUES (
                        v_due, v_lane, v_delivery, 1, v_now, v_dead.subject_key, v_dead.event_key,
                        v_key, v_dead.options,
                        coalesce(v_edited, v_dead.event), v_cause
                    );
                END IF;
                IF v_queue <> ALL (v_woken) THEN
                    v_woken := v_woken || v_queue;
                END IF;
            END IF;
            RETURN NEXT (
                v_dead.dead, v_dead.event_id, v_delivery, v_queue, 'redriven', NULL, NULL, v_due
            )::arvo_v1.redriven;
        END LOOP;

        EXIT WHEN cardinality(v_page) < v_size;
        v_after := v_page[v_size];
        v_first := false;
        v_size := least(greatest(p_limit - v_done, 100), 1000);
    END LOOP;

    IF NOT p_dry_run THEN
        PERFORM arvo.wake(v_woken);
        PERFORM arvo.note_operation(
            'redrive',
            p_queue,
            jsonb_build_object(
                'dead', p_dead,
                'limit', p_limit,
                'reason', p_reason,
                'since', p_since,
                'before', p_before,
                'event_type', p_event_type,
                'subject', p_subject,
                'path', p_path::text,
                'text', p_text,
                'rate', p_rate,
                -- as text: a null in them means something
                'edit', p_edit::text,
                'data', p_data::text,
                'to', p_to,
                'force', nullif(p_force, false),
                'refused', nullif(v_refused, 0)
            ),
            v_done
        );
    END IF;
END;
$redrive$;

COMMENT ON FUNCTION
arvo_v1.redrive(
    text, bigint[], integer, boolean, text, timestamptz, timestamptz, text, text, jsonpath, text,
    double precision, jsonb, jsonb, text, boolean
) IS
'Puts dead letters back into the queues they failed in or another; edited, spread if so asked.';

REVOKE ALL ON FUNCTION
arvo_v1.redrive(
    text, bigint[], integer, boolean, text, timestamptz, timestamptz, text, text, jsonpath, text,
    double precision, jsonb, jsonb, text, boolean
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
arvo_v1.redrive(
    text, bigint[], integer, boolean, text, timestamptz, timestamptz, text, text, jsonpath, text,
    double precision, jsonb, jsonb, text, boolean
) TO arvo_operator;
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
--   Writes   arvo.queue, arvo.lane, arvo.registration; arvo.operation, when no worker calls; as arvo.note_start and arvo.rebuild_turns
--   Locks    table arvo.queue, ROW EXCLUSIVE; as arvo.hold_queue when there are new rules; arvo.queue row
--   Raises   RV002  an option is not valid
--            RV005  there are new rules, and the transaction is not READ COMMITTED
--            RV007  the queue, or its dead-letter queue, is closed to the caller
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

    -- What comes out of a queue is its consumers' and its operators' affair.
    IF NOT arvo.may(p_queue, 'operate') THEN
        PERFORM arvo.require_right(ARRAY[p_queue], 'consume');
    END IF;
    IF v_after.dead_letter IS DISTINCT FROM v_before.dead_letter THEN
        PERFORM arvo.require_right(ARRAY[v_after.dead_letter], 'dispatch');
    END IF;
    PERFORM arvo.note_start();
    -- Before any row of it: a grant holds the table, and waits for rows.
    LOCK TABLE arvo.queue IN ROW EXCLUSIVE MODE;
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
        guarded = arvo.is_guarded(queue.name),
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
    FROM jsonb_each(to_jsonb(v_before) - '{gated,slotted,guarded}'::text[]) AS was
    INNER JOIN jsonb_each(to_jsonb(v_after)) AS now ON now.key = was.key
    WHERE was.value IS DISTINCT FROM now.value;
    v_change := CASE WHEN v_known THEN coalesce(v_change, 'unchanged') ELSE 'created' END;
    IF v_change <> 'unchanged' THEN
        UPDATE arvo.queue SET changed_at = v_now WHERE queue.queue = v_before.queue;
        PERFORM arvo.wake(ARRAY[p_queue]);
        -- Workers do it whenever they start: that is no operator's doing.
        IF NOT arvo.is_one_of(ARRAY['arvo_worker']) THEN
            PERFORM arvo.note_operation(
                'register_queue', p_queue,
                jsonb_build_object('change', v_change, 'options', v_asked, 'reset', p_reset), 1
            );
        END IF;
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

--! function arvo_v1.replay
-- arvo_v1.replay(event_id, source, delivery, queue) — dispatch a stored event again, as a new one.
CREATE OR REPLACE FUNCTION arvo_v1.replay(
    p_event_id text,
    p_source text DEFAULT NULL,
    p_delivery bigint DEFAULT NULL,
    p_queue text DEFAULT NULL
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
AS $replay$
-- The event is as it was stored last (edited, if a redrive edited it), or as p_delivery carried it,
-- but for its id: that is new, so nothing takes it for the old one. It goes to the queue that it was
-- delivered to, or to p_queue; whatever became of the old event stays as it is. The cause of the new
-- delivery names the old event and its delivery. Neither deduplication nor a queue's throttle or
-- places of short, stately and exclusive stand in its way.
--
--   Reads    arvo.log, arvo.deferred and arvo.dead by event, arvo.lane, arvo.queue, arvo.clock,
--            arvo.slot
--   Writes   arvo.log, arvo.operation; as arvo.notice_unroutable
--   Locks    as arvo.lane_for
--   Raises   RV001  the event breaks a rule that it did not break then
--            RV003  nobody has named the queue p_queue
--            RV004  no such event is stored, or not any more
--            RV006  several sources used that id, or it went to several queues: say which
--            RV007  the queue that it was in, or p_queue, is closed to the caller
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_now timestamptz := arvo.clock();
    v_found record;
    v_event jsonb;
    v_fault text;
    v_name text;
    v_lane integer;
    v_key bigint;
    v_target arvo.queue;
    v_taken bigint;
    v_dispatched arvo_v1.dispatched;
BEGIN
    PERFORM arvo.require_home();
    IF p_queue IS NOT NULL AND NOT EXISTS (
        SELECT FROM arvo.queue WHERE queue.name = p_queue
    ) THEN
        RAISE EXCEPTION 'queue is not known'
        USING ERRCODE = 'RV003',
              COLUMN = 'queue',
              DETAIL = format('queue %s', left(to_json(p_queue)::text, 80)),
              HINT = 'Register the queue, or replay into the one that the event was delivered to.';
    END IF;

    WITH stored AS MATERIALIZED (
        SELECT
            log.delivery,
            arvo.event_of(log) AS event,
            queue.name AS queue,
            log.cause,
            log.key,
            log.options
        FROM arvo.log
        INNER JOIN arvo.lane ON lane.lane = log.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        WHERE log.event_key = hashtextextended(p_event_id, 0)
        UNION ALL
        SELECT
            deferred.delivery,
            coalesce(deferred.event, (
                SELECT origin.event
                FROM arvo.log AS origin
                WHERE origin.lane = deferred.origin_lane
                AND origin.xid = deferred.origin_xid
                AND origin.delivery = deferred.origin_delivery
            )),
            queue.name,
            deferred.cause,
            deferred.key,
            deferred.options
        FROM arvo.deferred
        INNER JOIN arvo.lane ON lane.lane = deferred.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        WHERE deferred.event_key = hashtextextended(p_event_id, 0)
        UNION ALL
        SELECT dead.delivery, dead.event, dead.queue, NULL, dead.key, dead.options
        FROM arvo.dead
        WHERE dead.event_key = hashtextextended(p_event_id, 0)
    ),

    -- a dead-letter queue and the notices of unroutable events got it second hand
    meant AS MATERIALIZED (
        SELECT stored.*
        FROM stored
        WHERE stored.event ->> 'id' = p_event_id
        AND (p_source IS NULL OR stored.event ->> 'source' = p_source)
        AND (
            stored.delivery = p_delivery
            OR p_delivery IS NULL
            AND stored.queue <> 'arvo.unroutable'
            AND coalesce(NOT stored.cause ? 'hops', true)
        )
    )

    SELECT
        newest.*,
        (SELECT array_agg(DISTINCT meant.event ->> 'source') FROM meant) AS sources,
        (SELECT array_agg(DISTINCT meant.queue) FROM meant) AS queues
    INTO v_found
    FROM meant AS newest
    ORDER BY newest.delivery DESC
    LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'event is not stored'
        USING ERRCODE = 'RV004',
              COLUMN = 'event_id',
              DETAIL = concat_ws(
                  ', ',
                  format('id %s', left(to_json(p_event_id)::text, 80)),
                  'source ' || left(to_json(p_source)::text, 80),
                  'delivery ' || p_delivery
              ),
              HINT = 'It was never dispatched here, or its history has been removed.';
    ELSIF cardinality(v_found.sources) > 1 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'source',
              DETAIL = format('%s sources used that id: %s', cardinality(v_found.sources),
                              left(to_json(v_found.sources)::text, 200)),
              HINT = 'Name the source.';
    ELSIF p_queue IS NULL AND cardinality(v_found.queues) > 1 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'queue',
              DETAIL = format('The event went to %s queues: %s', cardinality(v_found.queues),
                              left(to_json(v_found.queues)::text, 200)),
              HINT = 'Name the queue that it is to go to now, or the delivery.';
    END IF;

    PERFORM arvo.require_right(ARRAY[v_found.queue], 'operate');
    IF p_queue <> v_found.queue THEN
        PERFORM arvo.require_right(ARRAY[p_queue], 'dispatch');
    END IF;

    v_event := v_found.event || jsonb_build_object('id', gen_random_uuid());
    v_fault := arvo.event_fault(v_event);
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION 'event is not valid'
        USING ERRCODE = 'RV001',
              COLUMN = split_part(v_fault, ':', 1),
              DETAIL = v_fault,
              HINT = 'Dispatch a corrected event. Nothing has been stored.';
    END IF;
    v_name := coalesce(p_queue, v_found.queue);
    v_lane := arvo.lane_for(v_name);
    -- A key that was given stays within its queue; one that was read is read again.
    SELECT CASE
        WHEN v_name = v_found.queue
            AND v_found.key <> coalesce(arvo.key_in(v_found.event, queue.key_from), 0)
            THEN v_found.key
        ELSE arvo.key_in(v_event, queue.key_from)
    END
    INTO v_key
    FROM arvo.queue
    WHERE queue.name = v_name;
    SELECT queue.* INTO STRICT v_target
    FROM arvo.queue
    WHERE queue.name = v_name;
    v_dispatched := (
        1, v_event ->> 'id', nextval('arvo.delivery_number'::regclass), v_name,
        (
            SELECT CASE
                WHEN starts_with(v_name, 'arvo.domain.') THEN 'domained'
                WHEN NOT queue.registered THEN 'unroutable'
                ELSE 'queued'
            END
            FROM arvo.queue
            WHERE queue.name = v_name
        )
    )::arvo_v1.dispatched;
    IF v_target.slotted THEN
        v_taken := arvo.take_place(
            v_target.queue,
            CASE WHEN v_target.policy = 'exclusive' THEN 'any' ELSE 'queued' END,
            coalesce(v_key, 1), v_dispatched.delivery
        );
        IF v_taken IS NOT NULL THEN
            v_dispatched.delivery := v_taken;
            v_dispatched.outcome := 'throttled';
            PERFORM arvo.note_operation(
                'replay',
                v_name,
                jsonb_build_object(
                    'event_id', p_event_id,
                    'source', v_found.event ->> 'source',
                    'delivery', v_found.delivery,
                    'as', v_dispatched.event_id
                ),
                0
            );
            RETURN v_dispatched;
        END IF;
    END IF;

    INSERT INTO arvo.log (
        slot, lane, delivery, attempt, at, subject_key, event_key, key, options, event, cause
    )
    VALUES (
        arvo.slot(),
        v_lane,
        v_dispatched.delivery,
        1,
        v_now,
        hashtextextended(v_event ->> 'subject', 0),
        hashtextextended(v_event ->> 'id', 0),
        v_key,
        v_found.options,
        v_event,
        jsonb_build_object(
            'outcome', 'replayed', 'delivery', v_found.delivery, 'event_id', p_event_id
        )
    );
    PERFORM arvo.notice_unroutable(ARRAY[v_dispatched]);
    PERFORM arvo.wake(ARRAY[v_name]);
    PERFORM arvo.note_operation(
        'replay',
        v_name,
        jsonb_build_object(
            'event_id', p_event_id,
            'source', v_found.event ->> 'source',
            'delivery', v_found.delivery,
            'as', v_dispatched.event_id
        ),
        1
    );
    RETURN v_dispatched;
END;
$replay$;

COMMENT ON FUNCTION arvo_v1.replay(text, text, bigint, text) IS
'Dispatches a stored event again under a new id, and says where it went.';

REVOKE ALL ON FUNCTION arvo_v1.replay(text, text, bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.replay(text, text, bigint, text) TO arvo_operator;
--! end

--! function arvo_v1.reprioritize
-- arvo_v1.reprioritize(priority, filter…, limit, dry_run) — change the priority of deliveries that wait.
CREATE OR REPLACE FUNCTION arvo_v1.reprioritize(
    p_priority integer,
    p_delivery bigint[] DEFAULT NULL,
    p_queue text DEFAULT NULL,
    p_event_id text DEFAULT NULL,
    p_event_type text DEFAULT NULL,
    p_subject text DEFAULT NULL,
    p_tree text DEFAULT NULL,
    p_before timestamptz DEFAULT NULL,
    p_path jsonpath DEFAULT NULL,
    p_text text DEFAULT NULL,
    p_limit integer DEFAULT 1000,
    p_dry_run boolean DEFAULT false
)
RETURNS SETOF arvo_v1.intervention
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
AS $reprioritize$
-- Which ones: as arvo.find_deliveries; all that is given must fit. A filter reads what waits, from each
-- lane's cursor on, in order, until it has p_limit; by event, subject or tree it is a look-up.
-- Each is withdrawn as moved, and appended to its queue again at p_priority, as the attempt that it is;
-- one that is due later stays so, under its number. Those that have this priority are passed over.
-- Left alone are what a worker holds, and ordered queues, which know no priorities. A dry run takes no
-- lock.
--
--   Reads    arvo.queue, arvo.lane; as arvo.find_deliveries and arvo.recheck
--   Writes   arvo.tombstone, arvo.deferred, arvo.dead, arvo.operation; as arvo.again, arvo.lane_for
--   Locks    as arvo.hold; arvo.dead rows; as arvo.lane_for
--   Raises   RV002  a queue has 100 priorities
--            RV003  the queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV006  nothing is given, or priority or limit is not valid
--            RV007  a queue that is named is closed to the caller
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_found arvo.finding[];
    v_one arvo.finding;
    v_lane integer;
    v_done text;
    v_successor bigint;
    v_touched bigint := 0::bigint;
BEGIN
    PERFORM arvo.require_read_committed('reprioritize');
    PERFORM arvo.require_home();
    PERFORM arvo.require_right(ARRAY[p_queue], 'operate');
    IF p_priority IS NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'priority',
              DETAIL = 'priority is NULL.',
              HINT = 'Give a whole number; higher is claimed first.';
    END IF;
    SELECT array_agg(seen) INTO v_found
    FROM arvo.find_deliveries(
        p_delivery, p_queue, p_event_id, p_event_type, p_subject, p_tree, p_before, p_path, p_text,
        CASE
            WHEN num_nonnulls(p_delivery, p_event_id) > 0 THEN '{queued,parked,deferred,leased}'
            ELSE '{queued,parked,deferred}'
        END::text[], p_limit,
        ARRAY(SELECT lane.lane FROM arvo.lane WHERE lane.priority = p_priority)
    ) AS seen;
    IF p_dry_run THEN
        RETURN QUERY
        SELECT
            seen.delivery, seen.event_id, seen.queue, seen.place,
            CASE WHEN arvo.keeps_place(seen) THEN 'left' ELSE 'moved' END, NULL::bigint
        FROM unnest(v_found) AS seen
        ORDER BY seen.delivery;
        RETURN;
    END IF;

    v_found := arvo.hold(v_found);
    FOREACH v_one IN ARRAY v_found LOOP
        v_done := 'left';
        v_successor := NULL;
        IF NOT arvo.keeps_place(v_one) THEN
            v_lane := arvo.lane_for(v_one.queue, p_priority);
            -- Another lane is answered while somebody else is making this one.
            IF v_lane <> v_one.lane THEN
                v_done := 'moved';
                v_successor := arvo.relay(v_one, v_lane);
            END IF;
        END IF;
        v_touched := v_touched + (v_done = 'moved')::integer;
        RETURN NEXT (
            v_one.delivery, v_one.event_id, v_one.queue, v_one.place, v_done, v_successor
        )::arvo_v1.intervention;
    END LOOP;

    PERFORM arvo.note_operation(
        'reprioritize', p_queue,
        jsonb_build_object(
            'priority', p_priority, 'delivery', p_delivery, 'event_id', p_event_id, 'event_type', p_event_type,
            'subject', p_subject, 'tree', p_tree, 'before', p_before, 'path', p_path,
            'text', p_text, 'limit', p_limit
        ),
        v_touched
    );
END;
$reprioritize$;

COMMENT ON FUNCTION arvo_v1.reprioritize(
    integer, bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    integer, boolean
) IS
'Changes the priority of waiting deliveries, by number, event, workflow tree or filter.';

REVOKE ALL ON FUNCTION arvo_v1.reprioritize(
    integer, bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    integer, boolean
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.reprioritize(
    integer, bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    integer, boolean
)
TO arvo_operator;
--! end

--! function arvo_v1.resume_queue
-- arvo_v1.resume_queue(queue) — claim from a queue again.
CREATE OR REPLACE FUNCTION arvo_v1.resume_queue(p_queue text)
RETURNS SETOF arvo_v1.switched
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
AS $resume_queue$
-- Ends a pause and a drain. A name that ends in * stands for every queue that begins so. One row for
-- each queue; idempotent.
--
--   Reads    arvo.queue
--   Writes   arvo.queue, arvo.operation
--   Locks    arvo.queue rows, by name
--   Raises   RV003  the queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV007  a queue is closed to the caller
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_switched arvo_v1.switched[];
BEGIN
    PERFORM arvo.require_read_committed('resume_queue');
    PERFORM arvo.require_home();
    PERFORM arvo.require_right(
        ARRAY(SELECT named.name FROM arvo.queues_named(p_queue) AS named), 'operate'
    );

    WITH named AS MATERIALIZED (
        SELECT queue.queue, queue.name, queue.paused_at, queue.drained_to
        FROM arvo.queue
        WHERE queue.queue IN (SELECT named.queue FROM arvo.queues_named(p_queue) AS named)
        ORDER BY queue.name COLLATE "C"
        FOR NO KEY UPDATE
    ),

    resumed AS (
        UPDATE arvo.queue
        SET paused_at = NULL, paused_by = NULL, drained_to = NULL
        FROM named
        WHERE queue.queue = named.queue
        -- as the row is since it was waited for, not as it was when this call began
        AND num_nonnulls(named.paused_at, named.drained_to) > 0
        RETURNING queue.queue
    )

    SELECT array_agg(
        (
            named.name,
            CASE WHEN resumed.queue IS NULL THEN 'unchanged' ELSE 'resumed' END,
            NULL, NULL, false, NULL
        )::arvo_v1.switched
        ORDER BY named.name COLLATE "C"
    )
    INTO v_switched
    FROM named
    LEFT JOIN resumed ON resumed.queue = named.queue;

    PERFORM arvo.note_operation(
        'resume_queue', p_queue, '{}',
        (SELECT count(*) FROM unnest(v_switched) AS done WHERE done.change <> 'unchanged')
    );
    PERFORM arvo.wake(
        ARRAY(
            SELECT done.queue FROM unnest(v_switched) AS done WHERE done.change <> 'unchanged'
        )
    );
    RETURN QUERY SELECT done.* FROM unnest(v_switched) AS done;
END;
$resume_queue$;

COMMENT ON FUNCTION arvo_v1.resume_queue(text) IS
'Ends the pause or the drain of a queue, or of all that begin alike.';

REVOKE ALL ON FUNCTION arvo_v1.resume_queue(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.resume_queue(text) TO arvo_operator;
--! end

--! function arvo_v1.resume_schedule
-- arvo_v1.resume_schedule(name, key) — let schedules fire again.
CREATE OR REPLACE FUNCTION arvo_v1.resume_schedule(p_name text, p_key text DEFAULT NULL)
RETURNS SETOF arvo_v1.schedule
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $resume_schedule$
-- The schedule of that name and key, or, without a key, all of that name. The next fire is the first
-- after now: those of the pause were not wanted, so they are not missed. Also starts what an error
-- has stopped. One that is running stays as it is. No rows when there is none.
--
--   Reads    arvo.schedule, arvo.clock; as arvo.cron_next
--   Writes   arvo.schedule, arvo.operation
--   Locks    arvo.schedule rows, by key
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  a time zone is not known any more
--            RV007  a queue that one dispatches to is closed to the caller
DECLARE
    v_one arvo.schedule;
    v_change text;
    v_count bigint := 0::bigint;
BEGIN
    PERFORM arvo.require_read_committed('resume_schedule');
    FOR v_one IN
        SELECT known.*
        FROM arvo.schedule AS known
        WHERE known.name = p_name AND (p_key IS NULL OR known.key = p_key)
        ORDER BY known.key
        FOR NO KEY UPDATE
    LOOP
        PERFORM arvo.require_right(arvo.goes_to(ARRAY[v_one.event]), 'operate');
        v_change := 'unchanged';
        IF v_one.next_at IS NULL THEN
            PERFORM arvo.require_time_zone(v_one.time_zone);
            v_change := 'resumed';
            v_count := v_count + 1;
            UPDATE arvo.schedule
            SET paused_at = NULL,
                paused_by = NULL,
                error = NULL,
                next_at = arvo.cron_next(
                    v_one.fields, v_one.time_zone, greatest(arvo.clock(), v_one.last_at),
                    v_one.gap, v_one.overlap
                )
            WHERE schedule.schedule = v_one.schedule
            RETURNING schedule.* INTO v_one;
            -- A worker that sleeps may have to rise earlier.
            PERFORM arvo.wake(ARRAY[coalesce(
                'arvo.domain.' || (v_one.event ->> 'domain'), v_one.event ->> 'to',
                v_one.event ->> 'type'
            )]);
        END IF;
        RETURN NEXT arvo.schedule_row(v_one, v_change);
    END LOOP;
    PERFORM arvo.note_operation(
        'resume_schedule', NULL, jsonb_build_object('name', p_name, 'key', p_key), v_count
    );
END;
$resume_schedule$;

COMMENT ON FUNCTION arvo_v1.resume_schedule(text, text) IS
'Resumes the schedule of a name and key, or all of a name, from now on.';

REVOKE ALL ON FUNCTION arvo_v1.resume_schedule(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.resume_schedule(text, text) TO arvo_operator;
--! end

--! function arvo_v1.retain_states
-- arvo_v1.retain_states(source, age) — how long states of finished workflows are kept.
CREATE OR REPLACE FUNCTION arvo_v1.retain_states(
    p_source text DEFAULT NULL,
    p_age interval DEFAULT NULL
)
RETURNS SETOF arvo_v1.state_retention
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $retain_states$
-- Without p_source, a rule for all handlers that have no rule of their own. Without p_age the rule is
-- removed; where none applies, states are kept for ever, which is the default. maintain() removes what
-- is finished and older, see arvo.forget_states. Answers all rules.
--
--   Reads    arvo.clock
--   Writes   arvo.state_retention; arvo.operation, when no worker calls
--   Locks    arvo.state_retention row
--   Raises   RV006  an argument is not valid
DECLARE
    v_changed bigint;
BEGIN
    IF p_source = '' OR p_age NOT BETWEEN interval '1 minute' AND interval '3650 days' THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = CASE WHEN p_source = '' THEN 'source' ELSE 'age' END,
              DETAIL = format('age: %s', p_age),
              HINT = 'source is a text that is not empty, or NULL for all; age is 1 minute to 3650 days, or'
                     ' NULL for no rule.';
    END IF;
    IF p_age IS NULL THEN
        DELETE FROM arvo.state_retention
        WHERE state_retention.source = coalesce(p_source, '');
    ELSE
        INSERT INTO arvo.state_retention AS rule (source, age, changed_at, changed_by)
        VALUES (coalesce(p_source, ''), p_age, arvo.clock(), session_user)
        ON CONFLICT (source) DO UPDATE
        SET age = excluded.age, changed_at = excluded.changed_at, changed_by = excluded.changed_by
        WHERE rule.age IS DISTINCT FROM excluded.age;
    END IF;
    GET DIAGNOSTICS v_changed = ROW_COUNT;
    -- Workers do it whenever they start: that is no operator's doing.
    IF v_changed > 0 AND NOT arvo.is_one_of(ARRAY['arvo_worker']) THEN
        PERFORM arvo.note_operation(
            'retain_states', NULL, jsonb_build_object('source', p_source, 'age', p_age), v_changed
        );
    END IF;
    RETURN QUERY SELECT rule.* FROM arvo_v1.state_retentions() AS rule;
END;
$retain_states$;

COMMENT ON FUNCTION arvo_v1.retain_states(text, interval) IS
'Says how long states of finished workflows are kept, of one handler or of all; answers all rules.';

REVOKE ALL ON FUNCTION arvo_v1.retain_states(text, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.retain_states(text, interval) TO arvo_worker, arvo_operator;
--! end

--! function arvo_v1.retry_now
-- arvo_v1.retry_now(filter…, limit, dry_run) — let what is due later be due now.
CREATE OR REPLACE FUNCTION arvo_v1.retry_now(
    p_delivery bigint[] DEFAULT NULL,
    p_queue text DEFAULT NULL,
    p_event_id text DEFAULT NULL,
    p_event_type text DEFAULT NULL,
    p_subject text DEFAULT NULL,
    p_tree text DEFAULT NULL,
    p_before timestamptz DEFAULT NULL,
    p_path jsonpath DEFAULT NULL,
    p_text text DEFAULT NULL,
    p_limit integer DEFAULT 1000,
    p_dry_run boolean DEFAULT false
)
RETURNS SETOF arvo_v1.intervention
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
AS $retry_now$
-- Which ones: as arvo.find_deliveries; all that is given must fit. A filter reads what waits, from each
-- lane's cursor on, in order, until it has p_limit; by event, subject or tree it is a look-up.
-- Put off by start_after, by a retry's delay or by a snooze: it can be claimed as soon as this has been
-- committed. The attempt that it is stays the same. What has become due by itself is not touched. A
-- dry run takes no lock.
--
--   Reads    as arvo.find_deliveries and arvo.recheck
--   Writes   as arvo.bring_forward; arvo.operation
--   Locks    as arvo.hold and arvo.bring_forward
--   Raises   RV003  the queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV006  nothing is given, or limit is not valid
--            RV007  a queue that is named is closed to the caller
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_found arvo.finding[];
    v_one arvo.finding;
    v_entry arvo.log;
    v_touched bigint := 0::bigint;
BEGIN
    PERFORM arvo.require_read_committed('retry_now');
    PERFORM arvo.require_home();
    PERFORM arvo.require_right(ARRAY[p_queue], 'operate');
    SELECT array_agg(seen) INTO v_found
    FROM arvo.find_deliveries(
        p_delivery, p_queue, p_event_id, p_event_type, p_subject, p_tree, p_before, p_path, p_text,
        '{deferred}', p_limit
    ) AS seen;
    IF p_dry_run THEN
        RETURN QUERY
        SELECT seen.delivery, seen.event_id, seen.queue, seen.place, 'due', NULL::bigint
        FROM unnest(v_found) AS seen
        ORDER BY seen.delivery;
        RETURN;
    END IF;

    FOREACH v_one IN ARRAY arvo.hold(v_found) LOOP
        CONTINUE WHEN v_one.place <> 'deferred';
        v_entry := arvo.bring_forward(v_one.delivery);
        IF v_entry.cause IS NULL THEN
            PERFORM arvo.notice_unroutable(
                ARRAY[(0, NULL, v_one.delivery, v_one.queue, 'unroutable')::arvo_v1.dispatched]
            )
            FROM arvo.queue
            WHERE queue.name = v_one.queue AND NOT queue.registered;
        END IF;
        PERFORM arvo.wake(ARRAY[v_one.queue]);
        v_touched := v_touched + 1::bigint;
        RETURN NEXT (
            v_one.delivery, v_one.event_id, v_one.queue, v_one.place, 'due', NULL
        )::arvo_v1.intervention;
    END LOOP;

    PERFORM arvo.note_operation(
        'retry_now', p_queue,
        jsonb_build_object(
            'delivery', p_delivery, 'event_id', p_event_id, 'event_type', p_event_type,
            'subject', p_subject, 'tree', p_tree, 'before', p_before, 'path', p_path,
            'text', p_text, 'limit', p_limit
        ),
        v_touched
    );
END;
$retry_now$;

COMMENT ON FUNCTION arvo_v1.retry_now(
    bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    integer, boolean
) IS
'Makes deferred deliveries due now, by number, event, workflow tree or filter.';

REVOKE ALL ON FUNCTION arvo_v1.retry_now(
    bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    integer, boolean
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.retry_now(
    bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    integer, boolean
)
TO arvo_operator;
--! end

--! function arvo_v1.revoke_queue
-- arvo_v1.revoke_queue(queue, role, may) — take back what a role may do with a queue.
CREATE OR REPLACE FUNCTION arvo_v1.revoke_queue(p_queue text, p_role text, p_may text[])
RETURNS SETOF arvo_v1.queue_grant
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $revoke_queue$
-- What was closed stays so, also when nobody is left who may: a grant to public opens it. p_role
-- public closes something to everybody that nobody has been granted. p_queue is meant as it was
-- granted: a grant of com.* is not taken back by com.a. A role that no longer exists can be taken out
-- as well. Answers what is in force for p_queue, as queue_grants.
--
--   Reads    arvo.clock; as arvo.hold_guards
--   Writes   arvo.queue_guard, arvo.operation; as arvo.flag_guarded
--   Locks    table arvo.queue, SHARE ROW EXCLUSIVE; arvo.queue rows
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  an argument is not valid
--            RV007  the caller may not operate these queues
--            55P03  a queue has been in the making for two seconds: call again
DECLARE
    v_known boolean := EXISTS (
        SELECT
        FROM arvo.queue_guard
        WHERE queue_guard.queue = p_queue AND p_role = ANY (queue_guard.roles)
    );
    v_changed bigint;
BEGIN
    PERFORM arvo.hold_guards(p_queue, CASE WHEN v_known THEN 'public' ELSE p_role END, p_may);
    IF p_role = 'public' THEN
        INSERT INTO arvo.queue_guard (queue, may, roles, changed_at, changed_by)
        SELECT p_queue, given.may, '{}', arvo.clock(), session_user
        FROM (SELECT DISTINCT named.may FROM unnest(p_may) AS named (may)) AS given
        WHERE given.may <> 'read'
        ON CONFLICT (may, queue) DO NOTHING;
        GET DIAGNOSTICS v_changed = ROW_COUNT;
    ELSE
        v_changed := 0;
    END IF;
    WITH taken AS (
        UPDATE arvo.queue_guard
        SET roles = array_remove(queue_guard.roles, p_role),
            changed_at = arvo.clock(),
            changed_by = session_user
        WHERE queue_guard.queue = p_queue
        AND queue_guard.may = ANY (p_may)
        AND p_role = ANY (queue_guard.roles)
        RETURNING queue_guard.may
    )

    SELECT v_changed + count(*) INTO v_changed FROM taken;
    DELETE FROM arvo.queue_guard
    WHERE queue_guard.queue = p_queue AND queue_guard.may = 'read' AND queue_guard.roles = '{}';
    PERFORM arvo.flag_guarded(p_queue);
    PERFORM arvo.note_operation(
        'revoke_queue', p_queue, jsonb_build_object('role', p_role, 'may', p_may), v_changed
    );
    RETURN QUERY SELECT granted.* FROM arvo_v1.queue_grants(p_queue) AS granted;
END;
$revoke_queue$;

COMMENT ON FUNCTION arvo_v1.revoke_queue(text, text, text[]) IS
'Takes back what a role may do with a queue; what was closed stays closed.';

REVOKE ALL ON FUNCTION arvo_v1.revoke_queue(text, text, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.revoke_queue(text, text, text[]) TO arvo_operator;
--! end

--! function arvo_v1.schedule
-- arvo_v1.schedule(name, cron, event, options…) — have an event dispatched by the clock.
CREATE OR REPLACE FUNCTION arvo_v1.schedule(
    p_name text,
    p_cron text,
    p_event jsonb,
    p_key text DEFAULT '',
    p_time_zone text DEFAULT 'UTC',
    p_missed text DEFAULT 'one',
    p_missed_limit integer DEFAULT 100,
    p_grace interval DEFAULT interval '1 minute',
    p_gap text DEFAULT NULL,
    p_overlap text DEFAULT NULL,
    p_options jsonb DEFAULT NULL
)
RETURNS arvo_v1.schedule
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $schedule$
-- Creates the schedule of that name and key, or makes it what the arguments say; one that is not
-- given takes its default again. Called with the same arguments it changes nothing, so a program may
-- call it whenever it starts: what it missed meanwhile is still to be fired. Another cron text,
-- time zone, gap or overlap begins anew: the next fire is the first after now.
--
-- p_cron: arvo.cron_parse says what it may be. p_event is the event without id and time; arvo.fire_event
-- says what each fire adds. Who may dispatch is asked here, not when it fires.
-- p_options are those of its dispatch, see arvo.read_options. p_missed, p_missed_limit and p_grace: see arvo.fire_schedule. p_gap and
-- p_overlap are for the two nights of a clock change; arvo.cron_rules has their defaults. Fires
-- are dispatched by claims and by maintain(); workers that wait know when the next one is due.
--
--   Reads    arvo.clock; as arvo.cron_next, arvo.event_fault
--   Writes   arvo.schedule, arvo.operation; arvo.queue, arvo.lane when they are missing
--   Locks    arvo.schedule row of the name and key; as arvo.lane_for
--   Raises   RV001  the event is not valid
--            RV002  an option is not valid, as arvo.read_options and arvo.lane_for
--            RV005  the transaction is not READ COMMITTED
--            RV006  an argument is not valid
--            RV007  a queue that it dispatches to, or the one it did before, is closed to the caller
DECLARE
    v_now timestamptz := arvo.clock();
    v_argument text;
    v_value text;
    v_rule text;
    v_rules text[];
    v_before arvo.schedule;
    v_after arvo.schedule;
    v_stored arvo.schedule;
    v_anew boolean;
    v_stopped boolean;
    v_queue text;
    v_priority integer;
    v_options jsonb := nullif(nullif(p_options, '{}'), 'null');
    v_fault text;
    v_change text;
BEGIN
    PERFORM arvo.require_read_committed('schedule');
    SELECT faulty.argument, faulty.value, faulty.rule INTO v_argument, v_value, v_rule
    FROM (
        VALUES
        (1, 'name', p_name, p_name ~ '^[A-Za-z0-9._~-]{1,200}$',
         'use 1 to 200 letters, digits and . _ ~ -'),
        (2, 'key', p_key, p_key = '' OR (arvo.is_queue_name(p_key) AND length(p_key) <= 200),
         'use at most 200 characters of a URI, without quotes; the empty text for none'),
        (3, 'missed', p_missed, p_missed IN ('skip', 'one', 'all'), 'use skip, one or all'),
        (4, 'missed_limit', p_missed_limit::text, p_missed_limit BETWEEN 1 AND 1000,
         'use 1 to 1000'),
        (5, 'grace', p_grace::text, p_grace BETWEEN interval '1 second' AND interval '1 day',
         'use between 1 second and 1 day')
    ) AS faulty (ordinal, argument, value, kept, rule)
    WHERE faulty.kept IS NOT TRUE
    ORDER BY faulty.ordinal
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = v_argument,
              DETAIL = format('%s: %s', v_argument, left(coalesce(to_json(v_value)::text, 'null'), 80)),
              HINT = format('For %s %s.', v_argument, v_rule);
    END IF;
    PERFORM arvo.require_time_zone(p_time_zone);
    v_priority := (arvo.read_options(p_options)).priority;

    v_after.name := p_name;
    v_after.key := p_key;
    v_after.cron := p_cron;
    v_after.fields := arvo.cron_parse(p_cron);
    v_rules := arvo.cron_rules(v_after.fields, p_gap, p_overlap);
    v_after.event := p_event;
    v_after.next_at := arvo.cron_next(v_after.fields, p_time_zone, v_now, v_rules[1], v_rules[2]);
    IF v_after.next_at IS NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'cron',
              DETAIL = format('cron: %s never fires', left(to_json(p_cron)::text, 80)),
              HINT = 'Name a day that its months have.';
    END IF;

    IF p_event ?| ARRAY[
        'id', 'time', 'schedulename', 'schedulekey', 'firetime', 'missedfrom'
    ] THEN
        SELECT format('%s: is given by each fire', min(field.name COLLATE "C")) INTO v_fault
        FROM jsonb_object_keys(p_event) AS field (name)
        WHERE field.name
            IN ('id', 'time', 'schedulename', 'schedulekey', 'firetime', 'missedfrom');
    ELSIF jsonb_typeof(p_event) IS DISTINCT FROM 'object' THEN
        v_fault := arvo.event_fault(p_event);
    ELSIF jsonb_typeof(p_event -> 'subject') <> 'string' THEN
        v_fault := 'subject: must be a text that is not empty';
    ELSE
        v_fault := arvo.event_fault(arvo.fire_event(v_after, v_after.next_at, v_now));
    END IF;
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION 'event is not valid'
        USING ERRCODE = 'RV001',
              COLUMN = split_part(v_fault, ':', 1),
              DETAIL = v_fault,
              HINT = 'Correct the field and schedule the event again. Nothing has been stored.';
    END IF;

    PERFORM arvo.require_dispatch(ARRAY[p_event]);
    LOOP
        INSERT INTO arvo.schedule (
            name, key, cron, fields, time_zone, event, options, missed, missed_limit, grace, gap,
            overlap, next_at, created_at, created_by, changed_at, changed_by
        )
        VALUES (
            p_name, p_key, p_cron, v_after.fields, p_time_zone, p_event, v_options, p_missed,
            p_missed_limit, p_grace, v_rules[1], v_rules[2], v_after.next_at, v_now, session_user,
            v_now, session_user
        )
        ON CONFLICT (name, key) DO NOTHING
        RETURNING schedule.* INTO v_stored;
        IF FOUND THEN
            v_change := 'created';
            EXIT;
        END IF;
        SELECT known.* INTO v_before
        FROM arvo.schedule AS known
        WHERE known.name = p_name AND known.key = p_key
        FOR NO KEY UPDATE;
        EXIT WHEN FOUND;  -- else somebody has just removed it
    END LOOP;

    IF v_change IS NULL THEN
        PERFORM arvo.require_right(arvo.goes_to(ARRAY[v_before.event]), 'operate');
        v_anew := (v_before.cron, v_before.time_zone, v_before.gap, v_before.overlap)
            IS DISTINCT FROM (p_cron, p_time_zone, v_rules[1], v_rules[2]);
        v_stopped := v_before.next_at IS NULL AND v_before.paused_at IS NULL;
        UPDATE arvo.schedule
        SET cron = p_cron,
            fields = v_after.fields,
            time_zone = p_time_zone,
            event = p_event,
            options = v_options,
            missed = p_missed,
            missed_limit = p_missed_limit,
            grace = p_grace,
            gap = v_rules[1],
            overlap = v_rules[2],
            next_at = CASE
                WHEN schedule.paused_at IS NOT NULL THEN NULL
                -- Also when this server's clock has been put back: no fire comes twice.
                WHEN v_anew OR v_stopped THEN arvo.cron_next(
                    v_after.fields, p_time_zone, greatest(v_now, schedule.last_at), v_rules[1],
                    v_rules[2]
                )
                ELSE schedule.next_at
            END,
            error = CASE WHEN NOT v_stopped THEN schedule.error END
        WHERE schedule.schedule = v_before.schedule
        RETURNING schedule.* INTO v_stored;
        SELECT string_agg(was.key, ', ' ORDER BY was.key) INTO v_change
        FROM jsonb_each(to_jsonb(v_before)) AS was
        INNER JOIN jsonb_each(to_jsonb(v_stored)) AS now ON now.key = was.key
        WHERE was.key NOT IN ('fields', 'error')
        AND (was.key <> 'next_at' OR v_stopped)
        AND was.value IS DISTINCT FROM now.value;
        v_change := coalesce(v_change, 'unchanged');
    END IF;

    -- Now rather than when it fires: a claim would have to wait for others who make the queue.
    v_queue := coalesce(
        'arvo.domain.' || (p_event ->> 'domain'), p_event ->> 'to', p_event ->> 'type'
    );
    PERFORM arvo.lane_for(v_queue, v_priority);
    IF v_change <> 'unchanged' THEN
        IF v_change <> 'created' THEN
            UPDATE arvo.schedule
            SET changed_at = v_now, changed_by = session_user
            WHERE schedule.schedule = v_stored.schedule
            RETURNING schedule.* INTO v_stored;
        END IF;
        PERFORM arvo.note_operation(
            'schedule',
            v_queue,
            jsonb_build_object(
                'name', p_name, 'key', p_key, 'change', v_change, 'cron', p_cron,
                'time_zone', p_time_zone
            ),
            1
        );
        -- A worker that sleeps may have to rise earlier.
        PERFORM arvo.wake(ARRAY[v_queue]);
    END IF;
    RETURN arvo.schedule_row(v_stored, v_change);
END;
$schedule$;

COMMENT ON FUNCTION arvo_v1.schedule(
    text, text, jsonb, text, text, text, integer, interval, text, text, jsonb
) IS
'Has an event dispatched by the clock: creates a schedule or changes it, idempotently.';

REVOKE ALL ON FUNCTION arvo_v1.schedule(
    text, text, jsonb, text, text, text, integer, interval, text, text, jsonb
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.schedule(
    text, text, jsonb, text, text, text, integer, interval, text, text, jsonb
) TO arvo_operator;
--! end

--! function arvo_v1.schedules
-- arvo_v1.schedules(name) — the schedules.
CREATE OR REPLACE FUNCTION arvo_v1.schedules(p_name text DEFAULT NULL)
RETURNS SETOF arvo_v1.schedule
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $schedules$
-- Of one name, or all, by name and key. One that has an error, or neither next_at nor paused_at,
-- wants somebody to look at it. The data of their events is shown to those who may read it.
--
--   Reads    arvo.schedule; as arvo.may_read
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT shown.*
FROM arvo.schedule AS known
CROSS JOIN LATERAL arvo.schedule_row(
    CASE
        WHEN arvo.may_read(coalesce(
            'arvo.domain.' || (known.event ->> 'domain'), known.event ->> 'to',
            known.event ->> 'type'
        )) THEN known
        ELSE jsonb_populate_record(known, jsonb_build_object(
            'event', known.event || '{"data": {}}'
        ))
    END,
    NULL
) AS shown
WHERE p_name IS NULL OR known.name = p_name
ORDER BY known.name, known.key;
$schedules$;

COMMENT ON FUNCTION arvo_v1.schedules(text) IS
'The schedules, all or those of a name: what, when, and how the last fire went.';

REVOKE ALL ON FUNCTION arvo_v1.schedules(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.schedules(text) TO arvo_operator, arvo_monitor;
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
--   RV007  the queue, or that of an emitted event, is closed to the caller
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

    IF EXISTS (
        SELECT FROM arvo.queue_guard AS guard WHERE guard.may IN ('dispatch', 'consume')
    ) THEN
        v_items := arvo.bar_results(v_items);
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

--! function arvo_v1.state_retentions
-- arvo_v1.state_retentions() — how long states of finished workflows are kept.
CREATE OR REPLACE FUNCTION arvo_v1.state_retentions()
RETURNS SETOF arvo_v1.state_retention
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $state_retentions$
-- The rule for all handlers that have none of their own comes first. No row: all is kept for ever.
--
--   Reads    arvo.state_retention
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    nullif(state_retention.source, ''),
    state_retention.age,
    state_retention.changed_at,
    state_retention.changed_by
FROM arvo.state_retention
ORDER BY state_retention.source COLLATE "C";
$state_retentions$;

COMMENT ON FUNCTION arvo_v1.state_retentions() IS
'Rules that say how long states of finished workflows are kept; without one they are kept for ever.';

REVOKE ALL ON FUNCTION arvo_v1.state_retentions() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.state_retentions() TO arvo_worker, arvo_monitor, arvo_operator;
--! end

--! function arvo_v1.subscribe
-- arvo_v1.subscribe(queue, pattern) — let a queue have published events.
CREATE OR REPLACE FUNCTION arvo_v1.subscribe(p_queue text, p_pattern text)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $subscribe$
-- p_pattern is a type: com.order.placed. A segment may be * for any one; the last one ** for one or
-- more: com.order.*, com.**, **. A queue that several of its patterns match gets one copy. A queue
-- that nobody has named yet is made. Returns whether it is new.
--
--   Reads    arvo.clock
--   Writes   arvo.subscription, arvo.operation; arvo.queue, arvo.lane when they are missing
--   Locks    as arvo.lane_for
--   Raises   RV002  the text may not name a queue
--            RV006  the pattern is not valid
--            RV007  the queue is closed to the caller
DECLARE
    v_new boolean;
BEGIN
    IF p_pattern IS NULL OR length(p_pattern) > 512
        OR p_pattern !~ '^([a-z0-9]+|\*)(\.([a-z0-9]+|\*))*(\.\*\*)?$|^\*\*$'
    THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'pattern',
              DETAIL = format('pattern: %s', left(to_json(p_pattern)::text, 80)),
              HINT = 'Give a type such as com.order.placed; * stands for one segment, ** at the end'
                     ' for one or more.';
    END IF;
    IF p_queue = 'arvo.publish' OR NOT arvo.is_queue_name(p_queue) THEN
        RAISE EXCEPTION 'queue name is not valid'
        USING ERRCODE = 'RV002',
              COLUMN = 'queue',
              DETAIL = format('queue: %s', left(to_json(p_queue)::text, 80)),
              HINT = 'Use 1 to 512 characters of a URI, without quotes; not arvo.publish itself.';
    END IF;
    IF NOT arvo.may(p_queue, 'operate') THEN
        PERFORM arvo.require_right(ARRAY[p_queue], 'consume');
    END IF;
    PERFORM arvo.lane_for(p_queue);
    INSERT INTO arvo.subscription (queue, pattern, expression, created_at)
    VALUES (
        p_queue,
        p_pattern,
        '^' || replace(replace(replace(p_pattern, '.', '\.'), '**', '.+'), '*', '[^.]+') || '$',
        arvo.clock()
    )
    ON CONFLICT (queue, pattern) DO NOTHING;
    v_new := FOUND;
    IF v_new THEN
        PERFORM arvo.note_operation(
            'subscribe', p_queue, jsonb_build_object('pattern', p_pattern), 1
        );
    END IF;
    RETURN v_new;
END;
$subscribe$;

COMMENT ON FUNCTION arvo_v1.subscribe(text, text) IS
'Lets a queue have published events whose type matches a pattern.';

REVOKE ALL ON FUNCTION arvo_v1.subscribe(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.subscribe(text, text) TO arvo_worker, arvo_operator;
--! end

--! function arvo_v1.trace
-- arvo_v1.trace(subject, event_id) — the whole story of a workflow.
CREATE OR REPLACE FUNCTION arvo_v1.trace(
    p_subject text DEFAULT NULL,
    p_event_id text DEFAULT NULL
)
RETURNS SETOF arvo_v1.step
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $trace$
-- Every delivery of every event of the tree of workflows that p_subject belongs to, or that the
-- event p_event_id belongs to, and every event of it that a policy did not let in; in order of
-- acceptance. Payloads are not shown; of errors, which may tell of them, those who only monitor see
-- the name, unless read was granted. By index only: cost grows with the story, not with history.
--
--   Reads    arvo.log, arvo.deferred, arvo.dead and arvo.omission by subject, arvo.closure,
--            arvo.parked, arvo.tombstone, arvo.lane, arvo.queue, arvo.lineage; as arvo.lease_of
--   Writes   nothing
--   Locks    nothing
--   Raises   RV006  not exactly one of subject and event_id is given
DECLARE
    v_subjects text[];
    v_parents text[];
    v_depths integer[];
BEGIN
    IF num_nonnulls(p_subject, p_event_id) <> 1 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'subject',
              DETAIL = format('%s of subject and event_id are given.',
                              num_nonnulls(p_subject, p_event_id)),
              HINT = 'Give either subject or event_id.';
    END IF;

    SELECT array_agg(DISTINCT known.subject) INTO v_subjects
    FROM (
        SELECT p_subject AS subject
        WHERE p_subject IS NOT NULL
        UNION ALL
        SELECT found.event ->> 'subject'
        FROM (
            SELECT log.event
            FROM arvo.log
            WHERE log.event_key = hashtextextended(p_event_id, 0)
            UNION ALL
            SELECT deferred.event
            FROM arvo.deferred
            WHERE deferred.event_key = hashtextextended(p_event_id, 0)
        ) AS found
        WHERE found.event ->> 'id' = p_event_id
    ) AS known;
    SELECT
        array_agg(kin.subject),
        array_agg(kin.parent_subject),
        array_agg(kin.depth)
    INTO v_subjects, v_parents, v_depths
    FROM (
        SELECT DISTINCT ON (relative.subject)
            relative.subject, relative.parent_subject, relative.depth
        FROM unnest(v_subjects) AS asked (subject)
        CROSS JOIN LATERAL (
            SELECT placed.subject, placed.parent_subject, placed.depth
            FROM arvo_v1.lineage(asked.subject) AS placed
            UNION ALL
            SELECT asked.subject, NULL, 0
        ) AS relative
        ORDER BY relative.subject, relative.depth DESC
    ) AS kin;

    RETURN QUERY
    WITH entry AS MATERIALIZED (
        SELECT
            known.subject,
            known.parent_subject,
            known.depth,
            coalesce(log.event, (
                SELECT origin.event
                FROM arvo.log AS origin
                WHERE origin.lane = log.origin_lane
                AND origin.xid = log.origin_xid
                AND origin.delivery = log.origin_delivery
            )) AS event,
            log.delivery,
            log.lane,
            log.xid,
            log.attempt,
            log.at,
            log.cause,
            NULL::timestamptz AS due
        FROM unnest(v_subjects, v_parents, v_depths) AS known (subject, parent_subject, depth)
        CROSS JOIN LATERAL (
            SELECT found.*
            FROM arvo.log AS found
            WHERE found.subject_key = hashtextextended(known.subject, 0)
            OFFSET 0  -- only by index: no join may read the log another way
        ) AS log
        UNION ALL
        SELECT
            known.subject,
            known.parent_subject,
            known.depth,
            coalesce(deferred.event, (
                SELECT origin.event
                FROM arvo.log AS origin
                WHERE origin.lane = deferred.origin_lane
                AND origin.xid = deferred.origin_xid
                AND origin.delivery = deferred.origin_delivery
            )),
            deferred.delivery,
            deferred.lane,
            deferred.xid,
            deferred.attempt,
            deferred.at,
            deferred.cause,
            deferred.due
        FROM unnest(v_subjects, v_parents, v_depths) AS known (subject, parent_subject, depth)
        CROSS JOIN LATERAL (
            SELECT found.*
            FROM arvo.deferred AS found
            WHERE found.subject_key = hashtextextended(known.subject, 0)
            OFFSET 0
        ) AS deferred
    ),

    -- a promoted row stands in both rooms until it is swept away, a rebased one in two lanes
    step AS MATERIALIZED (
        SELECT DISTINCT ON (entry.delivery) entry.*
        FROM entry
        ORDER BY entry.delivery, entry.due NULLS FIRST, entry.lane DESC
    ),

    -- what a later delivery says of the one before
    told AS MATERIALIZED (
        SELECT DISTINCT ON (step.cause ->> 'delivery')
            (step.cause ->> 'delivery')::bigint AS delivery,
            nullif(step.cause -> 'error', 'null') AS error
        FROM step
        WHERE step.cause ->> 'outcome' NOT IN ('redriven', 'replayed', 'unroutable')
        ORDER BY step.cause ->> 'delivery', step.delivery
    )

    SELECT
        told_step.subject, told_step.event_id, told_step.parent_id, told_step.event_type,
        told_step.source, told_step.queue, told_step.delivery, told_step.attempt,
        told_step.outcome, told_step.accepted_at, told_step.claimed_at, told_step.settled_at,
        told_step.run_time, told_step.worker,
        CASE
            WHEN told_step.error IS NULL OR seen.whole THEN told_step.error
            ELSE jsonb_build_object('name', told_step.error ->> 'name')
        END,
        told_step.parent_subject, told_step.depth, told_step.due, told_step.waited,
        CASE WHEN seen.whole THEN told_step.cause ELSE told_step.cause - 'error' END
    FROM (
        SELECT
            entry.subject,
            entry.event ->> 'id',
            entry.event ->> 'parentid',
            entry.event ->> 'type',
            entry.event ->> 'source',
            queue.name,
            entry.delivery,
            entry.attempt,
            CASE
                WHEN closed.outcome IS NOT NULL THEN closed.outcome
                WHEN entry.due IS NOT NULL THEN 'deferred'
                WHEN held.token IS NOT NULL THEN 'active'
                WHEN withdrawn.delivery IS NOT NULL THEN withdrawn.reason
                WHEN parked.delivery IS NOT NULL THEN 'waiting'
                WHEN NOT queue.registered AND entry.cause ->> 'outcome' IS DISTINCT FROM 'dead' THEN
                    CASE
                        WHEN starts_with(queue.name, 'arvo.domain.') THEN 'domained'
                        ELSE 'unroutable'
                    END
                WHEN queue.paused_at IS NOT NULL THEN 'paused'
                WHEN NOT pg_visible_in_snapshot(entry.xid, queue.drained_to) THEN 'draining'
                ELSE 'queued'
            END,
            entry.at AS accepted_at,
            held.leased_at,
            closed.at,
            make_interval(secs => closed.run_time / 1000000.0),
            held.worker,
            coalesce(
                (
                    SELECT dead.error
                    FROM arvo.dead
                    WHERE dead.subject_key = hashtextextended(entry.subject, 0)
                    AND dead.delivery = entry.delivery
                ),
                told.error
            ),
            entry.parent_subject,
            entry.depth,
            entry.due,
            held.leased_at - entry.at,
            entry.cause
        FROM step AS entry
        LEFT JOIN told ON told.delivery = entry.delivery
        INNER JOIN arvo.lane ON lane.lane = entry.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        LEFT JOIN LATERAL (
            SELECT claimed.*
            FROM arvo.lease_of(entry.lane, entry.xid, entry.delivery) AS claimed
            WHERE entry.due IS NULL
            OFFSET 0  -- not even asked for what is deferred: the ledger would be read to its end
        ) AS held ON true
        LEFT JOIN LATERAL (
            SELECT
                closure.at,
                closure.outcomes[least(gone.ordinal, cardinality(closure.outcomes))] AS outcome,
                closure.run_times[gone.ordinal] AS run_time
            FROM arvo.closure
            CROSS JOIN LATERAL
                unnest(closure.deliveries) WITH ORDINALITY AS gone (delivery, ordinal)
            WHERE closure.token = held.token AND gone.delivery = entry.delivery
            LIMIT 1
        ) AS closed ON true
        LEFT JOIN arvo.tombstone AS withdrawn
            ON withdrawn.lane = entry.lane AND withdrawn.delivery = entry.delivery
        LEFT JOIN arvo.parked ON parked.delivery = entry.delivery
        WHERE entry.event ->> 'subject' = entry.subject
        UNION ALL
        SELECT
            known.subject,
            omission.event_id,
            omission.event ->> 'parentid',
            omission.event ->> 'type',
            omission.event ->> 'source',
            omission.queue,
            NULL,
            0,
            omission.outcome,
            omission.at,
            NULL,
            NULL,
            NULL,
            NULL,
            NULL,
            known.parent_subject,
            known.depth,
            NULL,
            NULL,
            jsonb_build_object(
                'outcome', omission.outcome, 'first_delivery', omission.first_delivery
            )
        FROM unnest(v_subjects, v_parents, v_depths) AS known (subject, parent_subject, depth)
        CROSS JOIN LATERAL (
            SELECT found.*
            FROM arvo.omission AS found
            WHERE found.subject_key = hashtextextended(known.subject, 0)
            OFFSET 0
        ) AS omission
        WHERE omission.event ->> 'subject' = known.subject
    ) AS told_step (
        subject, event_id, parent_id, event_type, source, queue, delivery, attempt, outcome,
        accepted_at, claimed_at, settled_at, run_time, worker, error, parent_subject, depth, due,
        waited, cause
    )
    CROSS JOIN LATERAL (SELECT arvo.may_read(told_step.queue) AS whole OFFSET 0) AS seen
    ORDER BY told_step.accepted_at, told_step.delivery;
END;
$trace$;

COMMENT ON FUNCTION arvo_v1.trace(text, text) IS
'Every delivery of every event of a workflow''s tree: queue, attempt, outcome, times, error.';

REVOKE ALL ON FUNCTION arvo_v1.trace(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.trace(text, text) TO arvo_monitor, arvo_operator, arvo_worker;
--! end

--! function arvo_v1.unschedule
-- arvo_v1.unschedule(name, key, dry_run) — remove schedules.
CREATE OR REPLACE FUNCTION arvo_v1.unschedule(
    p_name text,
    p_key text DEFAULT NULL,
    p_dry_run boolean DEFAULT false
)
RETURNS SETOF arvo_v1.schedule
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $unschedule$
-- The schedule of that name and key, or, without a key, all of that name. Answers what was removed; a
-- dry run what would be. What they have dispatched stays.
--
--   Reads    arvo.schedule
--   Writes   arvo.schedule, arvo.operation
--   Locks    arvo.schedule rows, by key
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV007  a queue that one dispatches to is closed to the caller
DECLARE
    v_one arvo.schedule;
    v_count bigint := 0::bigint;
BEGIN
    PERFORM arvo.require_read_committed('unschedule');
    FOR v_one IN
        SELECT known.*
        FROM arvo.schedule AS known
        WHERE known.name = p_name AND (p_key IS NULL OR known.key = p_key)
        ORDER BY known.key
        FOR UPDATE
    LOOP
        PERFORM arvo.require_right(arvo.goes_to(ARRAY[v_one.event]), 'operate');
        IF NOT p_dry_run THEN
            DELETE FROM arvo.schedule WHERE schedule.schedule = v_one.schedule;
        END IF;
        v_count := v_count + 1;
        RETURN NEXT arvo.schedule_row(v_one, 'removed');
    END LOOP;
    IF NOT p_dry_run THEN
        PERFORM arvo.note_operation(
            'unschedule', NULL, jsonb_build_object('name', p_name, 'key', p_key), v_count
        );
    END IF;
END;
$unschedule$;

COMMENT ON FUNCTION arvo_v1.unschedule(text, text, boolean) IS
'Removes the schedule of a name and key, or all of a name.';

REVOKE ALL ON FUNCTION arvo_v1.unschedule(text, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.unschedule(text, text, boolean) TO arvo_operator;
--! end

--! function arvo_v1.unsubscribe
-- arvo_v1.unsubscribe(queue, pattern) — end a subscription, or all of a queue.
CREATE OR REPLACE FUNCTION arvo_v1.unsubscribe(p_queue text, p_pattern text DEFAULT NULL)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $unsubscribe$
-- Copies that the queue has got already stay there. p_pattern NULL ends all of them. Returns how many
-- there were.
--
--   Reads    as arvo.may
--   Writes   arvo.subscription, arvo.operation
--   Locks    arvo.subscription rows
--   Raises   RV007  the queue is closed to the caller
DECLARE
    v_ended integer;
BEGIN
    IF NOT arvo.may(p_queue, 'operate') THEN
        PERFORM arvo.require_right(ARRAY[p_queue], 'consume');
    END IF;
    DELETE FROM arvo.subscription
    WHERE subscription.queue = p_queue
    AND (p_pattern IS NULL OR subscription.pattern = p_pattern);
    GET DIAGNOSTICS v_ended = ROW_COUNT;
    IF v_ended > 0 THEN
        PERFORM arvo.note_operation(
            'unsubscribe', p_queue, jsonb_build_object('pattern', p_pattern), v_ended
        );
    END IF;
    RETURN v_ended;
END;
$unsubscribe$;

COMMENT ON FUNCTION arvo_v1.unsubscribe(text, text) IS
'Ends a subscription of a queue, or all of them.';

REVOKE ALL ON FUNCTION arvo_v1.unsubscribe(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.unsubscribe(text, text) TO arvo_worker, arvo_operator;
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
-- something deferred becomes due, or a lease of another worker may have lapsed: at once, if this very
-- call appended something to these queues, and soon, if another session was claiming where there is
-- something to claim.
-- Nothing is claimed when p_queues is NULL or p_limit is 0.
--
--   Reads    as arvo_v1.settle and arvo_v1.claim; as arvo.has_own, arvo.next_due,
--            arvo.next_room and arvo.next_lapse
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
                    CASE WHEN v_asked.limited THEN arvo.next_room(p_queues) END,
                    arvo.next_lapse(v_asked.lanes)
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

--! function arvo_v1.write_state
-- arvo_v1.write_state(subject, data, expected_version, parent, initiator, source, lock) — store the next state of one workflow.
CREATE OR REPLACE FUNCTION arvo_v1.write_state(
    p_subject text,
    p_data jsonb,
    p_expected_version bigint DEFAULT 0,
    p_parent_subject text DEFAULT NULL,
    p_initiator text DEFAULT NULL,
    p_source text DEFAULT NULL,
    p_lock bigint DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $write_state$
-- Stores p_data as version p_expected_version + 1 and returns that version; a first write expects
-- version 0. With p_lock, only while that lock on the subject is held: nobody can take it over
-- before this transaction ends.
--
--   Reads    arvo.clock, arvo.state_lock
--   Writes   as arvo.put_state and arvo.place
--   Locks    arvo.state_lock row of p_subject (when p_lock is given), then as arvo.put_state and
--            arvo.place
--   Raises   RV006  an argument is not valid
--            RV101  version mismatch: the stored version is not the expected one
--            RV302  the lock is not, or no longer, held
DECLARE
    v_argument text := CASE
        WHEN p_subject IS NULL OR p_subject = '' THEN 'subject'
        WHEN p_data IS NULL OR jsonb_typeof(p_data) <> 'object' THEN 'data'
        WHEN arvo.json_fault(p_data, 67108864) IS NOT NULL THEN 'data'
        WHEN p_expected_version IS NULL OR p_expected_version < 0 THEN 'expected_version'
    END;
    v_version bigint;
BEGIN
    IF v_argument IS NOT NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = v_argument,
              DETAIL = format('argument: %s', v_argument),
              HINT = 'subject is a text that is not empty, expected_version 0 or more; data a JSON'
                     ' object of at most 64 MiB, nested at most 512 deep, with numbers of at most'
                     ' 4000 digits.';
    END IF;

    IF p_lock IS NOT NULL THEN
        PERFORM
        FROM arvo.state_lock
        WHERE state_lock.subject_digest = arvo.subject_digest(p_subject)
        AND state_lock.token = p_lock
        AND state_lock.expires_at > arvo.clock()
        FOR SHARE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'lock is not held'
            USING ERRCODE = 'RV302',
                  DETAIL = format('subject %s, token %s',
                                  left(to_json(p_subject)::text, 80), p_lock),
                  HINT = 'Acquire the lock, read the state again and decide again.';
        END IF;
    END IF;

    v_version := arvo.put_state(
        p_subject, p_data, p_expected_version, p_initiator, p_source
    );
    IF v_version IS NULL THEN
        RAISE EXCEPTION 'version mismatch: the state has moved on'
        USING ERRCODE = 'RV101',
              DETAIL = format('subject %s is not at version %s',
                              left(to_json(p_subject)::text, 80), p_expected_version),
              HINT = 'Read the state again and decide again.';
    END IF;
    IF v_version = 1 THEN
        PERFORM arvo.place(ARRAY[p_subject], ARRAY[p_parent_subject]);
    END IF;
    RETURN v_version;
END;
$write_state$;

COMMENT ON FUNCTION arvo_v1.write_state(text, jsonb, bigint, text, text, text, bigint) IS
'Optimistic write: stores the next state of a subject and returns its version.';

REVOKE ALL ON FUNCTION
arvo_v1.write_state(text, jsonb, bigint, text, text, text, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
arvo_v1.write_state(text, jsonb, bigint, text, text, text, bigint) TO arvo_worker;
--! end

INSERT INTO arvo.revision (number, name, oldest_client, applied_at)
VALUES (5, '0005.before.proof', 1, clock_timestamp());
