-- arvo.fail_schedule(schedule, row, next_at, code, message, detail) — record that a schedule cannot fire.
CREATE OR REPLACE FUNCTION arvo.fail_schedule(
    p_schedule arvo.schedule,
    p_row tid,
    p_next_at timestamptz,
    p_code text,
    p_message text,
    p_detail text
)
RETURNS void
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $fail_schedule$
-- p_row is where the schedule's row is, which the caller holds: found without an index, that has an
-- entry for each version. The fire that was due is given up and stands in the error; p_next_at is tried next. NULL stops the
-- schedule until somebody schedules or resumes it.
--
--   Reads    arvo.clock
--   Writes   arvo.schedule
--   Locks    arvo.schedule row, held by the caller
--   Raises   nothing
UPDATE arvo.schedule
SET next_at = p_next_at,
    error = jsonb_build_object(
        'code', p_code, 'message', p_message, 'detail', p_detail, 'fire_at', p_schedule.next_at
    ),
    error_at = arvo.clock(),
    failures = schedule.failures + 1
WHERE schedule.ctid = p_row;
$fail_schedule$;

COMMENT ON FUNCTION arvo.fail_schedule(arvo.schedule, tid, timestamptz, text, text, text) IS
'Records why a schedule could not fire, and when it tries again.';

REVOKE ALL ON FUNCTION
arvo.fail_schedule(arvo.schedule, tid, timestamptz, text, text, text) FROM PUBLIC;
