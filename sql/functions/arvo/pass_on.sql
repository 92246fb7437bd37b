-- arvo.pass_on(items) — settled deliveries free their keys and places.
CREATE OR REPLACE FUNCTION arvo.pass_on(p_items arvo.result[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $pass_on$
-- After their closures have been written. Only queues that are gated or slotted have anything to do.
--
--   Reads    arvo.lane, arvo.queue, arvo.lease by token
--   Writes   as arvo.pass_turns and arvo.leave_places
--   Locks    as arvo.leave_places; the caller holds the home lanes of the gated queues
--   Raises   nothing
DECLARE
    v_queue arvo.queue;
    v_items arvo.result[];
    v_lease arvo.lease;
    v_token bigint;
    v_deliveries bigint[];
BEGIN
    IF cardinality(p_items) = 1 THEN
        SELECT queue.* INTO v_queue
        FROM arvo.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        WHERE lane.lane = p_items[1].lane;
        IF v_queue.gated AND NOT v_queue.slotted AND p_items[1].verdict IS NULL THEN
            PERFORM arvo.pass_turns(v_queue, p_items);
            RETURN;
        END IF;
    END IF;

    FOR v_queue IN
        SELECT queue.*
        FROM (
            SELECT DISTINCT lane.queue
            FROM (SELECT DISTINCT item.lane FROM unnest(p_items) AS item) AS named
            INNER JOIN arvo.lane ON lane.lane = named.lane
        ) AS met
        INNER JOIN arvo.queue ON queue.queue = met.queue
        WHERE queue.gated OR queue.slotted
    LOOP
        SELECT array_agg(item ORDER BY item.ordinal) INTO v_items
        FROM unnest(p_items) AS item
        WHERE (item.verdict IS NULL OR item.verdict NOT IN ('refused', 'already'))
        AND item.lane IN (SELECT lane.lane FROM arvo.lane WHERE lane.queue = v_queue.queue);
        CONTINUE WHEN v_items IS NULL;
        IF v_queue.gated THEN
            PERFORM arvo.pass_turns(v_queue, v_items);
        END IF;
        CONTINUE WHEN NOT v_queue.slotted;
        FOR v_token, v_deliveries IN
            SELECT item.lease, array_agg(item.delivery)
            FROM unnest(v_items) AS item
            WHERE item.verdict IS NULL OR item.verdict = 'dead'
            GROUP BY item.lease
        LOOP
            SELECT newest.* INTO STRICT v_lease
            FROM arvo.lease AS newest
            WHERE newest.token = v_token
            ORDER BY newest.number DESC
            LIMIT 1;
            PERFORM arvo.leave_places(v_queue, v_lease, v_deliveries);
        END LOOP;
    END LOOP;
END;
$pass_on$;

COMMENT ON FUNCTION arvo.pass_on(arvo.result[]) IS
'Frees keys and places of deliveries that a settlement has closed.';

REVOKE ALL ON FUNCTION arvo.pass_on(arvo.result[]) FROM PUBLIC;
