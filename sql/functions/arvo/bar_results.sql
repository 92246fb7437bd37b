-- arvo.bar_results(items) — refuse results of queues that are closed to the caller, and into such.
CREATE OR REPLACE FUNCTION arvo.bar_results(p_items arvo.result[])
RETURNS arvo.result[]
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $bar_results$
-- A number of a lease can be guessed: what was leased from a queue is settled by those who may consume
-- it. What a handler emits, its worker dispatches. Each is refused by itself, with RV007.
--
--   Reads    arvo.lane, arvo.queue; as arvo.may and arvo.barred_to
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_items arvo.result[] := p_items;
    v_item arvo.result;
    v_queue text;
    v_right text;
BEGIN
    FOREACH v_item IN ARRAY p_items LOOP
        CONTINUE WHEN v_item.verdict IS NOT NULL;
        v_right := 'consume';
        SELECT queue.name INTO v_queue
        FROM arvo.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        WHERE lane.lane = v_item.lane AND NOT arvo.may(queue.name, 'consume');
        IF NOT FOUND AND v_item.events <> '[]' THEN
            v_right := 'dispatch';
            v_queue := arvo.barred_to(v_item.events);
        END IF;
        IF v_queue IS NOT NULL THEN
            v_item.verdict := 'refused';
            v_item.code := 'RV007';
            v_item.detail := arvo.closed_detail(v_queue, v_right);
            v_items[v_item.ordinal] := v_item;
        END IF;
    END LOOP;
    RETURN v_items;
END;
$bar_results$;

COMMENT ON FUNCTION arvo.bar_results(arvo.result[]) IS
'Refuses results whose queue, or the queue of what they emit, is closed to the caller.';

REVOKE ALL ON FUNCTION arvo.bar_results(arvo.result[]) FROM PUBLIC;
