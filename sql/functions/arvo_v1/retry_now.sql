-- arvo_v1.retry_now(filter…, limit, dry_run) — let what is due later be due now.
CREATE OR REPLACE FUNCTION arvo_v1.retry_now(
    p_delivery bigint[] DEFAULT NULL,
    p_queue text DEFAULT NULL,
    p_event_id text DEFAULT NULL,
    p_event_type text DEFAULT NULL,
    p_subject text DEFAULT NULL,
    p_tree text DEFAULT NULL,
    p_before timestamptz DEFAULT NULL,
    p_path jsonpath DEFAULT NULL,
    p_text text DEFAULT NULL,
    p_limit integer DEFAULT 1000,
    p_dry_run boolean DEFAULT false
)
RETURNS SETOF arvo_v1.intervention
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
AS $retry_now$
-- Which ones: as arvo.find_deliveries; all that is given must fit. A filter reads what waits, from each
-- lane's cursor on, in order, until it has p_limit; by event, subject or tree it is a look-up.
-- Put off by start_after, by a retry's delay or by a snooze: it can be claimed as soon as this has been
-- committed. The attempt that it is stays the same. What has become due by itself is not touched. A
-- dry run takes no lock.
--
--   Reads    as arvo.find_deliveries and arvo.recheck
--   Writes   as arvo.bring_forward; arvo.operation
--   Locks    as arvo.hold and arvo.bring_forward
--   Raises   RV003  the queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV006  nothing is given, or limit is not valid
--            RV007  a queue that is named is closed to the caller
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_found arvo.finding[];
    v_one arvo.finding;
    v_entry arvo.log;
    v_touched bigint := 0::bigint;
BEGIN
    PERFORM arvo.require_read_committed('retry_now');
    PERFORM arvo.require_home();
    PERFORM arvo.require_right(ARRAY[p_queue], 'operate');
    SELECT array_agg(seen) INTO v_found
    FROM arvo.find_deliveries(
        p_delivery, p_queue, p_event_id, p_event_type, p_subject, p_tree, p_before, p_path, p_text,
        '{deferred}', p_limit
    ) AS seen;
    IF p_dry_run THEN
        RETURN QUERY
        SELECT seen.delivery, seen.event_id, seen.queue, seen.place, 'due', NULL::bigint
        FROM unnest(v_found) AS seen
        ORDER BY seen.delivery;
        RETURN;
    END IF;

    FOREACH v_one IN ARRAY arvo.hold(v_found) LOOP
        CONTINUE WHEN v_one.place <> 'deferred';
        v_entry := arvo.bring_forward(v_one.delivery);
        IF v_entry.cause IS NULL THEN
            PERFORM arvo.notice_unroutable(
                ARRAY[(0, NULL, v_one.delivery, v_one.queue, 'unroutable')::arvo_v1.dispatched]
            )
            FROM arvo.queue
            WHERE queue.name = v_one.queue AND NOT queue.registered;
        END IF;
        PERFORM arvo.wake(ARRAY[v_one.queue]);
        v_touched := v_touched + 1::bigint;
        RETURN NEXT (
            v_one.delivery, v_one.event_id, v_one.queue, v_one.place, 'due', NULL
        )::arvo_v1.intervention;
    END LOOP;

    PERFORM arvo.note_operation(
        'retry_now', p_queue,
        jsonb_build_object(
            'delivery', p_delivery, 'event_id', p_event_id, 'event_type', p_event_type,
            'subject', p_subject, 'tree', p_tree, 'before', p_before, 'path', p_path,
            'text', p_text, 'limit', p_limit
        ),
        v_touched
    );
END;
$retry_now$;

COMMENT ON FUNCTION arvo_v1.retry_now(
    bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    integer, boolean
) IS
'Makes deferred deliveries due now, by number, event, workflow tree or filter.';

REVOKE ALL ON FUNCTION arvo_v1.retry_now(
    bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    integer, boolean
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.retry_now(
    bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    integer, boolean
)
TO arvo_operator;
