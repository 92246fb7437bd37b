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
