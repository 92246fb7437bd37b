-- arvo.fire_schedules() — dispatch every fire that is due.
CREATE OR REPLACE FUNCTION arvo.fire_schedules()
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
SET lock_timeout = '20ms'
AS $fire_schedules$
-- Any number of sessions may call it: each takes the schedules that nobody else holds, appends their
-- events and moves next_at past them, in the caller's transaction. So a fire is dispatched once, or,
-- when that transaction is undone, still due. Nearly always nothing is: two probes of an index. They
-- begin where the last pass ended (arvo.fire_floor), so that they do not walk over old versions of rows
-- while somebody holds an old snapshot; what was committed behind that is found within ten seconds.
--
-- At most 100 schedules at once, the longest due first; the next call goes on. They are fired
-- together in one block. Only if that fails, which what is checked before makes rare, is each fired
-- in a block of its own, and the one that fails is recorded and goes on with its next fire. Errors
-- that are the session's or the server's (resources, another cluster) are nobody's fault here: they
-- are raised, and the fires stay due. So does one whose place or interval somebody is taking in a
-- transaction that is still open: claims do not wait for that. Returns how many events were appended.
--
--   Reads    arvo.clock; as arvo.fire_floor, arvo.fire_schedule
--   Writes   arvo.schedule, arvo.fire_pass; as arvo.fire_schedule
--   Locks    arvo.schedule rows, tried; as arvo.append
--   Raises   RV902  the stored transaction numbers are of another cluster
DECLARE
    v_now timestamptz := arvo.clock();
    v_floor timestamptz := arvo.fire_floor(v_now);
    v_due arvo.schedule[];
    v_row tid[];
    v_left timestamptz;
    v_number bigint;
    v_fired integer := 0;
    v_together boolean := true;
    v_code text;
    v_message text;
    v_detail text;
BEGIN
    IF NOT EXISTS (
        SELECT FROM arvo.schedule WHERE schedule.next_at > v_floor AND schedule.next_at <= v_now
    ) THEN
        IF v_floor = '-infinity' AND EXISTS (
            SELECT FROM arvo.schedule WHERE schedule.next_at > v_now
        ) THEN
            INSERT INTO arvo.fire_pass (done_to, swept_at) VALUES (v_now, v_now);
        END IF;
        RETURN 0;
    END IF;
    PERFORM arvo.require_home();
    SELECT array_agg(taken.due), array_agg(taken.row) INTO v_due, v_row
    FROM (
        SELECT due, due.ctid AS row
        FROM arvo.schedule AS due
        WHERE due.next_at > v_floor AND due.next_at <= v_now
        ORDER BY due.next_at, due.schedule
        LIMIT 100
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS taken;
    IF v_due IS NULL THEN
        RETURN 0;
    END IF;

    BEGIN
        FOR v_place IN 1 .. cardinality(v_due) LOOP
            v_fired := v_fired + arvo.fire_schedule(v_due[v_place], v_row[v_place], v_now);
        END LOOP;
    EXCEPTION
        WHEN OTHERS THEN
            IF SQLSTATE <> '55P03' AND SQLSTATE ~ '^(25|40|53|54|55|57|58|F0|RV9|XX)' THEN
                RAISE;
            END IF;
            v_together := false;
    END;
    IF NOT v_together THEN
        v_fired := 0;
    END IF;
    FOR v_place IN 1 .. CASE WHEN v_together THEN 0 ELSE cardinality(v_due) END LOOP
        BEGIN
            v_fired := v_fired + arvo.fire_schedule(v_due[v_place], v_row[v_place], v_now);
        EXCEPTION
            WHEN lock_not_available THEN
                CONTINUE;
            WHEN OTHERS THEN
                IF SQLSTATE ~ '^(25|40|53|54|55|57|58|F0|RV9|XX)' THEN
                    RAISE;
                END IF;
                GET STACKED DIAGNOSTICS
                    v_code = RETURNED_SQLSTATE,
                    v_message = MESSAGE_TEXT,
                    v_detail = PG_EXCEPTION_DETAIL;
                PERFORM arvo.fail_schedule(
                    v_due[v_place],
                    v_row[v_place],
                    arvo.cron_next(
                        (v_due[v_place]).fields, (v_due[v_place]).time_zone, v_now,
                        (v_due[v_place]).gap, (v_due[v_place]).overlap
                    ),
                    v_code,
                    v_message,
                    left(v_detail, 1000)
                );
        END;
    END LOOP;

    -- What somebody else holds, and what was too much for this call, is due still.
    SELECT min(still.next_at) INTO v_left
    FROM arvo.schedule AS still
    WHERE still.next_at > v_floor AND still.next_at <= v_now;
    INSERT INTO arvo.fire_pass (done_to, swept_at)
    SELECT
        coalesce(v_left - interval '1 microsecond', v_now),
        CASE WHEN v_floor = '-infinity' THEN v_now ELSE newest.swept_at END
    FROM arvo.fire_pass AS newest
    ORDER BY newest.number DESC
    LIMIT 1
    RETURNING fire_pass.number INTO v_number;
    IF v_number % 100 = 0 THEN
        DELETE FROM arvo.fire_pass
        WHERE fire_pass.number IN (
            SELECT gone.number
            FROM arvo.fire_pass AS gone
            WHERE gone.number < v_number - 100
            ORDER BY gone.number DESC
            LIMIT 1000
            FOR UPDATE SKIP LOCKED
        );
    END IF;
    RETURN v_fired;
END;
$fire_schedules$;

COMMENT ON FUNCTION arvo.fire_schedules() IS
'Dispatches every fire that is due, once, whatever the number of sessions; returns how many.';

REVOKE ALL ON FUNCTION arvo.fire_schedules() FROM PUBLIC;
