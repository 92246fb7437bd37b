-- arvo.finish(queue, lease, deliveries) — leased deliveries are done with: their keys and places are free.
CREATE OR REPLACE FUNCTION arvo.finish(
    p_queue arvo.queue,
    p_lease arvo.lease,
    p_deliveries bigint[]
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $finish$
-- For what was closed without a settlement: cancelled, moved, dead by retention. Nothing of it comes
-- back, so the line of an ordered key goes on behind it. For a gated queue the caller holds the
-- queue's home lane.
--
--   Reads    arvo.log by (lane, xid, delivery)
--   Writes   as arvo.pass_turns and arvo.free_places
--   Locks    as arvo.free_places
--   Raises   nothing
DECLARE
    v_items arvo.result[];
BEGIN
    IF p_queue.gated THEN
        SELECT array_agg(
            arvo.lease_item(p_lease, leased.ordinal::integer, 'cancelled') ORDER BY leased.ordinal
        )
        INTO v_items
        FROM unnest(p_lease.deliveries) WITH ORDINALITY AS leased (delivery, ordinal)
        WHERE leased.delivery = ANY (p_deliveries);
        PERFORM arvo.pass_turns(p_queue, v_items);
    END IF;
    IF p_queue.slotted THEN
        PERFORM arvo.leave_places(p_queue, p_lease, p_deliveries);
    END IF;
END;
$finish$;

COMMENT ON FUNCTION arvo.finish(arvo.queue, arvo.lease, bigint[]) IS
'Frees keys and places of leased deliveries that were closed for good without a settlement.';

REVOKE ALL ON FUNCTION arvo.finish(arvo.queue, arvo.lease, bigint[]) FROM PUBLIC;
