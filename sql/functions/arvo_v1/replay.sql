-- arvo_v1.replay(event_id, source, delivery, queue) — dispatch a stored event again, as a new one.
CREATE OR REPLACE FUNCTION arvo_v1.replay(
    p_event_id text,
    p_source text DEFAULT NULL,
    p_delivery bigint DEFAULT NULL,
    p_queue text DEFAULT NULL
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
AS $replay$
-- The event is as it was stored last (edited, if a redrive edited it), or as p_delivery carried it,
-- but for its id: that is new, so nothing takes it for the old one. It goes to the queue that it was
-- delivered to, or to p_queue; whatever became of the old event stays as it is. The cause of the new
-- delivery names the old event and its delivery. Neither deduplication nor a queue's throttle or
-- places of short, stately and exclusive stand in its way.
--
--   Reads    arvo.log, arvo.deferred and arvo.dead by event, arvo.lane, arvo.queue, arvo.clock,
--            arvo.slot
--   Writes   arvo.log, arvo.operation; as arvo.notice_unroutable
--   Locks    as arvo.lane_for
--   Raises   RV001  the event breaks a rule that it did not break then
--            RV003  nobody has named the queue p_queue
--            RV004  no such event is stored, or not any more
--            RV006  several sources used that id, or it went to several queues: say which
--            RV007  the queue that it was in, or p_queue, is closed to the caller
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_now timestamptz := arvo.clock();
    v_found record;
    v_event jsonb;
    v_fault text;
    v_name text;
    v_lane integer;
    v_key bigint;
    v_target arvo.queue;
    v_taken bigint;
    v_dispatched arvo_v1.dispatched;
BEGIN
    PERFORM arvo.require_home();
    IF p_queue IS NOT NULL AND NOT EXISTS (
        SELECT FROM arvo.queue WHERE queue.name = p_queue
    ) THEN
        RAISE EXCEPTION 'queue is not known'
        USING ERRCODE = 'RV003',
              COLUMN = 'queue',
              DETAIL = format('queue %s', left(to_json(p_queue)::text, 80)),
              HINT = 'Register the queue, or replay into the one that the event was delivered to.';
    END IF;

    WITH stored AS MATERIALIZED (
        SELECT
            log.delivery,
            arvo.event_of(log) AS event,
            queue.name AS queue,
            log.cause,
            log.key,
            log.options
        FROM arvo.log
        INNER JOIN arvo.lane ON lane.lane = log.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        WHERE log.event_key = hashtextextended(p_event_id, 0)
        UNION ALL
        SELECT
            deferred.delivery,
            coalesce(deferred.event, (
                SELECT origin.event
                FROM arvo.log AS origin
                WHERE origin.lane = deferred.origin_lane
                AND origin.xid = deferred.origin_xid
                AND origin.delivery = deferred.origin_delivery
            )),
            queue.name,
            deferred.cause,
            deferred.key,
            deferred.options
        FROM arvo.deferred
        INNER JOIN arvo.lane ON lane.lane = deferred.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        WHERE deferred.event_key = hashtextextended(p_event_id, 0)
        UNION ALL
        SELECT dead.delivery, dead.event, dead.queue, NULL, dead.key, dead.options
        FROM arvo.dead
        WHERE dead.event_key = hashtextextended(p_event_id, 0)
    ),

    -- a dead-letter queue and the notices of unroutable events got it second hand
    meant AS MATERIALIZED (
        SELECT stored.*
        FROM stored
        WHERE stored.event ->> 'id' = p_event_id
        AND (p_source IS NULL OR stored.event ->> 'source' = p_source)
        AND (
            stored.delivery = p_delivery
            OR p_delivery IS NULL
            AND stored.queue <> 'arvo.unroutable'
            AND coalesce(NOT stored.cause ? 'hops', true)
        )
    )

    SELECT
        newest.*,
        (SELECT array_agg(DISTINCT meant.event ->> 'source') FROM meant) AS sources,
        (SELECT array_agg(DISTINCT meant.queue) FROM meant) AS queues
    INTO v_found
    FROM meant AS newest
    ORDER BY newest.delivery DESC
    LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'event is not stored'
        USING ERRCODE = 'RV004',
              COLUMN = 'event_id',
              DETAIL = concat_ws(
                  ', ',
                  format('id %s', left(to_json(p_event_id)::text, 80)),
                  'source ' || left(to_json(p_source)::text, 80),
                  'delivery ' || p_delivery
              ),
              HINT = 'It was never dispatched here, or its history has been removed.';
    ELSIF cardinality(v_found.sources) > 1 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'source',
              DETAIL = format('%s sources used that id: %s', cardinality(v_found.sources),
                              left(to_json(v_found.sources)::text, 200)),
              HINT = 'Name the source.';
    ELSIF p_queue IS NULL AND cardinality(v_found.queues) > 1 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'queue',
              DETAIL = format('The event went to %s queues: %s', cardinality(v_found.queues),
                              left(to_json(v_found.queues)::text, 200)),
              HINT = 'Name the queue that it is to go to now, or the delivery.';
    END IF;

    PERFORM arvo.require_right(ARRAY[v_found.queue], 'operate');
    IF p_queue <> v_found.queue THEN
        PERFORM arvo.require_right(ARRAY[p_queue], 'dispatch');
    END IF;

    v_event := v_found.event || jsonb_build_object('id', gen_random_uuid());
    v_fault := arvo.event_fault(v_event);
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION 'event is not valid'
        USING ERRCODE = 'RV001',
              COLUMN = split_part(v_fault, ':', 1),
              DETAIL = v_fault,
              HINT = 'Dispatch a corrected event. Nothing has been stored.';
    END IF;
    v_name := coalesce(p_queue, v_found.queue);
    v_lane := arvo.lane_for(v_name);
    -- A key that was given stays within its queue; one that was read is read again.
    SELECT CASE
        WHEN v_name = v_found.queue
            AND v_found.key <> coalesce(arvo.key_in(v_found.event, queue.key_from), 0)
            THEN v_found.key
        ELSE arvo.key_in(v_event, queue.key_from)
    END
    INTO v_key
    FROM arvo.queue
    WHERE queue.name = v_name;
    SELECT queue.* INTO STRICT v_target
    FROM arvo.queue
    WHERE queue.name = v_name;
    v_dispatched := (
        1, v_event ->> 'id', nextval('arvo.delivery_number'::regclass), v_name,
        (
            SELECT CASE
                WHEN starts_with(v_name, 'arvo.domain.') THEN 'domained'
                WHEN NOT queue.registered THEN 'unroutable'
                ELSE 'queued'
            END
            FROM arvo.queue
            WHERE queue.name = v_name
        )
    )::arvo_v1.dispatched;
    IF v_target.slotted THEN
        v_taken := arvo.take_place(
            v_target.queue,
            CASE WHEN v_target.policy = 'exclusive' THEN 'any' ELSE 'queued' END,
            coalesce(v_key, 1), v_dispatched.delivery
        );
        IF v_taken IS NOT NULL THEN
            v_dispatched.delivery := v_taken;
            v_dispatched.outcome := 'throttled';
            PERFORM arvo.note_operation(
                'replay',
                v_name,
                jsonb_build_object(
                    'event_id', p_event_id,
                    'source', v_found.event ->> 'source',
                    'delivery', v_found.delivery,
                    'as', v_dispatched.event_id
                ),
                0
            );
            RETURN v_dispatched;
        END IF;
    END IF;

    INSERT INTO arvo.log (
        slot, lane, delivery, attempt, at, subject_key, event_key, key, options, event, cause
    )
    VALUES (
        arvo.slot(),
        v_lane,
        v_dispatched.delivery,
        1,
        v_now,
        hashtextextended(v_event ->> 'subject', 0),
        hashtextextended(v_event ->> 'id', 0),
        v_key,
        v_found.options,
        v_event,
        jsonb_build_object(
            'outcome', 'replayed', 'delivery', v_found.delivery, 'event_id', p_event_id
        )
    );
    PERFORM arvo.notice_unroutable(ARRAY[v_dispatched]);
    PERFORM arvo.wake(ARRAY[v_name]);
    PERFORM arvo.note_operation(
        'replay',
        v_name,
        jsonb_build_object(
            'event_id', p_event_id,
            'source', v_found.event ->> 'source',
            'delivery', v_found.delivery,
            'as', v_dispatched.event_id
        ),
        1
    );
    RETURN v_dispatched;
END;
$replay$;

COMMENT ON FUNCTION arvo_v1.replay(text, text, bigint, text) IS
'Dispatches a stored event again under a new id, and says where it went.';

REVOKE ALL ON FUNCTION arvo_v1.replay(text, text, bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.replay(text, text, bigint, text) TO arvo_operator;
