-- arvo.append_one(event, ignore_domain, emitted) — accept one plain event, or leave it to arvo.append.
CREATE OR REPLACE FUNCTION arvo.append_one(
    p_event jsonb,
    p_ignore_domain boolean DEFAULT false,
    p_emitted boolean DEFAULT false
)
RETURNS arvo_v1.dispatched
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $append_one$
-- What arvo.append does, in a part of its time, for the event that most are: one, without options, to a
-- registered queue that neither defers nor limits what comes in, and not seen before. For any other it
-- has written nothing, and delivery is NULL: the caller calls arvo.append. One statement finds all
-- that is to be known: the lane, the partitions, and whether the numbers are of this cluster.
--
-- Its own row holds the key by which it is known again. Outside of a turn of the log only the slot in
-- use is written; the one before is looked at as far as the window reaches back into it.
--
--   Reads    arvo.queue, arvo.lane, arvo.clock, arvo.generation, its sequence, arvo.origin,
--            arvo.server_start; as arvo.has_key
--   Writes   arvo.log
--   Locks    its key in arvo.log
--   Raises   RV007  the queue is closed to the caller, and it is not an emitted event
--            40001  under REPEATABLE READ: somebody dispatched the same event meanwhile
--            RV902  as arvo.require_home
DECLARE
    v_now timestamptz := arvo.clock();
    v_name text := coalesce(p_event ->> 'to', p_event ->> 'type');
    v_outcome text := 'queued';
    v_own xid8;
    v_queue integer;
    v_lane integer;
    v_window interval;
    v_key_from text;
    v_guarded boolean;
    v_number bigint;
    v_opened timestamptz[];
    v_former integer;
    v_home boolean;
    v_event_key bigint := hashtextextended(p_event ->> 'id', 0);
    v_key bigint;
    v_line bigint;
    v_delivery bigint;
BEGIN
    IF p_event ->> 'domain' IS NOT NULL AND NOT p_ignore_domain THEN
        v_name := 'arvo.domain.' || (p_event ->> 'domain');
        v_outcome := 'domained';
    ELSIF v_name = 'arvo.publish' THEN
        RETURN NULL;
    END IF;

    -- First its own number, then which partition: see arvo.key_span.
    v_own := pg_current_xact_id();
    SELECT
        queue.queue,
        lane.lane,
        CASE WHEN NOT p_emitted THEN queue.deduplicate_for END,
        queue.key_from,
        queue.guarded,
        (
            SELECT current.last_value
            FROM arvo.generation_number_seq AS current
            INNER JOIN arvo.generation AS newest ON newest.number = current.last_value
            WHERE v_own IS NOT NULL
            AND pg_snapshot_xmin(pg_current_snapshot()) >= newest.horizon
        ),
        ARRAY(
            SELECT generation.opened_at
            FROM arvo.generation
            ORDER BY generation.number DESC
            LIMIT 2
        ),
        (
            SELECT
                origin.system_identifier = server_start.system_identifier
                AND coalesce(origin.relation = 'arvo.origin'::regclass::oid, true)
            FROM arvo.origin
            LEFT JOIN arvo.server_start ON server_start.started_at = pg_postmaster_start_time()
            ORDER BY origin.number DESC
            LIMIT 1
        )
    INTO v_queue, v_lane, v_window, v_key_from, v_guarded, v_number, v_opened, v_home
    FROM arvo.queue
    INNER JOIN arvo.lane ON lane.queue = queue.queue AND lane.priority = queue.priority
    WHERE queue.name = v_name
    AND queue.registered
    AND NOT queue.slotted
    AND queue.singleton_for IS NULL
    AND queue.start_after <= interval '0'
    AND NOT lane.retired;
    IF v_home IS NOT TRUE THEN
        PERFORM arvo.require_home();
    END IF;
    IF v_lane IS NULL OR v_window > interval '0' AND v_number IS NULL THEN
        RETURN NULL;
    END IF;
    IF v_guarded AND NOT p_emitted THEN
        PERFORM arvo.require_right(ARRAY[v_name], 'dispatch');
    END IF;

    IF v_window > interval '0' THEN
        v_key := arvo.dedup_key(v_queue, p_event ->> 'source', p_event ->> 'id');
        -- As a rule at most one other generation is younger than the window.
        IF cardinality(v_opened) = 2 AND v_opened[1] > v_now - v_window THEN
            IF v_opened[2] > v_now - v_window THEN
                FOREACH v_former IN ARRAY (arvo.key_span(v_window, v_now)).looked LOOP
                    IF arvo.has_key(v_former, v_event_key, v_key, v_now - v_window) THEN
                        RETURN NULL;
                    END IF;
                END LOOP;
            ELSIF arvo.has_key(
                ((v_number + 2) % 4)::integer, v_event_key, v_key, v_now - v_window
            ) THEN
                RETURN NULL;
            END IF;
        END IF;
    END IF;

    v_delivery := nextval('arvo.delivery_number'::regclass);
    v_line := CASE WHEN v_key_from IS NOT NULL THEN arvo.key_in(p_event, v_key_from) END;
    IF NOT p_event ? 'time' THEN
        p_event := p_event || jsonb_build_object('time', to_char(
            v_now AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"+00:00"'
        ));
    END IF;
    -- ON CONFLICT looks first, and writes a record more: only where there can be a conflict.
    IF v_key IS NULL THEN
        INSERT INTO arvo.log (
            slot, lane, delivery, attempt, at, subject_key, event_key, event, key
        )
        VALUES (
            coalesce((v_number - 1) % 4, arvo.slot()), v_lane, v_delivery, 1, v_now,
            hashtextextended(p_event ->> 'subject', 0), v_event_key, p_event, v_line
        );
    ELSE
        INSERT INTO arvo.log (
            slot, lane, delivery, attempt, at, subject_key, event_key, event, key, dedup_key
        )
        VALUES (
            (v_number - 1) % 4, v_lane, v_delivery, 1, v_now,
            hashtextextended(p_event ->> 'subject', 0), v_event_key, p_event, v_line, v_key
        )
        ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    PERFORM arvo.wake(ARRAY[v_name]);
    RETURN (1, p_event ->> 'id', v_delivery, v_name, v_outcome)::arvo_v1.dispatched;
END;
$append_one$;

COMMENT ON FUNCTION arvo.append_one(jsonb, boolean, boolean) IS
'Appends one plain event; answers no delivery when it takes more than that.';

REVOKE ALL ON FUNCTION arvo.append_one(jsonb, boolean, boolean) FROM PUBLIC;
