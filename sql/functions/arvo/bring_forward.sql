-- arvo.bring_forward(delivery) — move one deferred delivery into the log, due or not.
CREATE OR REPLACE FUNCTION arvo.bring_forward(p_delivery bigint)
RETURNS arvo.log
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $bring_forward$
-- The caller holds the promoter's lock. Returns the new row of the log; NULL when the delivery is not
-- deferred, or has been promoted.
--
--   Reads    arvo.promotion, arvo.clock, arvo.slot
--   Writes   arvo.deferred, arvo.log, arvo.dead
--   Locks    arvo.dead row, when the delivery is one of a dead-letter queue
--   Raises   nothing
DECLARE
    v_passed arvo.promotion;
    v_waiting arvo.deferred;
    v_entry arvo.log;
BEGIN
    SELECT head.* INTO STRICT v_passed
    FROM arvo.promotion AS head
    ORDER BY head.number DESC
    LIMIT 1;
    DELETE FROM arvo.deferred
    WHERE deferred.delivery = p_delivery
    AND NOT (
        (deferred.due, deferred.delivery) <= (v_passed.due, v_passed.delivery)
        AND pg_visible_in_snapshot(deferred.xid, v_passed.snapshot)
    )
    RETURNING deferred.* INTO v_waiting;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    INSERT INTO arvo.log (
        slot, lane, delivery, attempt, at, subject_key, event_key,
        origin_delivery, origin_lane, origin_xid, event, cause, key, options, deferred_xid
    )
    SELECT
        arvo.slot(), v_waiting.lane, v_waiting.delivery, v_waiting.attempt, arvo.clock(),
        v_waiting.subject_key, v_waiting.event_key,
        CASE WHEN carried.event IS NULL THEN v_waiting.origin_delivery END,
        CASE WHEN carried.event IS NULL THEN v_waiting.origin_lane END,
        CASE WHEN carried.event IS NULL THEN v_waiting.origin_xid END,
        coalesce(v_waiting.event, carried.event),
        CASE
            WHEN carried.event IS NULL THEN v_waiting.cause
            ELSE jsonb_build_object('first', v_waiting.origin_delivery)
                || coalesce(v_waiting.cause, '{}'::jsonb)
        END,
        v_waiting.key, v_waiting.options, v_waiting.xid
    FROM (
        SELECT CASE
                   WHEN v_waiting.origin_delivery IS NOT NULL THEN arvo.carried_body(
                       v_waiting.origin_delivery, v_waiting.origin_lane, v_waiting.origin_xid
                   )
               END AS event
    ) AS carried
    RETURNING log.* INTO v_entry;
    UPDATE arvo.dead
    SET dead_letter_xid = v_entry.xid
    WHERE dead.dead_letter_lane = v_entry.lane
    AND dead.dead_letter_delivery = v_entry.delivery
    AND dead.resolution IS NULL;
    RETURN v_entry;
END;
$bring_forward$;

COMMENT ON FUNCTION arvo.bring_forward(bigint) IS
'Moves one deferred delivery into the log, whenever it is due; NULL when it is not deferred.';

REVOKE ALL ON FUNCTION arvo.bring_forward(bigint) FROM PUBLIC;
