-- arvo_v1.redrive(queue, dead, limit, dry_run, …) — put dead letters back into a queue.
CREATE OR REPLACE FUNCTION arvo_v1.redrive(
    p_queue text DEFAULT NULL,
    p_dead bigint[] DEFAULT NULL,
    p_limit integer DEFAULT 100,
    p_dry_run boolean DEFAULT false,
    p_reason text DEFAULT NULL,
    p_since timestamptz DEFAULT NULL,
    p_before timestamptz DEFAULT NULL,
    p_event_type text DEFAULT NULL,
    p_subject text DEFAULT NULL,
    p_path jsonpath DEFAULT NULL,
    p_text text DEFAULT NULL,
    p_rate double precision DEFAULT NULL,
    p_edit jsonb DEFAULT NULL,
    p_data jsonb DEFAULT NULL,
    p_to text DEFAULT NULL,
    p_force boolean DEFAULT false
)
RETURNS SETOF arvo_v1.redriven
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
AS $redrive$
-- Filters as in dead_letters, of which one at least is given; oldest first, p_limit at most. The
-- event starts again with attempt 1: in the queue it failed in, or in p_to; in an ordered queue at
-- the end of the line of its key. Neither deduplication nor a queue's throttle or places of
-- short, stately and exclusive stand in its way. Its delivery in the dead-letter queue is withdrawn;
-- one that a consumer of that queue has in its hands, or has put off, is left alone.
--
--   p_rate   so many per second: the first at once, each other one due later than the one before
--   p_edit   a merge patch (RFC 7396) of the event; p_data then replaces its data. The original
--            stays in the dead letter, the edited event is kept beside it
--   p_force  also what was redriven as often as its queue allows (max_redrives)
--
-- What is refused stays open and does not count: at most p_limit refusals are told. RV001: the
-- edited event is not valid. RV102: redriven too often. RV103, told of letters named by number:
-- somebody has it in hand. A dry run answers what would be done.
--
--   Reads    arvo.dead, arvo.queue, arvo.clock, arvo.slot; as arvo.grasp_dead
--   Writes   arvo.dead, arvo.tombstone, arvo.log or arvo.deferred, arvo.operation; arvo.queue,
--            arvo.lane when they are missing
--   Locks    as arvo.grasp_dead; as arvo.lane_for
--   Raises   RV003  nobody has named the queue p_to
--            RV005  the transaction is not READ COMMITTED
--            RV006  no filter is given; limit, reason, rate, edit or data break their rules
--            RV007  a queue that is named is closed to the caller
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_now timestamptz := arvo.clock();
    v_slot smallint := arvo.slot();
    v_filter arvo.dead_filter;
    v_after bigint := 0::bigint;
    v_first boolean := true;
    v_size integer := least(p_limit, 1000);
    v_page bigint[];
    v_free bigint[];
    v_dead arvo.dead;
    v_edited jsonb;
    v_code text;
    v_detail text;
    v_most integer;
    v_queue text;
    v_target arvo.queue;
    v_kind text;
    v_taken bigint;
    v_lane integer;
    v_key bigint;
    v_delivery bigint;
    v_due timestamptz;
    v_cause jsonb;
    v_done integer := 0;
    v_refused integer := 0;
    v_woken text[] := '{}'::text[];
