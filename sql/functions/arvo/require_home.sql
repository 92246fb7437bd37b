-- arvo.require_home() — refuse to work on another cluster's transaction numbers.
CREATE OR REPLACE FUNCTION arvo.require_home()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $require_home$
-- Windows and cursors are made of transaction numbers, which mean nothing in another cluster: after a
-- dump was restored there, deliveries would be passed over without a word.
--
--   Reads    arvo.origin, pg_control_system
--   Writes   nothing
--   Locks    nothing
--   Raises   RV902  the newest origin is another cluster
DECLARE
    v_here bigint := (SELECT control.system_identifier FROM pg_control_system() AS control);
    v_home bigint;
BEGIN
    SELECT origin.system_identifier INTO v_home
    FROM arvo.origin
    ORDER BY origin.number DESC
    LIMIT 1;
    IF v_home IS DISTINCT FROM v_here THEN
        RAISE EXCEPTION 'transaction numbers are of another cluster'
        USING ERRCODE = 'RV902',
              DETAIL = format('They are of cluster %s; this is %s.', v_home, v_here),
              HINT = 'After pg_upgrade, which keeps the numbers, call accept_cluster() as operator.'
                     ' After a dump was restored do not: what waits in its queues would be lost.';
    END IF;
END;
$require_home$;

COMMENT ON FUNCTION arvo.require_home() IS
'Raises RV902 unless the stored transaction numbers are of this cluster.';

REVOKE ALL ON FUNCTION arvo.require_home() FROM PUBLIC;
