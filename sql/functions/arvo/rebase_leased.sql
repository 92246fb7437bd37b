-- arvo.rebase_leased() — take back what was leased when the dump was made.
CREATE OR REPLACE FUNCTION arvo.rebase_leased()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $rebase_leased$
-- For arvo_v1.rebase, before arvo.retire_lanes: every lease counts as expired. Returns how many
-- deliveries were leased.
--
--   Reads    arvo.lane, arvo.lease, arvo.closure
--   Writes   as arvo.sweep
--   Locks    as arvo.sweep, but no leases
--   Raises   as arvo.sweep
DECLARE
    v_head arvo.lease;
    v_end bigint;
    v_count bigint;
BEGIN
    SELECT coalesce(sum(cardinality(arvo.open_deliveries(held.token, held.deliveries))), 0)
    INTO v_count
    FROM arvo.lane
    CROSS JOIN LATERAL (
        SELECT newest.open_from
        FROM arvo.lease AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS head
    INNER JOIN arvo.lease AS held
        ON held.lane = lane.lane AND held.number >= head.open_from AND held.token <> 0
    WHERE NOT lane.retired
    AND NOT EXISTS (
        SELECT
        FROM arvo.lease AS newer
        WHERE newer.token = held.token AND newer.number > held.number
    );

    FOR v_head IN
        SELECT head.*
        FROM arvo.lane
        CROSS JOIN LATERAL (
            SELECT newest.*
            FROM arvo.lease AS newest
            WHERE newest.lane = lane.lane
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS head
        WHERE NOT lane.retired
        ORDER BY lane.lane
    LOOP
        v_end := v_head.number;
        WHILE v_head.open_from <= v_end LOOP
            v_head.open_from := arvo.sweep(v_head, 4096, true);
        END LOOP;
    END LOOP;
    RETURN v_count;
END;
$rebase_leased$;

COMMENT ON FUNCTION arvo.rebase_leased() IS
'Takes back what was leased when the dump was made, as if every lease had expired; returns how many.';

REVOKE ALL ON FUNCTION arvo.rebase_leased() FROM PUBLIC;
