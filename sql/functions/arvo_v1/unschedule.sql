-- arvo_v1.unschedule(name, key, dry_run) — remove schedules.
CREATE OR REPLACE FUNCTION arvo_v1.unschedule(
    p_name text,
    p_key text DEFAULT NULL,
    p_dry_run boolean DEFAULT false
)
RETURNS SETOF arvo_v1.schedule
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $unschedule$
-- The schedule of that name and key, or, without a key, all of that name. Answers what was removed; a
-- dry run what would be. What they have dispatched stays.
--
--   Reads    arvo.schedule
--   Writes   arvo.schedule, arvo.operation
--   Locks    arvo.schedule rows, by key
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV007  a queue that one dispatches to is closed to the caller
DECLARE
    v_one arvo.schedule;
    v_count bigint := 0::bigint;
BEGIN
    PERFORM arvo.require_read_committed('unschedule');
    FOR v_one IN
        SELECT known.*
        FROM arvo.schedule AS known
        WHERE known.name = p_name AND (p_key IS NULL OR known.key = p_key)
        ORDER BY known.key
        FOR UPDATE
    LOOP
        PERFORM arvo.require_right(arvo.goes_to(ARRAY[v_one.event], false, false), 'operate');
        IF NOT p_dry_run THEN
            DELETE FROM arvo.schedule WHERE schedule.schedule = v_one.schedule;
        END IF;
        v_count := v_count + 1;
        RETURN NEXT arvo.schedule_row(v_one, 'removed');
    END LOOP;
    IF NOT p_dry_run THEN
        PERFORM arvo.note_operation(
            'unschedule', NULL, jsonb_build_object('name', p_name, 'key', p_key), v_count
        );
    END IF;
END;
$unschedule$;

COMMENT ON FUNCTION arvo_v1.unschedule(text, text, boolean) IS
'Removes the schedule of a name and key, or all of a name.';

REVOKE ALL ON FUNCTION arvo_v1.unschedule(text, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.unschedule(text, text, boolean) TO arvo_operator;
