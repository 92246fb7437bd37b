-- arvo.moved(head, reading) — a lane's head, its cursor moved on by what was read.
CREATE OR REPLACE FUNCTION arvo.moved(p_head arvo.lease, p_reading arvo.reading)
RETURNS arvo.lease
LANGUAGE plpgsql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $moved$
-- An empty reading moves nothing.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    IF p_reading.batch <> '{}' THEN
        p_head.previous_snapshot := p_reading.previous_snapshot;
        p_head.snapshot := p_reading.snapshot;
        p_head.last_xid := p_reading.last_xid;
        p_head.last_delivery := p_reading.last_delivery;
        p_head.exhausted := p_reading.exhausted;
    END IF;
    RETURN p_head;
END;
$moved$;

COMMENT ON FUNCTION arvo.moved(arvo.lease, arvo.reading) IS
'A lane''s newest lease row with the cursor as it stands after a reading.';

REVOKE ALL ON FUNCTION arvo.moved(arvo.lease, arvo.reading) FROM PUBLIC;
