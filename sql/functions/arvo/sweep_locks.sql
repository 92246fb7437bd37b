-- arvo.sweep_locks(limit) — remove locks on subjects that lapsed an hour ago.
CREATE OR REPLACE FUNCTION arvo.sweep_locks(p_limit integer)
RETURNS integer
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $sweep_locks$
-- Without an index on expires_at: there are as many rows as locks that were held lately, and an index
-- would make every renewal write a new entry.
--
--   Reads    arvo.clock
--   Writes   arvo.state_lock
--   Locks    the rows deleted; those that somebody holds are left out
--   Raises   nothing
WITH lapsed AS MATERIALIZED (
    SELECT old.subject_digest
    FROM arvo.state_lock AS old
    WHERE old.expires_at <= (SELECT arvo.clock() - interval '1 hour')
    LIMIT p_limit
    FOR UPDATE SKIP LOCKED
),

gone AS (
    DELETE FROM arvo.state_lock
    USING lapsed
    WHERE state_lock.subject_digest = lapsed.subject_digest
    RETURNING 1
)

SELECT count(*)::integer FROM gone;
$sweep_locks$;

COMMENT ON FUNCTION arvo.sweep_locks(integer) IS
'Removes locks on subjects that lapsed an hour ago; returns how many.';

REVOKE ALL ON FUNCTION arvo.sweep_locks(integer) FROM PUBLIC;
