-- arvo_v1.check_out(worker) — a worker says that it is leaving.
CREATE OR REPLACE FUNCTION arvo_v1.check_out(p_worker text)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $check_out$
-- Its wishes about queues go with it: who has left disagrees with nobody. The queues stay as they
-- are, and so do its leases. Whether it was known.
--
--   Reads    nothing
--   Writes   arvo.worker, arvo.registration
--   Locks    arvo.worker row, arvo.registration rows of p_worker
--   Raises   nothing
DECLARE
    v_known boolean;
BEGIN
    DELETE FROM arvo.worker WHERE worker.worker = p_worker;
    v_known := FOUND;
    DELETE FROM arvo.registration WHERE registration.worker = p_worker;
    RETURN v_known;
END;
$check_out$;

COMMENT ON FUNCTION arvo_v1.check_out(text) IS
'A worker says that it is leaving; true when it was known.';

REVOKE ALL ON FUNCTION arvo_v1.check_out(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.check_out(text) TO arvo_worker;
