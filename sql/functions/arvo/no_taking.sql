-- arvo.no_taking(ready_from) — nothing taken yet.
CREATE OR REPLACE FUNCTION arvo.no_taking(p_ready_from bigint)
RETURNS arvo.taking
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $no_taking$
-- Where a claim of a gated queue begins.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT (
    '{}'::arvo.log[], '{}'::bigint[], '{}'::bigint[], '{}'::bigint[], 0, p_ready_from
)::arvo.taking;
$no_taking$;

COMMENT ON FUNCTION arvo.no_taking(bigint) IS
'An empty arvo.taking.';

REVOKE ALL ON FUNCTION arvo.no_taking(bigint) FROM PUBLIC;
