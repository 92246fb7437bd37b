-- arvo.hold_homes(items) — lock the keys of the gated queues that a settlement touches.
CREATE OR REPLACE FUNCTION arvo.hold_homes(p_items arvo.result[])
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $hold_homes$
-- Only those of which something is to be closed. Returns whether any of the queues is gated or
-- slotted: then there is something to pass on.
--
--   Reads    arvo.lane, arvo.queue
--   Writes   nothing
--   Locks    the home lanes of gated queues, in order
--   Raises   nothing
DECLARE
    v_homes integer[];
    v_home integer;
BEGIN
    SELECT array_agg(
        DISTINCT CASE
            WHEN queue.gated AND named.closing THEN (
                SELECT min(own.lane)
                FROM arvo.lane AS own
                WHERE own.queue = queue.queue AND NOT own.retired
            )
        END
    )
    INTO v_homes
    FROM (
        SELECT item.lane, bool_or(coalesce(item.verdict, 'conflict') = 'conflict') AS closing
        FROM unnest(p_items) AS item
        WHERE item.lane IS NOT NULL
        GROUP BY item.lane
    ) AS named
    INNER JOIN arvo.lane ON lane.lane = named.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE queue.gated OR queue.slotted;
    IF v_homes IS NULL THEN
        RETURN false;
    END IF;
    -- array_agg(DISTINCT) sorts.
    FOREACH v_home IN ARRAY v_homes LOOP
        IF v_home IS NOT NULL THEN
            PERFORM pg_advisory_xact_lock(hashtext('arvo'), v_home);
        END IF;
    END LOOP;
    RETURN true;
END;
$hold_homes$;

COMMENT ON FUNCTION arvo.hold_homes(arvo.result[]) IS
'Locks the home lanes of the gated queues of some results; whether any is gated or slotted.';

REVOKE ALL ON FUNCTION arvo.hold_homes(arvo.result[]) FROM PUBLIC;
