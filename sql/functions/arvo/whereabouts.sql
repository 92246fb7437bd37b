-- arvo.whereabouts() — whether the stored transaction numbers mean something in this cluster.
CREATE OR REPLACE FUNCTION arvo.whereabouts()
RETURNS text
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $whereabouts$
--   home      they are this cluster's own
--   upgraded  another identity, but the tables kept their oids and the numbers lie behind this
--             cluster's: what pg_upgrade leaves
--   ahead     a dump was restored here; every stored number lies behind those of every transaction
--             that is open or will come, so they can be used as they are
--   foreign   a dump was restored here, and this cluster has not reached the stored numbers
--
-- A number that is behind every open transaction is settled for good, in whichever cluster it was
-- given: snapshots that are taken here from now on see it, and no new row will have it.
--
--   Reads    arvo.origin, pg_control_system; as arvo.numbers_end, unless at home
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT CASE
    WHEN origin.system_identifier = control.system_identifier
        AND coalesce(origin.relation = 'arvo.origin'::regclass::oid, true) THEN 'home'
    WHEN arvo.numbers_end() > pg_snapshot_xmin(pg_current_snapshot()) THEN 'foreign'
    WHEN origin.system_identifier <> control.system_identifier
        AND origin.relation = 'arvo.origin'::regclass::oid THEN 'upgraded'
    ELSE 'ahead'
END
FROM arvo.origin
CROSS JOIN pg_control_system() AS control
ORDER BY origin.number DESC
LIMIT 1;
$whereabouts$;

COMMENT ON FUNCTION arvo.whereabouts() IS
'Whether the stored transaction numbers are of this cluster: home, upgraded, ahead or foreign.';

REVOKE ALL ON FUNCTION arvo.whereabouts() FROM PUBLIC;
