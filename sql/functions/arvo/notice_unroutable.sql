-- arvo.notice_unroutable(accepted) — tell the listener for unroutable events, if there is one.
CREATE OR REPLACE FUNCTION arvo.notice_unroutable(p_accepted arvo_v1.dispatched[])
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $notice_unroutable$
-- An event whose destination nobody has registered waits in that destination's own queue. When the
-- queue arvo.unroutable is registered, the event is delivered there too, as a notice: the body is
-- not written again. Returns how many notices were written. The events have just been appended or
-- promoted by this transaction; p_accepted needs their deliveries and queues only.
--
--   Reads    arvo.queue, arvo.lane, arvo.log by (lane, xid, delivery), arvo.clock, arvo.slot
--   Writes   arvo.log
--   Locks    as arvo.lane_for
--   Raises   nothing
DECLARE
    v_notices integer := 0;
    v_lane integer;
BEGIN
    IF NOT EXISTS (
        SELECT FROM unnest(p_accepted) AS accepted WHERE accepted.outcome = 'unroutable'
    ) OR NOT EXISTS (
        SELECT FROM arvo.queue WHERE queue.name = 'arvo.unroutable' AND queue.registered
    ) THEN
        RETURN 0;
    END IF;
    v_lane := arvo.lane_for('arvo.unroutable');

    INSERT INTO arvo.log (
        slot, lane, delivery, attempt, at, subject_key, event_key,
        origin_delivery, origin_lane, origin_xid, event, cause
    )
    SELECT
        arvo.slot(),
        v_lane,
        nextval('arvo.delivery_number'::regclass),
        1,
        arvo.clock(),
        entry.subject_key,
        entry.event_key,
        CASE WHEN entry.slot = arvo.slot() THEN entry.delivery END,
        CASE WHEN entry.slot = arvo.slot() THEN entry.lane END,
        CASE WHEN entry.slot = arvo.slot() THEN entry.xid END,
        -- as in arvo.carried_body
        CASE WHEN entry.slot <> arvo.slot() THEN entry.event END,
        jsonb_build_object(
            'outcome', 'unroutable',
            'queue', accepted.queue,
            'delivery', accepted.delivery
        )
    FROM unnest(p_accepted) AS accepted
    INNER JOIN arvo.queue ON queue.name = accepted.queue
    INNER JOIN arvo.lane ON lane.queue = queue.queue AND NOT lane.retired
    INNER JOIN arvo.log AS entry
        ON entry.lane = lane.lane
        AND entry.xid = pg_current_xact_id()
        AND entry.delivery = accepted.delivery
    WHERE accepted.outcome = 'unroutable'
    ORDER BY accepted.ordinal;
    GET DIAGNOSTICS v_notices = ROW_COUNT;
    PERFORM arvo.wake(ARRAY['arvo.unroutable']);
    RETURN v_notices;
END;
$notice_unroutable$;

COMMENT ON FUNCTION arvo.notice_unroutable(arvo_v1.dispatched[]) IS
'Delivers notices of unroutable events to the queue arvo.unroutable, when it is registered.';

REVOKE ALL ON FUNCTION arvo.notice_unroutable(arvo_v1.dispatched[]) FROM PUBLIC;
