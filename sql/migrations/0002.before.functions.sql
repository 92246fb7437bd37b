-- functions
-- depends: 0001.before.ground

SET LOCAL ROLE arvo_owner;
SET LOCAL check_function_bodies = off;  -- blocks may refer to later blocks

--! function arvo.again
-- arvo.again(log row, attempt, after, cause) — deliver an event once more.
CREATE OR REPLACE FUNCTION arvo.again(
    p_entry arvo.log,
    p_attempt integer,
    p_after interval,
    p_cause jsonb
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $again$
-- Appends a new delivery of p_entry's event to the same lane: at once, or deferred by p_after. The
-- event itself is not written again; the new row says where it stands. Returns the new delivery.
-- A dead letter that is being consumed from its dead-letter queue follows its delivery.
--
--   Reads    arvo.clock, arvo.slot, arvo.lane, arvo.queue
--   Writes   arvo.log or arvo.deferred; arvo.dead
--   Locks    arvo.dead row, when the delivery is one of a dead-letter queue
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_delivery bigint := nextval('arvo.delivery_number'::regclass);
    v_at_once boolean := coalesce(p_after <= interval '0', true);
BEGIN
    IF v_at_once THEN
        INSERT INTO arvo.log (
            slot, lane, delivery, attempt, at, subject_key, event_key,
            origin_delivery, origin_lane, origin_xid, cause
        )
        VALUES (
            arvo.slot(), p_entry.lane, v_delivery, p_attempt, v_now,
            p_entry.subject_key, p_entry.event_key,
            coalesce(p_entry.origin_delivery, p_entry.delivery),
            coalesce(p_entry.origin_lane, p_entry.lane),
            coalesce(p_entry.origin_xid, p_entry.xid),
            p_cause
        );
    ELSE
        INSERT INTO arvo.deferred (
            due, lane, delivery, attempt, at, subject_key, event_key,
            origin_delivery, origin_lane, origin_xid, cause
        )
        VALUES (
            v_now + p_after, p_entry.lane, v_delivery, p_attempt, v_now,
            p_entry.subject_key, p_entry.event_key,
            coalesce(p_entry.origin_delivery, p_entry.delivery),
            coalesce(p_entry.origin_lane, p_entry.lane),
            coalesce(p_entry.origin_xid, p_entry.xid),
            p_cause
        );
    END IF;

    UPDATE arvo.dead
    SET dead_letter_delivery = v_delivery,
        dead_letter_xid = CASE WHEN v_at_once THEN pg_current_xact_id() END
    WHERE dead.dead_letter_lane = p_entry.lane
    AND dead.dead_letter_delivery = p_entry.delivery
    AND dead.resolution IS NULL;

    PERFORM arvo.wake(ARRAY[queue.name])
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = p_entry.lane;

    RETURN v_delivery;
END;
$again$;

COMMENT ON FUNCTION arvo.again(arvo.log, integer, interval, jsonb) IS
'Appends a further delivery of a logged event, at once or deferred.';

REVOKE ALL ON FUNCTION arvo.again(arvo.log, integer, interval, jsonb) FROM PUBLIC;
--! end

--! function arvo.append
-- arvo.append(events, start_after, priority, ignore_domain) — accept events: route them and write them down.
CREATE OR REPLACE FUNCTION arvo.append(
    p_events jsonb[],
    p_start_after interval DEFAULT NULL,
    p_priority integer DEFAULT NULL,
    p_ignore_domain boolean DEFAULT false
)
RETURNS SETOF arvo_v1.dispatched
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $append$
-- The events have been checked by the caller. An event with a domain goes to that domain's queue,
-- any other to the queue that its "to" names (its type, when it has none). One without a time gets
-- this one. Order is kept.
--
--   Reads    arvo.queue, arvo.lane, arvo.clock, arvo.slot
--   Writes   arvo.log or arvo.deferred; as arvo.notice_unroutable; arvo.queue, arvo.lane when they
--            are missing
--   Locks    as arvo.lane_for
--   Raises   RV002  as arvo.lane_for
--            RV006  start_after is too long
--            RV902  as arvo.require_home
DECLARE
    v_now timestamptz := arvo.clock();
    v_slot smallint := arvo.slot();
    v_names text[];
    v_due timestamptz;
    v_accepted arvo_v1.dispatched[];
    v_time text := to_char(v_now AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"+00:00"');
BEGIN
    PERFORM arvo.require_home();
    SELECT array_agg(
        CASE
            WHEN NOT p_ignore_domain AND item.event ->> 'domain' IS NOT NULL
                THEN 'arvo.domain.' || (item.event ->> 'domain')
            ELSE coalesce(item.event ->> 'to', item.event ->> 'type')
        END
        ORDER BY item.ordinal
    )
    INTO v_names
    FROM unnest(p_events) WITH ORDINALITY AS item (event, ordinal);

    PERFORM arvo.lane_for(missing.name, p_priority)
    FROM (
        SELECT DISTINCT named.name
        FROM unnest(v_names) AS named (name)
        WHERE NOT EXISTS (
            SELECT
            FROM arvo.queue
            INNER JOIN arvo.lane ON lane.queue = queue.queue
            WHERE queue.name = named.name
            AND lane.priority = coalesce(p_priority, queue.priority)
        )
        ORDER BY named.name
    ) AS missing;

    IF p_start_after > interval '3650 days' THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'start_after',
              DETAIL = format('start_after: %s', p_start_after),
              HINT = 'Defer an event by at most 3650 days.';
    ELSIF p_start_after > interval '0' THEN
        v_due := v_now + p_start_after;
    END IF;

    WITH accepted AS MATERIALIZED (
        SELECT
            item.ordinal,
            CASE
                WHEN item.event ? 'time' THEN item.event
                ELSE item.event || jsonb_build_object('time', v_time)
            END AS event,
            queue.name AS queue,
            queue.registered,
            coalesce(asked.lane, own.lane) AS lane,
            nextval('arvo.delivery_number'::regclass) AS delivery
        FROM unnest(p_events, v_names) WITH ORDINALITY AS item (event, name, ordinal)
        INNER JOIN arvo.queue ON queue.name = item.name
        INNER JOIN arvo.lane AS own
            ON own.queue = queue.queue AND own.priority = queue.priority
        -- missing only while somebody else is making it: see arvo.lane_for
        LEFT JOIN arvo.lane AS asked
            ON asked.queue = queue.queue AND asked.priority = p_priority
        ORDER BY item.ordinal
    ),

    logged AS (
        INSERT INTO arvo.log (
            slot, lane, delivery, attempt, at, subject_key, event_key, event
        )
        SELECT
            v_slot,
            accepted.lane,
            accepted.delivery,
            1,
            v_now,
            hashtextextended(accepted.event ->> 'subject', 0),
            hashtextextended(accepted.event ->> 'id', 0),
            accepted.event
        FROM accepted
        WHERE v_due IS NULL
        ORDER BY accepted.ordinal
    ),

    postponed AS (
        INSERT INTO arvo.deferred (
            due, lane, delivery, attempt, at, subject_key, event_key, event
        )
        SELECT
            v_due,
            accepted.lane,
            accepted.delivery,
            1,
            v_now,
            hashtextextended(accepted.event ->> 'subject', 0),
            hashtextextended(accepted.event ->> 'id', 0),
            accepted.event
        FROM accepted
        WHERE v_due IS NOT NULL
        ORDER BY accepted.ordinal
    )

    SELECT array_agg(
        (
            accepted.ordinal,
            accepted.event ->> 'id',
            accepted.delivery,
            accepted.queue,
            CASE
                WHEN NOT p_ignore_domain AND accepted.event ->> 'domain' IS NOT NULL
                    THEN 'domained'
                WHEN NOT accepted.registered THEN 'unroutable'
                WHEN v_due IS NOT NULL THEN 'deferred'
                ELSE 'queued'
            END
        )::arvo_v1.dispatched
        ORDER BY accepted.ordinal
    )
    INTO v_accepted
    FROM accepted;

    IF v_due IS NULL THEN
        PERFORM arvo.notice_unroutable(v_accepted);
    END IF;
    PERFORM arvo.wake(v_names);
    RETURN QUERY SELECT accepted.* FROM unnest(v_accepted) AS accepted;
END;
$append$;

COMMENT ON FUNCTION arvo.append(jsonb[], interval, integer, boolean) IS
'Routes checked events and appends them, in order.';

REVOKE ALL ON FUNCTION arvo.append(jsonb[], interval, integer, boolean) FROM PUBLIC;
--! end

--! function arvo.as_bigint
-- arvo.as_bigint(value) — a number that fits, or NULL.
CREATE OR REPLACE FUNCTION arvo.as_bigint(p_value jsonb)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $as_bigint$
-- Accepts a JSON number or a text of digits (JavaScript cannot hold every bigint), not negative.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT CASE
           WHEN p_value #>> '{}' ~ '^[0-9]{1,19}$'
               AND (p_value #>> '{}')::numeric <= 9223372036854775807
               THEN (p_value #>> '{}')::bigint
       END;
$as_bigint$;

COMMENT ON FUNCTION arvo.as_bigint(jsonb) IS
'A JSON number, or a text of digits, as bigint; NULL for anything else.';

REVOKE ALL ON FUNCTION arvo.as_bigint(jsonb) FROM PUBLIC;
--! end

--! function arvo.bury
-- arvo.bury(log row, queue, reason, error) — make a dead letter of a delivery.
CREATE OR REPLACE FUNCTION arvo.bury(
    p_entry arvo.log,
    p_queue arvo.queue,
    p_reason text,
    p_error jsonb
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $bury$
-- The dead letter keeps the event whole and says where it failed and why. When the queue names a
-- dead-letter queue, the event is delivered there too, with that story as its cause. A dead letter
-- that dies again in its dead-letter queue stays one: it keeps the queue and the reason of its first
-- death, and goes on to the dead-letter queue of that queue, if it has one; through five at most, so
-- that a ring of queues ends. Returns the number of the dead letter.
--
--   Reads    arvo.clock, arvo.slot, arvo.log
--   Writes   arvo.dead, arvo.log; arvo.queue, arvo.lane when the dead-letter queue is missing
--   Locks    as arvo.lane_for; arvo.dead row, when the delivery is one of a dead-letter queue
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_event jsonb := arvo.event_of(p_entry);
    v_redrives integer := coalesce((p_entry.cause ->> 'redrives')::integer, 0);
    v_hops integer := coalesce((p_entry.cause ->> 'hops')::integer, 0);
    v_dead bigint;
    v_lane integer;
    v_delivery bigint;
BEGIN
    IF p_queue.dead_letter IS NOT NULL AND v_hops < 5 THEN
        v_lane := arvo.lane_for(p_queue.dead_letter);
        v_delivery := nextval('arvo.delivery_number'::regclass);
    END IF;

    UPDATE arvo.dead
    SET dead_letter = CASE WHEN v_lane IS NOT NULL THEN p_queue.dead_letter END,
        dead_letter_lane = v_lane,
        dead_letter_xid = CASE WHEN v_lane IS NOT NULL THEN pg_current_xact_id() END,
        dead_letter_delivery = v_delivery
    WHERE dead.dead_letter_lane = p_entry.lane
    AND dead.dead_letter_delivery = p_entry.delivery
    AND dead.resolution IS NULL
    RETURNING dead.dead INTO v_dead;
    IF NOT FOUND THEN
        INSERT INTO arvo.dead (
            delivery, queue, dead_letter, dead_letter_lane, dead_letter_xid, dead_letter_delivery,
            event_id, subject_key, event_key, event, attempts, reason, error, died_at, redrives
        )
        VALUES (
            p_entry.delivery, p_queue.name,
            CASE WHEN v_lane IS NOT NULL THEN p_queue.dead_letter END, v_lane,
            CASE WHEN v_lane IS NOT NULL THEN pg_current_xact_id() END, v_delivery,
            v_event ->> 'id', p_entry.subject_key, p_entry.event_key, v_event, p_entry.attempt,
            p_reason, p_error, v_now, v_redrives
        )
        RETURNING dead.dead INTO v_dead;
    END IF;

    IF v_lane IS NOT NULL THEN
        INSERT INTO arvo.log (
            slot, lane, delivery, attempt, at, subject_key, event_key,
            origin_delivery, origin_lane, origin_xid, cause
        )
        VALUES (
            arvo.slot(), v_lane, v_delivery, 1, v_now, p_entry.subject_key, p_entry.event_key,
            coalesce(p_entry.origin_delivery, p_entry.delivery),
            coalesce(p_entry.origin_lane, p_entry.lane),
            coalesce(p_entry.origin_xid, p_entry.xid),
            jsonb_build_object(
                'outcome', 'dead',
                'dead', v_dead,
                'queue', p_queue.name,
                'delivery', p_entry.delivery,
                'attempts', p_entry.attempt,
                'reason', p_reason,
                'error', p_error,
                'redrives', v_redrives,
                'hops', v_hops + 1
            )
        );
        PERFORM arvo.wake(ARRAY[p_queue.dead_letter]);
    END IF;
    RETURN v_dead;
END;
$bury$;

COMMENT ON FUNCTION arvo.bury(arvo.log, arvo.queue, text, jsonb) IS
'Makes a dead letter of a delivery, and delivers it to the dead-letter queue when one is named.';

REVOKE ALL ON FUNCTION arvo.bury(arvo.log, arvo.queue, text, jsonb) FROM PUBLIC;
--! end

--! function arvo.claim_lane
-- arvo.claim_lane(lane, limit, worker, lease) — lease the next deliveries of one lane.
CREATE OR REPLACE FUNCTION arvo.claim_lane(
    p_lane integer,
    p_limit integer,
    p_worker text,
    p_lease interval
)
RETURNS SETOF arvo_v1.claimed
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $claim_lane$
-- The caller holds the lane. The newest lease row is the cursor: a window between two snapshots, and
-- the position reached in it. A row belongs to the window if its transaction is visible in the
-- newer snapshot and not in the older one, so a transaction that commits late is found, exactly
-- once, whatever its number; one that stays open blocks nobody; one that rolls back leaves no trace.
-- Order is by window, then transaction, then delivery. A claim that finds nothing writes nothing.
--
--   Reads    arvo.lease, arvo.log by (lane, xid, delivery), arvo.tombstone, arvo.queue, arvo.state
--   Writes   arvo.lease (one row); as arvo.withdraw
--   Locks    as arvo.sweep
--   Raises   RV902  the stored transaction numbers belong to another cluster
DECLARE
    v_now timestamptz := arvo.clock();
    v_slot smallint := arvo.slot();
    v_head arvo.lease;
    v_queue arvo.queue;
    v_open_from bigint;
    v_sweep_at timestamptz;
    v_expires_at timestamptz;
    v_token bigint;
    v_previous pg_snapshot;
    v_snapshot pg_snapshot;
    v_last_xid xid8;
    v_last_delivery bigint;
    v_from_xid xid8;
    v_from_delivery bigint;
    v_late xid8[];
    v_batch arvo.log[];
    v_count integer;
BEGIN
    SELECT queue.* INTO STRICT v_queue
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = p_lane;

    -- Once, unless everything that was leased turns out to be withdrawn.
    LOOP
        SELECT head.* INTO STRICT v_head
        FROM arvo.lease AS head
        WHERE head.lane = p_lane
        ORDER BY head.number DESC
        LIMIT 1;

        v_open_from := v_head.open_from;
        v_sweep_at := v_head.sweep_at;
        IF v_sweep_at <= v_now THEN
            v_open_from := arvo.sweep(v_head, 4096);
            -- Twice a second at most: in a busy lane some lease is always about to lapse.
            v_sweep_at := NULL;
            SELECT greatest(oldest.expires_at, v_now + interval '0.5 seconds') INTO v_sweep_at
            FROM arvo.lease AS oldest
            WHERE oldest.lane = p_lane AND oldest.number = v_open_from;
        END IF;

        FOR v_try IN 1..2 LOOP
            IF v_head.exhausted OR v_try = 2 THEN
                v_previous := v_head.snapshot;
                v_snapshot := arvo.window_snapshot();
                v_last_xid := '0';
                v_last_delivery := 0;
                IF pg_snapshot_xmax(v_snapshot) < pg_snapshot_xmax(v_previous) THEN
                    RAISE EXCEPTION 'transaction numbers are of another cluster'
                    USING ERRCODE = 'RV902',
                          DETAIL = format(
                              'lane %s was read up to transaction %s; this cluster is at %s.',
                              p_lane, pg_snapshot_xmax(v_previous), pg_snapshot_xmax(v_snapshot)
                          ),
                          HINT = 'The database was restored into another cluster.';
                END IF;
            ELSE
                v_previous := v_head.previous_snapshot;
                v_snapshot := v_head.snapshot;
                v_last_xid := v_head.last_xid;
                v_last_delivery := v_head.last_delivery;
            END IF;

            -- Late transactions of the older snapshot come first, then everything that is newer.
            v_from_xid := pg_snapshot_xmax(v_previous);
            v_from_delivery := 0;
            v_late := '{}';
            IF v_last_xid >= v_from_xid THEN
                v_from_xid := v_last_xid;
                v_from_delivery := v_last_delivery;
            ELSE
                SELECT coalesce(array_agg(listed.xid), '{}') INTO v_late
                FROM pg_snapshot_xip(v_previous) AS listed (xid)
                WHERE pg_visible_in_snapshot(listed.xid, v_snapshot) AND listed.xid >= v_last_xid;
            END IF;

            v_batch := '{}';
            IF v_late <> '{}' THEN
                SELECT coalesce(array_agg(taken.entry ORDER BY taken.xid, taken.delivery), '{}')
                INTO v_batch
                FROM (
                    SELECT found.entry, found.xid, found.delivery
                    FROM unnest(v_late) AS listed (xid)
                    CROSS JOIN LATERAL (
                        SELECT log AS entry, log.xid, log.delivery
                        FROM arvo.log
                        WHERE log.lane = p_lane
                        AND log.xid = listed.xid
                        AND log.delivery > CASE
                            WHEN listed.xid = v_last_xid THEN v_last_delivery ELSE 0
                        END
                        ORDER BY log.delivery
                        LIMIT p_limit
                    ) AS found
                    ORDER BY found.xid, found.delivery
                    LIMIT p_limit
                ) AS taken;
            END IF;
            IF cardinality(v_batch) < p_limit THEN
                SELECT v_batch || coalesce(
                    array_agg(taken.entry ORDER BY taken.xid, taken.delivery), '{}'
                )
                INTO v_batch
                FROM (
                    SELECT log AS entry, log.xid, log.delivery
                    FROM arvo.log
                    WHERE log.lane = p_lane
                    AND (log.xid, log.delivery) > (v_from_xid, v_from_delivery)
                    AND log.xid < pg_snapshot_xmax(v_snapshot)
                    AND pg_visible_in_snapshot(log.xid, v_snapshot)
                    ORDER BY log.xid, log.delivery
                    LIMIT p_limit - cardinality(v_batch)
                ) AS taken;
            END IF;
            -- A window that ended exactly at the limit leaves nothing: then open the next one now.
            EXIT WHEN v_batch <> '{}' OR v_head.exhausted;
        END LOOP;

        v_count := cardinality(v_batch);
        IF v_count = 0 THEN
            -- What the sweep found out is worth a row; the cursor stays where it is.
            IF v_open_from > v_head.open_from THEN
                INSERT INTO arvo.lease (
                    slot, lane, number, token, worker, leased_at, expires_at, deliveries,
                    previous_snapshot, snapshot, last_xid, last_delivery, exhausted,
                    open_from, sweep_at
                )
                VALUES (
                    v_slot, p_lane, v_head.number + 1, 0, p_worker, v_now, v_head.expires_at, '{}',
                    v_head.previous_snapshot, v_head.snapshot, v_head.last_xid,
                    v_head.last_delivery, v_head.exhausted,
                    v_open_from, coalesce(v_sweep_at, 'infinity')
                );
            END IF;
            RETURN;
        END IF;

        v_expires_at := greatest(v_now + p_lease, v_head.expires_at);
        v_token := (nextval('arvo.lease_number'::regclass) << 12) | floor(random() * 4096)::bigint;
        INSERT INTO arvo.lease (
            slot, lane, number, token, worker, leased_at, expires_at, deliveries,
            low_xid, high_xid, previous_snapshot, snapshot, last_xid, last_delivery,
            exhausted, open_from, sweep_at
        )
        VALUES (
            v_slot, p_lane, v_head.number + 1, v_token, p_worker, v_now, v_expires_at,
            ARRAY(SELECT taken.delivery FROM unnest(v_batch) AS taken),
            v_batch[1].xid, v_batch[v_count].xid, v_previous, v_snapshot,
            v_batch[v_count].xid, v_batch[v_count].delivery,
            v_count < p_limit, v_open_from, least(v_sweep_at, v_expires_at)
        );

        IF EXISTS (SELECT FROM arvo.tombstone WHERE tombstone.lane = p_lane) THEN
            v_batch := arvo.withdraw(p_lane, v_token, v_batch);
        END IF;
        EXIT WHEN v_batch <> '{}';
    END LOOP;

    IF v_queue.stateful THEN
        RETURN QUERY
        SELECT
            v_token, taken.delivery, v_queue.name, taken.attempt, v_expires_at, v_queue.expire_in,
            whole.event, taken.cause, state.data, coalesce(state.version, 0)
        FROM unnest(v_batch) AS taken
        CROSS JOIN LATERAL (SELECT arvo.event_of(taken) AS event) AS whole
        LEFT JOIN arvo.state
            ON state.subject_digest = arvo.subject_digest(whole.event ->> 'subject');
    ELSE
        RETURN QUERY
        SELECT
            v_token, taken.delivery, v_queue.name, taken.attempt, v_expires_at, v_queue.expire_in,
            CASE WHEN taken.event IS NULL THEN arvo.event_of(taken) ELSE taken.event END,
            taken.cause, NULL::jsonb, NULL::bigint
        FROM unnest(v_batch) AS taken;
    END IF;
END;
$claim_lane$;

COMMENT ON FUNCTION arvo.claim_lane(integer, integer, text, interval) IS
'Leases the next deliveries of a lane whose lock the caller holds.';

REVOKE ALL ON FUNCTION arvo.claim_lane(integer, integer, text, interval) FROM PUBLIC;
--! end

--! function arvo.clock
-- arvo.clock() — the time that every decision of the engine is made by.
CREATE OR REPLACE FUNCTION arvo.clock()
RETURNS timestamptz
LANGUAGE sql
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
SELECT CASE
           WHEN nullif(current_setting('arvo.frozen_clock', true), '') IS NULL
               THEN clock_timestamp()
           WHEN pg_has_role(session_user, current_user, 'MEMBER')
               THEN current_setting('arvo.frozen_clock', true)::timestamptz
           ELSE clock_timestamp()
       END;
$clock$;

COMMENT ON FUNCTION arvo.clock() IS
'The server''s time, which the owner may freeze for a test; the only clock that decides anything.';

REVOKE ALL ON FUNCTION arvo.clock() FROM PUBLIC;
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
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_key text;
    v_value jsonb;
    v_type text;
BEGIN
    IF p_event IS NULL OR jsonb_typeof(p_event) <> 'object' THEN
        RETURN 'event: must be a JSON object';
    END IF;
    -- Its size as stored says nothing: it may come compressed out of a table, and a number of nine
    -- characters may print as 131,072 digits.
    IF octet_length(p_event::text) > 1048576 THEN
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

--! function arvo.event_of
-- arvo.event_of(log row) — the event of a delivery, wherever it is written.
CREATE OR REPLACE FUNCTION arvo.event_of(p_entry arvo.log)
RETURNS jsonb
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $event_of$
-- The first delivery carries the event; later ones say where the first stands.
--
--   Reads    arvo.log, by (lane, xid, delivery)
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT coalesce(
    p_entry.event,
    (
        SELECT origin.event
        FROM arvo.log AS origin
        WHERE origin.lane = p_entry.origin_lane
        AND origin.xid = p_entry.origin_xid
        AND origin.delivery = p_entry.origin_delivery
    )
);
$event_of$;

COMMENT ON FUNCTION arvo.event_of(arvo.log) IS
'The event of a delivery: its own, or that of the first delivery it refers to.';

REVOKE ALL ON FUNCTION arvo.event_of(arvo.log) FROM PUBLIC;
--! end

--! function arvo.give_back
-- arvo.give_back(lane, range, delivery, outcome, error, after) — what becomes of a delivery that did not complete.
CREATE OR REPLACE FUNCTION arvo.give_back(
    p_lane integer,
    p_low_xid xid8,
    p_high_xid xid8,
    p_delivery bigint,
    p_outcome text,
    p_error jsonb DEFAULT NULL,
    p_after interval DEFAULT NULL
)
RETURNS text
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $give_back$
-- One place decides: retry with back-off, dead letter, or back without charging the attempt.
--
--   p_outcome   what happened                        what follows
--   failed      the handler raised                   retried while attempts are left, else dead
--   expired     the lease lapsed                     the same; dead with reason lease_expired
--   rejected    the handler says: never again        dead
--   released    the worker could not run it          again, same attempt
--   snoozed     the handler says: later              again after p_after, same attempt
--   conflict    the state had moved on               again, same attempt; charged from the 100th on
--
-- Returns the outcome for the journal: retried, dead, released, snoozed or conflict.
--
--   Reads    arvo.log by (lane, xid, delivery), arvo.queue, arvo.lane, arvo.clock
--   Writes   arvo.log or arvo.deferred or arvo.dead
--   Locks    as arvo.bury
--   Raises   RV901  the delivery is not in the log
DECLARE
    v_entry arvo.log;
    v_queue arvo.queue;
    v_cause jsonb;
    v_conflicts integer;
    v_after interval;
BEGIN
    SELECT entry.* INTO v_entry
    FROM arvo.log AS entry
    WHERE entry.lane = p_lane
    AND entry.xid >= p_low_xid
    AND entry.xid <= p_high_xid
    AND entry.delivery = p_delivery;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a leased delivery is not in the log'
        USING ERRCODE = 'RV901',
              DETAIL = format('lane %s, delivery %s', p_lane, p_delivery),
              HINT = 'Please report this: it should be impossible.';
    END IF;
    SELECT queue.* INTO STRICT v_queue
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = p_lane;

    v_cause := coalesce(v_entry.cause, '{}'::jsonb) || jsonb_build_object(
        'delivery', v_entry.delivery,
        'outcome', p_outcome,
        'error', p_error
    );

    IF p_outcome = 'released' THEN
        PERFORM arvo.again(v_entry, v_entry.attempt, NULL, v_cause);
        RETURN 'released';
    ELSIF p_outcome = 'snoozed' THEN
        PERFORM arvo.again(v_entry, v_entry.attempt, p_after, v_cause);
        RETURN 'snoozed';
    ELSIF p_outcome = 'conflict' THEN
        v_conflicts := coalesce((v_cause ->> 'conflicts')::integer, 0) + 1;
        IF v_conflicts < 100 THEN
            PERFORM arvo.again(
                v_entry, v_entry.attempt, NULL,
                v_cause || jsonb_build_object('conflicts', v_conflicts)
            );
            RETURN 'conflict';
        END IF;
    ELSIF p_outcome = 'rejected' THEN
        PERFORM arvo.bury(v_entry, v_queue, 'rejected', p_error);
        RETURN 'dead';
    END IF;

    IF v_entry.attempt > v_queue.retry_limit THEN
        PERFORM arvo.bury(
            v_entry,
            v_queue,
            CASE WHEN p_outcome = 'expired' THEN 'lease_expired' ELSE 'failed' END,
            p_error
        );
        RETURN 'dead';
    END IF;

    v_after := coalesce(
        p_after,
        arvo.retry_delay(
            v_queue.retry_delay, v_queue.retry_backoff, v_queue.retry_delay_max,
            v_entry.attempt, random()
        )
    );
    PERFORM arvo.again(v_entry, v_entry.attempt + 1, v_after, v_cause - 'conflicts');
    RETURN 'retried';
END;
$give_back$;

COMMENT ON FUNCTION arvo.give_back(integer, xid8, xid8, bigint, text, jsonb, interval) IS
'Decides what becomes of a delivery that did not complete: retry, dead letter, or back uncharged.';

REVOKE ALL ON FUNCTION
arvo.give_back(integer, xid8, xid8, bigint, text, jsonb, interval) FROM PUBLIC;
--! end

--! function arvo.has_own
-- arvo.has_own(queues) — whether this transaction has appended to some queues.
CREATE OR REPLACE FUNCTION arvo.has_own(p_queues text[])
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $has_own$
-- A claim cannot hand out what its own transaction has promoted, taken back or emitted: to its
-- window those rows are still open. The next claim can. A name that ends in * stands for every queue
-- that begins so.
--
--   Reads    arvo.queue, arvo.lane, arvo.log by (lane, xid)
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_own xid8 := pg_current_xact_id_if_assigned();
BEGIN
    RETURN v_own IS NOT NULL AND EXISTS (
        SELECT
        FROM unnest(p_queues) AS asked (name)
        INNER JOIN arvo.queue
            ON queue.name = asked.name
            OR (asked.name LIKE '%*' AND starts_with(queue.name, left(asked.name, -1)))
        INNER JOIN arvo.lane ON lane.queue = queue.queue
        INNER JOIN arvo.log ON log.lane = lane.lane AND log.xid = v_own
    );
END;
$has_own$;

COMMENT ON FUNCTION arvo.has_own(text[]) IS
'Whether this transaction has appended deliveries to the named queues.';

REVOKE ALL ON FUNCTION arvo.has_own(text[]) FROM PUBLIC;
--! end

--! function arvo.is_queue_name
-- arvo.is_queue_name(name) — whether a text may name a queue.
CREATE OR REPLACE FUNCTION arvo.is_queue_name(p_name text)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $is_queue_name$
-- Queues are named by what events carry in "to": a URI reference. Quotes, blanks and control
-- characters are not allowed, so that a name can stand in a log line as it is; nor is *, which
-- stands for a group of queues in claim().
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT coalesce(p_name ~ '^[A-Za-z0-9._~:/?#@!$&()+,;=%-]+$' AND length(p_name) <= 512, false);
$is_queue_name$;

COMMENT ON FUNCTION arvo.is_queue_name(text) IS
'Whether a text may name a queue: 1 to 512 characters of a URI, without quotes.';

REVOKE ALL ON FUNCTION arvo.is_queue_name(text) FROM PUBLIC;
--! end

--! function arvo.is_unclaimed
-- arvo.is_unclaimed(head, xid, delivery) — whether a lane's cursor has not reached a row of its log.
CREATE OR REPLACE FUNCTION arvo.is_unclaimed(
    p_head arvo.lease,
    p_xid xid8,
    p_delivery bigint
)
RETURNS boolean
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $is_unclaimed$
-- p_head is the newest lease row of the lane. Claimed is what the older snapshot of its window saw,
-- and what the newer one saw up to the position reached.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT NOT pg_visible_in_snapshot(p_xid, p_head.previous_snapshot)
    AND NOT (
        pg_visible_in_snapshot(p_xid, p_head.snapshot)
        AND (
            p_head.exhausted
            OR (p_xid, p_delivery) <= (p_head.last_xid, p_head.last_delivery)
        )
    );
$is_unclaimed$;

COMMENT ON FUNCTION arvo.is_unclaimed(arvo.lease, xid8, bigint) IS
'Whether a delivery in the log has not been claimed yet, judged by its lane''s newest lease row.';

REVOKE ALL ON FUNCTION arvo.is_unclaimed(arvo.lease, xid8, bigint) FROM PUBLIC;
--! end

--! function arvo.is_worth_claiming
-- arvo.is_worth_claiming(lane) — whether a claim of a lane can find something to do.
CREATE OR REPLACE FUNCTION arvo.is_worth_claiming(p_lane integer)
RETURNS boolean
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $is_worth_claiming$
-- Looks without the lane's lock, so that a claim over very many lanes need not lock the idle ones.
-- False only when the newest window has been read to its end, nothing has been committed since, and
-- no lease can have lapsed. Rows of the caller's own transaction may answer true for nothing.
--
--   Reads    arvo.lease by (lane, number), arvo.log by (lane, xid), arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    NOT head.exhausted
    OR head.sweep_at <= arvo.clock()
    OR EXISTS (
        SELECT
        FROM arvo.log AS entry
        WHERE entry.lane = p_lane AND entry.xid >= pg_snapshot_xmax(head.snapshot)
    )
    OR EXISTS (
        SELECT
        FROM pg_snapshot_xip(head.snapshot) AS late (xid)
        INNER JOIN arvo.log AS entry ON entry.lane = p_lane AND entry.xid = late.xid
    )
FROM (
    SELECT newest.exhausted, newest.sweep_at, newest.snapshot
    FROM arvo.lease AS newest
    WHERE newest.lane = p_lane
    ORDER BY newest.number DESC
    LIMIT 1
) AS head;
$is_worth_claiming$;

COMMENT ON FUNCTION arvo.is_worth_claiming(integer) IS
'Whether a lane has unread deliveries or a lease that may have lapsed; looks without its lock.';

REVOKE ALL ON FUNCTION arvo.is_worth_claiming(integer) FROM PUBLIC;
--! end

--! function arvo.judge_results
-- arvo.judge_results(items) — which results are the holder's to report.
CREATE OR REPLACE FUNCTION arvo.judge_results(p_items arvo.result[])
RETURNS arvo.result[]
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $judge_results$
-- Fills in where each lease's deliveries stand, and refuses (RV301) or answers "already" what is not
-- open under the lease named. What ended in a conflict took no effect, also when it is asked about
-- again: "already", with code RV101. The caller holds the leases' locks.
--
--   Reads    arvo.lease and arvo.closure, by token
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
WITH item AS MATERIALIZED (
    SELECT listed.* FROM unnest(p_items) AS listed
),

held AS MATERIALIZED (
    SELECT newest.*
    FROM (SELECT DISTINCT item.lease FROM item WHERE item.verdict IS NULL) AS named
    CROSS JOIN LATERAL (
        SELECT lease.token, lease.lane, lease.low_xid, lease.high_xid, lease.deliveries
        FROM arvo.lease
        WHERE lease.token = named.lease AND lease.token <> 0
        ORDER BY lease.number DESC
        LIMIT 1
    ) AS newest
),

closed AS MATERIALIZED (
    SELECT
        held.token,
        gone.delivery,
        closure.outcomes[least(gone.ordinal, cardinality(closure.outcomes))] AS outcome
    FROM held
    INNER JOIN arvo.closure ON closure.token = held.token
    CROSS JOIN LATERAL
        unnest(closure.deliveries) WITH ORDINALITY AS gone (delivery, ordinal)
),

judged AS (
    SELECT
        item.*,
        held.lane AS held_lane,
        held.low_xid AS held_low_xid,
        held.high_xid AS held_high_xid,
        closed.outcome AS closed_outcome,
        CASE
            WHEN item.verdict IS NOT NULL THEN item.verdict
            WHEN closed.outcome NOT IN ('expired', 'cancelled') THEN 'already'
            WHEN closed.outcome IS NOT NULL OR held.token IS NULL
                OR item.delivery <> ALL (held.deliveries) THEN 'refused'
        END AS judgement
    FROM item
    LEFT JOIN held ON held.token = item.lease AND item.verdict IS NULL
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
        NULL
    )::arvo.result
    ORDER BY judged.ordinal
)
FROM judged;
$judge_results$;

COMMENT ON FUNCTION arvo.judge_results(arvo.result[]) IS
'Refuses results whose delivery is not open under the lease that they name.';

REVOKE ALL ON FUNCTION arvo.judge_results(arvo.result[]) FROM PUBLIC;
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
--   Reads    arvo.queue, arvo.lane, arvo.clock, arvo.slot
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
        INSERT INTO arvo.queue (name, created_at, changed_at)
        VALUES (p_queue, arvo.clock(), arvo.clock())
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
    WHERE lane.queue = v_queue AND lane.priority = v_priority;

    IF NOT FOUND THEN
        -- Every lane costs each claim a look: a queue has a handful of priorities, not a thousand.
        -- Its own priority is always there to be had: else whoever may dispatch could use up a name
        -- before it is registered.
        IF v_priority <> v_own
            AND (
                SELECT count(*)
                FROM arvo.lane
                WHERE lane.queue = v_queue AND lane.priority <> v_own
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
            WHERE lane.queue = v_queue AND lane.priority = v_own;
            RETURN v_lane;
        END IF;
        INSERT INTO arvo.lane (queue, priority)
        VALUES (v_queue, v_priority)
        ON CONFLICT (queue, priority) DO NOTHING
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
            WHERE lane.queue = v_queue AND lane.priority = v_priority;
        END IF;
    END IF;
    RETURN v_lane;
END;
$lane_for$;

COMMENT ON FUNCTION arvo.lane_for(text, integer) IS
'Number of the lane for a queue and priority; makes queue and lane when they are missing.';

REVOKE ALL ON FUNCTION arvo.lane_for(text, integer) FROM PUBLIC;
--! end

--! function arvo.lease_key
-- arvo.lease_key(token) — the transaction lock that guards a lease.
CREATE OR REPLACE FUNCTION arvo.lease_key(p_token bigint)
RETURNS bigint
LANGUAGE sql
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
SELECT hashint8extended(p_token, hashtextextended('arvo', 1));
$lease_key$;

COMMENT ON FUNCTION arvo.lease_key(bigint) IS
'Key of the advisory lock that guards a lease.';

REVOKE ALL ON FUNCTION arvo.lease_key(bigint) FROM PUBLIC;
--! end

--! function arvo.lock_key
-- arvo.lock_key(subject) — the transaction lock that guards a subject's lock row.
CREATE OR REPLACE FUNCTION arvo.lock_key(p_subject text)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $lock_key$
-- Two subjects with one key only ever cost a spurious "held".
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT hashtextextended(p_subject, hashtextextended('arvo', 0));
$lock_key$;

COMMENT ON FUNCTION arvo.lock_key(text) IS
'Key of the advisory lock that guards a subject''s lock row.';

REVOKE ALL ON FUNCTION arvo.lock_key(text) FROM PUBLIC;
--! end

--! function arvo.next_due
-- arvo.next_due() — how long until something deferred becomes due.
CREATE OR REPLACE FUNCTION arvo.next_due()
RETURNS interval
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $next_due$
-- For a worker that has nothing to do: it need not poll before then. Never negative; NULL when
-- nothing is deferred. Rows that the promotion has passed are not looked at.
--
--   Reads    arvo.promotion, arvo.deferred by due time, arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT greatest(waiting.due - arvo.clock(), interval '0')
FROM (
    SELECT head.due, head.delivery
    FROM arvo.promotion AS head
    ORDER BY head.number DESC
    LIMIT 1
) AS passed
CROSS JOIN LATERAL (
    SELECT deferred.due
    FROM arvo.deferred
    WHERE (deferred.due, deferred.delivery) > (passed.due, passed.delivery)
    ORDER BY deferred.due, deferred.delivery
    LIMIT 1
) AS waiting;
$next_due$;

COMMENT ON FUNCTION arvo.next_due() IS
'How long until a deferred delivery becomes due; NULL when there is none.';

REVOKE ALL ON FUNCTION arvo.next_due() FROM PUBLIC;
--! end

--! function arvo.notice_unroutable
-- arvo.notice_unroutable(accepted) — tell the listener for unroutable events, if there is one.
CREATE OR REPLACE FUNCTION arvo.notice_unroutable(p_accepted arvo_v1.dispatched[])
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $notice_unroutable$
-- An event whose destination nobody has registered waits in that destination's own queue. When the
-- queue arvo.unroutable is registered, the event is delivered there too, as a notice: the body is
-- not written again. Returns how many notices were written. The events have just been appended or
-- promoted by this transaction; p_accepted needs their deliveries and queues only.
--
--   Reads    arvo.queue, arvo.lane, arvo.log by (lane, xid, delivery), arvo.clock, arvo.slot
--   Writes   arvo.log
--   Locks    as arvo.lane_for
--   Raises   nothing
DECLARE
    v_notices integer := 0;
    v_lane integer;
BEGIN
    IF NOT EXISTS (
        SELECT FROM unnest(p_accepted) AS accepted WHERE accepted.outcome = 'unroutable'
    ) OR NOT EXISTS (
        SELECT FROM arvo.queue WHERE queue.name = 'arvo.unroutable' AND queue.registered
    ) THEN
        RETURN 0;
    END IF;
    v_lane := arvo.lane_for('arvo.unroutable');

    INSERT INTO arvo.log (
        slot, lane, delivery, attempt, at, subject_key, event_key,
        origin_delivery, origin_lane, origin_xid, cause
    )
    SELECT
        arvo.slot(),
        v_lane,
        nextval('arvo.delivery_number'::regclass),
        1,
        arvo.clock(),
        entry.subject_key,
        entry.event_key,
        entry.delivery,
        entry.lane,
        entry.xid,
        jsonb_build_object(
            'outcome', 'unroutable',
            'queue', accepted.queue,
            'delivery', accepted.delivery
        )
    FROM unnest(p_accepted) AS accepted
    INNER JOIN arvo.queue ON queue.name = accepted.queue
    INNER JOIN arvo.lane ON lane.queue = queue.queue
    INNER JOIN arvo.log AS entry
        ON entry.lane = lane.lane
        AND entry.xid = pg_current_xact_id()
        AND entry.delivery = accepted.delivery
    WHERE accepted.outcome = 'unroutable'
    ORDER BY accepted.ordinal;
    GET DIAGNOSTICS v_notices = ROW_COUNT;
    PERFORM arvo.wake(ARRAY['arvo.unroutable']);
    RETURN v_notices;
END;
$notice_unroutable$;

COMMENT ON FUNCTION arvo.notice_unroutable(arvo_v1.dispatched[]) IS
'Delivers notices of unroutable events to the queue arvo.unroutable, when it is registered.';

REVOKE ALL ON FUNCTION arvo.notice_unroutable(arvo_v1.dispatched[]) FROM PUBLIC;
--! end

--! function arvo.open_deliveries
-- arvo.open_deliveries(token, deliveries) — those of a lease's deliveries that nobody has closed.
CREATE OR REPLACE FUNCTION arvo.open_deliveries(p_token bigint, p_deliveries bigint[])
RETURNS bigint[]
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $open_deliveries$
-- In the order of the lease.
--
--   Reads    arvo.closure, by token
--   Writes   nothing
--   Locks    nothing; the caller holds the lease's lock
--   Raises   nothing
SELECT coalesce(array_agg(leased.delivery ORDER BY leased.ordinal), '{}')
FROM unnest(p_deliveries) WITH ORDINALITY AS leased (delivery, ordinal)
WHERE leased.delivery NOT IN (
    SELECT unnest(closure.deliveries)
    FROM arvo.closure
    WHERE closure.token = p_token
);
$open_deliveries$;

COMMENT ON FUNCTION arvo.open_deliveries(bigint, bigint[]) IS
'Those of a lease''s deliveries that have not been closed.';

REVOKE ALL ON FUNCTION arvo.open_deliveries(bigint, bigint[]) FROM PUBLIC;
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
-- learns it later. All rows of a call are taken in one order, and rows that need no change are left
-- alone, so that siblings do not wait for each other.
--
--   Reads    arvo.clock
--   Writes   arvo.lineage
--   Locks    arvo.lineage rows, in order of their digests
--   Raises   nothing
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
)

INSERT INTO arvo.lineage AS known (subject_digest, subject, parent_digest, created_at)
SELECT wanted.subject_digest, wanted.subject, wanted.parent_digest, arvo.clock()
FROM wanted
WHERE NOT EXISTS (
    SELECT
    FROM arvo.lineage AS placed
    WHERE placed.subject_digest = wanted.subject_digest
    AND (placed.parent_digest IS NOT NULL OR wanted.parent_digest IS NULL)
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

--! function arvo.promote
-- arvo.promote(limit) — move what has become due into the log.
CREATE OR REPLACE FUNCTION arvo.promote(p_limit integer DEFAULT 1000)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $promote$
-- One promoter at a time, for all lanes; whoever finds it busy goes on without. A cursor remembers a
-- due time and a snapshot. Due now are: rows behind the cursor's time, and rows before it that were
-- not yet visible to its snapshot (they were written late, or into the past). Nothing is deleted
-- here, so no scan ever walks over dead rows. Returns how many were promoted.
--
--   Reads    arvo.promotion, arvo.deferred, arvo.clock, arvo.slot
--   Writes   arvo.log, arvo.promotion, arvo.dead; as arvo.notice_unroutable
--   Locks    the promoter's lock, tried, never waited for
--   Raises   nothing
DECLARE
    v_now timestamptz;
    v_head arvo.promotion;
    v_snapshot pg_snapshot;
    v_late xid8[];
    v_unseen boolean;
    v_due timestamptz;
    v_delivery bigint;
    v_promoted integer;
    v_lanes integer[];
    v_unroutable arvo_v1.dispatched[];
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('arvo'), 0) THEN
        RETURN 0;
    END IF;
    v_now := arvo.clock();
    v_snapshot := arvo.window_snapshot();
    SELECT head.* INTO STRICT v_head
    FROM arvo.promotion AS head
    ORDER BY head.number DESC
    LIMIT 1;
    SELECT coalesce(array_agg(listed.xid), '{}') INTO v_late
    FROM pg_snapshot_xip(v_head.snapshot) AS listed (xid)
    WHERE pg_visible_in_snapshot(listed.xid, v_snapshot);

    -- Nearly always there is nothing to do: find that out by three probes of an index.
    v_unseen := EXISTS (
        SELECT
        FROM arvo.deferred
        WHERE (deferred.xid, deferred.delivery) >= (pg_snapshot_xmax(v_head.snapshot), 0)
        AND deferred.xid < pg_snapshot_xmax(v_snapshot)
        AND pg_visible_in_snapshot(deferred.xid, v_snapshot)
    ) OR EXISTS (
        SELECT
        FROM unnest(v_late) AS listed (xid)
        INNER JOIN arvo.deferred ON deferred.xid = listed.xid
    );
    IF NOT v_unseen AND NOT EXISTS (
        SELECT
        FROM arvo.deferred
        WHERE (deferred.due, deferred.delivery) > (v_head.due, v_head.delivery)
        AND deferred.due <= v_now
    ) THEN
        -- The range of unseen transactions must not grow for ever.
        IF pg_snapshot_xmax(v_snapshot)::text::bigint
            - pg_snapshot_xmax(v_head.snapshot)::text::bigint > 1000
        THEN
            INSERT INTO arvo.promotion (number, due, delivery, snapshot, promoted, at)
            VALUES (v_head.number + 1, v_head.due, v_head.delivery, v_snapshot, 0, v_now);
        END IF;
        RETURN 0;
    END IF;

    SELECT deferred.due, deferred.delivery INTO v_due, v_delivery
    FROM arvo.deferred
    WHERE (deferred.due, deferred.delivery) > (v_head.due, v_head.delivery)
    AND deferred.due <= v_now
    ORDER BY deferred.due, deferred.delivery
    OFFSET p_limit - 1
    LIMIT 1;
    IF NOT FOUND THEN
        v_due := greatest(v_now, v_head.due);
        v_delivery := CASE WHEN v_due = v_head.due THEN v_head.delivery ELSE 0 END;
        IF v_due = v_now THEN
            v_delivery := 9223372036854775807;
        END IF;
    END IF;

    WITH newly_due AS (
        SELECT deferred.*
        FROM arvo.deferred
        WHERE (deferred.due, deferred.delivery) > (v_head.due, v_head.delivery)
        AND (deferred.due, deferred.delivery) <= (v_due, v_delivery)
        AND pg_visible_in_snapshot(deferred.xid, v_snapshot)
    ),

    newly_seen AS MATERIALIZED (
        SELECT deferred.*
        FROM arvo.deferred
        WHERE (deferred.xid, deferred.delivery) >= (pg_snapshot_xmax(v_head.snapshot), 0)
        AND deferred.xid < pg_snapshot_xmax(v_snapshot)
        AND pg_visible_in_snapshot(deferred.xid, v_snapshot)
    ),

    late AS MATERIALIZED (
        SELECT entry.*
        FROM unnest(v_late) AS listed (xid)
        CROSS JOIN LATERAL (
            SELECT deferred.* FROM arvo.deferred WHERE deferred.xid = listed.xid
        ) AS entry
    ),

    due AS MATERIALIZED (
        SELECT newly_due.* FROM newly_due
        UNION ALL
        SELECT newly_seen.* FROM newly_seen
        WHERE (newly_seen.due, newly_seen.delivery) <= (v_head.due, v_head.delivery)
        UNION ALL
        SELECT late.* FROM late
        WHERE (late.due, late.delivery) <= (v_head.due, v_head.delivery)
    ),

    logged AS (
        INSERT INTO arvo.log (
            slot, lane, delivery, attempt, at, subject_key, event_key,
            origin_delivery, origin_lane, origin_xid, event, cause
        )
        SELECT
            arvo.slot(), due.lane, due.delivery, due.attempt, v_now, due.subject_key,
            due.event_key, due.origin_delivery, due.origin_lane, due.origin_xid, due.event,
            due.cause
        FROM due
        ORDER BY due.due, due.delivery
        RETURNING log.lane, log.delivery, log.cause
    ),

    dead_letters AS (
        UPDATE arvo.dead
        SET dead_letter_xid = pg_current_xact_id()
        FROM due
        WHERE dead.dead_letter_lane = due.lane
        AND dead.dead_letter_delivery = due.delivery
        AND dead.resolution IS NULL
    )

    SELECT
        count(*)::integer,
        array_agg(DISTINCT logged.lane),
        array_agg(
            (0, NULL, logged.delivery, queue.name, 'unroutable')::arvo_v1.dispatched
            ORDER BY logged.delivery
        ) FILTER (WHERE logged.cause IS NULL AND NOT queue.registered)
    INTO v_promoted, v_lanes, v_unroutable
    FROM logged
    INNER JOIN arvo.lane ON lane.lane = logged.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue;
    PERFORM arvo.notice_unroutable(v_unroutable);

    PERFORM arvo.wake(array_agg(queue.name))
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = ANY (v_lanes);

    INSERT INTO arvo.promotion (number, due, delivery, snapshot, promoted, at)
    VALUES (v_head.number + 1, v_due, v_delivery, v_snapshot, v_promoted, v_now);
    RETURN v_promoted;
END;
$promote$;

COMMENT ON FUNCTION arvo.promote(integer) IS
'Moves due deliveries from deferred into the log; returns how many.';

REVOKE ALL ON FUNCTION arvo.promote(integer) FROM PUBLIC;
--! end

--! function arvo.put_state
-- arvo.put_state(subject, data, expected_version, initiator, source) — optimistic write, without raising.
CREATE OR REPLACE FUNCTION arvo.put_state(
    p_subject text,
    p_data jsonb,
    p_expected_version bigint,
    p_initiator text,
    p_source text
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $put_state$
-- Stores p_data as version p_expected_version + 1 and returns that version; NULL when the stored
-- version is another one. After a first write (expected version 0) the caller places the subject in
-- the tree of workflows.
--
--   Reads    arvo.clock
--   Writes   arvo.state
--   Locks    arvo.state row of p_subject
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_digest bytea := arvo.subject_digest(p_subject);
    v_status text := coalesce(p_data ->> 'executionStatus', 'unknown');
    v_version bigint;
BEGIN
    IF p_expected_version > 0 THEN
        UPDATE arvo.state
        SET version = state.version + 1,
            data = p_data,
            execution_status = v_status,
            changed_at = v_now
        WHERE state.subject_digest = v_digest AND state.version = p_expected_version
        RETURNING state.version INTO v_version;
        RETURN v_version;
    END IF;

    INSERT INTO arvo.state (
        subject_digest, subject, version, data, execution_status, initiator, source,
        created_at, changed_at
    )
    VALUES (
        v_digest, p_subject, 1, p_data, v_status, p_initiator, p_source,
        v_now, v_now
    )
    ON CONFLICT (subject_digest) DO NOTHING
    RETURNING state.version INTO v_version;
    RETURN v_version;
END;
$put_state$;

COMMENT ON FUNCTION arvo.put_state(text, jsonb, bigint, text, text) IS
'Optimistic write of a state: the new version, or NULL when the stored version is another one.';

REVOKE ALL ON FUNCTION arvo.put_state(text, jsonb, bigint, text, text) FROM PUBLIC;
--! end

--! function arvo.read_results
-- arvo.read_results(results) — the results of a settlement as rows, malformed ones refused.
CREATE OR REPLACE FUNCTION arvo.read_results(p_results jsonb)
RETURNS SETOF arvo.result
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $read_results$
-- Nothing is cast before it has been looked at: a malformed item is refused (RV006) by itself, and
-- spoils no other. The form of an item is described in arvo_v1.settle.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
WITH item AS MATERIALIZED (
    SELECT
        listed.ordinal::integer AS ordinal,
        CASE
            WHEN given.lease ~ '^[0-9]{1,18}$' THEN given.lease::bigint
            ELSE arvo.as_bigint(listed.item -> 'lease')
        END AS lease,
        CASE
            WHEN given.delivery ~ '^[0-9]{1,18}$' THEN given.delivery::bigint
            ELSE arvo.as_bigint(listed.item -> 'delivery')
        END AS delivery,
        given.outcome AS asked,
        given.events,
        given.state,
        given.error,
        given.after,
        CASE WHEN given.run_time ~ '^[0-9]{1,10}$' THEN given.run_time::bigint END AS run_time
    FROM jsonb_array_elements(p_results) WITH ORDINALITY AS listed (item, ordinal)
    CROSS JOIN LATERAL jsonb_to_record(
        CASE WHEN jsonb_typeof(listed.item) = 'object' THEN listed.item ELSE '{}' END
    ) AS given (
        lease text, delivery text, outcome text, events jsonb, state jsonb, error jsonb,
        after jsonb, run_time text
    )
),

checked AS (
    SELECT
        item.*,
        CASE
            WHEN item.lease IS NULL THEN 'lease: must be a number'
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
        WHEN checked.run_time IS NOT NULL THEN least(checked.run_time, 2147483647)::integer
    END,
    NULL::integer,
    NULL::xid8,
    NULL::xid8,
    CASE WHEN checked.fault IS NOT NULL THEN 'refused' END,
    CASE WHEN checked.fault IS NOT NULL THEN 'RV006' END,
    checked.fault,
    NULL::bigint
FROM checked
ORDER BY checked.ordinal;
$read_results$;

COMMENT ON FUNCTION arvo.read_results(jsonb) IS
'The results of a settlement as rows; malformed ones are refused one by one.';

REVOKE ALL ON FUNCTION arvo.read_results(jsonb) FROM PUBLIC;
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
-- dump was restored there, deliveries would be passed over without a word.
--
--   Reads    arvo.origin, pg_control_system
--   Writes   nothing
--   Locks    nothing
--   Raises   RV902  the newest origin is another cluster
DECLARE
    v_here bigint := (SELECT control.system_identifier FROM pg_control_system() AS control);
    v_home bigint;
BEGIN
    SELECT origin.system_identifier INTO v_home
    FROM arvo.origin
    ORDER BY origin.number DESC
    LIMIT 1;
    IF v_home IS DISTINCT FROM v_here THEN
        RAISE EXCEPTION 'transaction numbers are of another cluster'
        USING ERRCODE = 'RV902',
              DETAIL = format('They are of cluster %s; this is %s.', v_home, v_here),
              HINT = 'After pg_upgrade, which keeps the numbers, call accept_cluster() as operator.'
                     ' After a dump was restored do not: what waits in its queues would be lost.';
    END IF;
END;
$require_home$;

COMMENT ON FUNCTION arvo.require_home() IS
'Raises RV902 unless the stored transaction numbers are of this cluster.';

REVOKE ALL ON FUNCTION arvo.require_home() FROM PUBLIC;
--! end

--! function arvo.require_read_committed
-- arvo.require_read_committed(function) — refuse to work on a stale view of the ledger.
CREATE OR REPLACE FUNCTION arvo.require_read_committed(p_function text)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $require_read_committed$
-- Claim, settle and extend take a lock and then read what its last holder wrote. Under REPEATABLE
-- READ or SERIALIZABLE they would read the ledger as it was before they waited.
--
--   Reads    the setting transaction_isolation
--   Writes   nothing
--   Locks    nothing
--   Raises   RV005  the transaction is not READ COMMITTED
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'transaction isolation level must be read committed'
        USING ERRCODE = 'RV005',
              DETAIL = format('%s was called under %s.',
                              p_function, current_setting('transaction_isolation')),
              HINT = 'Begin the transaction with ISOLATION LEVEL READ COMMITTED.';
    END IF;
END;
$require_read_committed$;

COMMENT ON FUNCTION arvo.require_read_committed(text) IS
'Raises RV005 unless the transaction is READ COMMITTED.';

REVOKE ALL ON FUNCTION arvo.require_read_committed(text) FROM PUBLIC;
--! end

--! function arvo.retry_delay
-- arvo.retry_delay(delay, backoff, max, attempt, chance) — how long to wait before the next attempt.
CREATE OR REPLACE FUNCTION arvo.retry_delay(
    p_delay interval,
    p_backoff boolean,
    p_max interval,
    p_attempt integer,
    p_chance double precision
)
RETURNS interval
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $retry_delay$
-- Without back-off: p_delay. With back-off, after attempt n failed:
--     max(p_delay, 1 s) × 2^(min(n, 16) - 1) × (1 + p_chance)     with p_chance in [0, 1)
-- and never more than p_max. It is the multiplicative form that pg-boss documents: attempt 1 waits
-- between once and twice the delay, attempt 2 between two and four times.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT CASE
           WHEN NOT p_backoff THEN p_delay
           ELSE least(
               greatest(p_delay, interval '1 second')
               * (power(2, least(greatest(p_attempt, 1), 16) - 1) * (1 + p_chance)),
               coalesce(p_max, interval '10 years')
           )
       END;
$retry_delay$;

COMMENT ON FUNCTION arvo.retry_delay(interval, boolean, interval, integer, double precision) IS
'Wait before the next attempt: fixed, or exponential with jitter and a cap.';

REVOKE ALL ON FUNCTION
arvo.retry_delay(interval, boolean, interval, integer, double precision) FROM PUBLIC;
--! end

--! function arvo.root_digest
-- arvo.root_digest(digest) — the root of the tree that a workflow belongs to.
CREATE OR REPLACE FUNCTION arvo.root_digest(p_digest bytea)
RETURNS bytea
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $root_digest$
-- Walks up, so it does not matter in which order parents and children were stored. A loop in the
-- parents (impossible by way of events, possible by hand) ends the walk. NULL when unknown.
--
--   Reads    arvo.lineage
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
WITH RECURSIVE ancestor AS (
    SELECT lineage.subject_digest, lineage.parent_digest, 0 AS height
    FROM arvo.lineage
    WHERE lineage.subject_digest = p_digest
    UNION ALL
    SELECT lineage.subject_digest, lineage.parent_digest, ancestor.height + 1
    FROM ancestor
    INNER JOIN arvo.lineage ON lineage.subject_digest = ancestor.parent_digest
) CYCLE subject_digest SET looped USING path

SELECT ancestor.subject_digest
FROM ancestor
WHERE NOT ancestor.looped
ORDER BY ancestor.height DESC
LIMIT 1;
$root_digest$;

COMMENT ON FUNCTION arvo.root_digest(bytea) IS
'Digest of the root of a workflow''s tree; NULL when the workflow is unknown.';

REVOKE ALL ON FUNCTION arvo.root_digest(bytea) FROM PUBLIC;
--! end

--! function arvo.slot
-- arvo.slot() — the generation slot that new rows are stamped with.
CREATE OR REPLACE FUNCTION arvo.slot()
RETURNS smallint
LANGUAGE sql
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
SELECT generation.slot
FROM arvo.generation
ORDER BY generation.number DESC
LIMIT 1;
$slot$;

COMMENT ON FUNCTION arvo.slot() IS
'Partition of log, lease and closure that is in use.';

REVOKE ALL ON FUNCTION arvo.slot() FROM PUBLIC;
--! end

--! function arvo.subject_digest
-- arvo.subject_digest(subject) — the key under which a subject of any length is stored.
CREATE OR REPLACE FUNCTION arvo.subject_digest(p_subject text)
RETURNS bytea
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $subject_digest$
-- A B-tree holds keys up to about 2,700 bytes; subjects have no limit of their own.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT sha256(convert_to(p_subject, 'UTF8'));
$subject_digest$;

COMMENT ON FUNCTION arvo.subject_digest(text) IS
'SHA-256 of a subject''s UTF-8 text.';

REVOKE ALL ON FUNCTION arvo.subject_digest(text) FROM PUBLIC;
--! end

--! function arvo.sweep
-- arvo.sweep(head, most) — take back what expired leases of a lane still hold.
CREATE OR REPLACE FUNCTION arvo.sweep(p_head arvo.lease, p_most integer)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $sweep$
-- p_head is the newest row of the lane; its caller holds the lane. Reads at most p_most rows of the
-- ledger, by their number: looking by expiry would walk every live lease behind the last expired
-- one. An expired lease that somebody is settling or extending at this moment is left to the next
-- sweep. Returns the new lower bound: no older row holds an open delivery.
--
--   Reads    arvo.lease, arvo.closure, arvo.clock
--   Writes   arvo.closure; as arvo.give_back
--   Locks    each expired lease, tried, never waited for
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_open_from bigint;
    v_blocked bigint;
    v_lease record;
    v_open bigint[];
BEGIN
    SELECT coalesce(max(expired.number), p_head.open_from - 1) + 1
    INTO v_open_from
    FROM arvo.lease AS expired
    WHERE expired.lane = p_head.lane
    AND expired.number >= p_head.open_from
    AND expired.number < p_head.open_from + p_most
    AND expired.expires_at <= v_now;

    FOR v_lease IN
        SELECT
            expired.number,
            expired.token,
            expired.deliveries,
            expired.low_xid,
            expired.high_xid
        FROM arvo.lease AS expired
        WHERE expired.lane = p_head.lane
        AND expired.number >= p_head.open_from
        AND expired.number < v_open_from
        AND expired.token <> 0
        AND (
            expired.carried
            OR cardinality(expired.deliveries) > (
                SELECT coalesce(sum(cardinality(closure.deliveries)), 0)
                FROM arvo.closure
                WHERE closure.token = expired.token
            )
        )
        ORDER BY expired.number
    LOOP
        IF NOT pg_try_advisory_xact_lock(arvo.lease_key(v_lease.token)) THEN
            v_blocked := coalesce(v_blocked, v_lease.number);
            CONTINUE;
        END IF;
        -- A heartbeat may have carried it forward since: then the newer row answers for it.
        CONTINUE WHEN EXISTS (
            SELECT
            FROM arvo.lease AS newer
            WHERE newer.token = v_lease.token AND newer.number > v_lease.number
        );
        -- Asked again under the lock: a settlement may have committed since.
        v_open := arvo.open_deliveries(v_lease.token, v_lease.deliveries);
        CONTINUE WHEN v_open = '{}';

        INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
        VALUES (
            arvo.slot(), v_lease.token, v_now, v_open, '{expired}',
            array_fill(NULL::integer, ARRAY[cardinality(v_open)])
        );
        PERFORM arvo.give_back(
            p_head.lane, v_lease.low_xid, v_lease.high_xid, expired.delivery, 'expired',
            jsonb_build_object(
                'name', 'LeaseExpired',
                'message', 'the worker did not report back before its lease expired',
                'stack', NULL
            )
        )
        FROM unnest(v_open) WITH ORDINALITY AS expired (delivery, ordinal)
        ORDER BY expired.ordinal;
    END LOOP;
    RETURN coalesce(v_blocked, v_open_from);
END;
$sweep$;

COMMENT ON FUNCTION arvo.sweep(arvo.lease, integer) IS
'Takes back the open deliveries of a lane''s expired leases; returns the new lower bound.';

REVOKE ALL ON FUNCTION arvo.sweep(arvo.lease, integer) FROM PUBLIC;
--! end

--! function arvo.wake
-- arvo.wake(queues) — tell sleeping workers that there is something to claim.
CREATE OR REPLACE FUNCTION arvo.wake(p_queues text[])
RETURNS void
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $wake$
-- One notification per queue and transaction, sent at its commit. It is a hint, never a message:
-- workers also poll.
--
--   Reads    nothing
--   Writes   nothing (the notification queue of the server)
--   Locks    nothing
--   Raises   nothing
SELECT pg_notify('arvo_wake', named.queue)
FROM (SELECT DISTINCT listed.queue FROM unnest(p_queues) AS listed (queue)) AS named;
$wake$;

COMMENT ON FUNCTION arvo.wake(text[]) IS
'Notifies the wake-up channel once per queue.';

REVOKE ALL ON FUNCTION arvo.wake(text[]) FROM PUBLIC;
--! end

--! function arvo.window_snapshot
-- arvo.window_snapshot() — the current snapshot, as a window of a lane may store it.
CREATE OR REPLACE FUNCTION arvo.window_snapshot()
RETURNS pg_snapshot
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $window_snapshot$
-- PostgreSQL leaves the caller's own transaction out of a snapshot's in-progress list. A stored
-- snapshot without it would call rows seen that this same transaction appends later (every work()
-- with emitted events does), and they would never be delivered. So it is listed here.
--
--   Reads    pg_current_snapshot
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_snapshot pg_snapshot := pg_current_snapshot();
    v_own xid8 := pg_current_xact_id_if_assigned();
BEGIN
    IF v_own IS NULL OR v_own >= pg_snapshot_xmax(v_snapshot) THEN
        RETURN v_snapshot;
    END IF;
    RETURN (
        SELECT (
            least(pg_snapshot_xmin(v_snapshot), v_own)::text
            || ':' || pg_snapshot_xmax(v_snapshot)::text
            || ':' || string_agg(open.xid::text, ',' ORDER BY open.xid)
        )::pg_snapshot
        FROM (
            SELECT listed.xid
            FROM pg_snapshot_xip(v_snapshot) AS listed (xid)
            UNION
            SELECT v_own
        ) AS open
    );
END;
$window_snapshot$;

COMMENT ON FUNCTION arvo.window_snapshot() IS
'The current snapshot with the caller''s own transaction in its in-progress list.';

REVOKE ALL ON FUNCTION arvo.window_snapshot() FROM PUBLIC;
--! end

--! function arvo.withdraw
-- arvo.withdraw(lane, token, batch) — close what was withdrawn before it could be claimed.
CREATE OR REPLACE FUNCTION arvo.withdraw(p_lane integer, p_token bigint, p_batch arvo.log[])
RETURNS arvo.log[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $withdraw$
-- Those of a freshly leased batch that have a tombstone are closed as cancelled under that lease,
-- and their tombstones are removed. Returns the others, in their order (unnest keeps it).
--
--   Reads    arvo.clock, arvo.slot
--   Writes   arvo.tombstone, arvo.closure
--   Locks    arvo.tombstone rows
--   Raises   nothing
DECLARE
    v_withdrawn bigint[];
BEGIN
    WITH met AS (
        DELETE FROM arvo.tombstone
        WHERE tombstone.lane = p_lane
        AND tombstone.delivery IN (SELECT entry.delivery FROM unnest(p_batch) AS entry)
        RETURNING tombstone.delivery
    )

    SELECT array_agg(met.delivery) INTO v_withdrawn FROM met;
    IF v_withdrawn IS NULL THEN
        RETURN p_batch;
    END IF;

    INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
    VALUES (
        arvo.slot(), p_token, arvo.clock(), v_withdrawn, '{cancelled}',
        array_fill(NULL::integer, ARRAY[cardinality(v_withdrawn)])
    );
    RETURN ARRAY(
        SELECT entry
        FROM unnest(p_batch) AS entry
        WHERE entry.delivery <> ALL (v_withdrawn)
    );
END;
$withdraw$;

COMMENT ON FUNCTION arvo.withdraw(integer, bigint, arvo.log[]) IS
'Closes withdrawn deliveries of a freshly leased batch; returns the others.';

REVOKE ALL ON FUNCTION arvo.withdraw(integer, bigint, arvo.log[]) FROM PUBLIC;
--! end

--! function arvo_v1.about
-- arvo_v1.about() — what is installed here.
CREATE OR REPLACE FUNCTION arvo_v1.about()
RETURNS arvo_v1.about
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $about$
-- A client asks once per connection and refuses a database that is too old or too new for it.
--
--   Reads    arvo.revision, pg_control_system
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    1,
    max(revision.number),
    max(revision.oldest_client),
    'arvo',
    (SELECT control.system_identifier::text FROM pg_control_system() AS control)
FROM arvo.revision;
$about$;

COMMENT ON FUNCTION arvo_v1.about() IS
'Contract version, newest migration, oldest client allowed, name and cluster of this installation.';

REVOKE ALL ON FUNCTION arvo_v1.about() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.about()
TO arvo_client, arvo_worker, arvo_operator, arvo_monitor;
--! end

--! function arvo_v1.accept_cluster
-- arvo_v1.accept_cluster() — go on in this cluster, which has kept the transaction numbers.
CREATE OR REPLACE FUNCTION arvo_v1.accept_cluster()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $accept_cluster$
-- For pg_upgrade, which keeps the numbers and changes the cluster's identity. True: accepted; false:
-- there was nothing to accept. Refused where the numbers cannot have been kept, because this cluster
-- has not reached them. It cannot tell every restored dump from an upgrade: that is the caller's word.
--
--   Reads    arvo.origin, arvo.lane, arvo.lease, arvo.promotion, pg_control_system
--   Writes   arvo.origin
--   Locks    nothing
--   Raises   RV902  this cluster has not reached the stored numbers
DECLARE
    v_here bigint := (SELECT control.system_identifier FROM pg_control_system() AS control);
    v_home bigint;
    v_reached xid8;
BEGIN
    SELECT origin.system_identifier INTO v_home
    FROM arvo.origin
    ORDER BY origin.number DESC
    LIMIT 1;
    IF v_home = v_here THEN
        RETURN false;
    END IF;
    SELECT max(known.xmax::text::bigint)::text::xid8 INTO v_reached
    FROM (
        SELECT pg_snapshot_xmax(head.snapshot) AS xmax
        FROM arvo.lane
        CROSS JOIN LATERAL (
            SELECT newest.snapshot
            FROM arvo.lease AS newest
            WHERE newest.lane = lane.lane
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS head
        UNION ALL
        SELECT pg_snapshot_xmax(promotion.snapshot) FROM arvo.promotion
    ) AS known;
    IF pg_snapshot_xmax(pg_current_snapshot()) < v_reached THEN
        RAISE EXCEPTION 'transaction numbers are of another cluster'
        USING ERRCODE = 'RV902',
              DETAIL = format('The rooms were read up to transaction %s; this cluster is at %s.',
                              v_reached, pg_snapshot_xmax(pg_current_snapshot())),
              HINT = 'This is a restored dump, not an upgraded cluster.';
    END IF;
    INSERT INTO arvo.origin (system_identifier) VALUES (v_here);
    RETURN true;
END;
$accept_cluster$;

COMMENT ON FUNCTION arvo_v1.accept_cluster() IS
'After pg_upgrade: says that this cluster has kept the transaction numbers, and work may go on.';

REVOKE ALL ON FUNCTION arvo_v1.accept_cluster() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.accept_cluster() TO arvo_operator;
--! end

--! function arvo_v1.acquire_lock
-- arvo_v1.acquire_lock(subject, ttl) — take the lock on a subject, if it is free.
CREATE OR REPLACE FUNCTION arvo_v1.acquire_lock(
    p_subject text,
    p_ttl interval DEFAULT interval '2 minutes'
)
RETURNS SETOF arvo_v1.lock
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $acquire_lock$
-- Answers one row with a fencing token, or none when somebody holds the lock. Never waits: an
-- upsert alone would wait for a competitor's open transaction, so a transaction lock is tried first;
-- and for whoever has the row in hand (a write under the lock, a renewal, a clean-up), so the row is
-- locked first, or left alone.
--
--   Reads    arvo.clock
--   Writes   arvo.state_lock
--   Locks    the subject's transaction lock and arvo.state_lock row: tried, never waited for
--   Raises   RV006  an argument is not valid
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
    PERFORM
    FROM arvo.state_lock
    WHERE state_lock.subject_digest = arvo.subject_digest(p_subject)
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND AND EXISTS (
        SELECT
        FROM arvo.state_lock
        WHERE state_lock.subject_digest = arvo.subject_digest(p_subject)
    ) THEN
        RETURN;
    END IF;
    RETURN QUERY
    INSERT INTO arvo.state_lock AS held (subject_digest, subject, token, locked_at, expires_at)
    VALUES (
        arvo.subject_digest(p_subject), p_subject, nextval('arvo.lock_token'::regclass),
        arvo.clock(), arvo.clock() + p_ttl
    )
    ON CONFLICT (subject_digest) DO UPDATE
    SET token = excluded.token,
        locked_at = excluded.locked_at,
        expires_at = excluded.expires_at
    WHERE held.expires_at <= excluded.locked_at
    RETURNING held.subject, held.token, held.expires_at;
END;
$acquire_lock$;

COMMENT ON FUNCTION arvo_v1.acquire_lock(text, interval) IS
'Takes the time-limited lock on a subject and returns its fencing token; no row when it is held.';

REVOKE ALL ON FUNCTION arvo_v1.acquire_lock(text, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.acquire_lock(text, interval) TO arvo_worker;
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
-- past 32 lanes, one with nothing to do is not locked, and a call takes from at most 512 more.
-- Within a lane leases lapse in the order in which they were taken, so the longest p_lease that
-- anybody asks for bounds how soon the next crash is noticed there; that is why it is short. In a
-- transaction of several calls settle and extend come before claim: leases are locked before lanes.
--
--   Reads    arvo.queue, arvo.lane; as arvo.is_worth_claiming and
--            arvo.claim_lane
--   Writes   as arvo.promote and arvo.claim_lane
--   Locks    the promoter's lock, each lane: tried, never waited for
--   Raises   RV003  a queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV006  an argument is not valid
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_start integer := floor(random() * 1000000000)::integer;
    v_lane record;
    v_left integer := p_limit;
    v_quota integer[] := p_limits;
    v_want integer;
    v_got integer;
    v_locked integer := 0;
    v_unknown text;
    v_argument text;
BEGIN
    PERFORM arvo.require_read_committed('claim');
    PERFORM arvo.require_home();
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

    PERFORM arvo.promote();

    FOR v_lane IN
        SELECT lane.lane, asked.position
        FROM unnest(p_queues) WITH ORDINALITY AS asked (name, position)
        CROSS JOIN LATERAL (
            SELECT queue.queue, queue.name
            FROM arvo.queue
            WHERE queue.name = asked.name
            UNION ALL
            SELECT queue.queue, queue.name
            FROM arvo.queue
            WHERE asked.name LIKE '%*' AND starts_with(queue.name, left(asked.name, -1))
        ) AS named
        INNER JOIN arvo.lane ON lane.queue = named.queue
        ORDER BY
            (asked.position + v_start) % cardinality(p_queues),
            lane.priority DESC,
            hashint4extended(lane.lane, v_start)
    LOOP
        EXIT WHEN v_left <= 0;
        v_want := least(v_left, v_quota[v_lane.position]);
        CONTINUE WHEN v_want <= 0;
        EXIT WHEN v_locked >= 544;
        CONTINUE WHEN v_locked >= 32 AND NOT arvo.is_worth_claiming(v_lane.lane);
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_lane.lane);
        v_locked := v_locked + 1;
        RETURN QUERY
        SELECT leased.*
        FROM arvo.claim_lane(v_lane.lane, v_want, left(p_worker, 200), p_lease) AS leased;
        GET DIAGNOSTICS v_got = ROW_COUNT;
        v_left := v_left - v_got;
        v_quota[v_lane.position] := v_quota[v_lane.position] - v_got;
    END LOOP;
END;
$claim$;

COMMENT ON FUNCTION arvo_v1.claim(text[], integer, text, integer[], interval) IS
'Leases deliveries of the named queues, after healing what is due or expired.';

REVOKE ALL ON FUNCTION arvo_v1.claim(text[], integer, text, integer[], interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.claim(text[], integer, text, integer[], interval)
TO arvo_worker;
--! end

--! function arvo_v1.cleanup_state
-- arvo_v1.cleanup_state(subject) — forget one workflow.
CREATE OR REPLACE FUNCTION arvo_v1.cleanup_state(p_subject text)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $cleanup_state$
-- Removes the state, the lock and, unless other workflows descend from it, the place in the tree.
-- Children are not touched and keep their root. Idempotent: true when there was a state.
--
--   Reads    arvo.lineage
--   Writes   arvo.state, arvo.state_lock, arvo.lineage
--   Locks    the subject's transaction lock, then arvo.state_lock row, arvo.state row, arvo.lineage
--            row of p_subject
--   Raises   nothing
DECLARE
    v_digest bytea := arvo.subject_digest(p_subject);
    v_found boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(arvo.lock_key(p_subject));
    DELETE FROM arvo.state_lock WHERE state_lock.subject_digest = v_digest;
    DELETE FROM arvo.state WHERE state.subject_digest = v_digest;
    v_found := FOUND;
    DELETE FROM arvo.lineage
    WHERE lineage.subject_digest = v_digest
    AND NOT EXISTS (
        SELECT FROM arvo.lineage AS child WHERE child.parent_digest = v_digest
    );
    RETURN v_found;
END;
$cleanup_state$;

COMMENT ON FUNCTION arvo_v1.cleanup_state(text) IS
'Forgets the state and lock of one subject; true when it had a state.';

REVOKE ALL ON FUNCTION arvo_v1.cleanup_state(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.cleanup_state(text) TO arvo_worker, arvo_operator;
--! end

--! function arvo_v1.dead_letters
-- arvo_v1.dead_letters(queue, after, limit, resolved) — list what failed for good.
CREATE OR REPLACE FUNCTION arvo_v1.dead_letters(
    p_queue text DEFAULT NULL,
    p_after bigint DEFAULT 0,
    p_limit integer DEFAULT 100,
    p_resolved boolean DEFAULT false
)
RETURNS SETOF arvo_v1.dead_letter
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $dead_letters$
-- p_queue names the queue they failed in, or the dead-letter queue that received them. In the order
-- of their numbers; p_after is the last number of the page before.
--
--   Reads    arvo.dead
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    dead.dead,
    dead.delivery,
    dead.queue,
    dead.dead_letter,
    dead.event_id,
    dead.event,
    dead.attempts,
    dead.reason,
    dead.error,
    dead.died_at,
    dead.redrives,
    dead.resolution
FROM arvo.dead
WHERE (p_queue IS NULL OR dead.queue = p_queue OR dead.dead_letter = p_queue)
AND dead.dead > p_after
AND (p_resolved OR dead.resolution IS NULL)
ORDER BY dead.dead
LIMIT p_limit;
$dead_letters$;

COMMENT ON FUNCTION arvo_v1.dead_letters(text, bigint, integer, boolean) IS
'Dead letters of a queue, or that a dead-letter queue received, page by page.';

REVOKE ALL ON FUNCTION arvo_v1.dead_letters(text, bigint, integer, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.dead_letters(text, bigint, integer, boolean) TO arvo_operator;
--! end

--! function arvo_v1.dispatch
-- arvo_v1.dispatch(event, start_after, priority, ignore_domain) — accept one event in the caller's transaction.
CREATE OR REPLACE FUNCTION arvo_v1.dispatch(
    p_event jsonb,
    p_start_after interval DEFAULT NULL,
    p_priority integer DEFAULT NULL,
    p_ignore_domain boolean DEFAULT false
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
-- queue nobody has registered waits there: outcome unroutable.
--
--   Reads    as arvo.append
--   Writes   as arvo.append
--   Locks    as arvo.append
--   Raises   RV001  the event is not valid
--            RV002  the queue has too many priorities
--            RV006  start_after is too long
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
    SELECT accepted.* INTO STRICT v_dispatched
    FROM arvo.append(ARRAY[p_event], p_start_after, p_priority, p_ignore_domain) AS accepted;
    RETURN v_dispatched;
END;
$dispatch$;

COMMENT ON FUNCTION arvo_v1.dispatch(jsonb, interval, integer, boolean) IS
'Accepts one event in the caller''s transaction and says where it went.';

REVOKE ALL ON FUNCTION arvo_v1.dispatch(jsonb, interval, integer, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.dispatch(jsonb, interval, integer, boolean)
TO arvo_client, arvo_worker, arvo_operator;
--! end

--! function arvo_v1.dispatch_many
-- arvo_v1.dispatch_many(events, start_after, priority, ignore_domain) — accept an array of events, in order.
CREATE OR REPLACE FUNCTION arvo_v1.dispatch_many(
    p_events jsonb,
    p_start_after interval DEFAULT NULL,
    p_priority integer DEFAULT NULL,
    p_ignore_domain boolean DEFAULT false
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
--   Reads    as arvo.append
--   Writes   as arvo.append
--   Locks    as arvo.append
--   Raises   RV001  an event is not valid
--            RV002  a queue has too many priorities
--            RV006  p_events is not an array, or start_after is too long
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
    RETURN QUERY
    SELECT accepted.*
    FROM arvo.append(v_events, p_start_after, p_priority, p_ignore_domain) AS accepted;
END;
$dispatch_many$;

COMMENT ON FUNCTION arvo_v1.dispatch_many(jsonb, interval, integer, boolean) IS
'Accepts an array of events in order, all or none, and says where each went.';

REVOKE ALL ON FUNCTION arvo_v1.dispatch_many(jsonb, interval, integer, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.dispatch_many(jsonb, interval, integer, boolean)
TO arvo_client, arvo_worker, arvo_operator;
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
-- bounded tail. A lease that is unknown, taken back, or has nothing open is answered held = false.
--
--   Reads    arvo.lease and arvo.closure by token, arvo.clock, arvo.slot
--   Writes   arvo.lease
--   Locks    the leases, in order of their tokens; then their lanes, in order
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  an argument is not valid
--            55P03  somebody has held a lock for two seconds: call again
DECLARE
    v_now timestamptz := arvo.clock();
    v_held record;
    v_head arvo.lease;
    v_lost bigint[];
BEGIN
    PERFORM arvo.require_read_committed('extend');
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
                lease.deliveries
            FROM arvo.lease
            WHERE lease.token = named.lease AND lease.token <> 0
            ORDER BY lease.number DESC
            LIMIT 1
        ) AS newest
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
            exhausted, open_from, sweep_at
        )
        VALUES (
            arvo.slot(), v_head.lane, v_head.number + 1, v_held.token, v_held.worker, v_now,
            greatest(v_now + p_for, v_head.expires_at), true, v_held.open,
            v_held.low_xid, v_held.high_xid, v_head.previous_snapshot, v_head.snapshot,
            v_head.last_xid, v_head.last_delivery,
            v_head.exhausted, v_head.open_from,
            least(v_head.sweep_at, greatest(v_now + p_for, v_head.expires_at))
        );
        v_lost := array_remove(v_lost, v_held.token);
        RETURN NEXT (
            v_held.token, true, greatest(v_now + p_for, v_head.expires_at)
        )::arvo_v1.extended;
    END LOOP;

    RETURN QUERY
    SELECT DISTINCT listed.lease, false, NULL::timestamptz
    FROM unnest(v_lost) AS listed (lease)
    WHERE listed.lease IS NOT NULL;
END;
$extend$;

COMMENT ON FUNCTION arvo_v1.extend(bigint[], interval) IS
'Heartbeat: carries leases forward and tells which are lost.';

REVOKE ALL ON FUNCTION arvo_v1.extend(bigint[], interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.extend(bigint[], interval) TO arvo_worker;
--! end

--! function arvo_v1.lineage
-- arvo_v1.lineage(subject) — the whole tree that a workflow belongs to.
CREATE OR REPLACE FUNCTION arvo_v1.lineage(p_subject text)
RETURNS SETOF arvo_v1.kin
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $lineage$
-- From the root down, parents before children. No row when the subject is unknown.
--
--   Reads    arvo.lineage, arvo.state
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
WITH RECURSIVE kin AS (
    SELECT
        lineage.subject_digest, lineage.subject, NULL::text AS parent_subject, 0 AS depth,
        lineage.created_at
    FROM arvo.lineage
    WHERE lineage.subject_digest = arvo.root_digest(arvo.subject_digest(p_subject))
    UNION ALL
    SELECT
        lineage.subject_digest, lineage.subject, kin.subject, kin.depth + 1,
        lineage.created_at
    FROM kin
    INNER JOIN arvo.lineage ON lineage.parent_digest = kin.subject_digest
) CYCLE subject_digest SET looped USING path

SELECT kin.subject, kin.parent_subject, kin.depth, state.execution_status, kin.created_at
FROM kin
LEFT JOIN arvo.state ON state.subject_digest = kin.subject_digest
WHERE NOT kin.looped
ORDER BY kin.depth, kin.created_at, kin.subject COLLATE "C";
$lineage$;

COMMENT ON FUNCTION arvo_v1.lineage(text) IS
'The tree of workflows that a subject belongs to, from the root down.';

REVOKE ALL ON FUNCTION arvo_v1.lineage(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.lineage(text) TO arvo_worker, arvo_monitor, arvo_operator;
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
-- Any number of sessions may call it; one at a time works, the others return at once. Promotes due
-- deliveries, takes back expired leases also in lanes that nobody claims from, sweeps away promoted
-- rows and old cursors, removes lapsed locks. Bounded: at most some thousand rows of each a call.
--
--   Reads    arvo.lane, arvo.lease, arvo.promotion, arvo.clock
--   Writes   as arvo.promote and arvo.sweep; arvo.lease, arvo.deferred, arvo.promotion,
--            arvo.state_lock
--   Locks    the maintainer's lock, the promoter's lock, each lane: tried, never waited for
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_now timestamptz := arvo.clock();
    v_lane integer;
    v_head arvo.lease;
    v_open_from bigint;
    v_sweep_at timestamptz;
    v_healed bigint := 0::bigint;
    v_count bigint;
    v_passed arvo.promotion;
BEGIN
    PERFORM arvo.require_read_committed('maintain');
    PERFORM arvo.require_home();
    IF NOT pg_try_advisory_xact_lock(hashtext('arvo'), -1) THEN
        RETURN;
    END IF;

    RETURN NEXT ('promoted', arvo.promote(5000))::arvo_v1.maintained;

    -- Only lanes where something can have lapsed are locked, and not many at a time: they are held
    -- until the end of the transaction.
    FOR v_lane IN
        SELECT lane.lane
        FROM arvo.lane
        CROSS JOIN LATERAL (
            SELECT newest.sweep_at
            FROM arvo.lease AS newest
            WHERE newest.lane = lane.lane
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS head
        WHERE head.sweep_at <= v_now
        ORDER BY head.sweep_at
        LIMIT 32
    LOOP
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_lane);
        SELECT head.* INTO STRICT v_head
        FROM arvo.lease AS head
        WHERE head.lane = v_lane
        ORDER BY head.number DESC
        LIMIT 1;
        CONTINUE WHEN v_head.sweep_at > v_now;
        v_open_from := arvo.sweep(v_head, 4096);
        CONTINUE WHEN v_open_from = v_head.open_from;
        v_healed := v_healed + (v_open_from - v_head.open_from);
        SELECT oldest.expires_at INTO v_sweep_at
        FROM arvo.lease AS oldest
        WHERE oldest.lane = v_lane AND oldest.number = v_open_from;
        INSERT INTO arvo.lease (
            slot, lane, number, token, leased_at, expires_at, deliveries,
            previous_snapshot, snapshot, last_xid, last_delivery, exhausted,
            open_from, sweep_at
        )
        VALUES (
            arvo.slot(), v_lane, v_head.number + 1, 0, v_now, v_head.expires_at, '{}',
            v_head.previous_snapshot, v_head.snapshot, v_head.last_xid, v_head.last_delivery,
            v_head.exhausted, v_open_from, coalesce(v_sweep_at, 'infinity')
        );
    END LOOP;
    RETURN NEXT ('healed', v_healed)::arvo_v1.maintained;

    SELECT head.* INTO STRICT v_passed
    FROM arvo.promotion AS head
    ORDER BY head.number DESC
    LIMIT 1;
    DELETE FROM arvo.deferred
    WHERE deferred.delivery IN (
        SELECT gone.delivery
        FROM arvo.deferred AS gone
        WHERE (gone.due, gone.delivery) <= (v_passed.due, v_passed.delivery)
        AND pg_visible_in_snapshot(gone.xid, v_passed.snapshot)
        ORDER BY gone.due, gone.delivery
        LIMIT 5000
    );
    GET DIAGNOSTICS v_count = ROW_COUNT;
    DELETE FROM arvo.promotion WHERE promotion.number < v_passed.number;
    RETURN NEXT ('swept', v_count)::arvo_v1.maintained;

    DELETE FROM arvo.state_lock
    WHERE state_lock.subject_digest IN (
        SELECT lapsed.subject_digest
        FROM arvo.state_lock AS lapsed
        WHERE lapsed.expires_at <= v_now - interval '1 hour'
        LIMIT 5000
        FOR UPDATE SKIP LOCKED
    );
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN NEXT ('unlocked', v_count)::arvo_v1.maintained;
END;
$maintain$;

COMMENT ON FUNCTION arvo_v1.maintain() IS
'Promotes, heals and sweeps what claims do not reach; any number of sessions may call it.';

REVOKE ALL ON FUNCTION arvo_v1.maintain() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.maintain() TO arvo_worker, arvo_operator;
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
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $queue_stats$
-- Counts exactly: by index, from each lane's cursor on, so the cost grows with what is waiting, not
-- with history. What has been withdrawn does not wait. An empty queue has zeros; an unknown one has
-- no row.
--
--   Reads    arvo.queue, arvo.lane, arvo.lease, arvo.log, arvo.closure, arvo.deferred,
--            arvo.promotion, arvo.tombstone, arvo.dead
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
    (
        SELECT count(*)
        FROM arvo.lane
        CROSS JOIN (
            SELECT head.due, head.delivery, head.snapshot
            FROM arvo.promotion AS head
            ORDER BY head.number DESC
            LIMIT 1
        ) AS passed
        INNER JOIN arvo.deferred ON deferred.lane = lane.lane
        WHERE lane.queue = queue.queue
        AND NOT (
            (deferred.due, deferred.delivery) <= (passed.due, passed.delivery)
            AND pg_visible_in_snapshot(deferred.xid, passed.snapshot)
        )
    ),
    ready.deliveries,
    (
        SELECT coalesce(sum(cardinality(arvo.open_deliveries(held.token, held.deliveries))), 0)
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
        WHERE lane.queue = queue.queue
        AND NOT EXISTS (
            SELECT
            FROM arvo.lease AS newer
            WHERE newer.token = held.token AND newer.number > held.number
        )
    )::bigint,
    (
        SELECT count(*)
        FROM arvo.dead
        WHERE dead.queue = queue.name AND dead.resolution IS NULL
    ),
    ready.oldest,
    queue.created_at,
    queue.changed_at
FROM arvo.queue
CROSS JOIN LATERAL (
    SELECT count(entry.delivery) AS deliveries, min(entry.at) AS oldest
    FROM arvo.lane
    CROSS JOIN LATERAL (
        SELECT newest.*
        FROM arvo.lease AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS head
    INNER JOIN arvo.log AS entry
        ON entry.lane = lane.lane
        AND (entry.xid, entry.delivery) >= (pg_snapshot_xmin(head.previous_snapshot), 0)
        AND NOT pg_visible_in_snapshot(entry.xid, head.previous_snapshot)
        AND NOT (
            pg_visible_in_snapshot(entry.xid, head.snapshot)
            AND (
                head.exhausted
                OR (entry.xid, entry.delivery) <= (head.last_xid, head.last_delivery)
            )
        )
    WHERE lane.queue = queue.queue
    AND NOT EXISTS (
        SELECT
        FROM arvo.tombstone
        WHERE tombstone.lane = lane.lane AND tombstone.delivery = entry.delivery
    )
) AS ready
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
-- No row when the subject has no state.
--
--   Reads    arvo.state, arvo.lineage
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    state.subject,
    state.version,
    state.data,
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

--! function arvo_v1.redrive
-- arvo_v1.redrive(queue, dead, limit, dry_run) — put dead letters back into the queues they failed in.
CREATE OR REPLACE FUNCTION arvo_v1.redrive(
    p_queue text DEFAULT NULL,
    p_dead bigint[] DEFAULT NULL,
    p_limit integer DEFAULT 100,
    p_dry_run boolean DEFAULT false
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
-- By number, by queue (the one they failed in, or the dead-letter queue that received them), or
-- both; oldest first. The event starts again with attempt 1. Its delivery in the dead-letter queue is
-- withdrawn; one that a consumer of that queue has in its hands, or has put off, is left alone. A dry run answers
-- what would be done.
--
--   Reads    arvo.dead, arvo.lease, arvo.clock, arvo.slot
--   Writes   arvo.dead, arvo.tombstone, arvo.log; arvo.queue, arvo.lane when they are missing
--   Locks    lanes of dead-letter queues, in order; then arvo.dead rows (those that somebody else
--            holds are skipped): whoever holds a lane may wait for such a row
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  neither queue nor dead is given
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_now timestamptz := arvo.clock();
    v_dead arvo.dead;
    v_head arvo.lease;
    v_lane integer;
    v_delivery bigint;
    v_left integer := p_limit;
BEGIN
    PERFORM arvo.require_read_committed('redrive');
    PERFORM arvo.require_home();
    IF p_queue IS NULL AND p_dead IS NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'queue',
              DETAIL = 'Neither queue nor dead is given.',
              HINT = 'Name a queue, or the numbers of dead letters.';
    END IF;

    PERFORM pg_advisory_xact_lock(hashtext('arvo'), received.lane)
    FROM (
        SELECT DISTINCT dead.dead_letter_lane AS lane
        FROM arvo.dead
        WHERE dead.resolution IS NULL
        AND dead.dead_letter_lane IS NOT NULL
        AND (p_queue IS NULL OR dead.queue = p_queue OR dead.dead_letter = p_queue)
        AND (p_dead IS NULL OR dead.dead = ANY (p_dead))
        ORDER BY dead.dead_letter_lane
    ) AS received;

    FOR v_dead IN
        SELECT dead.*
        FROM arvo.dead
        WHERE dead.resolution IS NULL
        AND (p_queue IS NULL OR dead.queue = p_queue OR dead.dead_letter = p_queue)
        AND (p_dead IS NULL OR dead.dead = ANY (p_dead))
        ORDER BY dead.dead_letter_lane NULLS FIRST, dead.dead
        FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        EXIT WHEN v_left <= 0;
        IF v_dead.dead_letter_lane IS NOT NULL THEN
            -- A lane that came up since the locks were taken is left to the next call.
            CONTINUE WHEN NOT pg_try_advisory_xact_lock(
                hashtext('arvo'), v_dead.dead_letter_lane
            );
            SELECT head.* INTO STRICT v_head
            FROM arvo.lease AS head
            WHERE head.lane = v_dead.dead_letter_lane
            ORDER BY head.number DESC
            LIMIT 1;
            CONTINUE WHEN v_dead.dead_letter_xid IS NULL OR NOT arvo.is_unclaimed(
                v_head, v_dead.dead_letter_xid, v_dead.dead_letter_delivery
            );
        END IF;
        v_left := v_left - 1;
        v_delivery := NULL;
        IF NOT p_dry_run THEN
            IF v_dead.dead_letter_lane IS NOT NULL THEN
                INSERT INTO arvo.tombstone (lane, delivery, at)
                VALUES (v_dead.dead_letter_lane, v_dead.dead_letter_delivery, v_now);
            END IF;
            v_lane := arvo.lane_for(v_dead.queue);
            v_delivery := nextval('arvo.delivery_number'::regclass);
            INSERT INTO arvo.log (
                slot, lane, delivery, attempt, at, subject_key, event_key, event, cause
            )
            VALUES (
                arvo.slot(), v_lane, v_delivery, 1, v_now, v_dead.subject_key, v_dead.event_key,
                v_dead.event,
                jsonb_build_object(
                    'outcome', 'redriven',
                    'dead', v_dead.dead,
                    'delivery', v_dead.delivery,
                    'error', v_dead.error,
                    'redrives', v_dead.redrives + 1
                )
            );
            UPDATE arvo.dead
            SET resolution = 'redriven', resolved_at = v_now, resolved_by = session_user
            WHERE dead.dead = v_dead.dead;
            PERFORM arvo.wake(ARRAY[v_dead.queue]);
        END IF;
        RETURN NEXT (
            v_dead.dead, v_dead.event_id, v_delivery, v_dead.queue
        )::arvo_v1.redriven;
    END LOOP;
END;
$redrive$;

COMMENT ON FUNCTION arvo_v1.redrive(text, bigint[], integer, boolean) IS
'Puts dead letters back into the queues they failed in, by number or by queue.';

REVOKE ALL ON FUNCTION arvo_v1.redrive(text, bigint[], integer, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.redrive(text, bigint[], integer, boolean) TO arvo_operator;
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
    p_warning_queue_size integer DEFAULT NULL
)
RETURNS arvo_v1.queue
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $register_queue$
-- An option left NULL stays as it is, or takes its default in a new queue. The answer's "change"
-- says what this call did: created, unchanged, or the options that changed ("registered" is among
-- them when events were already waiting under that name). A dead-letter queue that does not exist is made. Events that arrived before
-- the registration are delivered from now on.
--
--   Reads    arvo.clock
--   Writes   arvo.queue, arvo.lane
--   Locks    arvo.queue row of p_queue
--   Raises   RV002  an option is not valid
DECLARE
    v_now timestamptz := arvo.clock();
    v_known boolean;
    v_before arvo.queue;
    v_after arvo.queue;
    v_option text;
    v_rule text;
    v_change text;
BEGIN
    SELECT faulty.option, faulty.rule INTO v_option, v_rule
    FROM (
        VALUES
        (1, 'queue', arvo.is_queue_name(p_queue),
         'use 1 to 512 characters of a URI, without quotes'),
        (2, 'queue', NOT starts_with(p_queue, 'arvo.domain.') OR p_queue ~ '^arvo\.domain\.[a-z0-9.]+$',
         'after arvo.domain. use lower-case letters, digits and dots'),
        (3, 'retry_limit', p_retry_limit >= 0, 'use 0 or more'),
        -- Without a bound, a retry would be due behind the end of time, and fail with its whole batch.
        (4, 'retry_delay', p_retry_delay BETWEEN interval '0' AND interval '3650 days',
         'use between 0 and 3650 days'),
        (5, 'retry_delay_max', p_retry_delay_max BETWEEN interval '0' AND interval '3650 days',
         'use between 0 and 3650 days'),
        (6, 'expire_in', p_expire_in BETWEEN interval '1 second' AND interval '1 day',
         'use between 1 second and 1 day'),
        (7, 'dead_letter', p_dead_letter IS NULL OR arvo.is_queue_name(p_dead_letter),
         'use 1 to 512 characters of a URI, without quotes'),
        (8, 'dead_letter', p_dead_letter <> p_queue, 'name another queue'),
        (9, 'warning_queue_size', p_warning_queue_size >= 1, 'use 1 or more')
    ) AS faulty (ordinal, option, kept, rule)
    WHERE NOT faulty.kept
    ORDER BY faulty.ordinal
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'option is not valid'
        USING ERRCODE = 'RV002',
              COLUMN = v_option,
              DETAIL = format('option %s of queue %s', v_option, left(to_json(p_queue)::text, 80)),
              HINT = format('For %s, %s.', v_option, v_rule);
    END IF;

    v_known := EXISTS (SELECT FROM arvo.queue WHERE queue.name = p_queue);
    PERFORM arvo.lane_for(p_queue);
    IF p_dead_letter IS NOT NULL THEN
        PERFORM arvo.lane_for(p_dead_letter);
    END IF;

    SELECT queue.* INTO STRICT v_before
    FROM arvo.queue
    WHERE queue.name = p_queue
    FOR NO KEY UPDATE;

    UPDATE arvo.queue
    SET registered = true,
        stateful = coalesce(p_stateful, queue.stateful),
        priority = coalesce(p_priority, queue.priority),
        retry_limit = coalesce(p_retry_limit, queue.retry_limit),
        retry_delay = coalesce(p_retry_delay, queue.retry_delay),
        retry_backoff = coalesce(p_retry_backoff, queue.retry_backoff),
        retry_delay_max = coalesce(p_retry_delay_max, queue.retry_delay_max),
        expire_in = coalesce(p_expire_in, queue.expire_in),
        dead_letter = coalesce(p_dead_letter, queue.dead_letter),
        warning_queue_size = coalesce(p_warning_queue_size, queue.warning_queue_size)
    WHERE queue.queue = v_before.queue
    RETURNING queue.* INTO v_after;
    PERFORM arvo.lane_for(p_queue);

    SELECT string_agg(was.key, ', ' ORDER BY was.key) INTO v_change
    FROM jsonb_each(to_jsonb(v_before)) AS was
    INNER JOIN jsonb_each(to_jsonb(v_after)) AS now ON now.key = was.key
    WHERE was.value IS DISTINCT FROM now.value;
    v_change := CASE WHEN v_known THEN coalesce(v_change, 'unchanged') ELSE 'created' END;
    IF v_change <> 'unchanged' THEN
        UPDATE arvo.queue SET changed_at = v_now WHERE queue.queue = v_before.queue;
        PERFORM arvo.wake(ARRAY[p_queue]);
    END IF;

    RETURN (
        v_after.name, v_change, v_after.registered, v_after.stateful, v_after.priority,
        v_after.retry_limit, v_after.retry_delay, v_after.retry_backoff, v_after.retry_delay_max,
        v_after.expire_in, v_after.dead_letter, v_after.warning_queue_size
    )::arvo_v1.queue;
END;
$register_queue$;

COMMENT ON FUNCTION arvo_v1.register_queue(
    text, boolean, integer, integer, interval, boolean, interval, interval, text, integer
) IS
'Creates or updates a queue, idempotently; an option left NULL stays as it is. Says what changed.';

REVOKE ALL ON FUNCTION arvo_v1.register_queue(
    text, boolean, integer, integer, interval, boolean, interval, interval, text, integer
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.register_queue(
    text, boolean, integer, integer, interval, boolean, interval, interval, text, integer
) TO arvo_worker, arvo_operator;
--! end

--! function arvo_v1.release_lock
-- arvo_v1.release_lock(subject, token) — give a lock back.
CREATE OR REPLACE FUNCTION arvo_v1.release_lock(p_subject text, p_token bigint)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $release_lock$
-- Removes only the lock that was taken under this token; a stale token removes nothing and is
-- answered false. The subject's transaction lock keeps acquire_lock from waiting for this delete.
--
--   Reads    nothing
--   Writes   arvo.state_lock
--   Locks    the subject's transaction lock, then arvo.state_lock row
--   Raises   nothing
BEGIN
    PERFORM pg_advisory_xact_lock(arvo.lock_key(p_subject));
    DELETE FROM arvo.state_lock
    WHERE state_lock.subject_digest = arvo.subject_digest(p_subject)
    AND state_lock.token = p_token;
    RETURN FOUND;
END;
$release_lock$;

COMMENT ON FUNCTION arvo_v1.release_lock(text, bigint) IS
'Releases the lock held under this token; false when it is not held under it.';

REVOKE ALL ON FUNCTION arvo_v1.release_lock(text, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.release_lock(text, bigint) TO arvo_worker;
--! end

--! function arvo_v1.renew_lock
-- arvo_v1.renew_lock(subject, token, ttl) — keep a lock that is held.
CREATE OR REPLACE FUNCTION arvo_v1.renew_lock(
    p_subject text,
    p_token bigint,
    p_ttl interval DEFAULT interval '2 minutes'
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $renew_lock$
-- True: the lock is held until p_ttl from now. False: it is another's, lapsed or gone, and nothing
-- has changed.
--
--   Reads    arvo.clock
--   Writes   arvo.state_lock
--   Locks    arvo.state_lock row of p_subject
--   Raises   RV006  an argument is not valid
BEGIN
    IF p_ttl IS NULL OR p_ttl NOT BETWEEN interval '1 millisecond' AND interval '30 days' THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'ttl',
              DETAIL = format('ttl: %s', p_ttl),
              HINT = 'ttl is 1 millisecond to 30 days.';
    END IF;
    UPDATE arvo.state_lock
    SET expires_at = arvo.clock() + p_ttl
    WHERE state_lock.subject_digest = arvo.subject_digest(p_subject)
    AND state_lock.token = p_token
    AND state_lock.expires_at > arvo.clock();
    RETURN FOUND;
END;
$renew_lock$;

COMMENT ON FUNCTION arvo_v1.renew_lock(text, bigint, interval) IS
'Extends a lock that is still held under this token; false when it is not.';

REVOKE ALL ON FUNCTION arvo_v1.renew_lock(text, bigint, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.renew_lock(text, bigint, interval) TO arvo_worker;
--! end

--! function arvo_v1.root_subject
-- arvo_v1.root_subject(subject) — the root of the tree that a workflow belongs to.
CREATE OR REPLACE FUNCTION arvo_v1.root_subject(p_subject text)
RETURNS text
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $root_subject$
-- A root is its own root. NULL when the subject is unknown.
--
--   Reads    arvo.lineage
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT lineage.subject
FROM arvo.lineage
WHERE lineage.subject_digest = arvo.root_digest(arvo.subject_digest(p_subject));
$root_subject$;

COMMENT ON FUNCTION arvo_v1.root_subject(text) IS
'Subject of the root of a workflow''s tree; NULL when the workflow is unknown.';

REVOKE ALL ON FUNCTION arvo_v1.root_subject(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.root_subject(text) TO arvo_worker, arvo_monitor, arvo_operator;
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
-- Each item gets its own verdict; a refused one changes nothing and spoils no other:
--
--   RV001  an emitted event is not valid           RV006  the item is malformed
--   RV101  the state had moved on: the delivery goes back at once, uncharged
--   RV301  the lease is not, or no longer, the caller's
--
-- An item settled before under the same lease is answered "already" (not accepted, with code RV101,
-- if it ended in a conflict then). States, emitted events,
-- retries, dead letters and the journal are written together.
--
--   Reads    arvo.lease and arvo.closure by token, arvo.clock, arvo.slot
--   Writes   arvo.state, arvo.lineage, arvo.closure, arvo.dead; as arvo.append and arvo.give_back
--   Locks    the leases, in order of their tokens; then arvo.state rows, in order of subject; then
--            as arvo.place, arvo.give_back and arvo.append
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  p_results is not an array, or has more than 10000 items
DECLARE
    v_now timestamptz := arvo.clock();
    v_items arvo.result[];
    v_events jsonb[];
    v_at integer;
    v_fault text;
    v_version bigint;
BEGIN
    PERFORM arvo.require_read_committed('settle');
    IF p_results IS NULL OR jsonb_typeof(p_results) <> 'array' THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'results',
              DETAIL = format('results is of type %s.', coalesce(jsonb_typeof(p_results), 'null')),
              HINT = 'Give a JSON array of results.';
    END IF;

    IF jsonb_array_length(p_results) > 10000 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'results',
              DETAIL = format('results has %s items.', jsonb_array_length(p_results)),
              HINT = 'Settle at most 10000 results in one call.';
    END IF;

    SELECT array_agg(item ORDER BY item.ordinal) INTO v_items
    FROM arvo.read_results(p_results) AS item;
    IF v_items IS NULL THEN
        RETURN;
    END IF;

    PERFORM pg_advisory_xact_lock(arvo.lease_key(named.lease))
    FROM (
        SELECT DISTINCT item.lease
        FROM unnest(v_items) AS item
        WHERE item.lease IS NOT NULL
        ORDER BY item.lease
    ) AS named;

    -- A statement of its own: it must see what the last holder of these locks committed.
    v_items := arvo.judge_results(v_items);

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

    FOR v_at IN
        SELECT item.ordinal
        FROM unnest(v_items) AS item
        WHERE item.verdict IS NULL AND item.state IS NOT NULL
        ORDER BY item.state ->> 'subject' COLLATE "C", item.ordinal
    LOOP
        v_version := arvo.put_state(
            v_items[v_at].state ->> 'subject',
            v_items[v_at].state -> 'data',
            (v_items[v_at].state ->> 'expected_version')::bigint,
            v_items[v_at].state ->> 'initiator',
            v_items[v_at].state ->> 'source'
        );
        IF v_version IS NULL THEN
            v_items[v_at].code := 'RV101';
            v_items[v_at].detail := format(
                'version mismatch: subject %s is not at version %s',
                left((v_items[v_at].state -> 'subject')::text, 80),
                v_items[v_at].state ->> 'expected_version'
            );
            v_items[v_at].verdict := arvo.give_back(
                v_items[v_at].lane, v_items[v_at].low_xid, v_items[v_at].high_xid,
                v_items[v_at].delivery, 'conflict',
                jsonb_build_object(
                    'name', 'VersionConflict', 'message', v_items[v_at].detail, 'stack', NULL
                )
            );
        ELSE
            v_items[v_at].state_version := v_version;
        END IF;
    END LOOP;

    PERFORM arvo.place(
        array_agg(item.state ->> 'subject'), array_agg(item.state ->> 'parent_subject')
    )
    FROM unnest(v_items) AS item
    WHERE item.state_version = 1
    HAVING count(*) > 0;

    FOR v_at IN
        SELECT item.ordinal
        FROM unnest(v_items) AS item
        WHERE item.verdict IS NULL AND item.asked <> 'completed'
        ORDER BY item.ordinal
    LOOP
        v_items[v_at].verdict := arvo.give_back(
            v_items[v_at].lane, v_items[v_at].low_xid, v_items[v_at].high_xid,
            v_items[v_at].delivery, v_items[v_at].asked, v_items[v_at].error, v_items[v_at].after
        );
    END LOOP;

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

    UPDATE arvo.dead
    SET resolution = 'consumed', resolved_at = v_now, resolved_by = session_user
    FROM unnest(v_items) AS item
    WHERE item.verdict IS NULL
    AND dead.dead_letter_lane = item.lane
    AND dead.dead_letter_delivery = item.delivery
    AND dead.resolution IS NULL;

    SELECT array_agg(emitted.event ORDER BY item.ordinal, emitted.ordinal) INTO v_events
    FROM unnest(v_items) AS item
    CROSS JOIN LATERAL
        jsonb_array_elements(item.events) WITH ORDINALITY AS emitted (event, ordinal)
    WHERE item.verdict IS NULL;
    IF v_events IS NOT NULL THEN
        PERFORM arvo.append(v_events);
    END IF;

    RETURN QUERY
    SELECT
        item.ordinal,
        item.lease,
        item.delivery,
        coalesce(item.verdict, '') NOT IN ('refused', 'conflict') AND item.code IS NULL,
        coalesce(item.verdict, 'completed'),
        item.code,
        item.detail,
        item.state_version
    FROM unnest(v_items) AS item
    ORDER BY item.ordinal;
END;
$settle$;

COMMENT ON FUNCTION arvo_v1.settle(jsonb) IS
'Finishes deliveries: journals, writes states, emits events, retries or buries, all in one transaction.';

REVOKE ALL ON FUNCTION arvo_v1.settle(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.settle(jsonb) TO arvo_worker;
--! end

--! function arvo_v1.subjects_by_root
-- arvo_v1.subjects_by_root(root) — the descendants of a root workflow.
CREATE OR REPLACE FUNCTION arvo_v1.subjects_by_root(p_root text)
RETURNS SETOF text
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $subjects_by_root$
-- Without the root itself, parents before children. Nothing when p_root is unknown or is no root.
--
--   Reads    arvo.lineage
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT kin.subject
FROM arvo_v1.lineage(p_root) WITH ORDINALITY AS kin
WHERE kin.depth > 0 AND arvo_v1.root_subject(p_root) = p_root
ORDER BY kin.ordinality;
$subjects_by_root$;

COMMENT ON FUNCTION arvo_v1.subjects_by_root(text) IS
'Subjects of all descendants of a root workflow, parents before children.';

REVOKE ALL ON FUNCTION arvo_v1.subjects_by_root(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.subjects_by_root(text)
TO arvo_worker, arvo_monitor, arvo_operator;
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
-- event p_event_id belongs to, in order of acceptance. Payloads are not shown. By index only: cost
-- grows with the story, not with history.
--
--   Reads    arvo.log, arvo.deferred and arvo.dead by subject, arvo.lease, arvo.closure, arvo.lane,
--            arvo.queue, arvo.lineage
--   Writes   nothing
--   Locks    nothing
--   Raises   RV006  not exactly one of subject and event_id is given
DECLARE
    v_subjects text[];
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
    SELECT array_agg(DISTINCT kin.subject) INTO v_subjects
    FROM unnest(v_subjects) AS asked (subject)
    CROSS JOIN LATERAL (
        SELECT asked.subject
        UNION ALL
        SELECT relative.subject
        FROM arvo_v1.lineage(asked.subject) AS relative
    ) AS kin;

    RETURN QUERY
    WITH entry AS MATERIALIZED (
        SELECT
            known.subject,
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
        FROM unnest(v_subjects) AS known (subject)
        CROSS JOIN LATERAL (
            SELECT found.*
            FROM arvo.log AS found
            WHERE found.subject_key = hashtextextended(known.subject, 0)
            OFFSET 0  -- only by index: no join may read the log another way
        ) AS log
        UNION ALL
        SELECT
            known.subject,
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
        FROM unnest(v_subjects) AS known (subject)
        CROSS JOIN LATERAL (
            SELECT found.*
            FROM arvo.deferred AS found
            WHERE found.subject_key = hashtextextended(known.subject, 0)
            OFFSET 0
        ) AS deferred
    ),

    -- a promoted row stands in both rooms until it is swept away
    step AS MATERIALIZED (
        SELECT DISTINCT ON (entry.delivery) entry.*
        FROM entry
        ORDER BY entry.delivery, entry.due NULLS FIRST
    ),

    -- what a later delivery says of the one before
    told AS MATERIALIZED (
        SELECT DISTINCT ON (step.cause ->> 'delivery')
            (step.cause ->> 'delivery')::bigint AS delivery,
            nullif(step.cause -> 'error', 'null') AS error
        FROM step
        WHERE step.cause ->> 'outcome' <> 'redriven'
        ORDER BY step.cause ->> 'delivery', step.delivery
    )

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
            WHEN withdrawn.delivery IS NOT NULL THEN 'cancelled'
            WHEN queue.registered OR entry.cause ->> 'outcome' = 'dead' THEN 'queued'
            WHEN starts_with(queue.name, 'arvo.domain.') THEN 'domained'
            ELSE 'unroutable'
        END,
        entry.at,
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
        )
    FROM step AS entry
    LEFT JOIN told ON told.delivery = entry.delivery
    INNER JOIN arvo.lane ON lane.lane = entry.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    LEFT JOIN LATERAL (
        SELECT lease.token, lease.leased_at, lease.worker
        FROM arvo.lease
        WHERE lease.lane = entry.lane
        AND lease.high_xid >= entry.xid
        AND lease.low_xid <= entry.xid
        AND lease.token <> 0
        AND entry.delivery = ANY (lease.deliveries)
        AND NOT lease.carried
        AND entry.due IS NULL
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
    LEFT JOIN arvo.tombstone AS withdrawn
        ON withdrawn.lane = entry.lane AND withdrawn.delivery = entry.delivery
    WHERE entry.event ->> 'subject' = entry.subject
    ORDER BY entry.at, entry.delivery;
END;
$trace$;

COMMENT ON FUNCTION arvo_v1.trace(text, text) IS
'Every delivery of every event of a workflow''s tree: queue, attempt, outcome, times, error.';

REVOKE ALL ON FUNCTION arvo_v1.trace(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.trace(text, text) TO arvo_monitor, arvo_operator, arvo_worker;
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
AS $work$
-- Answers, in this order: verdicts of kind "settled" (only those that are not plainly completed),
-- deliveries of kind "claimed", and one row of kind "idle" when nothing was claimed, which says when
-- something deferred becomes due: at once, if this very call appended something to these queues.
-- Nothing is claimed when p_queues is NULL or p_limit is 0.
--
--   Reads    as arvo_v1.settle and arvo_v1.claim; arvo.deferred
--   Writes   as arvo_v1.settle and arvo_v1.claim
--   Locks    as arvo_v1.settle, then as arvo_v1.claim (which waits for none)
--   Raises   as arvo_v1.settle and arvo_v1.claim
--            55P03  somebody has held a lock for two seconds: settle the results one by one
BEGIN
    IF p_results IS DISTINCT FROM '[]' THEN
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
            NULL::interval
        FROM arvo_v1.settle(p_results) AS verdict
        WHERE verdict.outcome <> 'completed'
        ORDER BY verdict.ordinal;
    END IF;
    IF p_queues IS NULL OR p_limit = 0 THEN
        RETURN;
    END IF;

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
        NULL::interval
    FROM arvo_v1.claim(p_queues, p_limit, p_worker, p_limits, p_lease) AS claimed;
    IF NOT FOUND THEN
        RETURN NEXT (
            'idle', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
            CASE WHEN arvo.has_own(p_queues) THEN interval '0' ELSE arvo.next_due() END
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
        WHEN p_expected_version IS NULL OR p_expected_version < 0 THEN 'expected_version'
    END;
    v_version bigint;
BEGIN
    IF v_argument IS NOT NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = v_argument,
              DETAIL = format('argument: %s', v_argument),
              HINT = 'subject is a text that is not empty, data a JSON object, expected_version 0'
                     ' or more.';
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
VALUES (2, '0002.before.functions', 1, clock_timestamp());
