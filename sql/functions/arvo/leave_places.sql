-- arvo.leave_places(queue, lease, deliveries) — finished deliveries no longer have their places.
CREATE OR REPLACE FUNCTION arvo.leave_places(
    p_queue arvo.queue,
    p_lease arvo.lease,
    p_deliveries bigint[]
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $leave_places$
-- An exclusive queue gives a place to an event until it is finished; it is freed here. A place is
-- freed only by the event that has it.
--
--   Reads    arvo.log by (lane, xid, delivery)
--   Writes   as arvo.free_places
--   Locks    as arvo.free_places
--   Raises   nothing
DECLARE
    v_keys bigint[];
    v_firsts bigint[];
BEGIN
    IF p_queue.policy <> 'exclusive' THEN
        RETURN;
    END IF;
    SELECT
        array_agg(arvo.key_for(p_queue, found.entry)),
        array_agg(arvo.first_of(found.entry))
    INTO v_keys, v_firsts
    FROM unnest(p_deliveries) AS closed (delivery)
    CROSS JOIN LATERAL (
        SELECT log AS entry
        FROM arvo.log
        WHERE log.lane = p_lease.lane
        AND log.xid >= p_lease.low_xid
        AND log.xid <= p_lease.high_xid
        AND log.delivery = closed.delivery
        LIMIT 1
    ) AS found;
    PERFORM arvo.free_places(p_queue.queue, 'any', v_keys, v_firsts);
END;
$leave_places$;

COMMENT ON FUNCTION arvo.leave_places(arvo.queue, arvo.lease, bigint[]) IS
'Frees the places of an exclusive queue when its deliveries are finished.';

REVOKE ALL ON FUNCTION arvo.leave_places(arvo.queue, arvo.lease, bigint[]) FROM PUBLIC;
