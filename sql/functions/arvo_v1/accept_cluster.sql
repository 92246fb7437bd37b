-- arvo_v1.accept_cluster() — go on in this cluster, which has kept the transaction numbers.
CREATE OR REPLACE FUNCTION arvo_v1.accept_cluster()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $accept_cluster$
-- For pg_upgrade, which keeps the numbers and changes the cluster's identity. True: accepted; false:
-- there was nothing to accept. Refused where the numbers cannot have been kept, because this cluster
-- has not reached them. Where it has, going on is safe wherever they come from: no transaction that
-- is open, or will come, has a number among the stored ones.
--
--   Reads    as arvo.whereabouts and arvo.numbers_end
--   Writes   arvo.origin, arvo.operation
--   Locks    arvo.origin, against rebase and other acceptances
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV902  this cluster, or its oldest open transaction, has not reached the stored numbers
DECLARE
    v_whereabouts text;
BEGIN
    PERFORM arvo.require_read_committed('accept_cluster');
    LOCK TABLE arvo.origin IN SHARE ROW EXCLUSIVE MODE;
    v_whereabouts := arvo.whereabouts();
    IF v_whereabouts = 'home' THEN
        RETURN false;
    ELSIF v_whereabouts = 'foreign' THEN
        RAISE EXCEPTION 'transaction numbers are of another cluster'
        USING ERRCODE = 'RV902',
              DETAIL = format(
                  'The stored numbers go up to %s; this cluster''s oldest open transaction is %s.',
                  arvo.numbers_end(), pg_snapshot_xmin(pg_current_snapshot())
              ),
              HINT = 'This is a restored dump, not an upgraded cluster: call rebase().';
    END IF;
    INSERT INTO arvo.origin (system_identifier, relation)
    SELECT control.system_identifier, 'arvo.origin'::regclass::oid
    FROM pg_control_system() AS control;
    PERFORM arvo.note_operation('accept_cluster', NULL, '{}', 0);
    RETURN true;
END;
$accept_cluster$;

COMMENT ON FUNCTION arvo_v1.accept_cluster() IS
'After pg_upgrade: says that this cluster has kept the transaction numbers, and work may go on.';

REVOKE ALL ON FUNCTION arvo_v1.accept_cluster() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.accept_cluster() TO arvo_operator;
