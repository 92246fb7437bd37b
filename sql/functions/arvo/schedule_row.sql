-- arvo.schedule_row(schedule, change) — a schedule as the contract shows it.
CREATE OR REPLACE FUNCTION arvo.schedule_row(p_schedule arvo.schedule, p_change text)
RETURNS arvo_v1.schedule
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $schedule_row$
-- The one place that knows the order of both rows.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT (
    p_schedule.name,
    p_schedule.key,
    p_change,
    p_schedule.cron,
    p_schedule.time_zone,
    p_schedule.event,
    p_schedule.options,
    p_schedule.missed,
    p_schedule.missed_limit,
    p_schedule.grace,
    p_schedule.gap,
    p_schedule.overlap,
    p_schedule.paused_at,
    p_schedule.paused_by,
    p_schedule.next_at,
    p_schedule.last_at,
    p_schedule.last_delivery,
    p_schedule.last_outcome,
    p_schedule.fires,
    p_schedule.missed_from,
    p_schedule.missed_to,
    p_schedule.error,
    p_schedule.error_at,
    p_schedule.failures,
    p_schedule.created_at,
    p_schedule.created_by,
    p_schedule.changed_at,
    p_schedule.changed_by
)::arvo_v1.schedule;
$schedule_row$;

COMMENT ON FUNCTION arvo.schedule_row(arvo.schedule, text) IS
'A schedule as the contract shows it, with what a call did to it.';

REVOKE ALL ON FUNCTION arvo.schedule_row(arvo.schedule, text) FROM PUBLIC;
