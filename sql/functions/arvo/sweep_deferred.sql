-- arvo.sweep_deferred(limit) — remove deferred rows that have been promoted.
CREATE OR REPLACE FUNCTION arvo.sweep_deferred(p_limit integer)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $sweep_deferred$
-- Promotion only appends and moves its cursor on; what the cursor has passed is deleted here, and so
-- are older rows of the cursor. Returns how many deferred rows.
--
--   Reads    arvo.promotion
--   Writes   arvo.deferred, arvo.promotion
--   Locks    the rows deleted
--   Raises   nothing
DECLARE
    v_passed arvo.promotion;
    v_swept integer;
BEGIN
    SELECT head.* INTO STRICT v_passed
    FROM arvo.promotion AS head
    ORDER BY head.number DESC
    LIMIT 1;
    DELETE FROM arvo.deferred
    WHERE deferred.delivery IN (
        SELECT gone.delivery
        FROM arvo.deferred AS gone
        WHERE (gone.due, gone.delivery) <= (v_passed.due, v_passed.delivery)
        AND pg_visible_in_snapshot(gone.xid, v_passed.snapshot)
        ORDER BY gone.due, gone.delivery
        LIMIT p_limit
    );
    GET DIAGNOSTICS v_swept = ROW_COUNT;
    DELETE FROM arvo.promotion WHERE promotion.number < v_passed.number;
    RETURN v_swept;
END;
$sweep_deferred$;

COMMENT ON FUNCTION arvo.sweep_deferred(integer) IS
'Removes deferred rows that have been promoted, and old cursors; returns how many rows.';

REVOKE ALL ON FUNCTION arvo.sweep_deferred(integer) FROM PUBLIC;
