-- arvo_v1.resume_schedule(name, key) — let schedules fire again.
CREATE OR REPLACE FUNCTION arvo_v1.resume_schedule(p_name text, p_key text DEFAULT NULL)
RETURNS SETOF arvo_v1.schedule
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $resume_schedule$
-- The schedule of that name and key, or, without a key, all of that name. The next fire is the first
-- after now: those of the pause were not wanted, so they are not missed. Also starts what an error
-- has stopped. One that is running stays as it is. No rows when there is none.
--
--   Reads    arvo.schedule, arvo.clock; as arvo.cron_next
--   Writes   arvo.schedule, arvo.operation
--   Locks    arvo.schedule rows, by key
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  a time zone is not known any more
--            RV007  a queue that one dispatches to is closed to the caller
DECLARE
    v_one arvo.schedule;
    v_change text;
    v_count bigint := 0::bigint;
BEGIN
    PERFORM arvo.require_read_committed('resume_schedule');
    FOR v_one IN
        SELECT known.*
        FROM arvo.schedule AS known
        WHERE known.name = p_name AND (p_key IS NULL OR known.key = p_key)
        ORDER BY known.key
        FOR NO KEY UPDATE
    LOOP
        PERFORM arvo.require_right(arvo.goes_to(ARRAY[v_one.event], false, false), 'operate');
        v_change := 'unchanged';
        IF v_one.next_at IS NULL THEN
            PERFORM arvo.require_time_zone(v_one.time_zone);
            v_change := 'resumed';
            v_count := v_count + 1;
            UPDATE arvo.schedule
            SET paused_at = NULL,
                paused_by = NULL,
                error = NULL,
                next_at = arvo.cron_next(
                    v_one.fields, v_one.time_zone, greatest(arvo.clock(), v_one.last_at),
                    v_one.gap, v_one.overlap
                )
            WHERE schedule.schedule = v_one.schedule
            RETURNING schedule.* INTO v_one;
            -- A worker that sleeps may have to rise earlier.
            PERFORM arvo.wake(ARRAY[coalesce(
                'arvo.domain.' || (v_one.event ->> 'domain'), v_one.event ->> 'to',
                v_one.event ->> 'type'
            )]);
        END IF;
        RETURN NEXT arvo.schedule_row(v_one, v_change);
    END LOOP;
    PERFORM arvo.note_operation(
        'resume_schedule', NULL, jsonb_build_object('name', p_name, 'key', p_key), v_count
    );
END;
$resume_schedule$;

COMMENT ON FUNCTION arvo_v1.resume_schedule(text, text) IS
'Resumes the schedule of a name and key, or all of a name, from now on.';

REVOKE ALL ON FUNCTION arvo_v1.resume_schedule(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.resume_schedule(text, text) TO arvo_operator;
