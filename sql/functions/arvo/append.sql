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
            AND NOT lane.retired
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
            ON own.queue = queue.queue AND own.priority = queue.priority AND NOT own.retired
        -- missing only while somebody else is making it: see arvo.lane_for
        LEFT JOIN arvo.lane AS asked
            ON asked.queue = queue.queue AND asked.priority = p_priority AND NOT asked.retired
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
