-- arvo.bury(log row, queue, reason, error) — make a dead letter of a delivery.
CREATE OR REPLACE FUNCTION arvo.bury(
    p_entry arvo.log,
    p_queue arvo.queue,
    p_reason text,
    p_error jsonb
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $bury$
-- The dead letter keeps the event whole and says where it failed and why. When the queue names a
-- dead-letter queue, the event is delivered there too, with that story as its cause. A dead letter
-- that dies again in its dead-letter queue stays one: it keeps the queue and the reason of its first
-- death, and goes on to the dead-letter queue of that queue, if it has one; through five at most, so
-- that a ring of queues ends. Returns the number of the dead letter.
--
--   Reads    arvo.clock, arvo.slot, arvo.log; as arvo.carried_body
--   Writes   arvo.dead, arvo.log; arvo.queue, arvo.lane when the dead-letter queue is missing
--   Locks    as arvo.lane_for; arvo.dead row, when the delivery is one of a dead-letter queue
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_event jsonb := arvo.event_of(p_entry);
    v_redrives integer := coalesce((p_entry.cause ->> 'redrives')::integer, 0);
    v_hops integer := coalesce((p_entry.cause ->> 'hops')::integer, 0);
    v_dead bigint;
    v_lane integer;
    v_delivery bigint;
BEGIN
    IF p_queue.dead_letter IS NOT NULL AND v_hops < 5 THEN
        v_lane := arvo.lane_for(p_queue.dead_letter);
        v_delivery := nextval('arvo.delivery_number'::regclass);
    END IF;

    UPDATE arvo.dead
    SET dead_letter = CASE WHEN v_lane IS NOT NULL THEN p_queue.dead_letter END,
        dead_letter_lane = v_lane,
        dead_letter_xid = CASE WHEN v_lane IS NOT NULL THEN pg_current_xact_id() END,
        dead_letter_delivery = v_delivery
    WHERE dead.dead_letter_lane = p_entry.lane
    AND dead.dead_letter_delivery = p_entry.delivery
    AND dead.resolution IS NULL
    RETURNING dead.dead INTO v_dead;
    IF NOT FOUND THEN
        INSERT INTO arvo.dead (
            delivery, queue, dead_letter, dead_letter_lane, dead_letter_xid, dead_letter_delivery,
            event_id, subject_key, event_key, event, attempts, reason, error, died_at, redrives,
            key, options
        )
        VALUES (
            p_entry.delivery, p_queue.name,
            CASE WHEN v_lane IS NOT NULL THEN p_queue.dead_letter END, v_lane,
            CASE WHEN v_lane IS NOT NULL THEN pg_current_xact_id() END, v_delivery,
            v_event ->> 'id', p_entry.subject_key, p_entry.event_key, v_event, p_entry.attempt,
            p_reason, p_error, v_now, v_redrives, p_entry.key, p_entry.options
        )
        RETURNING dead.dead INTO v_dead;
    END IF;

    IF v_lane IS NOT NULL THEN
        INSERT INTO arvo.log (
            slot, lane, delivery, attempt, at, subject_key, event_key,
            origin_delivery, origin_lane, origin_xid, event, cause
        )
        SELECT
            arvo.slot(), v_lane, v_delivery, 1, v_now, p_entry.subject_key, p_entry.event_key,
            CASE WHEN carried.event IS NULL
                THEN coalesce(p_entry.origin_delivery, p_entry.delivery)
            END,
            CASE WHEN carried.event IS NULL THEN coalesce(p_entry.origin_lane, p_entry.lane) END,
            CASE WHEN carried.event IS NULL THEN coalesce(p_entry.origin_xid, p_entry.xid) END,
            carried.event,
            jsonb_build_object(
                'outcome', 'dead',
                'dead', v_dead,
                'queue', p_queue.name,
                'delivery', p_entry.delivery,
                'attempts', p_entry.attempt,
                'reason', p_reason,
                'error', p_error,
                'redrives', v_redrives,
                'hops', v_hops + 1
            ) || CASE
                WHEN carried.event IS NULL THEN '{}'::jsonb
                ELSE jsonb_build_object('first', arvo.first_of(p_entry))
            END
        FROM arvo.carried_body(
            coalesce(p_entry.origin_delivery, p_entry.delivery),
            coalesce(p_entry.origin_lane, p_entry.lane),
            coalesce(p_entry.origin_xid, p_entry.xid)
        ) AS carried (event);
        PERFORM arvo.wake(ARRAY[p_queue.dead_letter]);
    END IF;
    RETURN v_dead;
END;
$bury$;

COMMENT ON FUNCTION arvo.bury(arvo.log, arvo.queue, text, jsonb) IS
'Makes a dead letter of a delivery, and delivers it to the dead-letter queue when one is named.';

REVOKE ALL ON FUNCTION arvo.bury(arvo.log, arvo.queue, text, jsonb) FROM PUBLIC;
