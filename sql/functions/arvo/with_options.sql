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
