-- arvo.keeps_place(finding) — whether a delivery cannot be moved within its queue.
CREATE OR REPLACE FUNCTION arvo.keeps_place(p_found arvo.finding)
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $keeps_place$
-- Somebody holds it, or its queue is ordered, which knows no priorities.
--
--   Reads    arvo.queue
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_queue arvo.queue;
BEGIN
    SELECT queue.* INTO STRICT v_queue FROM arvo.queue WHERE queue.name = p_found.queue;
    RETURN p_found.place = 'leased' OR v_queue.policy = 'ordered';
END;
$keeps_place$;

COMMENT ON FUNCTION arvo.keeps_place(arvo.finding) IS
'Whether a delivery is held, or its queue is ordered.';

REVOKE ALL ON FUNCTION arvo.keeps_place(arvo.finding) FROM PUBLIC;
