-- arvo.look_ahead() — whether something deferred or scheduled is due, and when the next will be.
CREATE OR REPLACE FUNCTION arvo.look_ahead()
RETURNS arvo.ahead
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $look_ahead$
-- Nearly always nothing is, and then this one statement of some index probes stands for
-- arvo.promote and arvo.next_due. It takes no lock: what it says is due is looked at again under the
-- promoter's lock. Due is also what only moves a cursor on: deferred rows that were not yet visible
-- when it was written, a snapshot that has grown old, and the schedules' look at the beginning of
-- time, every ten seconds, when there are any.
--
--   Reads    arvo.promotion, arvo.deferred by due time and transaction, arvo.fire_pass, arvo.schedule
--            by next_at, arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_snapshot pg_snapshot := arvo.window_snapshot();
    v_seen pg_snapshot;
    v_ahead arvo.ahead;
BEGIN
    SELECT
        found.unseen
        OR coalesce(found.due_at <= v_now, false)
        OR coalesce(found.fire_at <= v_now, false)
        OR (found.fire_at IS NOT NULL AND found.fire_floor = '-infinity'),
        least(found.due_at, found.fire_at),
        found.snapshot
    INTO v_ahead.due, v_ahead.next_at, v_seen
    FROM (
        SELECT
            (
                SELECT deferred.due
                FROM arvo.deferred
                WHERE (deferred.due, deferred.delivery) > (head.due, head.delivery)
                ORDER BY deferred.due, deferred.delivery
                LIMIT 1
            ) AS due_at,
            (
                SELECT schedule.next_at
                FROM arvo.schedule
                WHERE schedule.next_at > pass.fire_floor
                ORDER BY schedule.next_at
                LIMIT 1
            ) AS fire_at,
            pass.fire_floor,
            head.snapshot,
            pg_snapshot_xmax(v_snapshot)::text::bigint
            - pg_snapshot_xmax(head.snapshot)::text::bigint > 1000
            OR EXISTS (
                SELECT
                FROM arvo.deferred
                WHERE (deferred.xid, deferred.delivery) >= (pg_snapshot_xmax(head.snapshot), 0)
                AND deferred.xid < pg_snapshot_xmax(v_snapshot)
                AND pg_visible_in_snapshot(deferred.xid, v_snapshot)
            ) AS unseen
        FROM (
            SELECT newest.due, newest.delivery, newest.snapshot
            FROM arvo.promotion AS newest
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS head
        CROSS JOIN (
            -- as arvo.fire_floor
            SELECT
                CASE
                    WHEN newest.swept_at > v_now - interval '10 seconds'
                        AND newest.swept_at <= v_now
                        AND newest.done_to <= v_now
                        THEN newest.done_to
                    ELSE '-infinity'
                END AS fire_floor
            FROM arvo.fire_pass AS newest
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS pass
    ) AS found;
    IF NOT v_ahead.due AND pg_snapshot_xmin(v_seen) < pg_snapshot_xmax(v_seen) THEN
        v_ahead.due := EXISTS (
            SELECT
            FROM pg_snapshot_xip(v_seen) AS listed (xid)
            CROSS JOIN LATERAL (
                SELECT FROM arvo.deferred WHERE deferred.xid = listed.xid LIMIT 1
            ) AS entry
            WHERE pg_visible_in_snapshot(listed.xid, v_snapshot)
        );
    END IF;
    RETURN v_ahead;
END;
$look_ahead$;

COMMENT ON FUNCTION arvo.look_ahead() IS
'Whether anything deferred or scheduled is due, and when the next will be.';

REVOKE ALL ON FUNCTION arvo.look_ahead() FROM PUBLIC;
