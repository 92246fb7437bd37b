-- arvo.hold_queue(queue) — lock everything of a queue that claims and settlements move.
CREATE OR REPLACE FUNCTION arvo.hold_queue(p_queue integer)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $hold_queue$
-- For new rules: what is leased is counted anew, so nobody may be closing any of it unseen. The leases
-- come first; one that was taken between them and the lanes, and is being settled, lets everything go
-- and begins again.
--
--   Reads    arvo.lane, arvo.lease, arvo.closure
--   Writes   nothing
--   Locks    the queue's open leases, in order of their tokens; then its lanes, in order
--   Raises   RV901  leases were taken and settled all the time, a hundred times over
BEGIN
    FOR v_try IN 1..100 LOOP
        BEGIN
            PERFORM pg_advisory_xact_lock(arvo.lease_key(open.token))
            FROM (SELECT listed.token FROM arvo.open_leases(p_queue) AS listed (token)) AS open
            ORDER BY open.token;
            PERFORM pg_advisory_xact_lock(hashtext('arvo'), held.lane)
            FROM (
                SELECT lane.lane
                FROM arvo.lane
                WHERE lane.queue = p_queue AND NOT lane.retired
                ORDER BY lane.lane
            ) AS held;
            IF NOT EXISTS (
                SELECT
                FROM arvo.open_leases(p_queue) AS listed (token)
                WHERE NOT pg_try_advisory_xact_lock(arvo.lease_key(listed.token))
            ) THEN
                RETURN;
            END IF;
            RAISE EXCEPTION 'a lease is being settled' USING ERRCODE = 'RV901';
        EXCEPTION
            WHEN SQLSTATE 'RV901' THEN
                CONTINUE;
        END;
    END LOOP;
    RAISE EXCEPTION 'queue cannot be held'
    USING ERRCODE = 'RV901',
          DETAIL = format('queue %s', p_queue),
          HINT = 'Its leases are taken and settled all the time: call again, or pause it first.';
END;
$hold_queue$;

COMMENT ON FUNCTION arvo.hold_queue(integer) IS
'Locks the open leases of a queue and all its lanes.';

REVOKE ALL ON FUNCTION arvo.hold_queue(integer) FROM PUBLIC;
