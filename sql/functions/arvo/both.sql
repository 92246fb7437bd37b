-- arvo.both(one, more) — two takings as one.
CREATE OR REPLACE FUNCTION arvo.both(p_one arvo.taking, p_more arvo.taking)
RETURNS arvo.taking
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $both$
-- Where arvo.ready has been read up to is what the second one says, if it says anything.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT (
    p_one.batch || p_more.batch, p_one.keys || p_more.keys, p_one.places || p_more.places,
    p_one.put_off || p_more.put_off, p_one.taken + p_more.taken,
    coalesce(p_more.ready_from, p_one.ready_from)
)::arvo.taking;
$both$;

COMMENT ON FUNCTION arvo.both(arvo.taking, arvo.taking) IS
'Two takings, one after the other.';

REVOKE ALL ON FUNCTION arvo.both(arvo.taking, arvo.taking) FROM PUBLIC;
