-- arvo.keeps_place(finding) — whether a delivery cannot be moved within its queue.
CREATE OR REPLACE FUNCTION arvo.keeps_place(p_found arvo.finding)
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $keeps_place$
-- Somebody holds it; or its key is ordered, and it stands in line, or is the one that the key waits
-- for: others would overtake it.
--
--   Reads    arvo.queue, arvo.log, arvo.deferred, arvo.turn
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_queue arvo.queue;
    v_key bigint;
    v_subject_key bigint;
BEGIN
    SELECT queue.* INTO STRICT v_queue FROM arvo.queue WHERE queue.name = p_found.queue;
    IF p_found.place = 'leased' OR (p_found.place = 'parked' AND v_queue.policy = 'ordered') THEN
        RETURN true;
    ELSIF NOT v_queue.gated THEN
        RETURN false;
    END IF;

    IF p_found.place = 'deferred' THEN
        SELECT deferred.key, deferred.subject_key INTO v_key, v_subject_key
        FROM arvo.deferred
        WHERE deferred.delivery = p_found.delivery;
    ELSE
        SELECT entry.key, entry.subject_key INTO v_key, v_subject_key
        FROM arvo.log AS entry
        WHERE entry.lane = p_found.lane
        AND entry.xid = p_found.xid
        AND entry.delivery = p_found.delivery;
    END IF;
    RETURN EXISTS (
        SELECT
        FROM (
            SELECT turn.holder
            FROM arvo.turn
            WHERE turn.queue = v_queue.queue
            AND turn.key = arvo.turn_key(v_queue, v_key, v_subject_key)
            ORDER BY turn.number DESC
            LIMIT 1
        ) AS head
        WHERE head.holder = p_found.delivery
    );
END;
$keeps_place$;

COMMENT ON FUNCTION arvo.keeps_place(arvo.finding) IS
'Whether a delivery is held, or would lose its place in the line of an ordered key.';

REVOKE ALL ON FUNCTION arvo.keeps_place(arvo.finding) FROM PUBLIC;
