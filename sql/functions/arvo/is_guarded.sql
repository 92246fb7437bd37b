-- arvo.is_guarded(name) — whether a guard covers a queue of that name.
CREATE OR REPLACE FUNCTION arvo.is_guarded(p_name text)
RETURNS boolean
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $is_guarded$
--   Reads    arvo.queue_guard
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT EXISTS (
    SELECT
    FROM arvo.queue_guard AS guard
    WHERE guard.may <> 'read' AND arvo.covers(guard.queue, p_name)
);
$is_guarded$;

COMMENT ON FUNCTION arvo.is_guarded(text) IS
'Whether something about a queue of that name is closed.';

REVOKE ALL ON FUNCTION arvo.is_guarded(text) FROM PUBLIC;
