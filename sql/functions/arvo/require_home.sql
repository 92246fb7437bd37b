-- arvo.require_home() — refuse to work on another cluster's transaction numbers.
CREATE OR REPLACE FUNCTION arvo.require_home()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $require_home$
-- Windows and cursors are made of transaction numbers, which mean nothing in another cluster: after a
-- dump was restored there, deliveries would be passed over without a word. A dump that was restored
-- into the cluster it came from, or into a copy of that cluster, is told by the oid of arvo.origin.
-- Which cluster this server is stands in its control file; it is read once for each start of the
-- server, and then remembered: see arvo.note_start. arvo.append_one and arvo.append_plain ask the
-- same within a statement of theirs.
--
--   Reads    arvo.origin, arvo.server_start, pg_control_system when this start is not remembered;
--            as arvo.whereabouts, before it refuses
--   Writes   nothing
--   Locks    nothing
--   Raises   RV902  the newest origin is another cluster, or this is a restored dump
DECLARE
    v_here bigint;
    v_home bigint;
    v_relation oid;
    v_whereabouts text;
BEGIN
    SELECT origin.system_identifier, origin.relation, server_start.system_identifier
    INTO v_home, v_relation, v_here
    FROM arvo.origin
    LEFT JOIN arvo.server_start ON server_start.started_at = pg_postmaster_start_time()
    ORDER BY origin.number DESC
    LIMIT 1;
    IF v_here IS NULL THEN
        v_here := (SELECT control.system_identifier FROM pg_control_system() AS control);
    END IF;
    IF v_home = v_here AND coalesce(v_relation = 'arvo.origin'::regclass::oid, true) THEN
        RETURN;
    END IF;
    v_whereabouts := arvo.whereabouts();
    RAISE EXCEPTION 'transaction numbers are of another cluster'
    USING ERRCODE = 'RV902',
          DETAIL = format(
              'They are of cluster %s, up to %s; %s is %s, at %s.',
              v_home, arvo.numbers_end(),
              CASE WHEN v_home = v_here THEN 'this restored dump' ELSE 'this' END,
              v_here, pg_snapshot_xmin(pg_current_snapshot())
          ),
          HINT = CASE v_whereabouts
              WHEN 'upgraded' THEN
                  'This looks like pg_upgrade, which keeps the numbers: call accept_cluster() as'
                  ' operator, once. After a dump was restored it would be rebase().'
              ELSE
                  'This looks like a restored dump: call rebase() as operator, once; it takes over'
                  ' what waits here, so the original must no longer run. After pg_upgrade it'
                  ' would be accept_cluster().'
          END;
END;
$require_home$;

COMMENT ON FUNCTION arvo.require_home() IS
'Raises RV902 unless the stored transaction numbers are of this cluster.';

REVOKE ALL ON FUNCTION arvo.require_home() FROM PUBLIC;
