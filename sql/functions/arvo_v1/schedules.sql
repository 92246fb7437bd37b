-- arvo_v1.schedules(name) — the schedules.
CREATE OR REPLACE FUNCTION arvo_v1.schedules(p_name text DEFAULT NULL)
RETURNS SETOF arvo_v1.schedule
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $schedules$
-- Of one name, or all, by name and key. One that has an error, or neither next_at nor paused_at,
-- wants somebody to look at it. The data of their events is shown to those who may read it.
--
--   Reads    arvo.schedule; as arvo.may_read
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT shown.*
FROM arvo.schedule AS known
CROSS JOIN LATERAL arvo.schedule_row(
    CASE
        WHEN arvo.may_read(coalesce(
            'arvo.domain.' || (known.event ->> 'domain'), known.event ->> 'to',
            known.event ->> 'type'
        )) THEN known
        ELSE jsonb_populate_record(known, jsonb_build_object(
            'event', known.event || '{"data": {}}'
        ))
    END,
    NULL
) AS shown
WHERE p_name IS NULL OR known.name = p_name
ORDER BY known.name, known.key;
$schedules$;

COMMENT ON FUNCTION arvo_v1.schedules(text) IS
'The schedules, all or those of a name: what, when, and how the last fire went.';

REVOKE ALL ON FUNCTION arvo_v1.schedules(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.schedules(text) TO arvo_operator, arvo_monitor;
