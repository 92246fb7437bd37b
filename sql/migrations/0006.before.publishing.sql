-- publishing
-- depends: 0005.before.proof

SET LOCAL ROLE arvo_owner;
SET LOCAL lock_timeout = '5s';
SET LOCAL check_function_bodies = off;  -- blocks may refer to later blocks

-- what is published and closed to its publisher
ALTER TABLE arvo.omission
DROP CONSTRAINT omission_outcome_check,
ADD CONSTRAINT omission_outcome_check
CHECK (outcome IN ('throttled', 'duplicate', 'unheard', 'closed'));
COMMENT ON COLUMN arvo.omission.outcome IS
'throttled, duplicate; of what was published: unheard, nobody subscribes, or closed to the publisher.';
COMMENT ON COLUMN arvo_v1.dispatched.outcome IS
'queued, deferred, debounced, duplicate, throttled, domained, unroutable; of what was published: unheard, nobody subscribes, or closed: the queue subscribes and is closed to the publisher.';

--! function arvo.acts_as_worker
-- arvo.acts_as_worker() — whether the caller is there as a worker, and not as an operator.
CREATE OR REPLACE FUNCTION arvo.acts_as_worker()
RETURNS boolean
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $acts_as_worker$
-- Some functions are for both. What workers do by themselves is no news; whoever is an operator as well
-- is one here, or the audit could be passed by. Superusers and members of the owner, whom it cannot
-- bind, count as workers: where one role is everything, the audit does not grow with the work.
--
--   Reads    as arvo.is_one_of
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT arvo.is_one_of('{}')
    OR (arvo.is_one_of(ARRAY['arvo_worker']) AND NOT arvo.is_one_of(ARRAY['arvo_operator']));
$acts_as_worker$;

COMMENT ON FUNCTION arvo.acts_as_worker() IS
'Whether the caller is a worker and no operator; superusers and members of the owner count as such.';

REVOKE ALL ON FUNCTION arvo.acts_as_worker() FROM PUBLIC;
--! end

