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
    v_at integer;
    v_code text;
    v_earlier bigint;
BEGIN
    -- One that is leased alone has nobody before it.
    IF cardinality(p_items) = 1 AND (
        SELECT cardinality(newest.deliveries) = 1 AND queue.policy = 'ordered'
        FROM arvo.lease AS newest
        INNER JOIN arvo.lane ON lane.lane = newest.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        WHERE newest.token = p_items[1].lease
        ORDER BY newest.number DESC
        LIMIT 1
    ) THEN
        RETURN p_items;
    END IF;

    FOR v_at, v_code, v_earlier IN
        WITH held AS MATERIALIZED (
            SELECT
                newest.token, newest.deliveries, newest.keys, newest.places,
                queue.policy = 'ordered' AS ordered
            FROM (
                SELECT DISTINCT item.lease
                FROM unnest(p_items) AS item
                WHERE item.place IS NOT NULL
            ) AS named
            CROSS JOIN LATERAL (
                SELECT lease.token, lease.lane, lease.deliveries, lease.keys, lease.places
                FROM arvo.lease
                WHERE lease.token = named.lease
                ORDER BY lease.number DESC
                LIMIT 1
            ) AS newest
            INNER JOIN arvo.lane ON lane.lane = newest.lane
            INNER JOIN arvo.queue ON queue.queue = lane.queue
        ),

        -- What this call leaves open, or does not complete.
        uncompleted AS MATERIALIZED (
            SELECT held.token, leased.key, leased.delivery, leased.place
            FROM held
            CROSS JOIN LATERAL
                unnest(held.deliveries, held.keys, held.places) AS leased (delivery, key, place)
            WHERE held.ordered
            AND leased.place IS NOT NULL
            AND (held.token, leased.delivery) NOT IN (
                SELECT item.lease, item.delivery
                FROM unnest(p_items) AS item
                WHERE item.place IS NOT NULL AND item.verdict IS NULL AND item.asked = 'completed'
            )
            AND (held.token, leased.delivery) NOT IN (
                SELECT closure.token, gone.delivery
                FROM held AS settled
                INNER JOIN arvo.closure ON closure.token = settled.token
                CROSS JOIN LATERAL unnest(closure.deliveries) AS gone (delivery)
            )
        ),

        earliest AS (
            SELECT DISTINCT ON (uncompleted.token, uncompleted.key) uncompleted.*
            FROM uncompleted
            ORDER BY uncompleted.token, uncompleted.key, uncompleted.place
        )

        SELECT item.ordinal, NULL::text, NULL::bigint
        FROM held
        INNER JOIN unnest(p_items) AS item ON item.lease = held.token
        WHERE NOT held.ordered AND item.place IS NOT NULL
        UNION ALL
        SELECT
            item.ordinal,
            CASE
                WHEN EXISTS (
                    SELECT
                    FROM unnest(p_items) AS before
                    WHERE before.lease = earliest.token
                    AND before.delivery = earliest.delivery
                    AND before.verdict IS NULL
                ) THEN 'RV301'
                ELSE 'RV303'
            END,
            earliest.delivery
        FROM earliest
        INNER JOIN unnest(p_items) AS item
            ON item.lease = earliest.token
            AND item.key = earliest.key
            AND item.place > earliest.place
            AND item.verdict IS NULL
    LOOP
        IF v_code IS NULL THEN
            p_items[v_at].place := NULL;
        ELSE
            p_items[v_at].verdict := 'refused';
            p_items[v_at].code := v_code;
            p_items[v_at].detail := format(
                'delivery %s is not completed, and comes before it', v_earlier
            );
        END IF;
    END LOOP;
    RETURN p_items;
END;
$order_results$;

COMMENT ON FUNCTION arvo.order_results(arvo.result[]) IS
'Refuses results of ordered keys whose predecessor in the lease is not completed.';

REVOKE ALL ON FUNCTION arvo.order_results(arvo.result[]) FROM PUBLIC;
