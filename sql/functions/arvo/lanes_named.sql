-- arvo.lanes_named(name) — the lanes of the queues that a name stands for, few enough to be locked.
CREATE OR REPLACE FUNCTION arvo.lanes_named(p_name text)
RETURNS integer[]
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $lanes_named$
--   Reads    arvo.queue, arvo.lane
--   Writes   nothing
--   Locks    nothing
--   Raises   RV003  the queue is not known
--            RV006  the name stands for queues with more than 512 lanes
DECLARE
    v_lanes integer[] := ARRAY(
        SELECT own.lane
        FROM arvo.queues_named(p_name) AS named
        CROSS JOIN LATERAL arvo.lanes_of(named.queue) AS own
        ORDER BY own.lane
    );
BEGIN
    IF cardinality(v_lanes) > 512 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'queue',
              DETAIL = format('%s stands for %s lanes', left(to_json(p_name)::text, 80),
                              cardinality(v_lanes)),
              HINT = 'A call locks 512 lanes at most: name fewer queues at a time.';
    END IF;
    RETURN v_lanes;
END;
$lanes_named$;

COMMENT ON FUNCTION arvo.lanes_named(text) IS
'The lanes of the queues that a name stands for; raises RV006 for more than 512.';

REVOKE ALL ON FUNCTION arvo.lanes_named(text) FROM PUBLIC;
