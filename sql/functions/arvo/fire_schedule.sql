-- arvo.fire_schedule(schedule, row, now) — dispatch what one schedule has due, and move it on.
CREATE OR REPLACE FUNCTION arvo.fire_schedule(
    p_schedule arvo.schedule,
    p_row tid,
    p_now timestamptz
)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $fire_schedule$
-- The caller holds the schedule's row, p_row, just read and due. Fires that are not older than grace are
-- dispatched, each of them. Older ones are missed:
--   skip   none is dispatched
--   one    the last of them, unless a fire that is in time follows at once
--   all    each of them, the oldest first, up to missed_limit; the rest is left out
-- What is left out stands in missed_from and missed_to, and in the next event. At most 1000 events
-- that are in time at once: what is left of those is due at the next call. What would fail is
-- recorded instead. Returns how many events were appended.
--
--   Reads    as arvo.cron_next, arvo.event_fault
--   Writes   arvo.schedule, arvo.omission; as arvo.append
--   Locks    as arvo.append
--   Raises   as arvo.append
DECLARE
    v_fields arvo.cron := p_schedule.fields;
    v_zone text := p_schedule.time_zone;
    v_gap text := p_schedule.gap;
    v_overlap text := p_schedule.overlap;
    v_next timestamptz := p_schedule.next_at;
    v_in_time timestamptz := p_now - p_schedule.grace;
    v_last timestamptz;
    v_resume timestamptz;
    v_times timestamptz[] := ARRAY[]::timestamptz[];
    v_missed_from timestamptz;
    v_missed_to timestamptz;
    v_marked timestamptz;
    v_events jsonb[] := ARRAY[]::jsonb[];
    v_fault text;
    v_accepted arvo_v1.dispatched[];
    v_appended integer;
BEGIN
    IF NOT arvo.is_time_zone(v_zone) THEN
        PERFORM arvo.fail_schedule(
            p_schedule, p_row, NULL, 'RV006', 'time zone is not known any more', v_zone
        );
        RETURN 0;
    END IF;

    IF v_next < v_in_time THEN
        v_last := coalesce(
            arvo.cron_last(
                v_fields, v_zone, v_next, v_in_time - interval '1 microsecond', v_gap, v_overlap
            ),
            v_next
        );
        v_resume := arvo.cron_next(v_fields, v_zone, v_last, v_gap, v_overlap);
        IF p_schedule.missed = 'all' THEN
            WHILE v_next <= v_last AND cardinality(v_times) < p_schedule.missed_limit LOOP
                v_times := v_times || v_next;
                v_next := arvo.cron_next(v_fields, v_zone, v_next, v_gap, v_overlap);
            END LOOP;
            IF v_next <= v_last THEN
                v_missed_from := v_next;
                v_missed_to := coalesce(v_resume, p_now);
            END IF;
        ELSIF p_schedule.missed = 'one' AND (v_resume > p_now OR v_resume IS NULL) THEN
            v_times := ARRAY[v_last];
            IF v_next < v_last THEN
                v_missed_from := v_next;
                v_missed_to := v_last;
            END IF;
        ELSE
            v_missed_from := v_next;
            v_missed_to := coalesce(v_resume, p_now);
        END IF;
        v_next := v_resume;
    END IF;
    WHILE v_next <= p_now AND cardinality(v_times) < 1000 LOOP
        v_times := v_times || v_next;
        v_next := arvo.cron_next(v_fields, v_zone, v_next, v_gap, v_overlap);
    END LOOP;

    -- The first event behind what was left out says so; if none follows yet, the next call's does.
    IF p_schedule.missed_to = p_schedule.next_at
        AND coalesce(v_missed_from, p_schedule.next_at) = p_schedule.next_at
    THEN
        v_missed_from := p_schedule.missed_from;
        v_missed_to := coalesce(v_missed_to, p_schedule.missed_to);
    END IF;
    FOR v_place IN 1 .. cardinality(v_times) LOOP
        v_marked := CASE
            WHEN v_times[v_place] >= v_missed_to
                AND (v_place = 1 OR v_times[v_place - 1] < v_missed_to)
                THEN v_missed_from
        END;
        v_events := v_events || arvo.fire_event(p_schedule, v_times[v_place], v_marked);
        v_fault := arvo.event_fault(v_events[v_place]);
        IF v_fault IS NOT NULL THEN
            PERFORM arvo.fail_schedule(
                p_schedule, p_row, v_next, 'RV001', 'event is not valid', v_fault
            );
            RETURN 0;
        END IF;
    END LOOP;

    IF cardinality(v_events) > 0 THEN
        SELECT array_agg(accepted ORDER BY accepted.ordinal) INTO v_accepted
        FROM arvo.append(v_events, p_schedule.options) AS accepted;
        -- Nobody is there to be told that a policy of the queue did not let an event in.
        INSERT INTO arvo.omission (
            at, queue, outcome, first_delivery, event_id, subject_key, event_key, event
        )
        SELECT
            p_now,
            accepted.queue,
            accepted.outcome,
            accepted.delivery,
            accepted.event_id,
            hashtextextended(v_events[accepted.ordinal] ->> 'subject', 0),
            hashtextextended(accepted.event_id, 0),
            v_events[accepted.ordinal]
        FROM unnest(v_accepted) AS accepted
        WHERE accepted.outcome IN ('duplicate', 'throttled');
    END IF;
    v_appended := cardinality(v_times);

    UPDATE arvo.schedule
    SET next_at = v_next,
        last_at = coalesce(v_times[v_appended], schedule.last_at),
        last_delivery = coalesce((v_accepted[cardinality(v_accepted)]).delivery, schedule.last_delivery),
        last_outcome = coalesce((v_accepted[cardinality(v_accepted)]).outcome, schedule.last_outcome),
        fires = schedule.fires + v_appended,
        missed_from = coalesce(v_missed_from, schedule.missed_from),
        missed_to = coalesce(v_missed_to, schedule.missed_to),
        error = NULL
    WHERE schedule.ctid = p_row;
    RETURN v_appended;
END;
$fire_schedule$;

COMMENT ON FUNCTION arvo.fire_schedule(arvo.schedule, tid, timestamptz) IS
'Dispatches the due fires of one schedule and moves it on; returns how many.';

REVOKE ALL ON FUNCTION arvo.fire_schedule(arvo.schedule, tid, timestamptz) FROM PUBLIC;
