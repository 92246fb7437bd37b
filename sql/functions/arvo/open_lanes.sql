-- arvo.open_lanes(claimable, queues) — those lanes of a claim that the caller may claim from.
CREATE OR REPLACE FUNCTION arvo.open_lanes(p_asked arvo.claimable, p_queues text[])
RETURNS arvo.claimable
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $open_lanes$
-- A queue that was named in full and is closed is refused; of those that a star stands for, it is
-- passed over.
--
--   Reads    arvo.queue; as arvo.may
--   Writes   nothing
--   Locks    nothing
--   Raises   RV007  a queue is closed to the caller
DECLARE
    v_open arvo.claimable := p_asked;
    v_barred integer[];
BEGIN
    v_barred := ARRAY(
        SELECT queue.queue
        FROM arvo.queue
        WHERE queue.queue = ANY (p_asked.queues) AND NOT arvo.may(queue.name, 'consume')
    );
    IF v_barred <> '{}' THEN
        PERFORM arvo.require_right(
            ARRAY(
                SELECT asked.name FROM unnest(p_queues) AS asked (name) WHERE NOT asked.name LIKE '%*'
            ),
            'consume'
        );
        SELECT
            array_agg(listed.lane ORDER BY listed.ordinal),
            array_agg(listed.place ORDER BY listed.ordinal),
            array_agg(listed.queue ORDER BY listed.ordinal),
            array_agg(listed.gated ORDER BY listed.ordinal)
        INTO v_open.lanes, v_open.places, v_open.queues, v_open.gated
        FROM unnest(p_asked.lanes, p_asked.places, p_asked.queues, p_asked.gated) WITH ORDINALITY
            AS listed (lane, place, queue, gated, ordinal)
        WHERE listed.queue <> ALL (v_barred);
        v_open.lanes := coalesce(v_open.lanes, '{}');
    END IF;
    RETURN v_open;
END;
$open_lanes$;

COMMENT ON FUNCTION arvo.open_lanes(arvo.claimable, text[]) IS
'Leaves out lanes of queues that are closed to the caller; raises RV007 for a queue that was named.';

REVOKE ALL ON FUNCTION arvo.open_lanes(arvo.claimable, text[]) FROM PUBLIC;
