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
