-- arvo.fire_floor(now) — the time behind which to look for due fires.
CREATE OR REPLACE FUNCTION arvo.fire_floor(p_now timestamptz)
RETURNS timestamptz
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $fire_floor$
-- Where the last pass ended. Every ten seconds, and when the clock has been put back, the beginning of
-- time: somebody may have made a schedule in a transaction that was committed late.
--
--   Reads    arvo.fire_pass
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    CASE
        WHEN newest.swept_at > p_now - interval '10 seconds'
            AND newest.swept_at <= p_now
            AND newest.done_to <= p_now
            THEN newest.done_to
        ELSE '-infinity'
    END
FROM arvo.fire_pass AS newest
ORDER BY newest.number DESC
LIMIT 1;
$fire_floor$;

COMMENT ON FUNCTION arvo.fire_floor(timestamptz) IS
'The time behind which to look for due fires.';

REVOKE ALL ON FUNCTION arvo.fire_floor(timestamptz) FROM PUBLIC;