DROP FUNCTION arvo.append(jsonb[], jsonb, boolean, boolean, text[]);
--! function arvo.append
-- arvo.append(events, options, ignore_domain, emitted, queues, asking) — accept events: route them and write them down.
CREATE OR REPLACE FUNCTION arvo.append(
    p_events jsonb[],
    p_options jsonb DEFAULT NULL,
    p_ignore_domain boolean DEFAULT false,
    p_emitted boolean DEFAULT false,
    p_queues text[] DEFAULT NULL,
    p_asking boolean DEFAULT false
)
RETURNS SETOF arvo_v1.dispatched
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $append$
-- The events have been checked by the caller. An event with a domain goes to that domain's queue,
-- any other to the queue that its "to" names (its type, when it has none); p_queues names the queue
-- of each event instead. One without a time gets this one. Order is kept. What goes to arvo.publish
-- goes to every queue that subscribes to its type instead, with one body for all copies; p_asking:
-- those that the caller may not dispatch to are left out, with the outcome "closed".
--
-- Events that are dispatched are looked up first: the same source and id to the same queue is a
-- duplicate. Emitted ones are not, for a settlement happens once. What a policy or an interval of
-- singleton_for does not take is reported, and written down when nobody is there to be told.
--
--   Reads    arvo.queue, arvo.lane, arvo.subscription, arvo.clock, arvo.slot; arvo.queue_guard and as
--            arvo.may for what is published
--   Writes   arvo.log or arvo.deferred, arvo.omission; as arvo.mark_duplicates, arvo.mark_throttled
--            and arvo.notice_unroutable; arvo.queue, arvo.lane when they are missing
--   Locks    as arvo.lane_for, then as arvo.mark_duplicates and arvo.mark_throttled
--   Raises   RV002  as arvo.read_options and arvo.lane_for; an ordered queue is given a priority
--            RV201  a queue is not registered, and the options ask for it
--            RV902  as arvo.require_home
DECLARE
    v_now timestamptz := arvo.clock();
    v_slot smallint := arvo.slot();
    v_options arvo.options;
    v_events jsonb[] := p_events;
    v_names text[] := p_queues;
    v_name text;
    v_items arvo.arrival[];
    v_given integer[];
    v_numbers bigint[];
    v_at integer;
    v_left_out arvo_v1.dispatched[];
    v_asking boolean;
    v_deduplicating boolean;
    v_throttling boolean;
    v_deferring boolean;
    v_accepted arvo_v1.dispatched[];
    v_time text := to_char(v_now AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"+00:00"');
BEGIN
    PERFORM arvo.require_home();
    IF p_options IS NOT NULL THEN
        v_options := arvo.read_options(p_options);
    END IF;
    IF v_names IS NULL THEN
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
    END IF;

    IF 'arvo.publish' = ANY (v_names) THEN
        v_asking := p_asking
            AND EXISTS (SELECT FROM arvo.queue_guard AS guard WHERE guard.may = 'dispatch');
        WITH copy AS (
            SELECT
                item.ordinal::integer AS ordinal, item.event, subscribed.name, subscribed.outcome
            FROM unnest(p_events, v_names) WITH ORDINALITY AS item (event, name, ordinal)
            CROSS JOIN LATERAL (
                SELECT item.name, NULL AS outcome
                WHERE item.name <> 'arvo.publish'
                UNION ALL
                SELECT
                    heard.queue,
                    CASE WHEN v_asking AND NOT arvo.may(heard.queue, 'dispatch') THEN 'closed' END
                FROM (
                    SELECT DISTINCT subscription.queue
                    FROM arvo.subscription
                    WHERE item.name = 'arvo.publish'
                    AND item.event ->> 'type' ~ subscription.expression
                ) AS heard
                UNION ALL
                SELECT item.name, 'unheard'
                WHERE item.name = 'arvo.publish'
                AND NOT EXISTS (
                    SELECT
                    FROM arvo.subscription
                    WHERE item.event ->> 'type' ~ subscription.expression
                )
            ) AS subscribed
        )

        SELECT
            array_agg(copy.event ORDER BY copy.ordinal, copy.name) FILTER (WHERE copy.outcome IS NULL),
            array_agg(copy.name ORDER BY copy.ordinal, copy.name) FILTER (WHERE copy.outcome IS NULL),
            array_agg(copy.ordinal ORDER BY copy.ordinal, copy.name)
                FILTER (WHERE copy.outcome IS NULL),
            array_agg(
                (copy.ordinal, copy.event ->> 'id', NULL, copy.name, copy.outcome)::arvo_v1.dispatched
                ORDER BY copy.ordinal, copy.name
            ) FILTER (WHERE copy.outcome IS NOT NULL)
        INTO p_events, v_names, v_given, v_left_out
        FROM copy;
        IF p_emitted AND v_left_out IS NOT NULL THEN
            INSERT INTO arvo.omission (
                at, queue, outcome, event_id, subject_key, event_key, event
            )
            SELECT
                v_now, missed.queue, missed.outcome, missed.event_id,
                hashtextextended(v_events[missed.ordinal] ->> 'subject', 0),
                hashtextextended(missed.event_id, 0), v_events[missed.ordinal]
            FROM unnest(v_left_out) AS missed;
        END IF;
        IF v_names IS NULL THEN
            RETURN QUERY SELECT missed.* FROM unnest(v_left_out) AS missed;
            RETURN;
        END IF;
    END IF;

    -- In order, whatever the plan of the join below.
    v_numbers := ARRAY(
        SELECT nextval('arvo.delivery_number'::regclass)
        FROM generate_series(1, cardinality(v_names))
    );

    PERFORM arvo.lane_for(missing.name, v_options.priority)
    FROM (
        SELECT DISTINCT named.name
        FROM unnest(v_names) AS named (name)
        WHERE NOT EXISTS (
            SELECT
            FROM arvo.queue
            INNER JOIN arvo.lane ON lane.queue = queue.queue
            WHERE queue.name = named.name
            AND lane.priority = coalesce(v_options.priority, queue.priority)
            AND NOT lane.retired
        )
        ORDER BY named.name
    ) AS missing;

    SELECT
        array_agg(
            (
                item.ordinal,
                CASE
                    WHEN item.event ? 'time' THEN item.event
                    ELSE item.event || jsonb_build_object('time', v_time)
                END,
                queue.queue,
                queue.name,
                queue.registered,
                coalesce(asked.lane, own.lane),
                coalesce(
                    arvo.key_of(v_options.key),
                    CASE
                        WHEN queue.key_from IS NOT NULL
                            THEN arvo.key_in(item.event, queue.key_from)
                    END
                ),
                coalesce(v_options.start_after, queue.start_after),
                v_numbers[item.ordinal],
                NULL,
                NULL,
                coalesce(v_given[item.ordinal], item.ordinal),
                NULL
            )::arvo.arrival
            ORDER BY item.ordinal
        ),
        NOT p_emitted AND bool_or(queue.deduplicate_for > interval '0'),
        v_options.singleton_for IS NOT NULL
        OR bool_or(queue.slotted OR queue.singleton_for IS NOT NULL),
        bool_or(coalesce(v_options.start_after, queue.start_after) > interval '0'),
        min(queue.name) FILTER (
            WHERE (v_options.must_be_registered AND NOT queue.registered)
            OR (queue.policy = 'ordered' AND v_options.priority <> queue.priority)
        )
    INTO v_items, v_deduplicating, v_throttling, v_deferring, v_name
    FROM unnest(p_events, v_names) WITH ORDINALITY AS item (event, name, ordinal)
    INNER JOIN arvo.queue ON queue.name = item.name
    INNER JOIN arvo.lane AS own
        ON own.queue = queue.queue AND own.priority = queue.priority AND NOT own.retired
    -- missing only while somebody else is making it: see arvo.lane_for
    LEFT JOIN arvo.lane AS asked
        ON asked.queue = queue.queue
        AND asked.priority = v_options.priority
        AND NOT asked.retired;

    IF v_name IS NOT NULL THEN
        IF v_options.must_be_registered
            AND EXISTS (SELECT FROM arvo.queue WHERE queue.name = v_name AND NOT queue.registered)
        THEN
            RAISE EXCEPTION 'Handler not registered'
            USING ERRCODE = 'RV201',
                  COLUMN = 'to',
                  DETAIL = format('queue: %s', left(to_json(v_name)::text, 80)),
                  HINT = 'Register a handler for it first, or dispatch without must_be_registered: then the event waits for its handler.';
        END IF;
        RAISE EXCEPTION 'option is not valid'
        USING ERRCODE = 'RV002',
              COLUMN = 'priority',
              DETAIL = format('queue: %s', left(to_json(v_name)::text, 80)),
              HINT = 'An ordered queue keeps the order of acceptance: leave the priority out.';
    END IF;

    IF v_deduplicating THEN
        v_items := arvo.mark_duplicates(v_items);
    END IF;
    IF v_throttling THEN
        v_items := arvo.mark_throttled(v_items, v_options);
        IF v_deduplicating THEN
            PERFORM arvo.forget_keys(v_items);
        END IF;
        v_deferring := v_deferring
            OR EXISTS (SELECT FROM unnest(v_items) AS item WHERE item.outcome = 'debounced');
    END IF;

    IF v_given IS NOT NULL THEN
        v_items := arvo.share_body(v_items);
        -- A place is known by the first delivery of the event that has it: that must be its own.
        FOR v_at IN
            SELECT item.ordinal
            FROM unnest(v_items) AS item
            INNER JOIN arvo.queue ON queue.queue = item.queue
            WHERE item.origin IS NOT NULL AND queue.slotted
        LOOP
            v_items[v_at].origin := NULL;
        END LOOP;
    END IF;
    INSERT INTO arvo.log (
        slot, lane, delivery, attempt, at, subject_key, event_key, event, key, options,
        origin_delivery, origin_lane, origin_xid
    )
    SELECT
        v_slot,
        item.lane,
        item.delivery,
        1,
        v_now,
        hashtextextended(item.event ->> 'subject', 0),
        hashtextextended(item.event ->> 'id', 0),
        CASE WHEN item.origin IS NULL THEN item.event END,
        item.key,
        v_options.kept,
        v_items[item.origin].delivery,
        v_items[item.origin].lane,
        CASE WHEN item.origin IS NOT NULL THEN pg_current_xact_id() END
    FROM unnest(v_items) AS item
    WHERE item.outcome IS NULL AND item.after <= interval '0'
    ORDER BY item.ordinal;

    IF v_deferring THEN
        INSERT INTO arvo.deferred (
            due, lane, delivery, attempt, at, subject_key, event_key, event, key, options,
            origin_delivery, origin_lane, origin_xid
        )
        SELECT
            v_now + item.after,
            item.lane,
            item.delivery,
            1,
            v_now,
            hashtextextended(item.event ->> 'subject', 0),
            hashtextextended(item.event ->> 'id', 0),
            CASE WHEN item.origin IS NULL THEN item.event END,
            item.key,
            v_options.kept,
            v_items[item.origin].delivery,
            v_items[item.origin].lane,
            CASE WHEN item.origin IS NOT NULL THEN pg_current_xact_id() END
        FROM unnest(v_items) AS item
        WHERE coalesce(item.outcome, 'debounced') = 'debounced' AND item.after > interval '0'
        ORDER BY item.ordinal;
    END IF;

    IF p_emitted AND v_throttling THEN
        INSERT INTO arvo.omission (
            at, queue, outcome, first_delivery, event_id, subject_key, event_key, event
        )
        SELECT
            v_now,
            item.name,
            item.outcome,
            item.first_delivery,
            item.event ->> 'id',
            hashtextextended(item.event ->> 'subject', 0),
            hashtextextended(item.event ->> 'id', 0),
            item.event
        FROM unnest(v_items) AS item
        WHERE item.outcome = 'throttled'
        ORDER BY item.ordinal;
    END IF;

    SELECT array_agg(
        (
            item.given,
            item.event ->> 'id',
            coalesce(item.first_delivery, item.delivery),
            item.name,
            CASE
                WHEN item.outcome IS NOT NULL THEN item.outcome
                WHEN p_queues IS NULL AND NOT p_ignore_domain
                    AND item.event ->> 'domain' IS NOT NULL THEN 'domained'
                WHEN NOT item.registered THEN 'unroutable'
                WHEN item.after > interval '0' THEN 'deferred'
                ELSE 'queued'
            END
        )::arvo_v1.dispatched
        ORDER BY item.ordinal
    )
    INTO v_accepted
    FROM unnest(v_items) AS item;

    -- Those that are put off get theirs when they are promoted.
    PERFORM arvo.notice_unroutable(array_agg(
        (item.ordinal, NULL, item.delivery, item.name, 'unroutable')::arvo_v1.dispatched
        ORDER BY item.ordinal
    ))
    FROM unnest(v_items) AS item
    WHERE NOT item.registered AND item.outcome IS NULL AND item.after <= interval '0'
    AND (
        p_ignore_domain OR p_queues IS NOT NULL OR item.event ->> 'domain' IS NULL
    )
    HAVING count(*) > 0;
    PERFORM arvo.wake(v_names);
    RETURN QUERY SELECT accepted.* FROM unnest(v_accepted || v_left_out) AS accepted;
END;
$append$;

COMMENT ON FUNCTION arvo.append(jsonb[], jsonb, boolean, boolean, text[], boolean) IS
'Routes checked events and appends them, in order; reports what is a duplicate or throttled.';

REVOKE ALL ON FUNCTION arvo.append(jsonb[], jsonb, boolean, boolean, text[], boolean) FROM PUBLIC;
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
-- What is published is left to arvo.append, which passes over queues that are closed.
--
--   Reads    as arvo.goes_to and arvo.may
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT min(named.name COLLATE "C")
FROM unnest(arvo.goes_to(
    ARRAY(SELECT emitted.event FROM jsonb_array_elements(p_events) AS emitted (event)), false, false
)) AS named (name)
WHERE NOT arvo.may(named.name, 'dispatch');
$barred_to$;

COMMENT ON FUNCTION arvo.barred_to(jsonb) IS
'A queue that emitted events go to although the caller may not dispatch there.';

REVOKE ALL ON FUNCTION arvo.barred_to(jsonb) FROM PUBLIC;
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
                NULL, false, true, p_asking => true
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

DROP FUNCTION arvo.goes_to(jsonb[], boolean, boolean);
--! function arvo.goes_to
-- arvo.goes_to(events, ignore_domain, subscribers) — the queues that events would go to.
CREATE OR REPLACE FUNCTION arvo.goes_to(
    p_events jsonb[],
    p_ignore_domain boolean DEFAULT false,
    p_subscribers boolean DEFAULT true
)
RETURNS text[]
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $goes_to$
-- As arvo.append routes them; what is published goes to every queue that subscribes, or, without
-- p_subscribers, to none that its publisher has named.
--
--   Reads    arvo.subscription
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
WITH routed AS (
    SELECT
        item.event ->> 'type' AS type,
        CASE
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
    WHERE p_subscribers AND routed.name = 'arvo.publish'
) AS met;
$goes_to$;

COMMENT ON FUNCTION arvo.goes_to(jsonb[], boolean, boolean) IS
'Names of the queues that events would be routed to.';

REVOKE ALL ON FUNCTION arvo.goes_to(jsonb[], boolean, boolean) FROM PUBLIC;
--! end

DROP FUNCTION arvo.require_dispatch(jsonb[], boolean, boolean);
--! function arvo.require_dispatch
-- arvo.require_dispatch(events, ignore_domain, subscribers) — refuse events for queues that are closed.
CREATE OR REPLACE FUNCTION arvo.require_dispatch(
    p_events jsonb[],
    p_ignore_domain boolean DEFAULT false,
    p_subscribers boolean DEFAULT false
)
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $require_dispatch$
-- Where nothing is closed to dispatches it costs one look at a table with nothing in it. Only names are
-- looked at: a queue that is still to be made is closed by a guard that covers its name. Queues that
-- subscribe to what is published are asked for with p_subscribers only: arvo.append passes over those
-- that are closed, so that nobody stops a publisher by subscribing.
--
--   Reads    arvo.queue_guard; as arvo.goes_to and arvo.may
--   Writes   nothing
--   Locks    nothing
--   Raises   RV007  as arvo.require_right
BEGIN
    IF EXISTS (SELECT FROM arvo.queue_guard AS guard WHERE guard.may = 'dispatch') THEN
        PERFORM arvo.require_right(
            arvo.goes_to(p_events, p_ignore_domain, p_subscribers), 'dispatch'
        );
    END IF;
END;
$require_dispatch$;

COMMENT ON FUNCTION arvo.require_dispatch(jsonb[], boolean, boolean) IS
'Raises RV007 unless the caller may dispatch to every queue that events go to.';

REVOKE ALL ON FUNCTION arvo.require_dispatch(jsonb[], boolean, boolean) FROM PUBLIC;
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
--   Writes   arvo.state, arvo.state_lock; as arvo.prune_lineage; arvo.operation, unless it is
--            a worker's doing
--   Locks    the subject's transaction lock, then arvo.state_lock row, arvo.state row; as
--            arvo.prune_lineage
--   Raises   55P03  somebody has held a lock for a second: call again
DECLARE
    v_digest bytea := arvo.subject_digest(p_subject);
    v_finished boolean;
    v_found boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(arvo.lock_key(p_subject));
    DELETE FROM arvo.state_lock WHERE state_lock.subject_digest = v_digest;
    DELETE FROM arvo.state
    WHERE state.subject_digest = v_digest
    RETURNING arvo.is_finished(state.execution_status, state.data) INTO v_finished;
    v_found := FOUND;
    PERFORM arvo.prune_lineage(v_digest);
    -- Workers do it whenever a workflow is over: that is no news. While it goes on it is, from those
    -- who are operators as well.
    IF v_found AND NOT arvo.acts_as_worker()
        AND NOT (v_finished AND arvo.is_one_of(ARRAY['arvo_worker']))
    THEN
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
        v_events, arvo.options_with(p_options, p_start_after, p_priority), p_ignore_domain,
        p_asking => true
    ) AS accepted;
