-- arvo_v1.accept_cluster() — go on in this cluster, which has kept the transaction numbers.
CREATE OR REPLACE FUNCTION arvo_v1.accept_cluster()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $accept_cluster$
-- For pg_upgrade, which keeps the numbers and changes the cluster's identity. True: accepted; false:
-- there was nothing to accept. Refused where the numbers cannot have been kept, because this cluster
-- has not reached them. It cannot tell every restored dump from an upgrade: that is the caller's word.
--
--   Reads    arvo.origin, arvo.lane, arvo.lease, arvo.promotion, pg_control_system
--   Writes   arvo.origin
--   Locks    nothing
--   Raises   RV902  this cluster has not reached the stored numbers
DECLARE
    v_here bigint := (SELECT control.system_identifier FROM pg_control_system() AS control);
    v_home bigint;
    v_reached xid8;
BEGIN
    SELECT origin.system_identifier INTO v_home
    FROM arvo.origin
    ORDER BY origin.number DESC
    LIMIT 1;
    IF v_home = v_here THEN
        RETURN false;
    END IF;
    SELECT max(known.xmax::text::bigint)::text::xid8 INTO v_reached
    FROM (
        SELECT pg_snapshot_xmax(head.snapshot) AS xmax
        FROM arvo.lane
        CROSS JOIN LATERAL (
            SELECT newest.snapshot
            FROM arvo.lease AS newest
            WHERE newest.lane = lane.lane
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS head
        UNION ALL
        SELECT pg_snapshot_xmax(promotion.snapshot) FROM arvo.promotion
    ) AS known;
    IF pg_snapshot_xmax(pg_current_snapshot()) < v_reached THEN
        RAISE EXCEPTION 'transaction numbers are of another cluster'
        USING ERRCODE = 'RV902',
              DETAIL = format('The rooms were read up to transaction %s; this cluster is at %s.',
                              v_reached, pg_snapshot_xmax(pg_current_snapshot())),
              HINT = 'This is a restored dump, not an upgraded cluster.';
    END IF;
    INSERT INTO arvo.origin (system_identifier) VALUES (v_here);
    RETURN true;
END;
$accept_cluster$;

COMMENT ON FUNCTION arvo_v1.accept_cluster() IS
'After pg_upgrade: says that this cluster has kept the transaction numbers, and work may go on.';

REVOKE ALL ON FUNCTION arvo_v1.accept_cluster() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.accept_cluster() TO arvo_operator;
