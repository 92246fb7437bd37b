-- arvo_v1.cancel(filter…, include_running, limit, dry_run, reason) — end deliveries without running them.
CREATE OR REPLACE FUNCTION arvo_v1.cancel(
    p_delivery bigint[] DEFAULT NULL,
    p_queue text DEFAULT NULL,
    p_event_id text DEFAULT NULL,
    p_event_type text DEFAULT NULL,
    p_subject text DEFAULT NULL,
    p_tree text DEFAULT NULL,
    p_before timestamptz DEFAULT NULL,
    p_path jsonpath DEFAULT NULL,
    p_text text DEFAULT NULL,
    p_include_running boolean DEFAULT false,
    p_limit integer DEFAULT 1000,
    p_dry_run boolean DEFAULT false,
    p_reason text DEFAULT NULL
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
AS $cancel$
-- Which ones: as arvo.find_deliveries; all that is given must fit. A filter reads what waits, from each
-- lane's cursor on, in order, until it has p_limit; by event, subject or tree it is a look-up.
-- p_tree is any subject of a tree of workflows, and means the whole tree. Wherever a delivery is: one
-- that waits is not handed out any more; one that is due later is not due any more; a dead letter
-- (by number, event or tree) is discarded; one that a worker holds is left, unless p_include_running:
-- then its result will be refused (RV301), and a heartbeat of its lease tells so when nothing else of
-- it is open. The key of an ordered queue goes on behind a cancelled one. Workers that go on may emit
-- more meanwhile: for a whole tree call again until there is no row. A dry run takes no lock.
--
--   Reads    as arvo.find_deliveries and arvo.recheck
--   Writes   arvo.tombstone, arvo.closure, arvo.dead, arvo.operation; as arvo.bring_forward,
--            arvo.let_go and arvo.finish
--   Locks    with p_include_running the leases, in order of their tokens; as arvo.hold; arvo.dead rows
--   Raises   RV003  the queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV006  nothing is given, or limit is not valid
--            RV007  a queue that is named is closed to the caller
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_places text[] := ARRAY['queued', 'parked', 'deferred', 'dead'];
    v_found arvo.finding[];
    v_one arvo.finding;
    v_entry arvo.log;
    v_lease arvo.lease;
    v_done text;
    v_touched bigint := 0::bigint;
BEGIN
    PERFORM arvo.require_read_committed('cancel');
    PERFORM arvo.require_home();
    PERFORM arvo.require_right(ARRAY[p_queue], 'operate');
    -- Those that are named are answered for, also when they are left alone.
    IF p_include_running OR num_nonnulls(p_delivery, p_event_id, p_tree) > 0 THEN
        v_places := array_append(v_places, 'leased');
    END IF;
    SELECT array_agg(seen) INTO v_found
    FROM arvo.find_deliveries(
        p_delivery, p_queue, p_event_id, p_event_type, p_subject, p_tree, p_before, p_path, p_text,
        v_places, p_limit
    ) AS seen;
    IF p_dry_run THEN
        RETURN QUERY
        SELECT
            seen.delivery, seen.event_id, seen.queue, seen.place,
            CASE
                WHEN seen.place = 'leased' AND NOT p_include_running THEN 'left'
                ELSE 'cancelled'
            END,
            NULL::bigint
        FROM unnest(v_found) AS seen
        ORDER BY seen.delivery;
        RETURN;
    END IF;

    IF p_include_running THEN
        PERFORM pg_advisory_xact_lock(arvo.lease_key(held.token))
        FROM (
            SELECT DISTINCT seen.token
            FROM unnest(v_found) AS seen
            WHERE seen.token IS NOT NULL
            ORDER BY seen.token
        ) AS held;
        -- What a settlement has written in the meantime belongs to it.
        SELECT array_agg(seen) INTO v_found
        FROM arvo.find_deliveries(
        p_delivery, p_queue, p_event_id, p_event_type, p_subject, p_tree, p_before, p_path, p_text,
        v_places, p_limit
    ) AS seen;
    END IF;

    FOREACH v_one IN ARRAY arvo.hold(v_found) LOOP
        v_done := 'cancelled';
        IF v_one.place = 'dead' THEN
            UPDATE arvo.dead
            SET resolution = 'discarded', resolved_at = arvo.clock(), resolved_by = session_user
            WHERE dead.dead = v_one.dead
            AND dead.resolution IS NULL
            AND dead.dead_letter_delivery IS NULL;
            CONTINUE WHEN NOT FOUND;
        ELSIF v_one.place = 'deferred' THEN
            v_entry := arvo.bring_forward(v_one.delivery);
            PERFORM arvo.entomb(v_entry, 'cancelled');
            PERFORM arvo.let_go(v_entry);
        ELSE
            SELECT entry.* INTO STRICT v_entry
            FROM arvo.log AS entry
            WHERE entry.lane = v_one.lane
            AND entry.xid = v_one.xid
            AND entry.delivery = v_one.delivery;
            IF v_one.place <> 'leased' THEN
                PERFORM arvo.entomb(v_entry, 'cancelled');
                PERFORM arvo.let_go(v_entry);
            ELSIF NOT p_include_running
                OR NOT pg_try_advisory_xact_lock(arvo.lease_key(v_one.token))
            THEN
                v_done := 'left';
            ELSIF arvo.open_deliveries(v_one.token, ARRAY[v_one.delivery]) = '{}' THEN
                CONTINUE;
            ELSE
                INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
                VALUES (
                    arvo.slot(), v_one.token, arvo.clock(), ARRAY[v_one.delivery], '{cancelled}',
                    '{NULL}'
                );
                UPDATE arvo.dead
                SET resolution = 'discarded', resolved_at = arvo.clock(), resolved_by = session_user
                WHERE dead.dead_letter_lane = v_one.lane
                AND dead.dead_letter_delivery = v_one.delivery
                AND dead.resolution IS NULL;
                SELECT newest.* INTO STRICT v_lease
                FROM arvo.lease AS newest
                WHERE newest.token = v_one.token
                ORDER BY newest.number DESC
                LIMIT 1;
                PERFORM arvo.finish(
                    arvo.known_queue(v_one.queue), v_lease, ARRAY[v_one.delivery]
                );
            END IF;
        END IF;
        v_touched := v_touched + (v_done = 'cancelled')::integer;
        RETURN NEXT (
            v_one.delivery, v_one.event_id, v_one.queue, v_one.place, v_done, NULL
        )::arvo_v1.intervention;
    END LOOP;

    PERFORM arvo.note_operation(
        'cancel', p_queue,
        jsonb_build_object(
            'reason', p_reason, 'delivery', p_delivery, 'event_id', p_event_id, 'event_type', p_event_type,
            'subject', p_subject, 'tree', p_tree, 'before', p_before, 'path', p_path,
            'text', p_text, 'limit', p_limit,
            'include_running', p_include_running
        ),
        v_touched
    );
END;
$cancel$;

COMMENT ON FUNCTION arvo_v1.cancel(
    bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    boolean, integer, boolean, text
) IS
'Cancels deliveries by number, event, workflow tree or filter, wherever they are.';

REVOKE ALL ON FUNCTION arvo_v1.cancel(
    bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    boolean, integer, boolean, text
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.cancel(
    bigint[], text, text, text, text, text, timestamptz, jsonpath, text,
    boolean, integer, boolean, text
)
TO arvo_operator;