END;
$dispatch_many$;

COMMENT ON FUNCTION arvo_v1.dispatch_many(jsonb, interval, integer, boolean, jsonb) IS
'Accepts an array of events in order, all or none, and says where each went.';

REVOKE ALL ON FUNCTION arvo_v1.dispatch_many(jsonb, interval, integer, boolean, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.dispatch_many(jsonb, interval, integer, boolean, jsonb)
TO arvo_client, arvo_worker, arvo_operator;
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
        PERFORM arvo.require_right(arvo.goes_to(ARRAY[v_one.event], false, false), 'operate');
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
-- handler publishes by emitting an event whose "to" is arvo.publish. A queue that subscribes and is
-- closed to the publisher gets no copy, and a row with the outcome "closed" says so: it refuses only
-- itself, or whoever may subscribe could stop everybody who publishes.
--
--   Reads    as arvo.append
--   Writes   as arvo.append
--   Locks    as arvo.append
--   Raises   RV001  the event is not valid
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
    RETURN QUERY
    SELECT accepted.*
    FROM arvo.append(ARRAY[p_event], p_options, false, false, '{arvo.publish}', true) AS accepted;
END;
$publish$;

COMMENT ON FUNCTION arvo_v1.publish(jsonb, jsonb) IS
'Delivers an event to every queue that subscribes to its type; one row for each copy.';

REVOKE ALL ON FUNCTION arvo_v1.publish(jsonb, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.publish(jsonb, jsonb)
TO arvo_client, arvo_worker, arvo_operator;
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
--   Writes   arvo.queue, arvo.lane, arvo.registration; arvo.operation, unless it is a worker's doing; as arvo.note_start and arvo.rebuild_turns
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
        IF NOT arvo.acts_as_worker() THEN
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
        PERFORM arvo.require_right(arvo.goes_to(ARRAY[v_one.event], false, false), 'operate');
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
--   Writes   arvo.state_retention; arvo.operation, unless it is a worker's doing
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
    IF v_changed > 0 AND NOT arvo.acts_as_worker() THEN
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

    PERFORM arvo.require_dispatch(ARRAY[p_event], false, true);
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
        PERFORM arvo.require_right(arvo.goes_to(ARRAY[v_before.event], false, false), 'operate');
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
            PERFORM arvo.append(v_events, NULL, false, true, p_asking => true);
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
        PERFORM arvo.require_right(arvo.goes_to(ARRAY[v_one.event], false, false), 'operate');
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

INSERT INTO arvo.revision (number, name, oldest_client, applied_at)
VALUES (6, '0006.before.publishing', 1, clock_timestamp());
