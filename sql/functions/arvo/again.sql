-- arvo.again(log row, attempt, after, cause) — deliver an event once more.
CREATE OR REPLACE FUNCTION arvo.again(
    p_entry arvo.log,
    p_attempt integer,
    p_after interval,
    p_cause jsonb
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $again$
-- Appends a new delivery of p_entry's event to the same lane: at once, or deferred by p_after. The
-- event itself is not written again, unless it stands in an older generation; the new row says where
-- it stands. Returns the new delivery.
-- A dead letter that is being consumed from its dead-letter queue follows its delivery.
--
--   Reads    arvo.clock, arvo.slot, arvo.lane, arvo.queue; as arvo.carried_body
--   Writes   arvo.log or arvo.deferred; arvo.dead
--   Locks    arvo.dead row, when the delivery is one of a dead-letter queue
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_delivery bigint := nextval('arvo.delivery_number'::regclass);
    v_at_once boolean := coalesce(p_after <= interval '0', true);
    v_origin bigint := coalesce(p_entry.origin_delivery, p_entry.delivery);
    v_lane integer := coalesce(p_entry.origin_lane, p_entry.lane);
    v_xid xid8 := coalesce(p_entry.origin_xid, p_entry.xid);
    v_cause jsonb := coalesce(p_cause, '{}'::jsonb)
        || jsonb_build_object('first', arvo.first_of(p_entry));
BEGIN
    IF v_at_once THEN
        INSERT INTO arvo.log (
            slot, lane, delivery, attempt, at, subject_key, event_key,
            origin_delivery, origin_lane, origin_xid, event, cause, key, options
        )
        SELECT
            arvo.slot(), p_entry.lane, v_delivery, p_attempt, v_now,
            p_entry.subject_key, p_entry.event_key,
            CASE WHEN carried.event IS NULL THEN v_origin END,
            CASE WHEN carried.event IS NULL THEN v_lane END,
            CASE WHEN carried.event IS NULL THEN v_xid END,
            carried.event,
            CASE WHEN carried.event IS NULL THEN p_cause ELSE v_cause END,
            p_entry.key,
            p_entry.options
        FROM arvo.carried_body(v_origin, v_lane, v_xid) AS carried (event);
    ELSE
        INSERT INTO arvo.deferred (
            due, lane, delivery, attempt, at, subject_key, event_key,
            origin_delivery, origin_lane, origin_xid, event, cause, key, options
        )
        SELECT
            v_now + p_after, p_entry.lane, v_delivery, p_attempt, v_now,
            p_entry.subject_key, p_entry.event_key,
            CASE WHEN carried.event IS NULL THEN v_origin END,
            CASE WHEN carried.event IS NULL THEN v_lane END,
            CASE WHEN carried.event IS NULL THEN v_xid END,
            carried.event,
            CASE WHEN carried.event IS NULL THEN p_cause ELSE v_cause END,
            p_entry.key,
            p_entry.options
        FROM arvo.carried_body(v_origin, v_lane, v_xid) AS carried (event);
    END IF;

    UPDATE arvo.dead
    SET dead_letter_delivery = v_delivery,
        dead_letter_xid = CASE WHEN v_at_once THEN pg_current_xact_id() END
    WHERE dead.dead_letter_lane = p_entry.lane
    AND dead.dead_letter_delivery = p_entry.delivery
    AND dead.resolution IS NULL;

    PERFORM arvo.wake(ARRAY[queue.name])
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = p_entry.lane;

    RETURN v_delivery;
END;
$again$;

COMMENT ON FUNCTION arvo.again(arvo.log, integer, interval, jsonb) IS
'Appends a further delivery of a logged event, at once or deferred.';

REVOKE ALL ON FUNCTION arvo.again(arvo.log, integer, interval, jsonb) FROM PUBLIC;
