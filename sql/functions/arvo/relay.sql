-- arvo.relay(finding, lane) — put a delivery that waits into another lane.
CREATE OR REPLACE FUNCTION arvo.relay(p_found arvo.finding, p_lane integer)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $relay$
-- The caller holds what guards its place (arvo.hold). Within its queue a delivery remains the attempt
-- that it is; in another queue it begins with the first, under the key that it has there. Returns the
-- delivery that takes its place: itself, if it is deferred.
--
--   Reads    arvo.queue, arvo.lane, arvo.log, arvo.clock
--   Writes   arvo.deferred, arvo.dead; as arvo.entomb, arvo.again and arvo.let_go
--   Locks    arvo.dead row, when the delivery is one of a dead-letter queue
--   Raises   nothing
DECLARE
    v_from arvo.queue;
    v_to arvo.queue;
    v_same boolean;
    v_waiting arvo.deferred;
    v_entry arvo.log;
    v_moved arvo.log;
    v_successor bigint := p_found.delivery;
BEGIN
    SELECT queue.* INTO STRICT v_from FROM arvo.queue WHERE queue.name = p_found.queue;
    SELECT queue.* INTO STRICT v_to
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = p_lane;
    v_same := v_from.queue = v_to.queue;

    IF p_found.place = 'deferred' THEN
        SELECT deferred.* INTO STRICT v_waiting
        FROM arvo.deferred
        WHERE deferred.delivery = p_found.delivery;
        v_entry.lane := v_waiting.lane;
        v_entry.delivery := v_waiting.delivery;
        v_entry.attempt := v_waiting.attempt;
        v_entry.subject_key := v_waiting.subject_key;
        v_entry.origin_delivery := v_waiting.origin_delivery;
        v_entry.origin_lane := v_waiting.origin_lane;
        v_entry.origin_xid := v_waiting.origin_xid;
        v_entry.event := v_waiting.event;
        v_entry.cause := v_waiting.cause;
        v_entry.key := v_waiting.key;
    ELSE
        SELECT entry.* INTO STRICT v_entry
        FROM arvo.log AS entry
        WHERE entry.lane = p_found.lane
        AND entry.xid = p_found.xid
        AND entry.delivery = p_found.delivery;
    END IF;

    v_moved := v_entry;
    v_moved.lane := p_lane;
    IF NOT v_same THEN
        v_moved.attempt := 1;
        v_moved.key := arvo.key_in(arvo.event_of(v_entry), v_to.key_from);
    END IF;

    IF p_found.place = 'deferred' THEN
        UPDATE arvo.deferred
        SET lane = v_moved.lane,
            attempt = v_moved.attempt,
            key = v_moved.key,
            cause = CASE
                WHEN v_same THEN deferred.cause
                ELSE coalesce(deferred.cause, '{}')
                    || jsonb_build_object('moved_from', v_from.name)
            END
        WHERE deferred.delivery = p_found.delivery;
    ELSE
        PERFORM arvo.entomb(v_entry, 'moved');
        v_moved.origin_delivery := coalesce(v_entry.origin_delivery, v_entry.delivery);
        v_moved.origin_lane := coalesce(v_entry.origin_lane, v_entry.lane);
        v_moved.origin_xid := coalesce(v_entry.origin_xid, v_entry.xid);
        v_moved.event := NULL;
        v_successor := arvo.again(
            v_moved, v_moved.attempt, NULL,
            (coalesce(v_entry.cause, '{}') - 'error') || jsonb_build_object(
                'outcome', 'moved', 'delivery', v_entry.delivery, 'queue', v_from.name
            )
        );
    END IF;

    UPDATE arvo.dead
    SET dead_letter = v_to.name,
        dead_letter_lane = p_lane,
        dead_letter_delivery = v_successor,
        dead_letter_xid = CASE WHEN p_found.place <> 'deferred' THEN pg_current_xact_id() END
    WHERE dead.dead_letter_lane = v_entry.lane
    AND dead.dead_letter_delivery = v_entry.delivery
    AND dead.resolution IS NULL;
    IF NOT v_same THEN
        PERFORM arvo.let_go(v_entry);
    END IF;
    RETURN v_successor;
END;
$relay$;

COMMENT ON FUNCTION arvo.relay(arvo.finding, integer) IS
'Puts a waiting delivery into another lane, of its queue or another; returns the delivery that it is there.';

REVOKE ALL ON FUNCTION arvo.relay(arvo.finding, integer) FROM PUBLIC;
