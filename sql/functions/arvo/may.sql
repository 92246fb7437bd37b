-- arvo.may(name, right) — whether the caller may do something with a queue.
CREATE OR REPLACE FUNCTION arvo.may(p_name text, p_right text)
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $may$
-- dispatch, consume and operate are open to everybody who may call the functions, until one guard that
-- covers the name closes them; then one of the guards must name a role of the caller's. Guards add up.
--
--   Reads    arvo.queue_guard; as arvo.is_one_of
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_roles text[];
BEGIN
    SELECT array_agg(DISTINCT member.role) FILTER (WHERE member.role IS NOT NULL) INTO v_roles
    FROM arvo.queue_guard AS guard
    LEFT JOIN LATERAL unnest(guard.roles) AS member (role) ON true
    WHERE guard.may = p_right AND arvo.covers(guard.queue, p_name)
    HAVING count(*) > 0;
    RETURN NOT FOUND OR arvo.is_one_of(coalesce(v_roles, '{}'));
END;
$may$;

COMMENT ON FUNCTION arvo.may(text, text) IS
'Whether the caller may dispatch to a queue, consume it or operate it.';

REVOKE ALL ON FUNCTION arvo.may(text, text) FROM PUBLIC;
