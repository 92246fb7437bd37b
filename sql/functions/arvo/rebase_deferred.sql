-- arvo.rebase_deferred(own) — give deferred deliveries numbers of this cluster.
CREATE OR REPLACE FUNCTION arvo.rebase_deferred(p_own bigint)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $rebase_deferred$
-- For arvo_v1.rebase, after arvo.retire_lanes. What had been promoted and not swept yet is swept now;
-- the rest stays deferred, for the new lanes, and the promotion begins from the front. Deliveries above
-- p_own are this transaction's. Returns how many others are deferred.
--
--   Reads    arvo.promotion, arvo.lane, arvo.clock
--   Writes   arvo.deferred, arvo.promotion, arvo.dead
--   Locks    arvo.deferred rows, arvo.dead rows
--   Raises   nothing
DECLARE
    v_passed arvo.promotion;
    v_count bigint;
BEGIN
    SELECT head.* INTO STRICT v_passed
    FROM arvo.promotion AS head
    ORDER BY head.number DESC
    LIMIT 1;
    DELETE FROM arvo.deferred
    WHERE deferred.delivery <= p_own
    AND (deferred.due, deferred.delivery) <= (v_passed.due, v_passed.delivery)
    AND pg_visible_in_snapshot(deferred.xid, v_passed.snapshot);

    WITH moved AS (
        UPDATE arvo.deferred
        SET lane = lane.successor, xid = '3'
        FROM arvo.lane
        WHERE lane.lane = deferred.lane AND lane.retired
        RETURNING deferred.delivery
    )

    SELECT count(*) INTO v_count FROM moved WHERE moved.delivery <= p_own;
    INSERT INTO arvo.promotion (number, due, delivery, snapshot, promoted, at)
    VALUES (v_passed.number + 1, '-infinity', 0, '4:4:', 0, arvo.clock());

    -- Those in the log of a new lane have been pointed to it already.
    UPDATE arvo.dead
    SET dead_letter_lane = lane.successor
    FROM arvo.lane
    WHERE lane.lane = dead.dead_letter_lane
    AND lane.retired
    AND dead.dead_letter_xid IS NULL
    AND dead.resolution IS NULL;
    RETURN v_count;
END;
$rebase_deferred$;

COMMENT ON FUNCTION arvo.rebase_deferred(bigint) IS
'Gives deferred deliveries to the new lanes, with numbers of this cluster; returns how many.';

REVOKE ALL ON FUNCTION arvo.rebase_deferred(bigint) FROM PUBLIC;
