-- arvo.is_guarded(name) — whether a guard covers a queue of that name.
CREATE OR REPLACE FUNCTION arvo.is_guarded(p_name text)
RETURNS boolean
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $is_guarded$
-- As arvo.covers, in a form that indexes know: a star is flagged queue by queue.
--
--   Reads    arvo.queue_guard by (may, queue), and those with a star
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT EXISTS (
    SELECT
    FROM arvo.queue_guard AS guard
    WHERE guard.may IN ('dispatch', 'consume', 'operate') AND guard.queue = p_name
) OR EXISTS (
    SELECT
    FROM arvo.queue_guard AS guard
    WHERE guard.may IN ('dispatch', 'consume', 'operate')
    AND guard.queue LIKE '%*'
    AND starts_with(p_name, left(guard.queue, -1))
);
$is_guarded$;

COMMENT ON FUNCTION arvo.is_guarded(text) IS
'Whether something about a queue of that name is closed.';

REVOKE ALL ON FUNCTION arvo.is_guarded(text) FROM PUBLIC;
