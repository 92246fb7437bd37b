-- arvo.fire_event(schedule, fire_at, missed_from) — the event of one fire.
CREATE OR REPLACE FUNCTION arvo.fire_event(
    p_schedule arvo.schedule,
    p_fire_at timestamptz,
    p_missed_from timestamptz
)
RETURNS jsonb
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $fire_event$
-- The schedule's event, and what a fire adds, all of it in plain sight:
--   id              schedule/NAME/KEY/TIME: the same fire is the same event, whoever dispatches it
--   to              the schedule's, else its type, as a client's factory has it
--   subject         the schedule's, with {firetime} replaced; without one, a new workflow
--   schedulename, schedulekey (when there is one), firetime: extensions, text
--   missedfrom      extension, only when fires before this one were left out: the first of those
-- "time" is when it was dispatched, as of every event; firetime is when it should have been.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_time text := to_char(p_fire_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');
    v_event jsonb := p_schedule.event;
    v_id text := format('schedule/%s/%s/%s', p_schedule.name, p_schedule.key, v_time);
BEGIN
    RETURN v_event || jsonb_strip_nulls(jsonb_build_object(
        'id', v_id,
        'subject', coalesce(
            replace(v_event ->> 'subject', '{firetime}', v_time),
            arvo.fresh_subject(
                v_id,
                v_event ->> 'type',
                v_event ->> 'source',
                v_event ->> 'domain',
                v_event ->> 'redirectto',
                v_event ->> 'dataschema'
            )
        ),
        'to', coalesce(v_event ->> 'to', v_event ->> 'type'),
        'schedulename', p_schedule.name,
        'schedulekey', nullif(p_schedule.key, ''),
        'firetime', v_time,
        'missedfrom', to_char(p_missed_from AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
    ));
END;
$fire_event$;

COMMENT ON FUNCTION arvo.fire_event(arvo.schedule, timestamptz, timestamptz) IS
'The event that one fire of a schedule dispatches.';

REVOKE ALL ON FUNCTION arvo.fire_event(arvo.schedule, timestamptz, timestamptz) FROM PUBLIC;
