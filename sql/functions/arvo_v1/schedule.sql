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
