-- arvo_v1.reprioritize(priority, filter…, limit, dry_run) — change the priority of deliveries that wait.
CREATE OR REPLACE FUNCTION arvo_v1.reprioritize(
    p_priority integer,
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
AS $reprioritize$
-- Which ones: as arvo.find_deliveries; all that is given must fit. A filter reads what waits, from each
-- lane's cursor on, in order, until it has p_limit; by event, subject or tree it is a look-up.
-- Each is withdrawn as moved, and appended to its queue again at p_priority, as the attempt that it is;
-- one that is due later stays so, under its number. Those that have this priority are passed over.
-- Left alone are what a worker holds, and ordered queues, which know no priorities. A dry run takes no
-- lock.
--
--   Reads    arvo.queue, arvo.lane; as arvo.find_deliveries and arvo.recheck
--   Writes   arvo.tombstone, arvo.deferred, arvo.dead, arvo.operation; as arvo.again, arvo.lane_for
--   Locks    as arvo.hold; arvo.dead rows; as arvo.lane_for
--   Raises   RV002  a queue has 100 priorities
--            RV003  the queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV006  nothing is given, or priority or limit is not valid
--            RV007  a queue that is named is closed to the caller
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_found arvo.finding[];
    v_one arvo.finding;
    v_lane integer;
    v_done text;
    v_successor bigint;
    v_touched bigint := 0::bigint;
BEGIN
    PERFORM arvo.require_read_committed('reprioritize');
    PERFORM arvo.require_home();
    PERFORM arvo.require_right(ARRAY[p_queue], 'operate');
    IF p_priority IS NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'priority',
              DETAIL = 'priority is NULL.',
              HINT = 'Give a whole number; higher is claimed first.';
    END IF;
    SELECT array_agg(seen) INTO v_found
    FROM arvo.find_deliveries(
        p_delivery, p_queue, p_event_id, p_event_type, p_subject, p_tree, p_before, p_path, p_text,
        CASE
            WHEN num_nonnulls(p_delivery, p_event_id) > 0 THEN '{queued,parked,deferred,leased}'
            ELSE '{queued,parked,deferred}'
        END::text[], p_limit,
        ARRAY(SELECT lane.lane FROM arvo.lane WHERE lane.priority = p_priority)
    ) AS seen;
    IF p_dry_run THEN
        RETURN QUERY
        SELECT
            seen.delivery, seen.event_id, seen.queue, seen.place,
            CASE WHEN arvo.keeps_place(seen) THEN 'left' ELSE 'moved' END, NULL::bigint
        FROM unnest(v_found) AS seen
        ORDER BY seen.delivery;
        RETURN;
    END IF;

    v_found := arvo.hold(v_found);
    FOREACH v_one IN ARRAY v_found LOOP
        v_done := 'left';
        v_successor := NULL;
        IF NOT arvo.keeps_place(v_one) THEN
            v_lane := arvo.lane_for(v_one.queue, p_priority);
            -- Another lane is answered while somebody else is making this one.
            IF v_lane <> v_one.lane THEN
                v_done := 'moved';
                v_successor := arvo.relay(v_one, v_lane);
            END IF;
        END IF;
        v_touched := v_touched + (v_done = 'moved')::integer;
        RETURN NEXT (
            v_one.delivery, v_one.event_id, v_one.queue, v_one.place, v_done, v_successor
        )::arvo_v1.intervention;
    END LOOP;

    PERFORM arvo.note_operation(
        'reprioritize', p_queue,
        jsonb_build_object(
            'priority', p_priority, 'delivery', p_delivery, 'event_id', p_event_id, 'event_type', p_event_type,
            'subject', p_subject, 'tree', p_tree, 'before', p_before, 'path', p_path,
            'text', p_text, 'limit', p_limit
        ),
        v_touched
    );
END;
$reprioritize$;

COMMENT ON FUNCTION arvo_v1.reprioritize(
    integer, bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    integer, boolean
) IS
'Changes the priority of waiting deliveries, by number, event, workflow tree or filter.';

REVOKE ALL ON FUNCTION arvo_v1.reprioritize(
    integer, bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    integer, boolean
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.reprioritize(
    integer, bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    integer, boolean
)
TO arvo_operator;
