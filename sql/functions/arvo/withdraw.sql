-- arvo.withdraw(lane, token, batch) — close what was withdrawn before it could be claimed.
CREATE OR REPLACE FUNCTION arvo.withdraw(p_lane integer, p_token bigint, p_batch arvo.log[])
RETURNS arvo.log[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $withdraw$
-- Those of a freshly leased batch that have a tombstone are closed as cancelled under that lease,
-- and their tombstones are removed. Returns the others, in their order (unnest keeps it).
--
--   Reads    arvo.clock, arvo.slot
--   Writes   arvo.tombstone, arvo.closure
--   Locks    arvo.tombstone rows
--   Raises   nothing
DECLARE
    v_withdrawn bigint[];
BEGIN
    WITH met AS (
        DELETE FROM arvo.tombstone
        WHERE tombstone.lane = p_lane
        AND tombstone.delivery IN (SELECT entry.delivery FROM unnest(p_batch) AS entry)
        RETURNING tombstone.delivery
    )

    SELECT array_agg(met.delivery) INTO v_withdrawn FROM met;
    IF v_withdrawn IS NULL THEN
        RETURN p_batch;
    END IF;

    INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
    VALUES (
        arvo.slot(), p_token, arvo.clock(), v_withdrawn, '{cancelled}',
        array_fill(NULL::integer, ARRAY[cardinality(v_withdrawn)])
    );
    RETURN ARRAY(
        SELECT entry
        FROM unnest(p_batch) AS entry
        WHERE entry.delivery <> ALL (v_withdrawn)
    );
END;
$withdraw$;

COMMENT ON FUNCTION arvo.withdraw(integer, bigint, arvo.log[]) IS
'Closes withdrawn deliveries of a freshly leased batch; returns the others.';

REVOKE ALL ON FUNCTION arvo.withdraw(integer, bigint, arvo.log[]) FROM PUBLIC;