BEGIN
    PERFORM arvo.require_read_committed('redrive');
    PERFORM arvo.require_home();
    PERFORM arvo.require_right(ARRAY[p_queue], 'operate');
    PERFORM arvo.require_right(ARRAY[p_to], 'dispatch');
    v_filter := arvo.read_dead_filter(
        p_dead, p_queue, p_reason, p_since, p_before, p_event_type, p_subject, p_path, p_text,
        p_limit, true
    );
    IF p_rate NOT BETWEEN 0.001 AND 1000000 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'rate',
              DETAIL = format('rate: %s', p_rate),
              HINT = 'Use 0.001 to 1000000 per second.';
    END IF;
    IF jsonb_typeof(p_edit) <> 'object' OR p_edit ?| ARRAY['id', 'source', 'subject']
        OR arvo.json_fault(p_edit, 1048576) IS NOT NULL
    THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'edit',
              DETAIL = format('edit: %s', arvo.json_start(p_edit)),
              HINT = 'Give a JSON object that leaves id, source and subject alone, and that an event could'
                     ' hold.';
    END IF;
    IF jsonb_typeof(p_data) <> 'object' OR arvo.json_fault(p_data, 1048576) IS NOT NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'data',
              DETAIL = format('data: %s', arvo.json_start(p_data)),
              HINT = 'Give a JSON object that an event could hold.';
    END IF;
    IF p_to IS NOT NULL AND NOT EXISTS (SELECT FROM arvo.queue WHERE queue.name = p_to) THEN
        RAISE EXCEPTION 'queue is not known'
        USING ERRCODE = 'RV003',
              COLUMN = 'to',
              DETAIL = format('queue %s', left(to_json(p_to)::text, 80)),
              HINT = 'Register the queue, or redrive into the queues they failed in.';
    END IF;

    WHILE v_done < p_limit LOOP
        v_page := ARRAY(
            SELECT found.dead
            FROM arvo.find_dead(v_filter, v_after, v_size, false) AS found
            ORDER BY found.dead
        );
        EXIT WHEN v_page = '{}';
        v_free := arvo.grasp_dead(v_page, v_first);

        FOR v_dead IN
            SELECT dead.*
            FROM arvo.dead
            WHERE dead.dead = ANY (v_page)
            ORDER BY dead.dead
        LOOP
            EXIT WHEN v_done >= p_limit;
            v_code := NULL;
            v_detail := NULL;
            v_edited := NULL;
            v_queue := coalesce(p_to, v_dead.queue);
            IF v_dead.dead <> ALL (v_free) THEN
                CONTINUE WHEN p_dead IS NULL OR v_dead.resolution IS NOT NULL;
                v_code := 'RV103';
                v_detail := CASE
                    WHEN v_dead.dead_letter IS NULL THEN 'another operator has it'
                    ELSE format('a consumer of %s, or another operator, has it', v_dead.dead_letter)
                END;
            ELSE
                SELECT queue.max_redrives INTO v_most
                FROM arvo.queue
                WHERE queue.name = v_dead.queue;
                IF v_dead.redrives >= v_most AND p_force IS NOT TRUE THEN
                    v_code := 'RV102';
                    v_detail := format(
                        'redriven %s times, max_redrives is %s', v_dead.redrives, v_most
                    );
                ELSIF num_nonnulls(p_edit, p_data) > 0 THEN
                    v_edited := v_dead.event;
                    IF p_edit IS NOT NULL THEN
                        v_edited := arvo.merge_patch(v_edited, p_edit);
                    END IF;
                    IF p_data IS NOT NULL THEN
                        v_edited := v_edited || jsonb_build_object('data', p_data);
                    END IF;
                    v_edited := nullif(v_edited, v_dead.event);
                    v_detail := CASE
                        WHEN v_edited IS NOT NULL THEN arvo.event_fault(v_edited)
                    END;
                    v_code := CASE WHEN v_detail IS NOT NULL THEN 'RV001' END;
                END IF;
            END IF;
            IF v_code IS NULL THEN
                SELECT queue.* INTO v_target
                FROM arvo.queue
                WHERE queue.name = v_queue;
                -- A key that was given stays within its queue; one that was read is read again.
                v_key := CASE
                    WHEN v_queue = v_dead.queue
                        AND v_dead.key <> coalesce(arvo.key_in(v_dead.event, v_target.key_from), 0)
                        THEN v_dead.key
                    ELSE arvo.key_in(coalesce(v_edited, v_dead.event), v_target.key_from)
                END;
                v_delivery := nextval('arvo.delivery_number'::regclass);
                IF v_target.slotted THEN
                    v_kind := CASE WHEN v_target.policy = 'exclusive' THEN 'any' ELSE 'queued' END;
                    v_taken := CASE
                        WHEN p_dry_run
                            THEN arvo.place_holder(v_target.queue, v_kind, coalesce(v_key, 1))
                        ELSE arvo.take_place(
                            v_target.queue, v_kind, coalesce(v_key, 1), v_delivery
                        )
                    END;
                    IF v_taken IS NOT NULL THEN
                        v_code := 'RV104';
                        v_detail := format('delivery %s has the place of its key', v_taken);
                    END IF;
                END IF;
            END IF;
            IF v_code IS NOT NULL THEN
                v_refused := v_refused + 1;
                IF v_refused <= p_limit THEN
                    RETURN NEXT (
                        v_dead.dead, v_dead.event_id, NULL, v_queue, 'refused', v_code, v_detail,
                        NULL
                    )::arvo_v1.redriven;
                END IF;
                CONTINUE;
            END IF;

            IF p_dry_run THEN
                v_delivery := NULL;
            END IF;
            v_due := CASE
                WHEN v_done > 0 THEN v_now + make_interval(secs => v_done / p_rate)
            END;
            v_done := v_done + 1;
            IF NOT p_dry_run THEN
                IF v_dead.dead_letter_lane IS NOT NULL THEN
                    INSERT INTO arvo.tombstone (lane, delivery, at, by)
                    VALUES (
                        v_dead.dead_letter_lane, v_dead.dead_letter_delivery, v_now, session_user
                    )
                    ON CONFLICT DO NOTHING;
                END IF;
                UPDATE arvo.dead
                SET resolution = 'redriven', resolved_at = v_now, resolved_by = session_user,
                    edited = v_edited
                WHERE dead.dead = v_dead.dead;

                v_lane := arvo.lane_for(v_queue);
                v_cause := jsonb_build_object(
                    'outcome', 'redriven',
                    'dead', v_dead.dead,
                    'delivery', v_dead.delivery,
                    'error', v_dead.error,
                    'redrives', v_dead.redrives + 1
                );
                IF v_edited IS NOT NULL THEN
                    v_cause := v_cause || '{"edited": true}';
                END IF;
                IF v_due IS NULL THEN
                    INSERT INTO arvo.log (
                        slot, lane, delivery, attempt, at, subject_key, event_key, key, options,
                        event, cause
                    )
                    VALUES (
                        v_slot, v_lane, v_delivery, 1, v_now, v_dead.subject_key, v_dead.event_key,
                        v_key, v_dead.options,
                        coalesce(v_edited, v_dead.event), v_cause
                    );
                ELSE
                    INSERT INTO arvo.deferred (
                        due, lane, delivery, attempt, at, subject_key, event_key, key, options,
                        event, cause
                    )
                    VALUES (
                        v_due, v_lane, v_delivery, 1, v_now, v_dead.subject_key, v_dead.event_key,
                        v_key, v_dead.options,
                        coalesce(v_edited, v_dead.event), v_cause
                    );
                END IF;
                IF v_queue <> ALL (v_woken) THEN
                    v_woken := v_woken || v_queue;
                END IF;
            END IF;
            RETURN NEXT (
                v_dead.dead, v_dead.event_id, v_delivery, v_queue, 'redriven', NULL, NULL, v_due
            )::arvo_v1.redriven;
        END LOOP;

        EXIT WHEN cardinality(v_page) < v_size;
        v_after := v_page[v_size];
        v_first := false;
        v_size := least(greatest(p_limit - v_done, 100), 1000);
    END LOOP;

    IF NOT p_dry_run THEN
        PERFORM arvo.wake(v_woken);
        PERFORM arvo.note_operation(
            'redrive',
            p_queue,
            jsonb_build_object(
                'dead', p_dead,
                'limit', p_limit,
                'reason', p_reason,
                'since', p_since,
                'before', p_before,
                'event_type', p_event_type,
                'subject', p_subject,
                'path', p_path::text,
                'text', p_text,
                'rate', p_rate,
                -- as text: a null in them means something
                'edit', p_edit::text,
                'data', p_data::text,
                'to', p_to,
                'force', nullif(p_force, false),
                'refused', nullif(v_refused, 0)
            ),
            v_done
        );
    END IF;
END;
$redrive$;

COMMENT ON FUNCTION
arvo_v1.redrive(
    text, bigint[], integer, boolean, text, timestamptz, timestamptz, text, text, jsonpath, text,
    double precision, jsonb, jsonb, text, boolean
) IS
'Puts dead letters back into the queues they failed in or another; edited, spread if so asked.';

REVOKE ALL ON FUNCTION
arvo_v1.redrive(
    text, bigint[], integer, boolean, text, timestamptz, timestamptz, text, text, jsonpath, text,
    double precision, jsonb, jsonb, text, boolean
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
arvo_v1.redrive(
    text, bigint[], integer, boolean, text, timestamptz, timestamptz, text, text, jsonpath, text,
    double precision, jsonb, jsonb, text, boolean
) TO arvo_operator;
