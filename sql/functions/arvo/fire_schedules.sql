-- arvo.fire_schedules() — dispatch every fire that is due.
CREATE OR REPLACE FUNCTION arvo.fire_schedules()
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $fire_schedules$
-- Any number of sessions may call it: each takes the schedules that nobody else holds, appends their
-- events and moves next_at past them, in the caller's transaction. So a fire is dispatched once, or,
-- when that transaction is undone, still due. Nearly always nothing is: one probe of an index.
--
-- At most 100 schedules at once, the longest due first; the next call goes on. They are fired
-- together in one block. Only if that fails, which what is checked before makes rare, is each fired
-- in a block of its own, and the one that fails is recorded and goes on with its next fire. Errors
-- that are the session's or the server's (locks, resources, another cluster) are nobody's fault here:
-- they are raised, and the fires stay due. Returns how many events were appended.
--
--   Reads    arvo.clock; as arvo.fire_schedule
--   Writes   arvo.schedule; as arvo.fire_schedule
--   Locks    arvo.schedule rows, tried; as arvo.append
--   Raises   RV902  the stored transaction numbers are of another cluster
DECLARE
    v_now timestamptz := arvo.clock();
    v_due arvo.schedule[];
    v_one arvo.schedule;
    v_fired integer := 0;
    v_together boolean := true;
    v_code text;
    v_message text;
    v_detail text;
BEGIN
    IF NOT EXISTS (SELECT FROM arvo.schedule WHERE schedule.next_at <= v_now) THEN
        RETURN 0;
    END IF;
    PERFORM arvo.require_home();
    v_due := ARRAY(
        SELECT due
        FROM arvo.schedule AS due
        WHERE due.next_at <= v_now
        ORDER BY due.next_at, due.schedule
        LIMIT 100
        FOR NO KEY UPDATE SKIP LOCKED
    );

    BEGIN
        FOREACH v_one IN ARRAY v_due LOOP
            v_fired := v_fired + arvo.fire_schedule(v_one, v_now);
        END LOOP;
    EXCEPTION
        WHEN OTHERS THEN
            IF SQLSTATE ~ '^(25|40|53|54|55|57|58|F0|RV9|XX)' THEN
                RAISE;
            END IF;
            v_together := false;
    END;
    IF v_together THEN
        RETURN v_fired;
    END IF;

    v_fired := 0;
    FOREACH v_one IN ARRAY v_due LOOP
        BEGIN
            v_fired := v_fired + arvo.fire_schedule(v_one, v_now);
        EXCEPTION
            WHEN OTHERS THEN
                IF SQLSTATE ~ '^(25|40|53|54|55|57|58|F0|RV9|XX)' THEN
                    RAISE;
                END IF;
                GET STACKED DIAGNOSTICS
                    v_code = RETURNED_SQLSTATE,
                    v_message = MESSAGE_TEXT,
                    v_detail = PG_EXCEPTION_DETAIL;
                PERFORM arvo.fail_schedule(
                    v_one,
                    arvo.cron_next(v_one.fields, v_one.time_zone, v_now, v_one.gap, v_one.overlap),
                    v_code,
                    v_message,
                    left(v_detail, 1000)
                );
        END;
    END LOOP;
    RETURN v_fired;
END;
$fire_schedules$;

COMMENT ON FUNCTION arvo.fire_schedules() IS
'Dispatches every fire that is due, once, whatever the number of sessions; returns how many.';

REVOKE ALL ON FUNCTION arvo.fire_schedules() FROM PUBLIC;
