-- arvo.recheck(finding) — where a delivery stands now.
CREATE OR REPLACE FUNCTION arvo.recheck(p_found arvo.finding)
RETURNS arvo.finding
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $recheck$
-- For a caller that has taken the locks since it looked. The place may also be withdrawn or closed.
--
--   Reads    arvo.deferred, arvo.promotion, arvo.log by event; as arvo.standing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_found arvo.finding := p_found;
    v_now arvo.standing;
BEGIN
    IF v_found.place = 'dead' THEN
        RETURN v_found;
    ELSIF v_found.place = 'deferred' THEN
        IF EXISTS (
            SELECT
            FROM arvo.deferred
            CROSS JOIN (
                SELECT head.due, head.delivery, head.snapshot
                FROM arvo.promotion AS head
                ORDER BY head.number DESC
                LIMIT 1
            ) AS passed
            WHERE deferred.delivery = v_found.delivery
            AND NOT (
                (deferred.due, deferred.delivery) <= (passed.due, passed.delivery)
                AND pg_visible_in_snapshot(deferred.xid, passed.snapshot)
            )
        ) THEN
            RETURN v_found;
        END IF;
        SELECT log.lane, log.xid INTO v_found.lane, v_found.xid
        FROM arvo.log
        WHERE log.event_key = v_found.event_key AND log.delivery = v_found.delivery;
    END IF;

    v_now := arvo.standing(v_found.lane, v_found.xid, v_found.delivery);
    v_found.place := v_now.place;
    v_found.token := v_now.token;
    RETURN v_found;
END;
$recheck$;

COMMENT ON FUNCTION arvo.recheck(arvo.finding) IS
'Where a delivery that was found before stands as of the calling statement.';

REVOKE ALL ON FUNCTION arvo.recheck(arvo.finding) FROM PUBLIC;
