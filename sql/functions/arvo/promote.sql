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
-- here, so no scan ever walks over dead rows. Returns how many were promoted. Schedules that are due
-- are fired as well.
--
--   Reads    arvo.promotion, arvo.deferred, arvo.clock, arvo.slot; as arvo.carried_body
--   Writes   arvo.log, arvo.promotion, arvo.dead; as arvo.notice_unroutable and arvo.fire_schedules
--   Locks    the promoter's lock, tried, never waited for; as arvo.fire_schedules
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
    PERFORM arvo.fire_schedules();
    v_now := arvo.clock();
    v_snapshot := arvo.window_snapshot();
    SELECT head.* INTO STRICT v_head
    FROM arvo.promotion AS head
    ORDER BY head.number DESC
    LIMIT 1;
    IF pg_snapshot_xmin(v_head.snapshot) < pg_snapshot_xmax(v_head.snapshot) THEN
        SELECT array_agg(listed.xid) INTO v_late
        FROM pg_snapshot_xip(v_head.snapshot) AS listed (xid)
        WHERE pg_visible_in_snapshot(listed.xid, v_snapshot);
    END IF;

    -- Nearly always there is nothing to do: find that out by three probes of an index.
    v_unseen := EXISTS (
        SELECT
        FROM arvo.deferred
        WHERE (deferred.xid, deferred.delivery) >= (pg_snapshot_xmax(v_head.snapshot), 0)
        AND deferred.xid < pg_snapshot_xmax(v_snapshot)
        AND pg_visible_in_snapshot(deferred.xid, v_snapshot)
    );
    IF v_late IS NOT NULL AND NOT v_unseen THEN
        v_unseen := EXISTS (
            SELECT
            FROM unnest(v_late) AS listed (xid)
            CROSS JOIN LATERAL (
                SELECT FROM arvo.deferred WHERE deferred.xid = listed.xid LIMIT 1
            ) AS entry
        );
    END IF;
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
            origin_delivery, origin_lane, origin_xid, event, cause, key, options,
            deferred_xid
        )
        SELECT
            arvo.slot(), due.lane, due.delivery, due.attempt, v_now, due.subject_key,
            due.event_key,
            CASE WHEN carried.event IS NULL THEN due.origin_delivery END,
            CASE WHEN carried.event IS NULL THEN due.origin_lane END,
            CASE WHEN carried.event IS NULL THEN due.origin_xid END,
            coalesce(due.event, carried.event),
            CASE
                WHEN carried.event IS NULL THEN due.cause
                ELSE jsonb_build_object('first', due.origin_delivery)
                    || coalesce(due.cause, '{}'::jsonb)
            END,
            due.key, due.options, due.xid
        FROM due
        -- an event of an older generation is written again
        LEFT JOIN LATERAL (
            SELECT arvo.carried_body(due.origin_delivery, due.origin_lane, due.origin_xid) AS event
            WHERE due.origin_delivery IS NOT NULL
        ) AS carried ON true
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
