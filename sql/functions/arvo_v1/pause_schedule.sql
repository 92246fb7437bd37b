-- arvo_v1.pause_schedule(name, key) — let schedules rest.
CREATE OR REPLACE FUNCTION arvo_v1.pause_schedule(p_name text, p_key text DEFAULT NULL)
RETURNS SETOF arvo_v1.schedule
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $pause_schedule$
-- The schedule of that name and key, or, without a key, all of that name. From the commit on they do
-- not fire until they are resumed; a fire that is being dispatched is waited for. One that is paused
-- already stays as it is. No rows when there is none.
--
--   Reads    arvo.schedule, arvo.clock
--   Writes   arvo.schedule, arvo.operation
--   Locks    arvo.schedule rows, by key
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV007  a queue that one dispatches to is closed to the caller
DECLARE
    v_one arvo.schedule;
    v_change text;
    v_count bigint := 0::bigint;
BEGIN
    PERFORM arvo.require_read_committed('pause_schedule');
    FOR v_one IN
        SELECT known.*
        FROM arvo.schedule AS known
        WHERE known.name = p_name AND (p_key IS NULL OR known.key = p_key)
        ORDER BY known.key
        FOR NO KEY UPDATE
    LOOP
        PERFORM arvo.require_right(arvo.goes_to(ARRAY[v_one.event], false, false), 'operate');
        v_change := 'unchanged';
        IF v_one.paused_at IS NULL THEN
            v_change := 'paused';
            v_count := v_count + 1;
            UPDATE arvo.schedule
            SET paused_at = arvo.clock(), paused_by = session_user, next_at = NULL
            WHERE schedule.schedule = v_one.schedule
            RETURNING schedule.* INTO v_one;
        END IF;
        RETURN NEXT arvo.schedule_row(v_one, v_change);
    END LOOP;
    PERFORM arvo.note_operation(
        'pause_schedule', NULL, jsonb_build_object('name', p_name, 'key', p_key), v_count
    );
END;
$pause_schedule$;

COMMENT ON FUNCTION arvo_v1.pause_schedule(text, text) IS
'Pauses the schedule of a name and key, or all of a name.';

REVOKE ALL ON FUNCTION arvo_v1.pause_schedule(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.pause_schedule(text, text) TO arvo_operator;
