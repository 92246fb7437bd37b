-- arvo.order_results(items) — which results of ordered keys come out of order.
CREATE OR REPLACE FUNCTION arvo.order_results(p_items arvo.result[])
RETURNS arvo.result[]
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $order_results$
-- The deliveries of one key in one lease are a run, to be worked through in order. A result is
-- refused when an earlier delivery of its run is still open (RV303: settle that one first), or is not
-- completed in this very call (RV301: the rest of the run goes back). A queue that is not ordered any
-- more has no runs: its results lose their places. The caller holds the leases.
--
--   Reads    arvo.lease and arvo.closure, by token; arvo.lane, arvo.queue
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_lease bigint;
    v_key bigint;
    v_at integer;
    v_delivery bigint;
    v_blocked text;
    v_earlier bigint;
BEGIN
    FOR v_at IN
        SELECT item.ordinal
        FROM unnest(p_items) AS item
        INNER JOIN arvo.lane ON lane.lane = item.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        WHERE item.place IS NOT NULL AND queue.policy <> 'ordered'
    LOOP
        p_items[v_at].place := NULL;
    END LOOP;

    FOR v_lease, v_key IN
        SELECT DISTINCT item.lease, item.key
        FROM unnest(p_items) AS item
        WHERE item.place IS NOT NULL AND item.verdict IS NULL
    LOOP
        v_blocked := NULL;
        FOR v_at, v_delivery IN
            SELECT item.ordinal, leased.delivery
            FROM (
                SELECT newest.deliveries, newest.keys, newest.places
                FROM arvo.lease AS newest
                WHERE newest.token = v_lease
                ORDER BY newest.number DESC
                LIMIT 1
            ) AS held
            CROSS JOIN LATERAL
                unnest(held.deliveries, held.keys, held.places) AS leased (delivery, key, place)
            INNER JOIN unnest(arvo.open_deliveries(v_lease, held.deliveries)) AS open (delivery)
                ON open.delivery = leased.delivery
            LEFT JOIN unnest(p_items) AS item
                ON item.lease = v_lease AND item.delivery = leased.delivery
                AND item.code IS DISTINCT FROM 'RV006'
            WHERE leased.key = v_key
            ORDER BY leased.place
        LOOP
            IF v_at IS NULL OR p_items[v_at].verdict IS NOT NULL THEN
                v_blocked := coalesce(v_blocked, 'RV303');
                v_earlier := coalesce(v_earlier, v_delivery);
            ELSIF v_blocked IS NOT NULL THEN
                p_items[v_at].verdict := 'refused';
                p_items[v_at].code := v_blocked;
                p_items[v_at].detail := format(
                    'delivery %s is not completed, and comes before it', v_earlier
                );
            ELSIF p_items[v_at].asked <> 'completed' THEN
                v_blocked := 'RV301';
                v_earlier := v_delivery;
            END IF;
        END LOOP;
        v_earlier := NULL;
    END LOOP;
    RETURN p_items;
END;
$order_results$;

COMMENT ON FUNCTION arvo.order_results(arvo.result[]) IS
'Refuses results of ordered keys whose predecessor in the lease is not completed.';

REVOKE ALL ON FUNCTION arvo.order_results(arvo.result[]) FROM PUBLIC;
