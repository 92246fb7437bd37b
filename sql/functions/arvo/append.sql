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
